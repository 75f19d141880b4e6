"""The evaluated model is the judge: it decides which of two answers is better."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from selfj_eval.errors import JudgeError
from selfj_eval.harness.judge_task import SeveralPromptsTask
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.prompts.labels import expected_score, preference
from selfj_eval.records.pairs import SIGNS
from selfj_eval.records.record import Record

logger = logging.getLogger(__name__)

_FIELDS = ("response_a", "response_b")


class PairTask(SeveralPromptsTask):
    """Two prompts a pair, A first.

    Both answers are judged alone, so that their order cannot matter; with a template that compares
    two answers they are shown together, in both orders, and the preference is the mean.
    """

    def check_template(self) -> None:
        """As for one answer; a template with two must be a plain prompt that ends before a label.

        Raises:
            JudgeError: If it does not fit.
        """
        if not self.template.pairwise:
            super().check_template()
            return
        name, labels = self.template.name, self.template.labels.texts
        if self.template.chat:
            raise JudgeError(
                f"the template {name} is a chat, but these tasks need a plain prompt; use `selfj "
                "prefer` with it."
            )
        texts = (self.template.with_reference, self.template.without_reference)
        if any(text is not None and (text.endswith("}") or text[-1:].isspace()) for text in texts):
            raise JudgeError(
                f"the template {name} ends with an answer or a blank, and lm-eval would score last "
                "blanks together with the label; let it end with a text of its own."
            )
        if any(one != two and two.startswith(one) for one in labels for two in labels):
            raise JudgeError(
                f"of the labels of the template {name} one begins another, which lm-eval does not "
                "tell apart; use `selfj prefer` with it."
            )

    @property
    def choices(self) -> Sequence[str]:
        """What the judge may answer."""
        return self.template.labels.texts

    def doc_to_text(self, doc: Mapping[str, Any], doc_to_text: Any = None) -> str:
        """The judge's first prompt: for answer A, or with A first."""
        return self._prompt(doc, "ab")

    def doc_to_target(self, doc: Mapping[str, Any], doc_to_target: Any = None) -> str:
        """The label: A, B or tie."""
        return "" if is_missing(doc.get("label")) else str(doc["label"])

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int = 0, **kwargs: Any) -> Any:
        """Two prompts, for A and B, or with A first and with B first.

        Raises:
            JudgeError: If the pair has no label, or another one.
        """
        if doc.get("label") not in SIGNS:  # now, not when the model has done its work
            raise JudgeError(
                f"{self.config.task}, document {doc.get('id')}, field 'label': expected A, B or "
                f"tie, got {doc.get('label')!r}."
            )
        prompts = [self._prompt(doc, order) for order in ("ab", "ba")]
        return [self.wrap(prompt, kwargs.get("chat_template")) for prompt in prompts]

    def values(
        self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
    ) -> dict[str, Any]:
        """The values of one pair."""
        n, sides = len(self.choices), [self._side(doc, side) for side in "ab"]
        parts = [results[:n], results[n:]]
        if self.template.pairwise:
            (score_a, score_b), mass = self._together(sides, parts)
        else:
            (score_a, mass_a), (score_b, mass_b) = map(self.verdict, sides, parts, _FIELDS)
            mass = None if mass_a is None or mass_b is None else (mass_a + mass_b) / 2
        pair = None
        if score_a is not None and score_b is not None:
            pair = (score_a, score_b, SIGNS[doc["label"]])
        seconds = [sides[1].response, sides[0].response] if self.template.pairwise else ["", ""]
        return {
            "acc": pair,
            "acc_with_ties": pair,
            "score_a": score_a,
            "score_b": score_b,
            "digit_mass": mass,
            "unscored": int(pair is None),
            "trimmed": int(any(map(self.trimmed_tokens, sides, seconds))),
        }

    def _together(
        self, sides: Sequence[Record], results: Sequence[Sequence[tuple[float, bool]]]
    ) -> tuple[tuple[float | None, float | None], float | None]:
        """The preferences for A and for B, and the label mass of the order with less."""
        labels = self.template.labels
        for side, field in zip(sides, _FIELDS, strict=True):
            reason = self.refusal(side, field)
            if reason is not None:
                logger.warning("%s: unscored: %s", self.task_name, reason)
                return (None, None), None
        orders = expected_score([[value for value, _ in order] for order in results], labels)
        found = preference(orders, labels)
        if math.isnan(found.mean):
            reason = "the model gave no finite probability to any label in one of the two orders"
            logger.warning("%s: unscored: %s: %s.", self.task_name, sides[0].where, reason)
            return (None, None), None
        return (found.mean, 1 - found.mean), found.label_mass

    def _prompt(self, doc: Mapping[str, Any], order: str) -> str:
        """The prompt for the first answer of an order, or where both are shown for the two."""
        other = self._side(doc, order[1]).response if self.template.pairwise else ""
        return self.judge_prompt(self._side(doc, order[0]), other).text

    def _side(self, doc: Mapping[str, Any], side: str) -> Record:
        return self.record(doc, response=doc.get(f"response_{side}"))
