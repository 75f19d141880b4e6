"""The order of answers to rate, what is taken back, and the file that holds it at every moment."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.errors import DataError, StoreError
from selfj_eval.records.options import ReadOptions
from selfj_eval.workbench.guidelines import as_html, read_guidelines
from selfj_eval.workbench.rating_file import Given, RatingFile, ToRate, read_rating_file
from selfj_eval.workbench.rating_input import read_input
from selfj_eval.workbench.rating_session import RatingSession, key_of, name_of

ANSWERS = [ToRate(f"m/{k}", f"{k}?", f"It is {k}.") for k in range(6)]


def new_file(path: Path, answers: list[ToRate] = ANSWERS) -> RatingFile:
    file = RatingFile(path, answers, (1, 5))
    file.write()
    return file


def state(file: RatingFile) -> list[tuple[str, str, float | None, str]]:
    return [(g.rater, g.id, g.rating, g.comment) for g in file.given.values()]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_any_course_of_a_session_is_what_the_file_says(tmp_path: Path) -> None:
    """Two people rate, skip, change and take back; a plain model of it says what must be there."""
    draw = random.Random(5)
    for run in range(8):
        path = tmp_path / f"{run}.jsonl"
        session = RatingSession(new_file(path))
        expected: dict[tuple[str, str], tuple[float | None, str]] = {}
        history: dict[str, list[dict[tuple[str, str], tuple[float | None, str]]]] = {}
        for _ in range(60):
            who, k = draw.choice(["ann", "bob"]), draw.randrange(6)
            own = {key: value for key, value in expected.items() if key[0] == who}
            others = {key: value for key, value in expected.items() if key[0] != who}
            if draw.random() < 0.3:
                undone = session.undo(who)
                before = history.setdefault(who, [])
                assert (undone is None) == (not before)
                expected = others | (before.pop() if before else {})
            else:
                said = (draw.choice([None, 1, 2, 5]), draw.choice(["", "why \u2028 \u202e <b>"]))
                assert session.rate(who, key_of(ANSWERS[k]), *said) == k
                if own.get((who, ANSWERS[k].id)) != said:
                    history.setdefault(who, []).append(own)
                expected[who, ANSWERS[k].id] = said
            file, notes = read_rating_file(path)
            assert notes == []
            assert {(r, i): (x, c) for r, i, x, c in state(file)} == expected
            assert len(state(file)) == len(expected)
            assert [r["id"] for r in rows(path)[:6]] == [a.id for a in ANSWERS]


def test_what_comes_next(tmp_path: Path) -> None:
    session = RatingSession(new_file(tmp_path / "r.jsonl"))
    keys = [key_of(answer) for answer in ANSWERS]
    assert session.following("ann") == 0
    for k, rating in ((0, 3), (1, None), (4, None)):
        session.rate("ann", keys[k], rating, "")
    assert session.following("ann") == 2
    assert session.following("ann", 4) == 5
    assert session.following("bob") == 0
    session.rate("ann", keys[5], 1, "")
    assert session.following("ann", 5) == 2  # from the start again
    assert [session.skipped("ann"), session.skipped("ann", 1), session.skipped("ann", 4)] == [
        1,
        4,
        None,
    ]
    assert session.progress("ann") == (2, 2, 6)
    for k in (2, 3):
        session.rate("ann", keys[k], 5, "")
    assert session.following("ann", 3) is None
    assert session.progress("bob") == (0, 0, 6)


def test_undo_goes_back_beyond_the_session_but_not_into_anothers(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first = RatingSession(new_file(path))
    for k in range(3):
        first.rate("ann", key_of(ANSWERS[k]), k + 1, "")
        first.rate("bob", key_of(ANSWERS[k]), 5, "")
    later = RatingSession(read_rating_file(path)[0])
    later.rate("ann", key_of(ANSWERS[0]), 4, "changed")
    found = [later.undo("ann") for _ in range(5)]
    assert [None if f is None else (f[0], f[1].rating) for f in found] == [
        (0, 4),
        (2, 3),
        (1, 2),
        (0, 1),
        None,
    ]
    assert state(read_rating_file(path)[0]) == [("bob", f"m/{k}", 5, "") for k in range(3)]


def test_undo_after_a_restart_takes_back_what_was_said_last(tmp_path: Path) -> None:
    """An earlier rating that was changed later keeps its place in the file."""
    path = tmp_path / "r.jsonl"
    file = new_file(path)
    for k, second in ((0, 1), (1, 2), (2, 3), (0, 4), (3, 4)):
        at = f"2026-03-01T09:30:0{second}.000+00:00"
        file.put(Given(ANSWERS[k].id, "ann", k + 1 if second < 4 else 5, "", at))
    file.put(Given(ANSWERS[5].id, "bob", 1, "", "2026-03-02T09:30:00.000+00:00"))
    session = RatingSession(read_rating_file(path)[0])
    undone = [session.undo("ann") for _ in range(5)]
    found = [None if own is None else (own[0], own[1].rating) for own in undone]
    assert found == [(3, 5), (0, 5), (2, 3), (1, 2), None]


def test_what_is_no_rating_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    session = RatingSession(new_file(tmp_path / "r.jsonl"))
    before = (tmp_path / "r.jsonl").read_bytes()
    key = key_of(ANSWERS[0])
    for rating in (0, 6, 2.5, -1, float("nan"), float("inf")):
        with pytest.raises(DataError, match=r"is no whole number from 1 to 5"):
            session.rate("ann", key, rating, "")
    with pytest.raises(DataError, match="can no longer be rated"):
        session.rate("ann", "0" * 32, 3, "")
    with pytest.raises(DataError, match="more than 10,000 characters"):
        session.rate("ann", key, 3, "x" * 10_001)
    with pytest.raises(DataError, match="half of a surrogate pair"):
        session.rate("ann", key, 3, "\ud800")
    assert (tmp_path / "r.jsonl").read_bytes() == before


def test_a_last_line_that_was_cut_off_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    file = new_file(path)
    for k in range(3):
        file.put(Given(f"m/{k}", "ann", k + 1, "ü" * 5, "2026-01-01T00:00:00+00:00"))
    whole = path.read_bytes()
    last = len(whole) - whole[:-1].rfind(b"\n") - 1
    for lost in range(1, last + 1):
        path.write_bytes(whole[:-lost])
        found, notes = read_rating_file(path)
        complete = lost == 1  # but for the end of the line
        assert len(found.given) == (3 if complete or lost == last + 1 else 2)
        assert bool(notes) == (1 < lost < last)
        assert path.read_bytes() == (whole if complete else whole[:-last])
        again, notes = read_rating_file(path)
        assert (state(again), notes) == (state(found), [])
    path.write_bytes(whole + b"\0" * 4096)  # as some file systems leave it without power
    found, notes = read_rating_file(path)
    assert len(found.given) == 3 and notes == [
        "line 10 was cut off, before it was confirmed: removed"
    ]


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    answer = {"id": "1", "instruction": "?", "response": "!", "rating_min": 1, "rating_max": 5}
    rating = {"id": "1", "rater": "ann", "rating": 3, "at": "2026-01-01"}
    foreign = "is not what `selfj rate` writes"
    for content, message in (
        ([], foreign),
        ([{"id": "1", "response": "!"}], f"line 1: {foreign}"),
        ([answer, rating | {"rating": "3"}], f"line 2: {foreign}"),
        ([answer, answer], foreign),
        ([answer, answer | {"id": "2", "rating_max": 9}], foreign),
        ([answer, rating, rating], "holds a rating twice"),
        ([answer, rating | {"id": "2"}], "of an answer that is not in it"),
        (["{", answer], "line 1: is damaged"),
    ):
        lines = [line if isinstance(line, str) else json.dumps(line) for line in content]
        path.write_text("".join(f"{line}\n" for line in lines))
        with pytest.raises(DataError, match=message):
            read_rating_file(path)


def test_a_disk_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory nor the file has the rating, and the next one can be kept."""
    path = tmp_path / "r.jsonl"
    session = RatingSession(new_file(path))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match=r"r\.jsonl cannot be written: No space left"):
            session.rate("ann", key_of(ANSWERS[0]), 3, "")
    assert path.read_bytes() == before
    assert session.following("ann") == 0
    session.rate("ann", key_of(ANSWERS[0]), 4, "")
    assert [row["rating"] for row in rows(path) if "rater" in row] == [4]
    path.unlink()
    with pytest.raises(StoreError, match="No such file"):
        session.rate("ann", key_of(ANSWERS[1]), 3, "")
    assert session.following("ann") == 1 and not path.exists()


