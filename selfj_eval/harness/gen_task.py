"""The evaluated model answers, and a judge scores its answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from selfj_eval.errors import JudgeError, shown
from selfj_eval.files.stamps import Stamp, stamp
from selfj_eval.harness.task import SelfJTask
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.prompts.templates import RESPONSE_WRAPPER
from selfj_eval.raters.judge import Judge
from selfj_eval.records.record import Judgment
from selfj_eval.storage.store import JudgmentStore

logger = logging.getLogger(__name__)

_JUDGE_OPTIONS = ("adapter", "revision", "dtype", "device", "batch_tokens", "trust_remote_code")


class JudgedText(str):
    """An answer that carries its judgment; prints and pickles as plain text."""

    judgment: Judgment

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


@lru_cache(maxsize=1)
def _load(model: str, store: str | None, options: tuple[tuple[str, Any], ...], *_: Stamp) -> Judge:
    """The judge, shared by all tasks of a run, as long as its files stay as they are."""
    opened = None if store is None else JudgmentStore(store)
    return Judge.load(model, store=opened, **dict(options))


class GenTask(SelfJTask):
    """Generates answers, then judges all of them in one go after the generation."""

    def _trimmer(self, metadata: Mapping[str, Any]) -> None:
        return None  # the evaluated model sees the instruction, not a judge's prompt

    def doc_to_text(self, doc: Mapping[str, Any], doc_to_text: Any = None) -> str:
        """The instruction; nothing where there is none, so that the document is unscored."""
        return self.record(doc).question or ""

    def doc_to_target(self, doc: Mapping[str, Any], doc_to_target: Any = None) -> str:
        """The reference; empty when there is none."""
        return self.record(doc).reference or ""

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int = 0, **kwargs: Any) -> Any:
        """The instruction, in the model's chat template or in the one Self-J's models know."""
        context = super().fewshot_context(doc, num_fewshot, **kwargs)
        return context if kwargs.get("apply_chat_template") else context + RESPONSE_WRAPPER

    def build_all_requests(self, **kwargs: Any) -> None:
        """lm-eval's hook; a judge that cannot be loaded fails before the generation."""
        if not self.predict_only:
            if self.config.repeats != 1:
                raise JudgeError(
                    f"{self.task_name}: one answer per document is judged, but repeats is "
                    f"{self.config.repeats}."
                )
            # Into the results file: which judge it was, wherever its name came from.
            self.config.metadata["selfj_judge_used"] = dict(self._judge().backend.identity)
        super().build_all_requests(**kwargs)

    def _judge(self) -> Judge:
        settings = self.settings
        judge = settings.judge
        if judge is None:
            judge = os.environ.get("SELFJ_JUDGE") or settings.default_judge
        if judge is None:
            raise JudgeError(
                f"{self.task_name} needs a judge: set the environment variable SELFJ_JUDGE to a "
                "judge (a folder, a hub id such as oceanpty/Self-J, or 'demo'), or give in "
                'lm-eval\'s `metadata` {"selfj_judge": "..."}.'
            )
        options = {"model": judge} if isinstance(judge, str) else dict(judge)
        model = options.pop("model", None)
        unknown = sorted(set(options) - set(_JUDGE_OPTIONS))
        texts = (options.get(n, "") for n in ("adapter", "revision", "dtype", "device"))
        if not isinstance(model, str) or unknown or not all(isinstance(t, str) for t in texts):
            raise JudgeError(
                "selfj_judge must be a text or a mapping with 'model' and, as texts, any of "
                f"{', '.join(_JUDGE_OPTIONS)}; got {judge!r}."
            )
        for name in ("template", "reference", "max_tokens", "allow_markers"):
            options[name] = getattr(settings, name)
        files = [stamp(name) for name in (model, options.get("adapter")) if name is not None]
        return _load(model, settings.store, tuple(sorted(options.items())), *files)

    def apply_filters(self) -> Any:
        """lm-eval's hook, called once after all generation: judge the answers of this rank."""
        result = super().apply_filters()
        if self.predict_only:
            return result
        # One answer a document; more only where lm-eval pads a short rank with repeats.
        records = [
            self.record(
                instance.doc,
                id=str(index),
                response=instance.resps[0],
                where=f"{self.task_name}, document {instance.doc_id}",
            )
            for index, instance in enumerate(self.instances)
        ]
        logger.info("%s: judging %d answers", self.task_name, len(records))
        judgments = self._judge().judge(records)
        for instance, judgment in zip(self.instances, judgments, strict=True):
            if judgment.error:
                logger.warning("unscored: %s", shown(judgment.error))
            for name, answer in instance.filtered_resps.items():
                judged = JudgedText("" if is_missing(answer) else answer)
                judged.judgment = judgment
                instance.filtered_resps[name] = judged
        return result

    def values(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
        """The judgment of one answer."""
        answer = results[0]
        assert isinstance(answer, JudgedText)
        return {
            "score": answer.judgment.score,
            "digit_mass": answer.judgment.digit_mass,
            "unscored": int(answer.judgment.score is None),
        }
