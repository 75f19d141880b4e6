"""``selfj rate`` through its page's requests: blind, durable, read by the other commands."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from selfj_eval import estimate, evaluate, plan, select
from selfj_eval.cli import main
from selfj_eval.errors import DataError, StoreError
from selfj_eval.workbench import rate as verb
from selfj_eval.workbench.options import PageOptions
from selfj_eval.workbench.serving import running

JUDGE, MODEL = "Judge-O-Matic", "Modellus-7B"


def scored(n: int) -> list[dict[str, Any]]:
    """Scored answers whose ids hold the model's name."""
    return [
        {
            "id": f"{MODEL}/{k}",
            "instruction": f"What is {k} + 1?",
            "response": f"It is {k + 1}, dear {k}.",
            "reference": f"The sum is {k + 1}.",
            "model": MODEL,
            "score": 8.123456 - k % 7,
        }
        for k in range(n)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def given_in(path: Path) -> list[dict[str, Any]]:
    """The rows of ratings in a file."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [row for row in rows if "rater" in row]


class Person:
    """Somebody at a window of the page; ``heard`` is every response."""

    def __init__(self, address: str, name: str) -> None:
        headers = {"x-selfj": "1"}
        self.client = httpx.Client(base_url=address, trust_env=False, headers=headers, timeout=60)
        self.name = name
        self.heard: list[httpx.Response] = []

    def get(self, path: str, **values: Any) -> dict[str, Any]:
        return self._told(self.client.get(path, params={"rater": self.name, **values}))

    def post(self, path: str, **values: Any) -> dict[str, Any]:
        return self._told(self.client.post(path, json={"rater": self.name, **values}))

    def next(self, **values: Any) -> dict[str, Any]:
        return self.get("/api/next", **values)

    def rate(self, key: str, rating: float | None, **values: Any) -> dict[str, Any]:
        return self.post("/api/rating", key=key, rating=rating, **values)

    def rate_all(self, rating: Any) -> None:
        """Rate to the end; ``rating`` gives the rating of a response."""
        found = self.next()
        while "key" in found:
            found = self.rate(found["key"], rating(found["response"]))

    def _told(self, response: httpx.Response) -> dict[str, Any]:
        self.heard.append(response)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found


class Page(NamedTuple):
    """A page that is being served, and the result where it has ended."""

    address: str
    results: list[verb.RatingRun]

    def person(self, name: str = "ann") -> Person:
        return Person(self.address, name)


@contextmanager
def rating(answers: Any, output: Path, **options: Any) -> Iterator[Page]:
    """The verb at work in a thread; it ends as if by Ctrl-C when the block does."""
    served: list[str] = []
    begun, ended = threading.Event(), threading.Event()
    page = Page("", [])

    def serve(app: Any, given: PageOptions) -> None:
        with running(app, given) as address:
            served.append(address)
            begun.set()
            ended.wait()

    def work() -> None:
        page.results.append(verb.rate(answers, output=output, **options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verb, "serve_page", serve)
        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert begun.wait(60)
            yield page._replace(address=served[0])
        finally:
            ended.set()
            thread.join()


def stars(response: str) -> int:
    """What anybody would give this answer, from 1 to 5."""
    return 1 + int(re.findall(r"\d+", response)[0]) * 7 % 5


def test_a_plan_is_rated_and_estimated(tmp_path: Path) -> None:
    """The estimate is that of the same ratings in the plan's own file; so are the others."""
    scores = write(tmp_path / "scores.jsonl", scored(300))
    planned = plan(scores, budget=60, scale=(1, 5), output=tmp_path / "plan.csv").rows()
    output = tmp_path / "ratings.jsonl"
    with rating(tmp_path / "plan.csv", output) as page:
        ann = page.person()
        seen = [ann.next()["response"]]
        while "key" in (found := ann.rate(ann.next()["key"], stars(seen[-1]))):
            seen.append(found["response"])
    assert seen == [row["response"] for row in planned]
    by_hand = [row | {"rating": stars(row["response"])} for row in planned]
    for job in (
        lambda ratings: estimate(scores, ratings=ratings, good_at=5),
        lambda ratings: evaluate(scores, ratings=ratings, good_at=5, resamples=20),
        lambda ratings: select(scores, ratings=ratings, good_at=5, max_risk=0.9),
    ):
        for own, other in zip(job(output).rows(), job(by_hand).rows(), strict=True):
            assert own == other
    assert estimate(scores, ratings=output).warnings == estimate(scores, ratings=by_hand).warnings
    run = page.results[0]
    assert (run.planned, run.total, run.raters["ann"]) == (True, 60, (60, 0, 60))
    assert re.search(r"ann +60 +0 +0", str(run))


def test_stopping_early_skipping_and_several_people(tmp_path: Path) -> None:
    """The chances of the plan come through, and an estimate says what is missing."""
    scores = write(tmp_path / "scores.jsonl", scored(200))
    planned = plan(scores, budget=50, scale=(1, 5)).rows()
    output = tmp_path / "ratings.jsonl"
    with rating(planned, output) as page:
        for name, number in (("ann", 30), ("bob", 20)):
            person = page.person(name)
            for k in range(number):
                found = person.next()
                skipped = k == 4 or (k == 7 and name == "ann")
                person.rate(found["key"], None if skipped else stars(found["response"]))
    found = estimate(scores, ratings=output)
    assert (found.labels, found.scale) == (29, (1, 5))
    text = " ".join(found.warnings)
    assert "21 of the 50 chosen answers are not rated" in text
    assert "the rated rows are not the first ones of the file" in text
    read = evaluate(scores, ratings=output, resamples=20)
    assert [r.rater for r in read.raters.raters] == ["ann", "bob"]
    assert [r.n for r in read.raters.raters] == [28, 19]


def test_nothing_of_judge_score_or_model_is_told(tmp_path: Path) -> None:
    rows = scored(12)
    scores = write(tmp_path / f"{JUDGE}.jsonl", rows)
    run = {"judge": {"model": JUDGE}}
    (tmp_path / f"{JUDGE}.jsonl.run.json").write_text(json.dumps(run))
    for k, options in enumerate(({}, {"show_reference": True})):
        output = tmp_path / f"{k}.jsonl"
        with rating(scores, output, **options) as page:
            ann = page.person()
            for path in ("/", "/static/rate.js", "/static/rate.css", "/nothing"):
                ann.heard.append(ann.client.get(path))
            first = ann.next()
            ann.rate(first["key"], 3, comment="so so")
            ann.get("/api/answer", position=0)
            ann.post("/api/undo")
            ann.rate_all(lambda _: 5)
            ann.client.post("/api/rating", json={"rater": "ann", "key": "x", "rating": 1})
            said = " ".join(f"{r.headers} {r.text}" for r in ann.heard)
        assert len(ann.heard) > 18 and "It is 12, dear 11." in said
        for hidden in (JUDGE, MODEL, "8.1234", ".123456", "score", str(tmp_path)):
            assert hidden not in said
        assert ("The sum is" in said) == bool(options)
        text = output.read_text()
        assert JUDGE not in text and '"model"' not in text and '"score"' not in text


def test_two_windows_and_two_people(tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    with rating(scored(5), output) as page:
        one, two, bob = page.person(), page.person(), page.person("bob")
        first = one.next()
        assert two.next()["key"] == bob.next()["key"] == first["key"]
        after = one.rate(first["key"], 3)
        assert two.rate(first["key"], 4)["key"] == after["key"]  # the stale window: the last counts
        assert one.rate(first["key"], 4)["key"] == after["key"]  # sent again
        assert "rating" not in bob.next()
        people = [page.person(name) for name in ("ann", "bob") for _ in range(2)]
        threads = [threading.Thread(target=p.rate_all, args=(stars,)) for p in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    given = given_in(output)
    assert len(given) == len({(g["rater"], g["id"]) for g in given}) == 10
    assert next(g["rating"] for g in given if g["rater"] == "ann") == 4
    for g in given[1:]:
        assert g["rating"] == stars(f"{int(g['id'].split('/')[1]) + 1}") or g["rating"] == 4


def test_going_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, rows = tmp_path / "r.jsonl", scored(8)
    with rating(rows, output, seed=1) as page:
        ann = page.person()
        first = ann.next()
        second = ann.rate(first["key"], 3, comment="ü")
        third = ann.rate(second["key"], None)
    output.write_bytes(output.read_bytes() + b'{"id": "Mod')  # as a power failure leaves it
    capsys.readouterr()
    with rating(rows[::-1], output, seed=2, rater="ann") as page:  # in the order of the file
        said = capsys.readouterr().err
        ann = page.person("somebody else")
        assert ann.next() == third
        assert ann.get("/api/answer", position=0) == first | {
            "progress": third["progress"],
            "rating": 3,
            "comment": "ü",
        }
        assert ann.next(skipped=True)["key"] == second["key"]
        assert ann.rate(second["key"], 5, skipped=True).keys() == {"progress"}
        with pytest.raises(StoreError, match="another `selfj rate` is running there"):
            verb.rate(rows, output=output)
    assert "line 11 was cut off, before it was confirmed: removed" in said
    assert f"continuing {output}" in said
    assert [(g["rater"], g["rating"]) for g in given_in(output)] == [("ann", 3), ("ann", 5)]
    for other, message in (
        (scored(7), "holds ratings of other answers"),
        ([r | {"response": "!"} for r in rows], "holds ratings of other answers"),
    ):
        with pytest.raises(DataError, match=message):
            verb.rate(other, output=output)
    # Plans made of these answers later: their probabilities are not those in the file.
    planned = [row | {"inclusion": 0.5} for row in rows]
    with pytest.raises(DataError, match="plan with other inclusion probabilities"):
        verb.rate(planned, output=output)
    with pytest.raises(DataError, match="has ratings from 0 to 9; give this `scale`"):
        verb.rate(rows, output=output, scale=(1, 5))
    with pytest.raises(StoreError, match="is an input and would be overwritten"):
        verb.rate(write(tmp_path / "a.jsonl", rows), output=tmp_path / "a.jsonl")


def test_going_on_with_a_plan_that_was_made_anew(tmp_path: Path) -> None:
    """An estimate weighs ratings by the probabilities in the file, which must be the plan's."""
    output = tmp_path / "r.jsonl"
    rows = [row | {"inclusion": 0.1 * k} for k, row in enumerate(scored(8), 1)]
    rows[0] |= {"rating": 3}
    with rating(rows, output, scale=(1, 5)) as page:
        page.person().rate(page.person().next()["key"], 3)
    before = output.read_bytes()
    changed = [rows[0], rows[1] | {"inclusion": 0.21}, *rows[2:]]
    other = "field 'inclusion': belongs to a plan with other inclusion probabilities; give the plan"
    pilot = "field 'rating': belongs to a plan with other pilot ratings; give the plan that it was"
    for plan_now, message in (
        (changed, other),
        ([{k: v for k, v in row.items() if k != "inclusion"} for row in rows], other),
        ([rows[0] | {"rating": 4}, *rows[1:]], pilot),
        ([*rows[:7], rows[7] | {"rating": 4}], pilot),
        ([rows[0] | {"rating": None}, *rows[1:]], pilot),
    ):
        with pytest.raises(DataError, match=message):
            verb.rate(plan_now, output=output, scale=(1, 5))
    assert output.read_bytes() == before
    with rating(rows[::-1], output, scale=(1, 5)) as page:
        assert page.person().next()["progress"] == {"rated": 1, "skipped": 0, "total": 7}


def test_requests_that_are_wrong(tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    with rating(scored(3), output) as page:
        ann = page.person()
        key = ann.next()["key"]
        for body, status in (
            ({"rater": "ann", "key": key, "rating": 10}, 400),
            ({"rater": "", "key": key, "rating": 1}, 400),
            ({"rater": "ann", "key": "?", "rating": 1}, 400),
            ({"rater": "ann", "key": key, "rating": 1, "comment": "x" * 10_001}, 400),
            ({"rater": "ann", "key": key, "rating": "good"}, 422),
            ({"rater": "ann", "key": key}, 422),
            ({}, 422),
        ):
            assert ann.client.post("/api/rating", json=body).status_code == status
        for more in (
            '"comment": "\\ud800"', '"rater": "\\ud800"', '"key": "\\ud800"', '"rater": NaN',
            '"rating": NaN', '"rating": true', '"rating": "1"', '"rating": "\\ud800"',
            '"skipped": "yes"', '"rating": 1e999', f'"rating": 1{"0" * 400}',
        ):  # fmt: skip
            sent = f'{{"rater": "ann", "key": "{key}", "rating": 1, {more}}}'
            found = ann.client.post(
                "/api/rating", content=sent, headers={"content-type": "application/json"}
            )
            assert found.status_code in (400, 422), (more, found.text)
            assert list(found.json()) == ["error"]
        assert ann.client.get("/api/answer?rater=ann&position=-9").json()["position"] == 0
        assert ann.client.get("/api/answer?rater=ann&position=999").json()["position"] == 2
        bare = httpx.post(f"{page.address}api/rating", json={"rater": "ann"}, trust_env=False)
        assert bare.status_code == 403
        assert ann.next()["progress"] == {"rated": 0, "skipped": 0, "total": 3}
    assert given_in(output) == []


@contextmanager
def command(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, with the address of its page."""
    with subprocess.Popen(
        [sys.executable, "-m", "selfj_eval", "rate", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background processes ignore SIGINT, and theirs do.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"http://\S+", line):
                    yield process, found[0]
                    break
            else:
                raise AssertionError("no address")
        finally:
            process.kill()


def test_ctrl_c_ends_it_with_the_result(tmp_path: Path) -> None:
    answers, output = write(tmp_path / "a.jsonl", scored(3)), tmp_path / "r.jsonl"
    for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
        with command(answers, "--output", output, "--json") as (process, address):
            ann = Person(address, "ann")
            ann.rate(ann.next()["key"], 4)
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        assert process.returncode == status, err
        assert "Traceback" not in err
        if status == 0:
            assert json.loads(out)["raters"] == {"ann": {"rated": 1, "skipped": 0, "total": 3}}
    assert len(given_in(output)) == 2


@pytest.mark.long
def test_ten_kills(tmp_path: Path) -> None:
    """Whatever was confirmed is there once, with what was said last; at most one more."""
    draw = random.Random(os.getpid())
    rows = [row | {"response": row["response"] + " word" * 400} for row in scored(5000)]
    answers, output = write(tmp_path / "a.jsonl", rows), tmp_path / "r.jsonl"
    by_text = {row["response"]: row["id"] for row in rows}
    confirmed: dict[str, float | None] = {}
    kept = 0
    for _ in range(10):
        pending: set[str] = set()
        with command(answers, "--output", output) as (process, address):
            timer = threading.Timer(draw.uniform(0.2, 2.5), process.kill)
            timer.start()
            ann = Person(address, "ann")
            try:
                found, last = ann.next(), None
                while "response" in found:  # a quick machine may come to the end
                    if last is not None and draw.random() < 0.25:
                        pending = {last}
                        undone = ann.post("/api/undo")
                        confirmed.pop(by_text[undone["response"]])
                        last, found = None, ann.next()
                        continue
                    own = by_text[found["response"]]
                    rating = draw.choice([None, 0, 4, 9])
                    pending = {own}
                    found = ann.rate(found["key"], rating, comment="x" * 9000)
                    confirmed[own], last, pending = rating, own, set()
            except httpx.HTTPError:
                pass
            timer.join()
            process.wait()
        assert process.returncode == -signal.SIGKILL
        lines = output.read_bytes().split(b"\n")[:-1]  # a last line may be cut off
        given = [row for row in map(json.loads, lines) if "rater" in row]
        there = {row["id"]: row["rating"] for row in given}
        assert len(there) == len(given)
        for own in {*confirmed, *there} - pending:
            assert own in there and there[own] == confirmed[own]
        assert len({*confirmed} ^ {*there}) <= 1
        confirmed, kept = there, max(kept, len(there))
    assert kept > 20, "it was killed before anything happened"
    handled = len(confirmed)
    with command(answers, "--output", output) as (_, address):
        progress = Person(address, "ann").next()["progress"]
    assert progress["rated"] + progress["skipped"] == handled
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "r.jsonl", ".r.jsonl.lock"}


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = str(write(tmp_path / "a.jsonl", scored(3)))
    output = ["--output", str(tmp_path / "r.jsonl")]
    for arguments, message in (
        ([answers], "the following arguments are required: --output"),
        ([answers, "--output", str(tmp_path / "r.csv")], "end the name in one of .jsonl"),
        ([answers, *output, "--rater", " "], "a name has 1 to 60 characters"),
        ([answers, *output, "--guidelines", "none.md"], "none.md: cannot be read"),
        ([answers, *output, "--host", "192.0.2.1"], "Give another --host or --port"),
    ):
        try:
            status = main(["rate", *arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        assert status == 2
        assert message in capsys.readouterr().err
