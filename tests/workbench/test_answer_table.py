"""The table behind ``selfj view``: what it reads, joins, finds, filters and sorts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.errors import DataError
from selfj_eval.judging.scored import read_scores
from selfj_eval.judging.streams import stream_scores
from selfj_eval.records.options import ScaleOptions
from selfj_eval.workbench.answer_query import SORTS, Query, numbers_of
from selfj_eval.workbench.answer_reading import AnswerTable, read_answers
from selfj_eval.workbench.excerpts import excerpt
from selfj_eval.workbench.search_terms import Terms, terms_in

Jsonl = Callable[..., Path]
ALL = Query()


def rows(n: int, seed: int = 0, **extra: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        own = rng.dirichlet(np.ones(10)).tolist()
        row = {"id": f"a{k}", "score": float(np.dot(own, range(10))), "probabilities": own}
        row |= {"rating": int(rng.integers(1, 6)), "rating_min": 1, "rating_max": 5}
        row |= {"instruction": f"Question {k // 3}?", "response": f"Answer {k}. " * (k % 7)}
        row |= {"reference": f"Reference {k // 3}", "model": f"m{k % 3}", "category": f"c{k % 4}"}
        if k % 5 == 1:
            row |= {"score": None, "probabilities": None, "error": "no digit"}
        if k % 7 == 2:
            row["rating"] = None
        made.append(row | extra)
    return made


def run_file(path: Path, **judge: Any) -> Path:
    path.with_name(f"{path.name}.run.json").write_text(json.dumps({"judge": judge}))
    return path


def found(table: AnswerTable, query: Query = ALL) -> list[str]:
    """Ids in the order that a query gives."""
    terms = terms_in(query.q)
    numbers = numbers_of(query, table.columns, table.store.matching(terms) if terms else None)
    return [texts.id for texts in table.store.texts(numbers.tolist())]


def test_a_stream_gives_what_the_reader_gives(jsonl: Jsonl, tmp_path: Path) -> None:
    path = run_file(jsonl(*rows(40), name="s.jsonl"), model="./folder/mine", template="default")
    stream = stream_scores(path, ratings=None, scale=ScaleOptions())
    read = list(stream.rows)
    assert [row.answer for row in read] == list(read_scores(path).answers)
    assert read[0].distribution == pytest.approx(rows(1)[0]["probabilities"])
    assert read[1].distribution is None and read[1].answer.error == "no digit"
    assert [row.place for row in read[:2]] == ["line 1", "line 2"]
    assert (stream.judge, stream.total) == ("mine", 40)
    ratings = jsonl({"id": "a3", "rating": 2, "rating_min": 1, "rating_max": 5}, name="r.jsonl")
    other = list(stream_scores(path, ratings=ratings, scale=ScaleOptions()).rows)
    assert [r.answer.id for r in other if r.answer.rating is not None] == ["a3"]
    assert other[0].distribution == read[0].distribution


def test_numbers_and_texts_are_those_of_the_file(jsonl: Jsonl, tmp_path: Path) -> None:
    made = rows(30)
    path = run_file(jsonl(*made, name="s.jsonl"), model="mine", template="default")
    table = read_answers([path], tmp_path)
    columns, (judge,) = table.columns, table.columns.judges
    assert found(table) == [row["id"] for row in made]
    assert columns.rating_scale == (1, 5) and judge.scale == (0, 9)
    for n, row in enumerate(made):
        texts, (verdict,) = table.store.texts([n])[0], table.store.verdicts(n)
        assert texts[1:] == tuple(row[k] for k in ("id", "instruction", "response", "reference"))
        assert verdict[:3] == (0, f"line {n + 1}", row.get("error"))
        if row["score"] is None:
            assert np.isnan(judge.score[n]) and verdict.probabilities is None
        else:
            assert judge.score[n] == row["score"]
            assert verdict.probabilities == pytest.approx(row["probabilities"], abs=1e-6)
        if row["score"] is None or row["rating"] is None:
            assert np.isnan(judge.disagreement[n])
        else:
            rescaled = (row["rating"] - 1) / 4 * 9
            assert judge.disagreement[n] == pytest.approx(abs(row["score"] - rescaled))
        same = [m for m in range(30) if m != n and m // 3 == n // 3]
        assert table.store.siblings(n, 10) == same
    assert columns.unscored.sum() == 6 and columns.rated == sum(
        r["rating"] is not None for r in made
    )


def test_two_judges_of_the_same_answers_are_side_by_side(jsonl: Jsonl, tmp_path: Path) -> None:
    one, two = rows(30), rows(30, seed=1)
    for k, row in enumerate(two):
        row |= {key: one[k][key] for key in ("rating", "instruction", "response")}
    files = [
        run_file(jsonl(*one, name="x.jsonl"), model="first", template="default"),
        run_file(jsonl(*two[::-1], name="y.jsonl"), model="second", template="default"),
    ]
    table = read_answers(files, tmp_path)
    assert [judge.name for judge in table.columns.judges] == ["first", "second"]
    assert len(table.columns) == 30
    for k, (a, b) in enumerate(zip(one, two, strict=True)):
        assert [v.place for v in table.store.verdicts(k)] == [f"line {k + 1}", f"line {30 - k}"]
        if a["score"] is not None:
            assert table.columns.gap[k] == pytest.approx(abs(a["score"] - b["score"]))
    differences = {
        row["id"]: abs(row["score"] - other["score"])
        for row, other in zip(one, two, strict=True)
        if row["score"] is not None
    }
    widest = found(table, Query(sort="gap", order="down"))[0]
    assert widest == max(differences, key=lambda name: differences[name])


def test_two_models_judged_by_one_judge_are_one_column(jsonl: Jsonl, tmp_path: Path) -> None:
    """Ids of two models' files are often equal; the answers are not."""
    one, two = rows(12, model="first"), rows(12, seed=1, model="second")
    for row in two:
        row["response"] = f"Another {row['id']}"
    files = [
        run_file(jsonl(*made, name=f"{name}.jsonl"), model="judge", template="default")
        for name, made in (("x", one), ("y", two))
    ]
    table = read_answers(files, tmp_path)
    (judge,) = table.columns.judges
    assert judge.name == "judge" and judge.files == (0, 1)
    assert len(table.columns) == 24
    assert found(table, Query(model="second")) == [row["id"] for row in two]
    assert [table.store.texts([n])[0].id for n in table.store.siblings(0, 9)] == (
        ["a1", "a2", "a0", "a1", "a2"]
    )


