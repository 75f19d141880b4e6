"""What all tasks share: settings from the metadata, prompts, and named reasons for NaN."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any, Self

from lm_eval.api.task import ConfigurableTask

from selfj_eval.engines.base import reserved_tokens
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.errors import JudgeError, shown
from selfj_eval.files.stamps import Stamp, stamp
from selfj_eval.harness.answer_cache import check_answer_cache
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.metrics import GOOD_AT, Metric
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, Prompt, fit_prompt, get_template
from selfj_eval.records.record import RECORD_FIELDS, Record

logger = logging.getLogger(__name__)

_CHAT_RESERVE = 64  # tokens left for a chat template around the judge's prompt


@dataclass(frozen=True)
class TaskSettings:
    """What a task takes, as ``selfj_<name>``, from lm-eval's ``metadata`` or its YAML file.

    Attributes:
        source: Data set, such as ``pointwise_mtbench``.
        data: Folder with ``judge_bench/`` in it; default that of ``registry.folder.data_folder``.
        reference: Show the judge the reference of documents that have one.
        template: Name of the prompt template.
        max_tokens: Longest prompt; default the model's context.
        tokenizer: Folder or hub id of the tokenizer that trims prompts; default the model's.
        good_at: An answer is good if its rating, rescaled to 0..9, is at least this.
        allow_markers: Also judge answers that contain text from the prompt template.
        chat_template: Wrap the judge's prompt when lm-eval is told ``apply_chat_template``.
        judge: The judge of generation tasks: ``demo``, a folder, a hub id, or a mapping with
            ``model`` and options of ``Judge.load``. Default the variable ``SELFJ_JUDGE``.
        default_judge: The judge when neither is given.
        store: File that keeps the judgments of generation tasks.
        change: The change of robustness tasks, such as ``padding``.
        limit: Robustness tasks: judge at most this many of the set's answers; default all.
        seed: Robustness tasks: decides what is drawn.
    """

    source: str | None = None
    data: str | None = None
    reference: bool = True
    template: str = DEFAULT_TEMPLATE
    max_tokens: int | None = None
    tokenizer: str | None = None
    good_at: float = GOOD_AT
    allow_markers: bool = False
    chat_template: bool = False
    judge: str | Mapping[str, Any] | None = None
    default_judge: str | None = None
    store: str | None = None
    change: str | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        kinds: dict[str, Any] = {"reference": bool, "allow_markers": bool, "chat_template": bool}
        kinds |= {"max_tokens": int, "good_at": int | float, "judge": str | Mapping}
        kinds |= {"limit": int, "seed": int}
        for field in fields(self):
            value, kind = getattr(self, field.name), kinds.get(field.name, str)
            wrong = isinstance(value, bool) and kind is not bool
            if wrong or not isinstance(value, kind | None if field.default is None else kind):
                name = getattr(kind, "__name__", str(kind)).replace("str | collections.abc.", "")
                raise JudgeError(f"the setting selfj_{field.name} must be {name}, got {value!r}.")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> Self:
        """Read the settings; other keys of the metadata are not ours.

        Raises:
            JudgeError: If there is a ``selfj_`` key that does not exist.
        """
        known = {f.name for f in fields(cls)}
        given = {
            key.removeprefix("selfj_"): value
            for key, value in (metadata or {}).items()
            if key.startswith("selfj_")
        }
        unknown = sorted(set(given) - known)
        if unknown:
            names = ", ".join(f"selfj_{name}" for name in sorted(known))
            raise JudgeError(f"no setting selfj_{unknown[0]} in the metadata; there are {names}.")
        return cls(**given)


@lru_cache(maxsize=4)
def _tokenizer(
    name: str, template: str, revision: str | None, code: bool, _: Stamp
) -> JudgeTokenizer:
    return JudgeTokenizer(name, template=template, revision=revision, trust_remote_code=code)


@lru_cache(maxsize=4)
def _warn_untrimmed(reason: str) -> None:
    logger.warning(
        "Prompts are not trimmed: %s. lm-eval cuts what is too long from the left, the judge's "
        "instructions first. Name the model's tokenizer in lm-eval's `metadata`: "
        '{"selfj_tokenizer": "..."}.',
        shown(reason),
    )


class SelfJTask(ConfigurableTask):  # type: ignore[misc]
    """Base of the tasks; not used by itself."""

    def __init__(
        self,
        data_dir: str | None = None,
        cache_dir: str | None = None,
        download_mode: Any = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        config = dict(config or {})
        config.pop("class", None)  # ConfigurableTask does not take the key that chose it
        metadata = config.get("metadata") or {}
        self.settings = TaskSettings.from_metadata(metadata)
        self.template = get_template(self.settings.template)
        self.template.check_filled()
        self._tokenizer_state = ""
        self._trimmed: dict[tuple[str, str, str | None, str], int] = {}
        self._trim = self._trimmer(metadata)
        super().__init__(config=config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """lm-eval's hook: the documents (its own version prints a warning a task)."""
        settings = {**(self.config.metadata or {}), **(dataset_kwargs or {})}
        self.dataset = self.config.custom_dataset(**settings)

    def _trimmer(self, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
        """Arguments of ``fit_prompt`` for the evaluated model, or None when it is unknown."""
        settings = self.settings
        # lm-eval puts the model's arguments into the metadata; no task sees the model itself.
        local = settings.tokenizer or metadata.get("tokenizer") or metadata.get("pretrained")
        name = local or metadata.get("model")
        if not isinstance(name, str):
            _warn_untrimmed("the model's tokenizer is not known here")
            return None
        try:
            revision = metadata.get("revision") if name == metadata.get("pretrained") else None
            code = metadata.get("trust_remote_code") is True
            tokenizer = _tokenizer(name, settings.template, revision, code, stamp(name))
        except JudgeError as error:
            if local:
                raise
            _warn_untrimmed(str(error).rstrip("."))
            return None
        budget = min(tokenizer.max_tokens, int(metadata.get("max_model_len") or sys.maxsize))
        # Model arguments of the model selfj; the stock models have none of that name.
        budget -= reserved_tokens(str(metadata.get("engine")), metadata)
        budget = min(budget, int(metadata.get("max_length") or budget))
        budget = min(budget, settings.max_tokens or budget)
        if settings.chat_template:
            budget -= _CHAT_RESERVE
        self._tokenizer_state = tokenizer.fingerprint
        return {"tokenize": tokenizer.offsets, "max_tokens": budget}

    def judge_prompt(self, record: Record, other: object = "") -> Prompt:
        """The prompt for the judge, within the model's context.

        Args:
            record: The answer.
            other: For a template with two answers, the one that is shown second.
        """
        texts = self._texts(record, other)
        if self._trim is None:
            return Prompt(self.template.render(*texts), 0)
        prompt = fit_prompt(self.template, *texts, **self._trim)
        self._trimmed[texts] = prompt.trimmed_tokens
        return prompt

    def trimmed_tokens(self, record: Record, other: object = "") -> int:
        """How many tokens a prompt lacks; as known since it was made. Arguments as above."""
        texts = self._texts(record, other)
        if texts in self._trimmed:
            return self._trimmed[texts]
        return self.judge_prompt(record, other).trimmed_tokens

    def _texts(self, record: Record, other: object) -> tuple[str, str, str | None, str]:
        reference = self.shown(record).reference
        # lm-eval wants a prompt for each document. What is missing or no text is empty in it, and
        # the document is unscored whatever the model says (``reason_unjudgeable``).
        if reference is not None or self.template.without_reference is None:
            reference = _text(reference)
        return _text(record.question), _text(record.response), reference, _text(other)

    def shown(self, record: Record) -> Record:
        """The record as the judge sees it: without its reference where the settings say so."""
        return record if self.settings.reference else replace(record, reference=None)

    def record(self, doc: Mapping[str, Any], **changes: Any) -> Record:
        """The document as a record; NaN, pandas' word for missing, is missing.

        Raises:
            JudgeError: If a rating, or an end of its scale, is no number.
        """
        where = f"document {doc.get('id')}"
        values: dict[str, Any] = {name: doc.get(name) for name in RECORD_FIELDS} | changes
        values = {name: None if is_missing(value) else value for name, value in values.items()}
        for name in ("rating", "rating_min", "rating_max"):
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise JudgeError(
                    f"{self.config.task}, {where}, field {name!r}: expected a number or nothing, "
                    f"got {type(value).__name__} ({value!r:.40})."
                )
        return Record(**({"where": where} | values))

    @property
    def predict_only(self) -> bool:
        """Whether lm-eval only collects the model's output (its ``predict_only``)."""
        return "bypass" in self._metric_fn_list

    def values(self, doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """One value a metric for one document."""
        raise NotImplementedError

    def process_results(self, doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """lm-eval's hook: the values of one document."""
        return {"bypass": 0} if self.predict_only else self.values(doc, results)

    def aggregation(self) -> dict[str, Callable[..., float]]:
        """lm-eval's hook: the corpus metrics, with a logged reason wherever one is undefined."""
        functions: dict[str, Callable[..., Any]] = super().aggregation()
        if self.predict_only:
            return functions
        return {
            name: partial(_value, self.task_name, name, function)
            for name, function in functions.items()
        }

    def build_all_requests(self, *, tokenizer_name: str = "", **kwargs: Any) -> None:
        """lm-eval's hook; makes ``cache_requests`` see changed data, prompts and settings."""
        check_answer_cache(self.config.metadata or {})
        state = [
            self.dataset[self.config.test_split][:],
            self.template.key(),
            repr(self.settings),
            None if self._trim is None else self._trim["max_tokens"],
            self._tokenizer_state,
            kwargs.get("samples"),
        ]
        digest = hashlib.sha256(json.dumps(state, default=str).encode()).hexdigest()[:16]
        super().build_all_requests(tokenizer_name=f"{tokenizer_name}-selfj-{digest}", **kwargs)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _value(
    task: str, metric: str, function: Callable[[Sequence[Any]], Metric], items: Sequence[Any]
) -> float:
    result = function(items)
    if result.value is None:
        logger.warning("%s: %s is undefined: %s.", task, metric, result.undefined)
        return math.nan
    return result.value
