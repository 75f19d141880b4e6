"""The evaluated model is the judge: it rates answers whose rating is known."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from selfj_eval.errors import JudgeError
from selfj_eval.harness.task import SelfJTask
from selfj_eval.metrics import Headline
from selfj_eval.prompts.labels import DIGIT_LABELS, DIGITS, expected_score
from selfj_eval.prompts.templates import RESPONSE_WRAPPER
from selfj_eval.raters.judge import reason_unjudgeable
from selfj_eval.records.ratings import rescaled
from selfj_eval.records.record import Record

logger = logging.getLogger(__name__)


class JudgeTask(SelfJTask):
    """Ten choices "0".."9" after the judge's prompt; their likelihoods give the expected score.

    Per document: ``score``, ``digit_mass``, ``unscored``, and (score, rating on 0..9, whether it
    is good) for the headline metrics. ``apply_chat_template`` does not touch the judge's
    prompt unless the metadata says ``selfj_chat_template``.
    """

    def _trimmer(self, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
        self.check_template()
        return super()._trimmer(metadata)

    def check_template(self) -> None:
        """Refuse a template that lm-eval would not score as the judge is asked elsewhere.

        Raises:
            JudgeError: If it has other labels or another form.
        """
        if self.template.pairwise:
            raise JudgeError(
                f"the template {self.template.name} compares two answers; it is for the tasks "
                "selfj_pair_*."
            )
        if self.template.chat or self.template.labels != DIGIT_LABELS:
            raise JudgeError(
                f"the template {self.template.name} is a chat or has labels of its own, and these "
                "tasks ask for ten digits after a plain prompt; use `selfj score` with it."
            )
        if not self.template.probe().strip().endswith(RESPONSE_WRAPPER.strip()):
            raise JudgeError(
                f"the template {self.template.name} ends with the answer, whose last blanks "
                "lm-eval would score together with the digit; use `selfj score` with it."
            )

    @property
    def choices(self) -> Sequence[str]:
        """What the judge may answer."""
        return DIGITS

    def doc_to_text(self, doc: Mapping[str, Any], doc_to_text: Any = None) -> str:
        """The judge's prompt."""
        return self.judge_prompt(self.record(doc)).text

    def doc_to_target(self, doc: Mapping[str, Any], doc_to_target: Any = None) -> str:
        """The digit nearest to the rating; empty for an answer without one."""
        record = self.record(doc)
        if record.rating is None:
            return ""
        quality = rescaled(record.rating, record.rating_min, record.rating_max)
        return str(round(min(max(quality, 0), 9)))

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int = 0, **kwargs: Any) -> Any:
        """The prompt as it is: no examples, no system prompt, no chat template unless asked for."""
        return self.wrap(self.doc_to_text(doc), kwargs.get("chat_template"))

    def wrap(self, prompt: str, chat_template: Callable[..., str] | None) -> str:
        """Put the prompt into the model's chat template when the metadata asks for it."""
        if chat_template is None or not self.settings.chat_template:
            return prompt
        return chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)

    def refusal(self, record: Record, field: str = "response") -> str | None:
        """Why a record must not be judged, or None; ``field`` is what its response is called."""
        allowed = self.settings.allow_markers
        shown = self.shown(record)
        return reason_unjudgeable(self.template, shown, allow_markers=allowed, field=field)

    def verdict(
        self, record: Record, results: Sequence[tuple[float, bool]], field: str = "response"
    ) -> tuple[float | None, float | None]:
        """Score and digit mass of ten choices; None and None when the record is unscored."""
        reason = self.refusal(record, field)
        if reason is not None:
            logger.warning("%s: unscored: %s", self.task_name, reason)
            return None, None
        expected = expected_score([[log_probability for log_probability, _ in results]])
        score = float(expected.score[0])
        if math.isnan(score):
            reason = "the model gave no finite probability to any digit"
            logger.warning("%s: unscored: %s: %s.", self.task_name, record.where, reason)
            return None, None
        return score, float(expected.digit_mass[0])

    def values(
        self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
    ) -> dict[str, Any]:
        """The values of one document."""
        record = self.record(doc)
        score, digit_mass = self.verdict(record, results[: len(DIGITS)])
        rated = None
        if score is not None and record.rating is not None:
            quality = rescaled(record.rating, record.rating_min, record.rating_max)
            rated = (score, quality, quality >= self.settings.good_at)
        return dict.fromkeys(Headline._fields, rated) | {
            "score": score,
            "digit_mass": digit_mass,
            "unscored": int(score is None),
            "trimmed": int(self.trimmed_tokens(record) > 0),
        }


class SeveralPromptsTask(JudgeTask):
    """A task whose documents have several prompts each: ``fewshot_context`` gives a list."""

    def construct_requests(
        self, doc: Mapping[str, Any], ctx: Sequence[str], **kwargs: Any
    ) -> list[Instance]:
        """lm-eval's hook: all choices for each prompt."""
        arguments = [(prompt, choice) for prompt in ctx for choice in self.choices]
        return [
            Instance("loglikelihood", doc, argument, index, metadata=kwargs["metadata"])
            for index, argument in enumerate(arguments)
        ]