def test_equal_names_of_judges_are_told_apart(jsonl: Jsonl, tmp_path: Path) -> None:
    files = [
        run_file(jsonl(*rows(6, seed), name=name), model="same", template="default")
        for seed, name in ((0, "with.jsonl"), (0, "without.jsonl"))
    ]
    names = [judge.name for judge in read_answers(files, tmp_path).columns.judges]
    assert names == ["with", "without"]


def test_an_id_that_occurs_twice_is_refused(jsonl: Jsonl, tmp_path: Path) -> None:
    path = jsonl(*rows(5), rows(9)[3] | {"response": "other"}, name="s.jsonl")
    with pytest.raises(DataError, match=r"line 6.*'a3' occurs twice, first in line 4"):
        read_answers([path], tmp_path)


def test_disagreement_needs_known_scales(jsonl: Jsonl, tmp_path: Path) -> None:
    long = [row | {"score": 1000.0 + k} for k, row in enumerate(rows(9))]
    bare = [row | {"rating_min": None, "rating_max": None, "rating": 90} for row in rows(9)]
    for k, made in enumerate((long, bare)):
        folder = tmp_path / str(k)
        folder.mkdir()
        columns = read_answers([jsonl(*made, name=f"{k}.jsonl")], folder).columns
        assert np.isnan(columns.judges[0].disagreement).all()
    mixed = rows(4)
    mixed[3] |= {"rating": 10, "rating_min": 0, "rating_max": 10}
    folder = tmp_path / "mixed"
    folder.mkdir()
    columns = read_answers([jsonl(*mixed, name="m.jsonl")], folder).columns
    assert columns.rating_scale == (0, 9) and columns.rating[3] == 9


