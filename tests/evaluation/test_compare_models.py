"""Which of several models is better, and whether that can be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from selfj_eval import compare, score
from selfj_eval.errors import DataError
from selfj_eval.evaluation.model_comparison import ModelComparison
from selfj_eval.metrics.paired_means import (
    benjamini_hochberg,
    detectable_difference,
    holm,
    needed_instructions,
    paired_difference,
)

Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def oracles(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data.parent / "oracles/inference.json").read_text())
    return found


def answers(means: dict[str, float], n: int, seed: int = 0) -> Rows:
    """Answers of models whose levels differ less than the questions'."""
    random = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        level = random.normal(0, 2)
        for model, mean in means.items():
            score = float(np.clip(mean + level + random.normal(0, 0.7), 0, 9))
            rows.append({"id": f"{model}-{k}", "model": model, "instruction": f"Question {k}?",
                         "response": f"{model} says {k}", "score": score})  # fmt: skip
    return rows


def compared(*given: Any, **options: Any) -> ModelComparison:
    found = compare(*given, **options)
    assert isinstance(found, ModelComparison)
    return found


def test_published_values(oracles: dict[str, Any]) -> None:
    main = {name: np.array(values) for name, values in oracles["data"]["main"].items()}
    sides = [main["rating"][main["model"] == m].astype(float) for m in (4, 3)]
    expected = oracles["e_comparisons"]["paired_models_4_3"]
    found = paired_difference(*sides)
    assert found.difference.value == pytest.approx(expected["mean_difference"])
    assert found.standard_error == pytest.approx(expected["se_paired"])
    assert found.p == pytest.approx(expected["p_paired_t"])
    assert [found.difference.low, found.difference.high] == pytest.approx(expected["t95"])
    many = found._replace(difference=found.difference._replace(n=10**6))  # t is normal there
    assert detectable_difference(many, 0.05) == pytest.approx(expected["mde_80_normal"], rel=1e-4)
    p = oracles["data"]["p_values"]
    assert holm(p) == pytest.approx(oracles["e_comparisons"]["holm"]["adjusted"])
    assert benjamini_hochberg(p) == pytest.approx(oracles["e_comparisons"]["fdr_bh"]["adjusted"])


def test_models_in_one_file() -> None:
    rows = answers({"a": 5.0, "b": 4.0, "c": 4.05}, 40)
    found = compared(rows)
    assert list(found.means) == ["a", "c", "b"]
    by_pair = {frozenset((p.first, p.second)): p for p in found.pairs}
    pair = by_pair[frozenset("ab")]
    one, two = ([r["score"] for r in rows if r["model"] == m] for m in (pair.first, pair.second))
    assert pair.found.p == pytest.approx(stats.ttest_rel(one, two).pvalue)
    assert pair.holm is not None
    assert pair.holm < 0.05
    # Unpaired, the questions' differences would hide it.
    assert stats.ttest_ind(one, two).pvalue > pair.holm
    assert any(v.startswith("a is better than b by ") for v in found.conclusions)
    close = by_pair[frozenset("bc")]
    assert close.holm is not None
    assert close.holm > 0.05
    assert any("40 instructions cannot tell" in v for v in found.conclusions)
    shuffled = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    assert compared(shuffled).to_dict() == found.to_dict() | {"judge": found.judge}


def test_two_files_of_two_models(in_process: Any, jsonl: Callable[..., Path]) -> None:
    rows = answers({"a": 5.0, "b": 4.0}, 40)
    files = []
    for model in "ab":
        own = [r | {"id": r["instruction"]} for r in rows if r["model"] == model]
        files.append(jsonl(*[{k: v for k, v in r.items() if k != "model"} for r in own],
                           name=f"model_{model}.jsonl"))  # fmt: skip
    done = in_process("selfj", "compare", *files)
    assert done.returncode == 0, done.stderr
    assert "model_a is better than model_b by " in done.stdout
    assert "not people's ratings" in done.stdout
    document = json.loads(in_process("selfj", "compare", *files, "--json").stdout)
    assert document["kind"] == "selfj-model-comparison"
    assert document["pairs"][0]["found"]["difference"]["n"] == 40


