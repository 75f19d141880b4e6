"""What an audit has counted, in a file between its calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from selfj_eval import __version__
from selfj_eval.errors import DataError
from selfj_eval.evaluation.policy import Policy
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.records.record import is_number

KIND = "selfj-audit"


class AuditStep(NamedTuple):
    """One instruction of an audit.

    Attributes:
        instruction: Hash of its text.
        category: Its category, where each has its own promise; else None.
        value: Its step: what ``metrics.audit_evidence`` takes.
        accepted: Share of its answers that are accepted and rated, each counted 1 / inclusion
            times: where that is known, on average the share of those that are accepted.
    """

    instruction: str
    category: str | None
    value: float
    accepted: float


@dataclass(frozen=True)
class AuditState:
    """What an audit goes on from.

    Attributes:
        policy: Hash of what the policy promises.
        confidence, least_inclusion: The options of the audit, which stay as they were.
        steps: In the order in which they were taken.
    """

    policy: str
    confidence: float
    least_inclusion: float | None
    steps: Sequence[AuditStep] = ()

    def save(self, path: Path) -> None:
        """Write the state.

        Raises:
            StoreError: If it cannot be written; then the former state is still there.
        """
        head = {"kind": KIND, "version": __version__}
        own = {name: getattr(self, name) for name in ("policy", "confidence", "least_inclusion")}
        write_json(path, head | own | {"steps": [list(step) for step in self.steps]})

    def resumed(self, path: Path) -> Self:
        """The state in the file, which must be of the same audit; this one if there is no file.

        Raises:
            DataError: If the file is no state, or of another policy or other options.
        """
        if not path.exists():
            return self
        value = read_json(path)
        if not isinstance(value, dict) or value.get("kind") != KIND:
            message = "is not the state of an audit; name another file as `state`."
            raise DataError(message, path=path)
        if value.get("policy") != self.policy:
            message = "is the state of an audit of another policy; name another file as `state`."
            raise DataError(message, path=path)
        for name in ("confidence", "least_inclusion"):
            if (then := value.get(name)) != (now := getattr(self, name)):
                message = (
                    f"the audit began with {then}, this call has {now}; an audit keeps its "
                    f"`{name}`: give {then}, or begin another one with another `state`."
                )
                raise DataError(message, path=path, field=name)
        steps = value.get("steps")
        if not isinstance(steps, list):
            raise DataError("expected a list.", path=path, field="steps")
        for at, step in enumerate(steps):
            if not _is_step(step):
                message = (
                    f"expected the hash of an instruction, a category and two numbers, got "
                    f"{step!r:.60}; repair the file, or begin again with another `state`."
                )
                raise DataError(message, path=path, field=f"steps[{at}]")
        return type(self)(
            self.policy,
            self.confidence,
            self.least_inclusion,
            [AuditStep(*step) for step in steps],
        )


def identity(policy: Policy) -> str:
    """A hash of what a policy promises about which answers."""
    names = ("threshold", "thresholds", "max_risk", "good_at", "loss", "judge")
    text = json.dumps([getattr(policy, name) for name in names], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_step(step: object) -> bool:
    return (
        isinstance(step, list)
        and len(step) == len(AuditStep._fields)
        and isinstance(step[0], str)
        and isinstance(step[1], str | None)
        and is_number(step[2])
        and is_number(step[3])
    )