def brute(made: list[dict[str, Any]], query: Query) -> list[str]:
    """What a query gives, by a plain loop."""

    def off(row: dict[str, Any]) -> float | None:
        if row["score"] is None or row["rating"] is None:
            return None
        return abs(row["score"] - (row["rating"] - 1) / 4 * 9)

    def within(value: float | None, low: float | None, high: float | None) -> bool:
        if low is None and high is None:
            return True
        return value is not None and (low or -1) <= value <= (99 if high is None else high)

    kept = [
        row for row in made
        if {"all": True, "scored": row["score"] is not None, "unscored": row["score"] is None,
            "rated": row["rating"] is not None, "unrated": row["rating"] is None}[query.show]
        and query.model in ("", row["model"]) and query.category in ("", row["category"])
        and within(row["score"], query.score_from, query.score_to)
        and within(row["rating"], query.rating_from, query.rating_to)
        and within(off(row), query.disagreement_from, None)
    ]  # fmt: skip
    key: dict[str, Callable[[dict[str, Any]], float | None]] = {
        "score": lambda row: row["score"], "rating": lambda row: row["rating"],
        "disagreement": off, "gap": lambda _: None, "length": lambda row: len(row["response"]),
    }  # fmt: skip
    if query.sort == "file":
        return [row["id"] for row in (kept if query.order == "up" else kept[::-1])]
    own, sign = key[query.sort], 1 if query.order == "up" else -1
    known = [row for row in kept if own(row) is not None]
    known.sort(key=lambda row: sign * (own(row) or 0))
    return [row["id"] for row in [*known, *(row for row in kept if own(row) is None)]]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("order", ["up", "down"])
def test_queries_against_a_plain_loop(jsonl: Jsonl, tmp_path: Path, sort: str, order: str) -> None:
    made = rows(120)
    table = read_answers([jsonl(*made, name="s.jsonl")], tmp_path)
    base = Query(sort=sort, order=order)
    queries = [
        base,
        *(replace(base, show=show) for show in ("scored", "unscored", "rated", "unrated")),
        replace(base, model="m1"),
        replace(base, category="c2", model="m0"),
        replace(base, model="nobody"),
        replace(base, score_from=4.2),
        replace(base, score_from=3, score_to=4.5, rating_to=3),
        replace(base, rating_from=4),
        replace(base, disagreement_from=2.5),
    ]
    for query in queries:
        assert found(table, query) == brute(made, query), query


TEXTS = {
    "plain": "The Quick brown fox.",
    "other": "A brown, quick café; foxes don't care.",
    "code": "def f(x): return 100% * x_y",
    "cjk": "二叉树的每个节点都有两个子节点",
    "quoted": 'She said "hello, world" twice.',
    "hebrew": "שלום עולם",
    "nothing": "",
}


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("quick", ["plain", "other"]),
        ("QUICK fox", ["plain", "other"]),
        ('"quick brown"', ["plain"]),
        ('"brown quick', ["other"]),
        ("cafe", ["other"]),
        ("f(x)", ["code"]),
        ("100%", ["code"]),
        ("x_y", ["code"]),
        ("x.y", []),
        ("节点", ["cjk"]),
        ("节点 brown", []),
        ('"hello, world"', ["quoted"]),
        ("שלום", ["hebrew"]),
        ("hebrew", ["hebrew"]),
        ("AND", []),
        ("NOT OR *", []),
        ('""', list(TEXTS)),
        ("'; DROP TABLE answers; --", []),
        ("bro", ["plain", "other"]),
    ],
)
def test_search(
    jsonl: Jsonl, tmp_path: Path, search: str, expected: list[str], indexed: bool
) -> None:
    made = [{"id": name, "score": 1.0, "response": text} for name, text in TEXTS.items()]
    table = read_answers([jsonl(*made, name="s.jsonl")], tmp_path, indexed=indexed)
    if not indexed and search in ("cafe", '"brown quick'):
        expected = []  # without an index texts are found as they are written
    assert found(table, Query(q=search)) == expected
    assert found(table) == list(TEXTS)