def test_names() -> None:
    assert name_of("  Ann \t  Lee ") == "Ann Lee"
    assert name_of("Zoe\u0308") == "Zo\u00eb"
    for wrong in ("", "  ", "x" * 61, "a\x00b", "\u202eann"):
        with pytest.raises(DataError, match="a name has 1 to 60 characters"):
            name_of(wrong)


def plan_rows(n: int = 5, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": str(k), "instruction": "?", "response": f"{k}", "inclusion": 0.5} | more
        for k in range(n)
    ]


def test_the_order(tmp_path: Path) -> None:
    planned = read_input(plan_rows(), ReadOptions(), 3)
    assert planned.planned and [a.id for a in planned.answers] == list("01234")
    assert {a.inclusion for a in planned.answers} == {0.5}
    others = [{k: v for k, v in row.items() if k != "inclusion"} for row in plan_rows(40)]
    orders = [[a.id for a in read_input(others, ReadOptions(), seed).answers] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(row["id"] for row in others)
    assert orders[0] != [row["id"] for row in others]


def test_the_scale() -> None:
    def scale(rows: list[dict[str, Any]], **options: Any) -> tuple[float, float]:
        return read_input(rows, ReadOptions(**options), 0).scale

    one_to_five = plan_rows(rating_min=1, rating_max=5)
    assert scale(plan_rows()) == (0, 9)
    assert scale(one_to_five) == scale(one_to_five, scale=(1, 5)) == (1, 5)
    assert scale(plan_rows(), scale=(-2, 2)) == (-2, 2)
    with pytest.raises(DataError, match="`scale` is not that of the plan, 1 to 5; leave it out"):
        scale(one_to_five, scale=(1, 7))
    bare = [{k: v for k, v in row.items() if k != "inclusion"} for row in one_to_five]
    assert scale(bare, scale=(1, 7)) == (1, 7)
    with pytest.raises(DataError, match="several scales; give one as `scale`"):
        scale(bare + [bare[0] | {"id": "x", "rating_max": 9}])
    for ends in ((0.5, 5), (0, 5000)):
        with pytest.raises(DataError, match="give such a `scale`"):
            scale(plan_rows(), scale=ends)


def test_ratings_that_are_there(tmp_path: Path) -> None:
    """Those of a plan are its pilot; others would tell."""
    half = plan_rows(rating_min=1, rating_max=5)
    half[0]["rating"] = half[1]["rating"] = 4
    found = read_input(half, ReadOptions(), 0)
    assert [a.rating for a in found.answers] == [4, 4, None, None, None]
    session = RatingSession(RatingFile(tmp_path / "r.jsonl", found.answers, found.scale))
    assert session.piloted and [a.id for a in session.answers] == ["2", "3", "4"]
    assert "2 answers of the plan's pilot rated already" in found.notes
    bare = [{k: v for k, v in row.items() if k != "inclusion"} for row in half]
    found = read_input(bare, ReadOptions(), 0)
    assert {a.rating for a in found.answers} == {None}
    assert "the ratings in the file are neither shown nor used" in found.notes


def test_wrong_input(tmp_path: Path) -> None:
    for rows, message in (
        ([*plan_rows(), {"id": "x", "instruction": "?", "response": "!"}], "'x' has none"),
        (plan_rows(inclusion=1.5), "expected a probability above 0, at most 1"),
        (plan_rows(rating=3), "nothing to rate"),
        (plan_rows(response=None), "nothing to rate"),
        ([*plan_rows(), *plan_rows()], "occurs twice"),
    ):
        with pytest.raises(DataError, match=message):
            read_input(rows, ReadOptions(), 0)
    unread = read_input([*plan_rows(), plan_rows()[0] | {"id": "x", "response": None}],
                        ReadOptions(), 0)  # fmt: skip
    assert len(unread.answers) == 5 and "1 answer skipped: no text that can be read" in unread.notes


def test_guidelines_are_harmless(tmp_path: Path) -> None:
    shown = str(
        as_html(
            "# How\n\n<script>alert(1)</script> <b onclick=x>b</b>\n\n[a](javascript:alert(1)) "
            "![p](http://evil.example/p.png)\n\n| a |\n| --: |\n| *1* |\n"
        )
    )
    assert "<h1>How</h1>" in shown and "<em>1</em>" in shown and "<table>" in shown
    assert not any(
        bad in shown for bad in ("<script", "<b ", "<img", 'href="java', "style=", "src=")
    )
    path = tmp_path / "how.md"
    path.write_bytes(b"\xef\xbb\xbf*well*")
    assert str(read_guidelines(path)) == "<p><em>well</em></p>\n"
    for content, message in ((b" ", "is empty"), (b"\xff", "UTF-8"), (b"x" * 1_000_001, "bytes")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_guidelines(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_guidelines(tmp_path / "none.md")
