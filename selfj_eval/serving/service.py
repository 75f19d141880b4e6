"""What the routes call: the judge with its queue and its policy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, printable
from selfj_eval.evaluation.policy import Policy
from selfj_eval.files.documents import parse_json
from selfj_eval.judging.score import judge_of
from selfj_eval.raters.combined import SumRater
from selfj_eval.raters.open_rater import opened, rater_name
from selfj_eval.raters.protocol import Preparable, Rater
from selfj_eval.records.record import Judgment, Record
from selfj_eval.serving.batching import JudgingQueue
from selfj_eval.serving.measures import Measures
from selfj_eval.serving.options import ApplicationOptions


class Service:
    """A loaded judge, its queue, and the policy that decides by its scores.

    Args:
        options: What it judges with, and how much it takes.

    Attributes:
        name: The judge's, for people.
        policy: The policy, or None.
        notes: What is to be known of it, as sentences.

    Raises:
        DataError: If the policy cannot be read or is for another judge, or the judge cannot judge
            an answer by itself.
        JudgeError: If the judge cannot be loaded completely and safely.
    """

    def __init__(self, options: ApplicationOptions) -> None:
        policy = options.policy
        self.policy = policy if isinstance(policy, Policy | None) else Policy.load(policy)
        judged_with = options.part(JudgeOptions)
        self.name = rater_name(options.judge, judged_with)
        with ExitStack() as stack:
            rater = stack.enter_context(
                opened(options.judge, judged_with, reference=options.reference, store=options.store)
            )
            _refuse_prepared(rater, self.name)
            self.notes = self._check_policy(options, rater)
            self.measures = Measures(self.name, lambda: self.queue.waiting)
            self.queue = JudgingQueue(rater, options, self.measures.batch)
            stack.callback(self.queue.close)
            self._stack = stack.pop_all()

    async def judge(self, records: Sequence[Record]) -> list[Judgment]:
        """Judge records together with those of other requests. To give up, cancel it.

        Raises:
            BusyError, StoppingError: As ``JudgingQueue.submit`` does.
            Exception: What went wrong with the judge.
        """
        return await asyncio.wrap_future(self.queue.submit(records))

    def close(self) -> None:
        """Answer what was taken and not given up, then close the judge's store.

        May be called again.
        """
        self._stack.close()

    def _check_policy(self, options: ApplicationOptions, rater: Rater) -> list[str]:
        if self.policy is None:
            return []
        path = options.policy if isinstance(options.policy, str | Path) else None
        if self.policy.judge is None:
            named = "the policy" if path is None else printable(path)
            return [f"{named} does not say which judge it is for; it may be another than this one"]
        judge = judge_of(options.judge, options, rater.description)
        # As it stands in a file: a policy's own was read from one.
        judge = parse_json(json.dumps(judge))
        if changed := self.policy.differs(judge):
            raise DataError(
                f"the policy is for another judge ({', '.join(changed)}), so its promise does not "
                f"hold with {self.name}; make one with `selfj select` on scores of this judge.",
                path=path,
            )
        return []


def _refuse_prepared(rater: Rater, name: str) -> None:
    if isinstance(rater, Preparable) and not (isinstance(rater, SumRater) and rater.fixed):
        raise DataError(
            f"the scores of {name} depend on all answers together, so single requests cannot be "
            "judged; serve another judge, or use `selfj score`."
        )