def test_ratings_decide_where_they_are_asked_for() -> None:
    rows = answers({"a": 5.0, "b": 4.0}, 40)
    rated = [r | {"rating": 9 - r["score"], "rating_min": 0, "rating_max": 9} for r in rows]
    found = compared(rated, by="rating")
    assert found.judge == "ratings"
    assert found.conclusions[0].startswith("b is better than a by ")
    note = "not chosen with equal probabilities (`inclusion`)"
    chances = [r | {"inclusion": 0.2 + 0.3 * (k % 4 > 1)} for k, r in enumerate(rated)]
    assert note in str(compared(chances, by="rating"))
    assert note not in str(compared([r | {"inclusion": 0.2} for r in rated], by="rating"))
    assert note not in str(compared(chances))  # by scores, which all have
    unrated = [r | {"rating": None} if r["model"] == "b" else r for r in rated]
    with pytest.raises(DataError, match="answers with a rating by 1 model "):
        compare(unrated, by="rating")


def test_unscored_answers_are_skipped_and_counted() -> None:
    rows = answers({"a": 5.0, "b": 4.0}, 40)
    rows[0] = rows[0] | {"score": None, "error": "no answer"}
    found = compared(rows)
    assert found.pairs[0].found.difference.n == 39
    assert found.missing == 1
    assert "1 unscored answer is skipped; first a-0: no answer" in found.warnings
    nameless = [{k: v for k, v in r.items() if k != "model"} | {"id": f"no {k}"}
                for k, r in enumerate(rows[:3])]  # fmt: skip
    assert "2 answers without a model are skipped" in compared(rows + nameless).warnings


def test_question_ids_and_equal_answers_do_not_hide_the_models() -> None:
    rows = [r | {"id": r["instruction"], "rating": 5, "rating_min": 0, "rating_max": 9}
            for r in answers({"a": 5.0, "b": 4.0}, 40)]  # fmt: skip
    for row in rows[:6]:
        row["response"] = "Paris"
    one, two = ([r for r in rows if r["model"] == m] for m in "ab")
    assert compared(one, two).conclusions[0].startswith("a is better than b by ")
    nameless = [[{k: v for k, v in r.items() if k != "model"} for r in own] for own in (one, two)]
    assert len(compared(*nameless).pairs) == 1
    judges = compare(one, [r | {"score": 9 - r["score"]} for r in one], resamples=20)
    assert not isinstance(judges, ModelComparison)


def test_scores_of_two_judges_are_not_compared_as_models(tmp_path: Path) -> None:
    rows = [r | {"id": r["instruction"]} for r in answers({"a": 5.0, "b": 4.0}, 40)]
    files = []
    for model, judge in (("a", "length"), ("b", "log-length")):
        own = [{k: v for k, v in r.items() if k != "score"} for r in rows if r["model"] == model]
        files.append(tmp_path / f"{model}.jsonl")
        score(own, judge=judge, output=files[-1])
    with pytest.raises(DataError, match="by different judges"):
        compare(*files)
    unknown = compared(*[[r for r in rows if r["model"] == m] for m in "ab"])
    assert any("not known whether the same judge" in w for w in unknown.warnings)


def test_numbers_on_an_unknown_scale() -> None:
    rows = answers({"a": 5.0, "b": 4.0}, 40)
    rated = [r | {"rating": 10 * r["score"]} for r in rows]
    found = compared(rated, by="rating")
    assert found.scale is None
    assert "unknown scale" in str(found)
    gap = found.pairs[0].found.difference
    ends = (gap.value, gap.low, gap.high)
    numbers = "{:.2f} points ({:.2f} to {:.2f})".format(*ends)
    assert found.conclusions == [f"a is better than b by {numbers}."]
    turned = compared([row | {"rating": -row["rating"]} for row in rated], by="rating")
    assert turned.conclusions == [f"b is better than a by {numbers}."]
    on_scale = [r | {"rating": r["score"], "rating_min": 0, "rating_max": 9} for r in rows]
    assert "(ratings, 0 to 9)" in str(compared(on_scale, by="rating"))


