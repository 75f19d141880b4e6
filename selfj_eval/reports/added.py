"""Results of other commands on a page: promises, audits, estimates, comparisons of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, counted, printable
from selfj_eval.evaluation import audit, estimation, model_comparison
from selfj_eval.evaluation import policy as policies
from selfj_eval.evaluation.audit_state import KIND as AUDIT_STATE
from selfj_eval.evaluation.audit_state import identity
from selfj_eval.evaluation.policy import Policy
from selfj_eval.evaluation.select import SelectOptions, select_answers
from selfj_eval.evaluation.selection import Decisions, percent, promised
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.results import Result
from selfj_eval.judging.scored import Scores
from selfj_eval.records.record import is_number

_NONE = "\u2013"
"""What a cell without a number shows: an en dash."""


@dataclass(frozen=True)
class Table:
    """Rows of texts below a header; the first column says what a row is about."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """What a page shows of one result.

    Attributes:
        kind: The result's.
        title: Heading.
        lead: The one sentence that counts.
        alarm: Whether it is bad news.
        sentences: What else is to be said.
        warnings: What speaks against it.
        tables: Its numbers.
        policy: Hash of the policy, of a policy and of an audit; else None.
    """

    kind: str
    title: str
    lead: str
    alarm: bool = False
    sentences: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    policy: str | None = field(default=None, repr=False)


class _Document:
    """A result as JSON, of which every part is checked as it is read."""

    def __init__(self, value: Any, path: str | None, name: str = "") -> None:
        self._value, self._path, self._name = value, path, name

    def _part(self, name: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        found = self._value.get(name) if isinstance(self._value, dict) else None
        if not isinstance(found, kinds) or (kinds is float and not is_number(found)):
            where = f"{self._name}{name}"
            message = f"expected {expected}, got {found!r:.40}; write the result again."
            raise DataError(message, path=self._path, field=where)
        return found

    def text(self, name: str) -> str:
        return str(self._part(name, str, "a text"))

    def flag(self, name: str) -> bool:
        return bool(self._part(name, bool, "true or false"))

    def whole(self, name: str) -> int:
        return int(self._part(name, int, "a whole number"))

    def maybe(self, name: str) -> float | None:
        """A number, or None."""
        found = self._part(name, (int, float, type(None)), "a number or null")
        return None if found is None else float(found)

    def number(self, name: str) -> float:
        return float(self._part(name, (int, float), "a number"))

    def known(self, name: str) -> bool:
        return isinstance(self._value, dict) and self._value.get(name) is not None

    def part(self, name: str) -> _Document:
        return _Document(self._part(name, dict, "an object"), self._path, f"{self._name}{name}.")

    def parts(self, name: str) -> list[_Document]:
        found = self._part(name, list, "a list")
        where = f"{self._name}{name}"
        return [_Document(v, self._path, f"{where}[{k}].") for k, v in enumerate(found)]

    def named(self, name: str) -> list[tuple[str, _Document]]:
        found = self._part(name, dict, "an object")
        where = f"{self._name}{name}"
        return [(k, _Document(v, self._path, f"{where}.{k}.")) for k, v in found.items()]

    def texts(self, name: str) -> list[str]:
        return [str(one) for one in self._part(name, list, "a list")]

    def sentences(self, name: str) -> list[str]:
        """Texts, at least one."""
        if not (found := self.texts(name)):
            message = "expected at least one sentence, got none; write the result again."
            raise DataError(message, path=self._path, field=f"{self._name}{name}")
        return found

    def names(self, name: str) -> list[str]:
        return list(self._part(name, dict, "an object"))


def sections(
    results: Sequence[str | Path | Policy | Result], judges: Sequence[tuple[str, Scores]]
) -> list[Section]:
    """What a page shows of results, in the order in which they are read: promises, audits, others.

    Args:
        results: Policies, and what ``audit``, ``estimate`` and ``compare`` (of models) found: files
            or the results themselves.
        judges: Name and scores of each judge of the page, to which a policy is applied.

    Raises:
        DataError: If one cannot be read or is something else, or an audit is of another policy.
    """
    found = [_section(one, judges) for one in results]
    known = [one.policy for one in found if one.kind == policies.KIND]
    for one, given in zip(found, results, strict=True):
        if one.kind == audit.KIND and known and one.policy not in known:
            path = given if isinstance(given, str | Path) else None
            message = "is the audit of another policy; give the policy that was audited."
            raise DataError(message, path=path)
    return sorted(found, key=lambda one: list(_KINDS).index(one.kind))


def _section(given: str | Path | Policy | Result, judges: Sequence[tuple[str, Scores]]) -> Section:
    if isinstance(given, Policy):
        return _of_policy(given, None, judges)
    path = printable(given) if isinstance(given, str | Path) else None
    value = given.to_dict() if isinstance(given, Result) else read_json(given)
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == policies.KIND and isinstance(given, str | Path):
        return _of_policy(Policy.load(given), path, judges)
    made = _KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        what = "is the state of an audit" if kind == AUDIT_STATE else "is no result for a report"
        raise DataError(
            f"{what}; give a policy of `selfj select`, or what `selfj audit`, `selfj estimate` or "
            "`selfj compare` (of models) prints as JSON.",
            path=path,
        )
    return made(_Document(value, path))


def _of_policy(policy: Policy, path: str | None, judges: Sequence[tuple[str, Scores]]) -> Section:
    calibration = _Document(policy.calibration, path, "calibration.")
    chosen, sentences = [], [] if policy.promise is None else [policy.promise]
    for one in calibration.parts("promises") if calibration.known("promises") else ():
        n, accepted, bad = (one.whole(name) for name in ("n", "accepted", "bad_accepted"))
        threshold = one.maybe("threshold")
        of = one.text("category") if one.known("category") else "all answers"
        sentences.append(f"Chosen by a {one.text('used')}.")
        chosen.append(
            [
                of,
                "none" if threshold is None else f"{threshold:.3f}",
                f"{n:,}"
                + (f" ({one.whole('instructions'):,})" if one.known("instructions") else ""),
                _NONE if threshold is None else f"{accepted:,} ({percent(accepted / max(1, n))})",
                _NONE if threshold is None else f"{bad:,} ({percent(bad / max(1, accepted))})",
            ]
        )
    header = ["chosen on", "accepts from", "answers (instructions)", "accepted", "bad"]
    tables = [Table("How the policy was chosen", header, chosen)] if chosen else []
    applied, warnings = _applied(policy, judges)
    if applied:
        header = ["applied to", "answers", "accepted", "rated", "bad"]
        tables.append(Table("The policy on the answers of this page", header, applied))
    what = promised(policy.max_risk, policy.loss)
    if calibration.known("warnings"):
        warnings = [*calibration.texts("warnings"), *warnings]
    return Section(
        policies.KIND,
        "What is promised",
        f"Promised for accepted answers: {what}, with {percent(policy.confidence, 4)} confidence.",
        sentences=list(dict.fromkeys(sentences)),
        warnings=warnings,
        tables=tables,
        policy=identity(policy),
    )


def _applied(
    policy: Policy, judges: Sequence[tuple[str, Scores]]
) -> tuple[list[list[str]], list[str]]:
    """What a policy decides on the answers of its own judge."""
    rows, warnings = [], []
    for name, scores in judges:
        judge = scores.run.get("judge")
        if not isinstance(judge, dict) or policy.judge is None or policy.differs(judge):
            continue
        found = select_answers(scores, SelectOptions(policy=policy))
        assert isinstance(found, Decisions)
        own = scores.sha256 == policy.calibration.get("sha256")
        rated, bad = found.rated_accepted, found.bad_accepted
        rows.append(
            [
                f"{name} (chosen on these answers)" if own else name,
                f"{found.answers:,}",
                f"{found.accepted:,} ({percent(found.accepted / found.answers)})",
                f"{rated:,}",
                f"{bad:,} ({percent(bad / rated)})" if rated else _NONE,
            ]
        )
        warnings += [f"{name}: {w}" for w in found.warnings if w not in scores.warnings]
    if not rows:
        warnings.append("no scores on this page are known to be by the judge of the policy")
    return rows, warnings


def _of_audit(found: _Document) -> Section:
    lead, *others = found.sentences("conclusions")
    rows = []
    for one in found.parts("promises"):
        risk = one.maybe("risk")
        rows.append(
            [
                one.text("category") if one.known("category") else "all answers",
                f"{one.whole('steps'):,}",
                _NONE if risk is None else f"{risk:.3f}",
                f"{one.number('evidence'):.2f}",
                f"{one.number('alarm_at'):.4g}",
            ]
        )
    drift = []
    for one in found.parts("drift"):
        p = one.maybe("p_value")
        result = one.text("untested") if p is None else f"p = {p:.2g}"
        drift.append(
            [one.text("what"), f"{one.whole('now'):,}", f"{one.whole('before'):,}", result]
        )
    header = ["audited", "instructions", "risk seen", "evidence", "alarm at"]
    tables = [Table("The audit", header, rows)]
    if drift:
        tables.append(
            Table("Drift", ["", "answers now", "answers then", "same distribution"], drift)
        )
    return Section(
        audit.KIND,
        "Does the promise still hold?",
        lead,
        alarm=found.flag("refuted"),
        sentences=[
            *others,
            f"{counted(found.whole('labels'), 'accepted answer')} with a rating in these labels. "
            "If the promise holds, an alarm has a probability of at most "
            f"{percent(1 - found.number('confidence'), 4)}. No alarm does not prove that it holds.",
        ],
        warnings=found.texts("warnings"),
        tables=tables,
        policy=found.text("policy"),
    )


def _of_estimate(found: _Document) -> Section:
    named = [(e.text("quantity"), e) for e in found.parts("estimates")]
    rows = [_estimate(name, e) for name, e in named]
    rows += [_estimate(f"mean rating, {name}", e) for name, e in found.named("by_model")]
    level = f"{percent(found.number('confidence'), 4)} interval"
    header = ["", "estimate", level, "ratings only", level, "scores only", "ratings"]
    answers, labels = found.whole("answers"), found.whole("labels")
    return Section(
        estimation.KIND,
        "All answers, estimated from some ratings",
        found.text("conclusion"),
        sentences=[
            f"Scores of {counted(answers, 'answer')} by {found.text('judge')}, and ratings of "
            f"{labels:,} of them. {counted(found.whole('unscored'), 'unscored answer')} skipped.",
            *([found.text("correction")] if found.known("correction") else []),
        ],
        warnings=found.texts("warnings"),
        tables=[Table("Estimates", header, rows)],
    )


def _estimate(name: str, found: _Document) -> list[str]:
    both, alone = found.part("combined"), found.part("ratings_only")
    cells = [name]
    for one in (both, alone):
        value = one.maybe("value")
        cells.append(_NONE if value is None else f"{value:.3f}")
        cells.append(_ends(one.part("interval")) if one.known("interval") else _NONE)
    scores = found.maybe("scores_only")
    return [*cells, _NONE if scores is None else f"{scores:.3f}", f"{both.whole('labels'):,}"]


def _of_models(found: _Document) -> Section:
    lead, *others = found.sentences("conclusions")
    means, answers = found.part("means"), found.part("answers")
    rows = [[n, f"{means.number(n):.3f}", f"{answers.whole(n):,}"] for n in found.names("means")]
    pairs = []
    for pair in found.parts("pairs"):
        gap, holm = pair.part("found").part("difference"), pair.maybe("holm")
        value = gap.maybe("value")
        pairs.append(
            [
                f"{pair.text('first')} minus {pair.text('second')}",
                _NONE if value is None else f"{value:.3f}",
                _ends(gap) if gap.known("low") else _NONE,
                f"{gap.whole('n'):,}",
                _NONE if holm is None else f"{holm:.3g}",
            ]
        )
    by = found.text("by")
    level = f"{percent(found.number('confidence'), 4)} interval"
    header = ["", "difference", level, "instructions", "p (Holm)"]
    whose = "the ratings" if by == "rating" else f"the scores of {found.text('judge')}"
    return Section(
        model_comparison.KIND,
        "Which model is better?",
        lead,
        sentences=[*others, f"By {whose}, on the instructions that two models both answered."],
        warnings=found.texts("warnings"),
        tables=[
            Table("Models", ["model", f"mean {by}", "answers"], rows),
            Table("Differences of models", header, pairs),
        ],
    )


def _ends(found: _Document) -> str:
    return f"{found.number('low'):.3f} to {found.number('high'):.3f}"


_KINDS: dict[str, Callable[[_Document], Section] | None] = {
    policies.KIND: None,
    audit.KIND: _of_audit,
    estimation.KIND: _of_estimate,
    model_comparison.KIND: _of_models,
}
"""The order on the page, and what makes a section of a document."""
