"""``selfj select``: choose an acceptance threshold with a guarantee, or apply one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from selfj_eval.cli.evaluating import add_options, check_range, settings_from
from selfj_eval.cli.safe_csv import add_safe_csv, check_safe_csv
from selfj_eval.errors import DataError, printable
from selfj_eval.terminal import say, shown
from selfj_eval.writing import check_output

if TYPE_CHECKING:
    from selfj_eval.policy import Policy
    from selfj_eval.scores import Scores

_EXAMPLES = """examples:
  selfj select calibration.scores.jsonl --max-risk 0.1 --output policy.json
  selfj select new.scores.jsonl --policy policy.json --output decisions.jsonl

The first line chooses, on rated answers, the threshold that accepts most of them while the share of
bad answers among all that will be accepted stays at or below --max-risk, with probability at least
--confidence over calibration sets. The promise is for new answers from the same source (same
judge, same kind of instructions, same models). Where texts are known, one answer to each
instruction is used, since several are not independent. The second line applies it: accept or
decline for each answer, with the estimated probability that it is good. Unscored answers are
declined.
Exit status: 0; 1 when no threshold can be certified (nothing is written then); 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "select",
        help="choose an acceptance threshold with a guarantee, or apply one",
        description="Decline poor answers: choose a threshold on rated answers, or apply it to "
        "new ones.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", metavar="SCORES", help="scored answers, rated ones to choose")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument(
        "--max-risk", type=float, metavar="R", help="choose: largest share of bad accepted answers"
    )
    mode.add_argument("--policy", metavar="FILE", help="apply this policy to SCORES")
    add_options(parser, bootstrap=False)
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the policy (.json; default: SCORES.policy.json), or the decisions (.jsonl, .json, "
        ".csv or .parquet; default: SCORES.decisions.jsonl)",
    )
    add_safe_csv(parser)
    parser.add_argument(
        "--all-answers",
        action="store_true",
        help="use all answers to an instruction, not one drawn at random; they are not "
        "independent, and promises made on them are broken more often than stated",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Choose or apply."""
    return _choose(options) if options.policy is None else _apply(options)


def _choose(options: argparse.Namespace) -> int:
    from selfj_eval.metrics import fewest_records, lowest_certifiable_risk
    from selfj_eval.policy import calibration_set, choose
    from selfj_eval.scores import read_scores

    check_range("--max-risk", options.max_risk)
    settings = settings_from(options)
    output = check_output(
        options.output or f"{options.scores}.policy.json",
        formats=(".json",),
        inputs=(options.scores, options.ratings),
    )
    check_safe_csv(options, output)
    scores = read_scores(options.scores, ratings=options.ratings)
    target = {"max_risk": options.max_risk, "confidence": settings.confidence}
    every = {"good_at": settings.good_at, "all_answers": options.all_answers}
    policy = choose(scores, **target, **every)
    data, notes = calibration_set(scores, **every)
    n, bad = len(data.score), int((~data.good).sum())
    summary: dict[str, Any] = {"certified": policy is not None} | target
    summary |= {"n": n, "bad": bad, "unscored": sum(a.score is None for a in scores.answers)}
    summary["warnings"] = notes
    if policy is None:
        lowest = lowest_certifiable_risk(data.score, data.good, confidence=settings.confidence)
        fewest = fewest_records(options.max_risk, settings.confidence)
        summary |= {"lowest_certifiable_risk": lowest, "fewest_records": fewest}
    else:
        policy.save(output)
        summary |= {"threshold": policy.threshold, "accepted": policy.calibration["accepted"]}
        summary |= {"bad_accepted": policy.calibration["bad"], "output": printable(output)}
    if options.json:
        say(json.dumps(summary))
    else:
        _print_choice(summary)
    return 0 if policy is not None else 1


def _print_choice(found: dict[str, Any]) -> None:
    say(f"{found['n']:,} rated answers used, {found['bad'] / found['n']:.1%} of them bad", end="")
    say(f"; {found['unscored']:,} unscored answers are skipped")
    for warning in found["warnings"]:
        say(f"  note: {shown(warning)}")
    promise = f"at most {found['max_risk']:.4g} bad with confidence {found['confidence']:g}"
    if found["certified"]:
        m, k = found["accepted"], found["bad_accepted"]
        say(f"accept from score {found['threshold']:.6g} on: {promise}")
        say(f"  here that accepts {m:,} ({m / found['n']:.1%}), {k:,} of them bad ({k / m:.1%})")
        say(f"  written to {found['output']}")
        return
    say(f"NO THRESHOLD CAN BE CERTIFIED: {promise} is not supported by these answers.")
    if found["n"] < found["fewest_records"]:
        say(f"  it takes at least {found['fewest_records']:,} accepted answers, none of them bad")
    if found["lowest_certifiable_risk"] is None:
        say("  no risk can: the answers are too few, or the scores do not tell good from bad")
    else:
        lowest = found["lowest_certifiable_risk"]
        say(f"  the lowest risk that can: {lowest:.3f}; to promise just that, take other answers")
    say("  nothing was written; more rated answers or a better judge help")


def _apply(options: argparse.Namespace) -> int:
    from selfj_eval.policy import Policy
    from selfj_eval.scores import read_scores
    from selfj_eval.writing import write_rows

    for name in ("good_at", "confidence", "all_answers"):
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise DataError(f"{flag} is for choosing a policy: leave it out, or choose a new one.")
    output = check_output(
        options.output or f"{options.scores}.decisions.jsonl",
        inputs=(options.scores, options.ratings, options.policy),
    )
    check_safe_csv(options, output)
    policy = Policy.load(options.policy)
    scores = read_scores(options.scores, ratings=options.ratings)
    rows, judged, accepted = [], [], 0
    for answer in scores.answers:
        accept, p_good = policy.decide(answer.score)
        decision = "accept" if accept else "decline"
        row = {"id": answer.id, "decision": decision, "p_good": p_good, "score": answer.score}
        rows.append(row | {"error": answer.error})
        accepted += accept
        if accept and answer.quality is not None:
            judged.append(answer.quality >= policy.good_at)
    write_rows(output, rows, safe_csv=options.safe_csv)
    summary: dict[str, Any] = {
        "answers": len(rows),
        "accepted": accepted,
        "declined": len(rows) - accepted,
        "unscored": sum(a.score is None for a in scores.answers),
        "rated_accepted": len(judged),
        "bad_accepted": len(judged) - sum(judged),
        "warnings": [*scores.warnings, *_mismatch(policy, scores)],
        "output": printable(output),
    }
    if options.json:
        say(json.dumps(summary))
        return 0
    say(f"{summary['accepted']:,} of {summary['answers']:,} answers accepted", end="")
    say(f", {summary['declined']:,} declined ({summary['unscored']:,} of them unscored)")
    if judged:
        bad = summary["bad_accepted"]
        say(f"  {len(judged):,} accepted answers have a rating: {bad:,} bad", end="")
        say(f" ({bad / len(judged):.1%}; promised at most {policy.max_risk:.4g})")
    for warning in summary["warnings"]:
        say(f"  note: {shown(warning)}")
    say(f"  written to {summary['output']}")
    return 0


def _mismatch(policy: Policy, scores: Scores) -> list[str]:
    """What shows that these scores are not like those that the promise was made with."""
    found: list[str] = []
    known = [a.score for a in scores.answers if a.score is not None]
    ends = [policy.calibration.get(name) for name in ("lowest_score", "highest_score")]
    if known and None not in ends and _on_our_scale(ends) != _on_our_scale(known):
        found.append(
            f"these scores, from {min(known):g} to {max(known):g}, and those of the policy, from "
            f"{ends[0]:g} to {ends[1]:g}, are not on one scale: it promises nothing"
        )
    rated = [a for a in scores.answers if a.rating is not None]
    scaled = all(None not in (a.rating_min, a.rating_max) for a in rated)
    if rated and scaled != policy.calibration.get("scaled_ratings", scaled):
        found.append("a rating's scale is known in one of the two only: 'bad' is not the same here")
    judge = scores.run.get("judge")
    if not isinstance(judge, dict) or policy.judge is None:
        which = "which judge made the policy's or these scores is not known; it must be the same"
        return [*found, which]
    parts = ("identity", "template", "reference", "max_tokens")
    changed = [part for part in parts if judge.get(part) != policy.judge.get(part)]
    if changed:
        found.append(f"the policy is for another judge ({', '.join(changed)}): it promises nothing")
    return found


def _on_our_scale(scores: Sequence[Any]) -> bool:
    from selfj_eval.scale import MAX_SCORE, MIN_SCORE

    return bool(min(scores) >= MIN_SCORE and max(scores) <= MAX_SCORE)
