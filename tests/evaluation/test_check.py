"""Do scores keep what is required of them?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from selfj_eval import OptionError, check, evaluate
from selfj_eval.errors import DataError, StoreError
from selfj_eval.evaluation.checked import Outcome

Rows = list[dict[str, Any]]


def answers(scores: list[float], each: int = 1, **more: Any) -> Rows:
    """Scored answers, so many to each instruction."""
    return [
        {"id": f"{k:03}", "instruction": f"{k // each}?", "response": "r", "score": s} | more
        for k, s in enumerate(scores)
    ]


def drawn(n: int, mean: float = 6.0, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 1.5, n).clip(0, 9).tolist()


def rated(n: int = 60, seed: int = 1) -> Rows:
    generator = np.random.default_rng(seed)
    rows = answers(drawn(n, seed=seed), rating_min=1, rating_max=10)
    for row in rows:
        row["rating"] = int(np.clip(round(row["score"] + generator.normal(0, 1)), 1, 10))
    return rows


def only(rows: Rows, requirement: str, **options: Any) -> Outcome:
    """The outcome of one requirement."""
    return check(rows, require=[requirement], **options).outcomes[0]


def test_a_mean_is_judged_by_its_interval_over_instructions() -> None:
    scores = drawn(90)
    sums = (np.array(scores) - np.mean(scores)).reshape(30, 3).sum(axis=1) / 90
    half = stats.t.ppf(0.975, 29) * math.sqrt(30 / 29 * float(sums @ sums))
    low, high = np.mean(scores) - half, np.mean(scores) + half
    rows = answers(scores, each=3)
    below, above = only(rows, f"mean_score>={low - 1e-6}"), only(rows, f"mean_score>={low + 1e-6}")
    assert (below.holds, below.decided_by) == (True, "low")
    assert below.found.low == pytest.approx(low) and below.found.high == pytest.approx(high)
    assert not above.holds and "the lower end is too low" in above.sentence
    assert only(rows, f"mean_score < {high + 1e-6}").holds
    broken = only(rows, f"mean_score<{high - 1e-6}")
    assert (broken.holds, broken.decided_by) == (False, "high")
    assert "the upper end is too high" in broken.sentence
    # The value keeps what the interval does not.
    assert only(rows, f"mean_score>={low + 1e-6}", point=True).holds
    assert not only(rows, f"mean_score>={np.mean(scores) + 1e-6}", point=True).holds
    assert not only(rows, f"mean_score>{low - 1e-6}", confidence=0.99).holds


def test_a_share_has_wilsons_interval() -> None:
    scores = [float(k % 10) for k in range(70)]
    ends = stats.binomtest(42, 70).proportion_ci(method="wilson")  # 4 to 9, each 7 times
    found = only(answers(scores), f"share_at_least(4)>={ends.low - 1e-9}")
    assert found.holds
    assert found.found.value == pytest.approx(0.6)
    assert (found.found.low, found.found.high) == pytest.approx((ends.low, ends.high))
    assert not only(answers(scores), f"share_at_least(4)>={ends.low + 1e-9}").holds
    assert only(answers(scores), "share_at_least(4.5)<=0.65").found.value == pytest.approx(0.5)


def test_metrics_of_agreement_are_those_of_an_evaluation() -> None:
    rows = rated()
    told = evaluate(rows, resamples=50).to_dict()
    paths = {
        "spearman": told["headline"]["spearman"],
        "augrc": told["headline"]["augrc"],
        "binary.tpr": told["binary"]["tpr"],
        "length.score_length": told["length"]["score_length"],
        "by_category.maths 1.1.mean_score": None,
    }
    for row in rows[:30]:
        row["category"] = "maths 1.1"
    paths["by_category.maths 1.1.mean_score"] = evaluate(rows, resamples=50).to_dict()[
        "by_category"
    ]["maths 1.1"]["mean_score"]
    wanted = [f"{path} >= -1" for path in paths]
    found = check(rows, require=wanted, resamples=50)
    for outcome, metric in zip(found.outcomes, paths.values(), strict=False):
        assert outcome.found.to_dict() == metric
    low = told["headline"]["spearman"]["low"]
    assert only(rows, f"spearman>={low - 1e-6}", resamples=50).holds
    assert not only(rows, f"spearman>={low + 1e-6}", resamples=50).holds
    high = told["headline"]["augrc"]["high"]
    assert only(rows, f"augrc<={high + 1e-6}", resamples=50).holds
    assert not only(rows, f"augrc<={high - 1e-6}", resamples=50).holds


def test_needed_instructions_have_the_power_that_is_said() -> None:
    scores = drawn(40, mean=6.2)
    mean, deviation = float(np.mean(scores)), float(np.std(scores, ddof=1))
    bound = mean - 0.3 * deviation / math.sqrt(40) * stats.t.ppf(0.975, 39)
    found = only(answers(scores), f"mean_score>={bound}")
    assert not found.holds and found.needed is not None and found.needed > 40

    def power(n: int) -> float:
        shift = (mean - bound) / deviation * math.sqrt(n)
        return float(stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, shift))

    assert power(found.needed) >= 0.8 > power(found.needed - 1)
    assert f"about {found.needed:,} instructions would be needed" in found.sentence
    bare = [{"id": r["id"], "score": r["score"]} for r in answers(scores)]
    assert f"about {found.needed:,} answers would be" in only(bare, f"mean_score>={bound}").sentence
    hopeless = only(answers(scores), f"mean_score>={mean + 1}")
    assert hopeless.needed is None and "the value itself is too low" in hopeless.sentence


def test_an_unscored_answer_breaks_unless_it_is_allowed() -> None:
    rows = answers(drawn(50))
    rows[7] |= {"score": None, "error": "the answer is too long"}
    found = check(rows, require=["mean_score>=3"])
    assert [o.holds for o in found.outcomes] == [True, False]
    assert str(found.outcomes[1].requirement) == "unscored <= 0"
    assert "1 of 50 answers; first 007: the answer is too long" in str(found)
    assert (found.holds, found.unscored) == (False, 1)
    # A fact about this file: the interval of 1 of 50 reaches beyond 0.1.
    assert check(rows, require=["mean_score>=3", "unscored<=0.02"]).holds
    assert not check(rows, require=["unscored<0.02"]).holds


def test_what_cannot_be_known_is_broken() -> None:
    equal = only(answers([9.0] * 40), "mean_score>=5")
    assert not equal.holds and equal.decided_by is None
    assert "there is no interval" in equal.sentence and "value 9.000" in equal.sentence
    assert only(answers([9.0] * 40), "mean_score>=5", point=True).holds
    one = only(answers([7.0, 8.0], each=2), "share_at_least(1)>=0.1")
    assert not one.holds and "there is no interval" in one.sentence
    ece = only(rated(), "ece<=1", resamples=20)
    assert not ece.holds and "there is no interval" in ece.sentence
    assert only(rated(), "ece<=1", resamples=20, point=True).holds
    rows = [row | {"score": 5.0} for row in rated()]
    for point in (False, True):
        found = only(rows, "spearman>=-1", resamples=20, point=point)
        assert not found.holds and found.sentence == "undefined: all 60 scores are equal (5)"
    lost = [row | {"score": None, "error": "e"} for row in rated()]
    for requirement in ("mean_score>=0", "share_at_least(0)>=0", "spearman>=-1"):
        for point in (False, True):
            found = only(lost, requirement, resamples=20, point=point)
            assert not found.holds and "undefined" in found.sentence, requirement


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"require": ["spearmann>=0.5"]}, "no metric: 'spearmann'. Did you mean 'spearman'"),
        ({"require": ["by_model.a.b>=1"]}, "no metric: 'by_model.a.b'"),
        ({"require": ["mean_score=6"]}, "takes a metric, one of >= <= > < and a number"),
        ({"require": ["mean_score>=six"]}, "takes a metric, one of"),
        ({"require": ["mean_score>=nan"]}, "takes a metric, one of"),
        ({"require": ["mean_score=>6"]}, "takes a metric, one of|no metric"),
        ({"require": ["share_at_least(x)>=1"]}, r"takes share_at_least\(SCORE\) with a number"),
        ({"require": "mean_score>=6"}, "must be a list"),
        ({}, "nothing is required; give `require`"),
        ({"no_worse": 0.1}, "`baseline` and `no_worse` go together"),
        ({"baseline": answers([1.0])}, "`baseline` and `no_worse` go together"),
        ({"baseline": answers([1.0]), "no_worse": -1}, "`no_worse` must be at least 0"),
        ({"require": ["missing<=0.1"]}, "is about a baseline; give `baseline` and `no_worse`"),
        ({"require": ["mean_score>=6"], "model": "nobody"}, "holds no answer of model 'nobody'"),
        ({"require": ["mean_score>=6"], "junit": "check.json"}, "end the name in one of .xml"),
        ({"require": ["mean_score>=6"], "markdown": "no/check.md"}, "there is no folder no"),
    ],
)
def test_wrong_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((OptionError, DataError, StoreError), match=message):
        check(rated(), resamples=20, **options)


def test_agreement_needs_ratings() -> None:
    rows = answers(drawn(30))
    with pytest.raises(DataError, match=r"spearman is about ratings.*`ratings`"):
        check(rows, require=["mean_score>=1", "spearman>=0.5"])
    ratings = [{"id": r["id"], "rating": round(r["score"])} for r in rows]
    assert check(rows, require=["spearman>=0.5"], ratings=ratings, resamples=50).holds


def test_a_part_of_the_answers() -> None:
    rows, low = answers(drawn(40, 8)), answers(drawn(40, 3), model="b", category="c")
    rows += [row | {"id": f"b{row['id']}"} for row in low]
    assert not only(rows, "mean_score>=6").holds
    assert only(rows, "mean_score<=4", model="b", category="c").holds


def test_a_baseline_is_compared_by_instruction() -> None:
    old, gaps = drawn(50, 5), np.random.default_rng(5).normal(-0.1, 0.4, 50)
    new = [a + b for a, b in zip(old, gaps, strict=True)]
    ends = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert ends.low < 0
    options: dict[str, Any] = {"baseline": answers(old)}
    kept = check(answers(new), no_worse=-ends.low + 1e-6, **options)
    assert kept.holds
    outcome = kept.outcomes[0]
    assert outcome.requirement.metric == "difference_to_baseline"
    assert (outcome.found.low, outcome.found.high) == pytest.approx((ends.low, ends.high))
    broken = check(answers(new), no_worse=-ends.low - 1e-6, **options)
    assert not broken.holds and broken.outcomes[0].needed is not None
    assert check(answers(new), no_worse=-ends.low - 1e-6, point=True, **options).holds
    better = check(answers([x + 1 for x in new]), no_worse=0, **options)
    assert better.holds and str(better.outcomes[0].requirement) == "difference_to_baseline >= 0"


def test_answers_that_have_not_changed_are_no_worse() -> None:
    rows = answers(drawn(40))
    found = check(rows, baseline=[dict(row) for row in rows], no_worse=0)
    assert found.holds
    assert found.outcomes[0].sentence == (
        "value 0.000; the scores on 40 instructions are as before"
    )
    assert not check(rows[:1], baseline=rows, no_worse=0).holds  # one instruction shows nothing
    shifted = [row | {"score": row["score"] - 0.5} for row in rows]  # nothing varies
    assert not check(shifted, baseline=rows, no_worse=1).holds


def test_a_baseline_that_does_not_fit(jsonl: Callable[..., Path], tmp_path: Path) -> None:
    old, new = answers(drawn(40)), answers(drawn(40, seed=3))
    found = check(new[5:], baseline=old[:39], no_worse=9, require=["missing<=0.15"])
    assert found.holds
    assert any("5 instructions have a score only in" in note for note in found.warnings)
    assert any("1 instruction has a score only in" in note for note in found.warnings)
    assert found.outcomes[1].found.n == 34
    others = [row | {"instruction": f"another {row['id']}"} for row in old]
    with pytest.raises(DataError, match="has no scored answer to an instruction of"):
        check(new, baseline=others, no_worse=9)
    without = [{"id": row["id"], "score": 1.0} for row in old]
    with pytest.raises(DataError, match=r"'000' has no instruction"):
        check(new, baseline=without, no_worse=9)
    mixed = old + [row | {"id": f"b{row['id']}", "model": m} for row in old for m in "ab"][:40]
    mixed = [{**row, "id": str(k)} for k, row in enumerate(mixed)]
    with pytest.raises(DataError, match=r"answers by 2 models \(a, b\); name one as `model`"):
        check(new, baseline=mixed, no_worse=9)
    one, two = jsonl(*old, name="old.jsonl"), jsonl(*new, name="new.jsonl")
    for file, judge in ((one, "x"), (two, "y")):
        notes = {"judge": {"model": judge, "template": "t"}}
        file.with_name(f"{file.name}.run.json").write_text(json.dumps(notes))
    with pytest.raises(DataError, match=r"by different judges \(model\)"):
        check(two, baseline=one, no_worse=9)
    lost = [row | {"score": None, "error": "e"} for row in new]
    found = check(lost, baseline=old, no_worse=9)
    assert not found.outcomes[0].holds
    assert found.outcomes[0].sentence == "undefined: no answer is scored"


def test_answers_that_the_baseline_has_must_not_be_missing(
    in_process: Any, jsonl: Callable[..., Path]
) -> None:
    """A run that stopped early must not pass because of the answers that it has."""
    old = answers(drawn(40, 5), each=2)
    new = [row | {"id": f"v2-{row['id']}", "score": row["score"] + 1} for row in old]
    new[0] |= {"score": None, "error": "e"}  # it is there
    whole = check(new, baseline=old, no_worse=0, require=["unscored<=0.1"])
    assert whole.holds and [str(o.requirement) for o in whole.outcomes][2:] == ["missing <= 0"]
    for kept, lost in ((new[:35], 5), (new[1:], 1), ([*new[:35], *new[:1] * 5], 5)):
        rows = [row | {"id": str(k)} for k, row in enumerate(kept)]
        allowed = {"baseline": old, "no_worse": 0}
        found = check(rows, require=["unscored<=0.2"], **allowed)
        assert [str(o.requirement) for o in found.broken] == ["missing <= 0"]
        assert found.broken[0].found.value == lost / 40
        for share, holds in ((lost / 40, True), (lost / 40 - 1e-6, False)):
            more = ["unscored<=0.2", f"missing<={share}"]
            assert check(rows, require=more, **allowed).holds is holds
    lost = [row | {"score": None, "error": "e"} for row in new[:35]]
    unscored = check(lost, baseline=old, no_worse=9)
    assert len(unscored.broken) == 3 and unscored.broken[2].found.value == 5 / 40
    more = [*new, new[1] | {"id": "more"}]
    assert check(more, baseline=old, no_worse=0, require=["unscored<=0.1"]).holds
    files = jsonl(*new[1:36], name="new.jsonl"), jsonl(*old, name="old.jsonl")
    done = in_process("selfj", "check", files[0], "--baseline", files[1], "--no-worse=0")
    assert done.returncode == 1
    assert (
        f"value 0.125; 5 of 40 answers of {files[1]} are not in {files[0]}, first 0" in done.stdout
    )
    assert "score all of them, or allow a share by --require 'missing<=0.125'" in done.stdout


def test_numbers_show_on_which_side_of_the_bound_they_are() -> None:
    found = only(answers([5.9999] * 20 + [6.0] * 20), "mean_score>=6", point=True)
    assert not found.holds and "value 5.99995" in found.sentence


def test_the_command_says_what_is_broken_and_writes_reports(
    in_process: Any, jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    rows = answers(drawn(40))
    rows[3] |= {"score": None, "error": "bad <b>\x1b[31m | `x` & \ud800\uffff"}
    file = jsonl(*rows, name="scores.jsonl")
    junit, markdown = tmp_path / "a.xml", tmp_path / "a.md"
    flags = ("--require", "mean_score>=5", "--require", "mean_score >= 8")
    done = in_process("selfj", "check", file, *flags, "--junit", junit, "--markdown", markdown)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "broken: mean_score >= 8, unscored <= 0 (2 of 3 requirements)"
    assert [line.split(":")[0].split(maxsplit=1) for line in lines[1:4]] == [
        ["BROKEN", "mean_score >= 8"],
        ["BROKEN", "unscored <= 0"],
        ["holds", "mean_score >= 5"],
    ]
    assert "95 % interval" in lines[1] and "\x1b" not in done.stdout
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
    cases = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert cases["mean_score >= 5"] is None
    failure = cases["mean_score >= 8"]
    assert failure is not None and "the value itself is too low" in str(failure.get("message"))
    unscored = cases["unscored <= 0"]
    assert unscored is not None and "bad <b>\\x1b[31m | `x`" in str(unscored.get("message"))
    table = [row for row in markdown.read_text().splitlines() if row.startswith("| ")]
    assert [row.split(" | ")[0] for row in table[2:]] == ["| **broken**", "| **broken**", "| holds"]
    assert "\\<b>" in table[3] and "\\|" in table[3] and "\x1b" not in table[3]
    told = json.loads(in_process("selfj", "check", file, *flags, "--json").stdout)
    assert (told["kind"], told["holds"]) == ("selfj-check", False)
    assert [o["holds"] for o in told["outcomes"]] == [True, False, False]


def test_the_commands_exit_status(in_process: Any, jsonl: Callable[..., Path]) -> None:
    file, other = jsonl(*answers(drawn(40)), name="s.jsonl"), jsonl(*answers(drawn(40)))
    held = in_process("selfj", "check", file, "--require=mean_score>=5")
    assert held.returncode == 0
    assert held.stdout.startswith("all 2 requirements hold (s, 40 answers)\n  holds   mean_score")
    against = in_process("selfj", "check", file, "--baseline", other, "--no-worse", "0")
    assert against.returncode == 0, against.stdout
    for wrong in ("--require=mean>=5", "--require=spearman>=0.5", "--no-worse=1", "--point"):
        done = in_process("selfj", "check", file, wrong)
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert done.stderr.startswith("selfj: error: "), wrong
    ece = in_process("selfj", "check", jsonl(*rated(), name="r.jsonl"), "--require=ece<=0.9")
    assert ece.returncode == 1
    assert "there is no interval that could show it; --point compares the value" in ece.stdout
