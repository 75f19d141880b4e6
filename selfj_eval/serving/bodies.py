"""The bodies of requests and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from selfj_eval.errors import DataError
from selfj_eval.evaluation.policy import Policy
from selfj_eval.evaluation.selection import Decided
from selfj_eval.records.reading import refuse_repeated_ids
from selfj_eval.records.record import Judgment, Record, record_from_mapping

Text = StrictStr | None


class RecordBody(BaseModel):
    """An answer to judge; the fields mean what they mean in a file (docs/scoring.md)."""

    model_config = ConfigDict(extra="forbid")

    id: StrictStr | StrictInt | None = Field(None, description="default: its position, from 0")
    instruction: Text = Field(None, description="what was asked; or give `messages`")
    response: Text = Field(description="the answer; null is no answer, and is unscored")
    reference: Text = Field(None, description="a good answer to compare with")
    input: Text = Field(None, description="a further part of the instruction")
    context: Text = Field(None, description="a further part of the instruction")
    system: Text = Field(None, description="the system prompt of a conversation")
    system_prompt: Text = Field(None, description="the system prompt of a conversation")
    history: list[Any] | None = Field(None, description="earlier turns of a conversation")
    messages: list[Any] | None = Field(None, description="a conversation as chat messages")
    category: Text = Field(None, description="for a policy with a threshold for each category")


class JudgeBody(BaseModel):
    """What ``/v1/judge`` and ``/v1/decide`` are sent."""

    model_config = ConfigDict(extra="forbid")

    records: list[RecordBody] = Field(min_length=1)

    def as_records(self) -> list[Record]:
        """The records, checked as those of a file are.

        Raises:
            DataError: Naming the field, such as ``records[0].instruction``.
        """
        found = [_record(body, at) for at, body in enumerate(self.records)]
        places = [(record.id, f"records[{at}]") for at, record in enumerate(found)]
        refuse_repeated_ids(places, path=None)
        return found


def _record(body: RecordBody, at: int) -> Record:
    row = body.model_dump(exclude_unset=True)
    try:
        return record_from_mapping(row, number=at if row.get("id") is None else None)
    except DataError as error:
        where = f"records[{at}]" if error.field is None else f"records[{at}].{error.field}"
        raise DataError(error.message, field=where) from error


class JudgmentBody(BaseModel):
    """A judgment, with the fields of a row of a scores file."""

    id: str
    score: float | None = Field(description="null: unscored; `error` says why")
    digit_mass: float | None
    probabilities: list[float] | None
    error: str | None
    reference_used: bool
    trimmed_tokens: int
    criteria: dict[str, float | None] = Field(description="scores by criterion of a rubric")

    @classmethod
    def of(cls, judgment: Judgment) -> JudgmentBody:
        """The body of a judgment."""
        chances = judgment.probabilities
        return cls(
            id=judgment.id,
            score=judgment.score,
            digit_mass=judgment.digit_mass,
            probabilities=None if chances is None else list(chances),
            error=judgment.error,
            reference_used=judgment.reference_used,
            trimmed_tokens=judgment.trimmed_tokens,
            criteria=dict(judgment.criteria),
        )


class JudgedBody(BaseModel):
    """What ``/v1/judge`` answers: a judgment for each record, in their order."""

    judgments: list[JudgmentBody]


class DecisionBody(BaseModel):
    """What a policy says of an answer."""

    id: str
    decision: Literal["accept", "decline"]
    p_good: float | None = Field(description="estimated probability that it is good")
    score: float | None
    error: str | None


class PromiseBody(BaseModel):
    """What the policy promises of the answers that it accepts, together."""

    promise: str | None = Field(description="as a sentence; null in policies of version 0.1")
    max_risk: float
    confidence: float
    loss: str

    @classmethod
    def of(cls, policy: Policy) -> PromiseBody:
        """The promise of a policy."""
        return cls(
            promise=policy.promise,
            max_risk=policy.max_risk,
            confidence=policy.confidence,
            loss=policy.loss,
        )


class DecidedBody(BaseModel):
    """What ``/v1/decide`` answers: a decision for each record, in their order."""

    decisions: list[DecisionBody]
    policy: PromiseBody


def decided(
    policy: Policy, records: Sequence[Record], judgments: Sequence[Judgment]
) -> DecidedBody:
    """Decide on answers that were judged; an unscored one is declined."""
    decisions = []
    for record, judgment in zip(records, judgments, strict=True):
        accept, p_good = policy.decide(judgment.score, record.category)
        decision = "accept" if accept else "decline"
        one = Decided(record.id, decision, p_good, judgment.score, judgment.error)
        decisions.append(DecisionBody.model_validate(vars(one)))
    return DecidedBody(decisions=decisions, policy=PromiseBody.of(policy))


class Fault(BaseModel):
    """Why a request was refused or failed."""

    code: str = Field(description="for programs, such as `unknown_field`")
    message: str = Field(description="what is wrong, and what to do")
    field: str | None = Field(description="such as `records[0].response`")


class FaultBody(BaseModel):
    """Every answer that is not 200."""

    error: Fault


FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultBody, "description": text}
    for status, text in {
        400: "broken JSON",
        401: "no token, or a wrong one",
        408: "the body did not arrive in time",
        413: "the body is too large, or has too many records",
        415: "the body is not JSON",
        421: "there is no token, and the Host header has another name",
        422: "an unknown field, a wrong type or a missing value",
        429: "too many records wait; Retry-After says for how many seconds to wait",
        500: "the judge failed",
        503: "the service stops",
        504: "the judge did not answer in time",
    }.items()
}
"""The answers that are not 200, for the OpenAPI document."""
