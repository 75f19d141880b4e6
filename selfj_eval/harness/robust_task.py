"""The evaluated model is the judge: its score must not go where an answer's quality does not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, Features, Value

from selfj_eval.benchmarking.robustness.attacks import CHANGES, Change
from selfj_eval.benchmarking.robustness.change_numbers import DIGIT_TOLERANCE
from selfj_eval.benchmarking.robustness.choosing import AnswerPool, chosen
from selfj_eval.errors import JudgeError
from selfj_eval.harness.judge_task import SeveralPromptsTask
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.records.record import Record
from selfj_eval.records.texts import reason_not_text as unreadable

logger = logging.getLogger(__name__)


class RobustTask(SeveralPromptsTask):
    """Each answer is judged as it is and changed; a document holds both.

    The documents are those of ``robustness`` with the same limit and seed: of the chosen answers,
    those that the change applies to.
    """

    @property
    def change(self) -> Change:
        """What is done to the answers.

        Raises:
            JudgeError: If the metadata names none, or one that does not exist.
        """
        change = CHANGES.get(self.settings.change or "")
        if change is None:
            known = ", ".join(CHANGES)
            named = self.settings.change
            raise JudgeError(f"selfj_change must be one of {known}; got {named!r}.")
        return change

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """lm-eval's hook: the set's answers, with the changed answer in a column ``changed``."""
        change, seed = self.change, self.settings.seed
        super().download(dataset_kwargs)
        docs = self.dataset["test"]
        records = [self.record(doc) for doc in docs]
        answers, base = AnswerPool(records), chosen(records, self.settings.limit, seed)
        kept = set(map(id, base))
        rows = [
            doc | {"changed": changed}
            for doc, record in zip(docs, records, strict=True)
            if id(record) in kept
            and ((changed := change.apply(record, answers, seed)) is not None or unreadable(record))
        ]
        if len(rows) < len(base):
            left_out = f"{len(base) - len(rows)} of {len(base)} answers"
            logger.info("%s: %s skipped: the change does not apply.", self.config.task, left_out)
        features = Features({**docs.features, "changed": Value("string")})
        self.dataset = {"test": Dataset.from_list(rows, features)}

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int = 0, **kwargs: Any) -> Any:
        """Prompts for the answer and the changed one; only the first where that is refused."""
        records = [self.record(doc), self._changed(doc)]
        if self.refusal(records[1]):
            records.pop()
        return [self.wrap(self.judge_prompt(r).text, kwargs.get("chat_template")) for r in records]

    def values(
        self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
    ) -> dict[str, Any]:
        """The values of one document: moves are in points of 0 to 9, None where there is none."""
        n, records = len(DIGITS), [self.record(doc), self._changed(doc)]
        base, changed = self.verdict(records[0], results[:n])[0], None
        refused = base is not None and self.refusal(records[1]) is not None
        if len(results) > n:
            changed = self.verdict(records[1], results[n:])[0]
        difference = wrong = None
        trimmed = False
        if base is not None and changed is not None:
            difference = changed - base
            wrong = self.change.wrong_move(difference)
            trimmed = any(map(self.trimmed_tokens, records))
        return {
            "wrong_way": None if wrong is None else float(wrong > DIGIT_TOLERANCE),
            "moved": wrong,
            "mean_change": difference,
            "score": base,
            "score_changed": changed,
            "refused": int(refused),
            "unscored": int(wrong is None and not refused),
            "trimmed": int(trimmed),
        }

    def _changed(self, doc: Mapping[str, Any]) -> Record:
        where = f"document {doc['id']}, {self.change.name}"
        return self.record(doc, response=doc["changed"], where=where)