@pytest.mark.parametrize("n", [2, 3, 40])
@pytest.mark.parametrize("gap", [2.0, 0.1])
def test_nothing_is_claimed_where_all_differences_are_equal(n: int, gap: float) -> None:
    """They say nothing of how differences vary. 0.1 is not the same float everywhere."""
    rows = answers({"a": 5.0, "b": 4.0, "c": 4.5}, n)
    for at, row in enumerate(rows):
        if row["model"] != "c":
            row["score"] = at // 3 % 5 + (row["model"] == "b") * gap
    found = compared(rows)
    pair = next(p for p in found.pairs if {p.first, p.second} == {"a", "b"})
    assert pair.found.difference.value == pytest.approx(gap)
    assert pair.found.difference.interval is None
    assert (pair.found.p, pair.holm, pair.benjamini_hochberg) == (None, None, None)
    assert pair.conclusion(0.05) == (
        f"b is above a by the same {gap:.2f} points on all {n} instructions, so nothing can be "
        "tested."
    )
    others = [p for p in found.pairs if p is not pair]  # adjusted for two tests, not for three
    least = min(others, key=lambda p: p.found.p or 0)
    assert least.holm == pytest.approx(min(1, 2 * (least.found.p or 0)))
    line = next(line for line in str(found).splitlines() if line.split()[:3] == ["b", "-", "a"])
    assert line.split() == ["b", "-", "a", f"{gap:.3f}", f"{n}", "-", "-", "-"]
    document = found.to_dict()["pairs"][found.pairs.index(pair)]
    assert (document["found"]["p"], document["holm"]) == (None, None)
    row = found.rows()[found.pairs.index(pair)]
    assert (row["low"], row["high"], row["p"]) == (None, None, None)


def test_what_can_be_said_of_few_or_equal_answers() -> None:
    rows = answers({"a": 5.0, "b": 5.0}, 1)
    assert compared(rows).pairs[0].found.difference.interval is None
    near = compared(answers({"a": 5.0, "b": 4.9}, 40))
    (pair,) = near.pairs
    assert pair.needed is not None and pair.needed <= 4_000
    assert near.conclusions == [
        f"40 instructions cannot tell {pair.first} from {pair.second}; a difference of "
        f"{pair.detectable:.2f} points would have been found with 80 % probability. If the "
        f"one found is real, about {pair.needed:,} would be needed to tell them apart."
    ]
    same = [r | {"score": 5.0} for r in answers({"a": 5.0, "b": 5.0}, 40)]
    found = compared(same)
    assert found.conclusions == [
        "a and b have equal means on all 40 instructions, so nothing can be tested."
    ]
    assert found.pairs[0].found.standard_error is None
    alone = [r for r in rows if r["model"] == "a"]
    with pytest.raises(DataError, match=r"by 1 model \("):
        compare(alone)
    apart = [r | {"instruction": f"{r['model']}: {r['instruction']}"} for r in rows]
    assert compared(apart).conclusions == ["b and a answered no instruction in common."]
    with pytest.raises(DataError, match="to compare models, the instructions"):
        compare(alone, [r for r in apart if r["model"] == "b"])
    with pytest.raises(DataError, match="has no instruction"):
        compare([{k: v for k, v in r.items() if k != "instruction"} for r in rows])


@pytest.mark.parametrize("tests", [1, 45])
@pytest.mark.parametrize("n", [5, 10, 20])
def test_a_detectable_difference_is_found_in_four_of_five_draws(n: int, tests: int) -> None:
    gaps = np.random.default_rng(0).normal(size=(4_000, n))
    alpha = 0.05 / tests
    true = paired_difference(gaps[0], np.zeros(n))._replace(standard_error=1 / n**0.5)
    size = detectable_difference(true, alpha)
    assert size is not None
    found = stats.ttest_1samp(gaps + size, 0, axis=1).pvalue <= alpha
    assert found.mean() == pytest.approx(0.8, abs=0.025)
    # So many instructions are needed for a difference of this size, and none fewer.
    for factor, needed in ((1.001, n), (0.999, n + 1)):
        one = true._replace(difference=true.difference._replace(value=factor * size))
        assert needed_instructions(one, alpha) == needed
    tiny = true._replace(difference=true.difference._replace(value=size / 1e3))
    assert needed_instructions(tiny, alpha) is None


def test_never_fewer_instructions_are_needed_than_could_not_tell_the_models_apart() -> None:
    for seed in range(10):
        levels = {f"m{k}": 5 + k / 20 for k in range(10)}
        for pair in compared(answers(levels, 20, seed=seed)).pairs:
            gap = pair.found.difference
            size = detectable_difference(pair.found, 0.05 / 45)
            assert pair.detectable == size
            if pair.holm is not None and pair.holm > 0.05:
                assert pair.needed is None or pair.needed > gap.n
                assert gap.value is not None and size is not None and abs(gap.value) < size


def test_false_claims_are_rare_among_many_models() -> None:
    """Of ten equal models, at most one comparison in twenty claims any difference."""
    wrong = 0
    for seed in range(60):
        found = compared(answers({f"m{k}": 5.0 for k in range(10)}, 30, seed=seed))
        wrong += any("better" in v for v in found.conclusions)
    assert wrong <= 8  # 3 expected; above 8 has a chance of 0.3 %
