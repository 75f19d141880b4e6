"""The evaluated model is the judge: its score decides which of two answers is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfj_eval.errors import JudgeError
from selfj_eval.harness.judge_task import SeveralPromptsTask
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.records.record import Record

_LABELS = {"A": 1, "tie": 0, "B": -1}


class PairTask(SeveralPromptsTask):
    """Both answers of a pair are judged alone, A first, so that their order cannot matter."""

    def doc_to_text(self, doc: Mapping[str, Any], doc_to_text: Any = None) -> str:
        """The judge's prompt for answer A."""
        return self.judge_prompt(self._side(doc, "a")).text

    def doc_to_target(self, doc: Mapping[str, Any], doc_to_target: Any = None) -> str:
        """The label: A, B or tie."""
        return "" if is_missing(doc.get("label")) else str(doc["label"])

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int = 0, **kwargs: Any) -> Any:
        """Two prompts, for A and B.

        Raises:
            JudgeError: If the pair has no label, or another one.
        """
        if doc.get("label") not in _LABELS:  # now, not when the model has done its work
            raise JudgeError(
                f"{self.config.task}, document {doc.get('id')}, field 'label': expected A, B or "
                f"tie, got {doc.get('label')!r}."
            )
        prompts = [self.judge_prompt(self._side(doc, side)).text for side in "ab"]
        return [self.wrap(prompt, kwargs.get("chat_template")) for prompt in prompts]

    def values(
        self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
    ) -> dict[str, Any]:
        """The values of one pair."""
        n, sides = len(DIGITS), [self._side(doc, side) for side in "ab"]
        score_a, mass_a = self.verdict(sides[0], results[:n])
        score_b, mass_b = self.verdict(sides[1], results[n:])
        pair = mass = None
        if score_a is not None and score_b is not None:
            pair = (score_a, score_b, _LABELS[doc["label"]])
        if mass_a is not None and mass_b is not None:
            mass = (mass_a + mass_b) / 2
        return {
            "acc": pair,
            "acc_with_ties": pair,
            "score_a": score_a,
            "score_b": score_b,
            "digit_mass": mass,
            "unscored": int(pair is None),
            "trimmed": int(any(map(self.trimmed_tokens, sides))),
        }

    def _side(self, doc: Mapping[str, Any], side: str) -> Record:
        return self.record(doc, response=doc.get(f"response_{side}"))