def test_a_word_finds_only_words_that_begin_with_it_in_any_text(
    jsonl: Jsonl, tmp_path: Path
) -> None:
    base = {"score": 1.0, "instruction": "-", "response": "-", "reference": "-"}
    made = [base | {"id": name, name: "a catalogue"} for name in ("instruction", "response")]
    made += [base | {"id": "reference", "reference": "CATS"}, base | {"id": "cat-9"}]
    made += [base | {"id": "x", "response": "concat"}]
    table = read_answers([jsonl(*made, name="s.jsonl")], tmp_path)
    assert found(table, Query(q="cat")) == ["instruction", "response", "reference", "cat-9"]


def test_terms() -> None:
    assert terms_in('one "two three" f(x) 节点') == Terms(("one", "two three"), ("f(x)", "节点"))
    assert not terms_in('  "" ')
    assert terms_in('"never closed') == Terms(("never closed",), ())
    assert len(terms_in("a" * 10_000).words[0]) == 200


def test_excerpts_begin_near_what_was_searched_for() -> None:
    text = "word " * 100 + "the needle\n\nis here " + "word " * 100
    near = excerpt(text, terms_in("needle"), 60)
    assert near is not None and len(near) == 61
    assert near.startswith("…word word ") and "the needle is here word" in near
    assert excerpt(text, terms_in(""), 14) == "word word wor…"
    assert excerpt(None, terms_in("x"), 10) is None
    assert excerpt("\u202eabc\x00", terms_in(""), 20) == "⟨U+202E⟩abc␀"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"sort": "id; DROP TABLE answers"}, "sort"),
        ({"order": "sideways"}, "order"),
        ({"show": "none"}, "show"),
        ({"judge": "1"}, "judge"),
        ({"judge": "-1"}, "judge"),
        ({"start": "-5"}, "start"),
        ({"start": "1.5"}, "start"),
        ({"score_from": "low"}, "score_from"),
        ({"rating_to": "nan"}, "rating_to"),
        ({"start": "9" * 40}, "start"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    jsonl: Jsonl, tmp_path: Path, values: dict[str, str], field: str
) -> None:
    columns = read_answers([jsonl(*rows(3), name="s.jsonl")], tmp_path).columns
    with pytest.raises(DataError) as raised:
        Query.of(values, columns)
    assert raised.value.field == field


def test_a_query_skips_what_it_does_not_know(jsonl: Jsonl, tmp_path: Path) -> None:
    columns = read_answers([jsonl(*rows(3), name="s.jsonl")], tmp_path).columns
    given = {"q": "a b", "start": "50", "score_from": "2.5", "open": "7", "model": "", "x": "y"}
    assert Query.of(given, columns) == Query(q="a b", start=50, score_from=2.5)


def test_texts_missing_in_one_file_are_taken_from_the_other(jsonl: Jsonl, tmp_path: Path) -> None:
    bare = [{"id": row["id"], "score": 5.0} for row in rows(9)]
    files = [jsonl(*bare, name="bare.jsonl"), jsonl(*rows(9), name="full.jsonl")]
    table = read_answers(files, tmp_path)
    assert len(table.columns) == 9
    assert table.store.texts([4])[0].question == "Question 1?"
    assert found(table, Query(q='"Question 1"')) == ["a3", "a4", "a5"]
    assert table.store.siblings(3, 9) == [4, 5]
    assert not np.isnan(table.columns.rating[0])
    assert found(table, Query(model="m1")) == ["a1", "a4", "a7"]
    assert found(table, Query(sort="length", order="down"))[0] == "a6"
