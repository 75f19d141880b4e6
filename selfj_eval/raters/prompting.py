"""What judges share that read label probabilities behind a prompt: model, prompts, store."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from selfj_eval.engines.base import Backend
from selfj_eval.engines.open_engine import open_backend, template_of
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import JudgeError, StoreError
from selfj_eval.prompts.labels import expected_score
from selfj_eval.prompts.rubrics import Rubric, read_rubric
from selfj_eval.prompts.templates import (
    CUT,
    SELF_J,
    Prompt,
    PromptTemplate,
    check_budget,
    fit_prompt,
    get_template,
)
from selfj_eval.raters.protocol import Progress
from selfj_eval.storage.resume import resume
from selfj_eval.storage.store import JudgmentStore, Stored

_TRIMMING = 1  # raise when fit_prompt changes what it makes of the same input
WINDOW = 4096
"""Records whose prompts are tokenized and sorted together."""

NO_LABEL = (
    "the judge gave no finite probability to any {label}; try `dtype` float32, and check that the "
    "weights belong to a judge."
)
Item = TypeVar("Item")


class Form(NamedTuple):
    """One question that is asked of each record.

    Attributes:
        template: With the criterion in it, where there are criteria.
        context: Hash of all that decides its judgments but the record: 32 bytes.
    """

    template: PromptTemplate
    context: bytes

    def key(self, *texts: str | None) -> bytes:
        """Key of a judgment in a store: 32 bytes."""
        return hashlib.sha256(self.context + json.dumps(texts).encode()).digest()


class PromptJudge(ABC, Generic[Item]):
    """A judge model with its prompt; ``Judge`` and ``PairJudge`` say what they put into it.

    Arguments and attributes as for ``Judge``.
    """

    pairwise: ClassVar[bool]
    """Whether its template compares two answers."""
    usual_template: ClassVar[str | None] = None
    """Where none is named; None: the model's own."""

    def __init__(
        self,
        backend: Backend,
        *,
        template: str | PromptTemplate | None = None,
        rubric: str | Path | Rubric | None = None,
        reference: bool = True,
        max_tokens: int | None = None,
        allow_markers: bool = False,
        store: JudgmentStore | None = None,
    ) -> None:
        self.backend = backend
        self.template = template_of(backend, template)
        self.check_kind(self.template)
        self.rubric = read_rubric(rubric) if isinstance(rubric, str | Path) else rubric
        self.reference = reference
        self.max_tokens = backend.max_tokens if max_tokens is None else max_tokens
        if not 0 < self.max_tokens <= backend.max_tokens:
            raise JudgeError(
                f"max_tokens must be in 1..{backend.max_tokens} for this judge, got {max_tokens}."
            )
        self._chat = backend.chat if self.template.chat else None
        self._forms = [
            self._form(own) for own in (self.rubric or Rubric()).templates(self.template)
        ]
        if self.pairwise and len(self._forms) > 1:
            raise JudgeError(
                "two answers are compared by one criterion: give a `rubric` with one criterion, "
                "and run once per criterion."
            )
        contexts = [form.context for form in self._forms]
        several = len(contexts) > 1
        self.context = hashlib.sha256(b"".join(contexts)).digest() if several else contexts[0]
        self.allow_markers = allow_markers
        self.store = store
        self.from_store = 0
        self.failed = 0
        self.prompts = 0
        self.tokens = 0
        self._counting = Lock()

    @classmethod
    def check_kind(cls, template: PromptTemplate) -> None:
        """Refuse a template for two answers if one answer is rated, and the reverse.

        Raises:
            JudgeError: If it does not fit.
        """
        if template.pairwise and not cls.pairwise:
            raise JudgeError(
                f"the template {template.name} compares two answers; it is for `selfj prefer` "
                "(docs/pairs.md)."
            )
        if cls.pairwise and not template.pairwise:
            raise JudgeError(
                f"the template {template.name} rates one answer, and here two are compared: give "
                "`template` pairwise, or one of your own with {response_a} and {response_b}."
            )

    def _form(self, template: PromptTemplate) -> Form:
        """A question, once it is sure that it can be asked.

        Raises:
            JudgeError: If a field has no text, or the budget does not hold the template.
        """
        template.check_filled()
        tokenize = self.backend.tokenize
        check_budget(template, tokenize=tokenize, max_tokens=self.max_tokens, chat=self._chat)
        decides = [dict(sorted(self.backend.identity.items())), *template.key()[:2]]
        decides += [self.max_tokens, _TRIMMING, CUT, *template.key()[2:]]
        return Form(template, hashlib.sha256(json.dumps(decides).encode()).digest())

    @classmethod
    def load(
        cls,
        model: str,
        *,
        reference: bool = True,
        store: JudgmentStore | None = None,
        **options: Any,
    ) -> Self:
        """Load a judge.

        Args:
            model: ``demo`` (embedded), a model folder or GGUF file, a hub id such as
                ``oceanpty/Self-J``, or with the engine ``openai`` the model's name at the server.
            reference, store: As for ``Judge``.
            **options: Those of ``engines.options.JudgeOptions``: adapter, template, rubric,
                max_tokens, allow_markers, revision, dtype, device, batch_tokens,
                trust_remote_code, engine, engine_args. By default the template is the judge's own:
                ``sections`` for an encoder, ``self-j`` for others.

        Raises:
            DataError: If an option is unknown or wrong.
            JudgeError: If the judge cannot be loaded completely and safely.
        """
        return cls.open(model, JudgeOptions.of(options), reference=reference, store=store)

    @classmethod
    def open(
        cls,
        model: str,
        options: JudgeOptions,
        *,
        reference: bool = True,
        store: JudgmentStore | None = None,
    ) -> Self:
        """Load a judge with given options; the rest is as for ``load``."""
        options = options.with_values(template=options.template or cls.usual_template)
        if options.template is not None:
            cls.check_kind(get_template(options.template))  # before a large model is loaded
        return cls(
            open_backend(model, options),
            rubric=options.rubric,
            reference=reference,
            max_tokens=options.max_tokens,
            allow_markers=options.allow_markers,
            store=store,
        )

    @property
    def description(self) -> dict[str, Any]:
        """What decides the scores, for the record: strict JSON."""
        template = self.template
        about: dict[str, Any] = {
            "template": template.name,
            "reference": self.reference,
            "max_tokens": self.max_tokens,
            "identity": dict(self.backend.identity),
        }
        if template.name not in SELF_J:
            asked = json.dumps([form.template.key() for form in self._forms])
            about["template_sha256"] = hashlib.sha256(asked.encode()).hexdigest()
            about["labels"] = dict(zip(template.labels.texts, template.labels.values, strict=True))
            about["scale"] = list(template.labels.scale)
        if self.rubric is not None:
            about["criteria"] = {own.name: own.weight for own in self.rubric.criteria}
        return about

    @abstractmethod
    def prompt(self, item: Item, which: int = 0, /) -> Prompt:
        """One of the prompts that the judge is given for an item."""

    def _shown(self, reference: str | None) -> str | None:
        """The reference, if the judge sees it."""
        shown = self.reference and self.template.with_reference is not None
        return reference if shown else None

    def _fitted(
        self, form: Form, question: str, response: str, reference: str | None, other: str = ""
    ) -> Prompt:
        return fit_prompt(
            form.template,
            *(question, response, reference, other),
            tokenize=self.backend.tokenize,
            max_tokens=self.max_tokens,
            chat=self._chat,
        )

    def _no_label(self) -> str:
        return NO_LABEL.format(label="digit" if self.template.name in SELF_J else "label")

    @abstractmethod
    def key(self, item: Item, which: int = 0, /) -> bytes:
        """Key of the judgment of one of an item's prompts in a store: 32 bytes."""

    def _outcomes(
        self,
        given: Sequence[Item],
        errors: Sequence[str | None],
        parts: int,
        progress: Progress | None,
    ) -> list[tuple[Stored | None, str | None]]:
        """What is stored or judged, and why not where the backend says; ``parts`` an item.

        Args:
            given: The items.
            errors: Why one must not be judged, or None.
            parts: How many prompts an item has.
            progress: Called as items finish.
        """
        keys = [
            b"" if error else self.key(item, part)
            for item, error in zip(given, errors, strict=True)
            for part in range(parts)
        ]
        reasons: dict[bytes, str] = {}

        def run(left: Mapping[bytes, int]) -> Iterator[dict[bytes, Stored]]:
            asked = {key: (given[at // parts], at % parts) for key, at in left.items()}
            return self._run(asked, reasons)

        finished, stored = resume(keys, self.store, run, progress, parts=parts)
        with self._counting:
            self.from_store += stored
        return [(finished.get(key), reasons.get(key)) for key in keys]

    def _run(
        self, pending: Mapping[bytes, tuple[Item, int]], reasons: dict[bytes, str]
    ) -> Iterator[dict[bytes, Stored]]:
        """Judge what is not stored yet; yields what has been finished and stored.

        Args:
            pending: What ``prompt`` takes, by key.
            reasons: Gets why a key has no score, where the backend says.
        """
        keys, labels = list(pending), self.template.labels
        for start in range(0, len(keys), WINDOW):
            window, prompts = [], []
            for key in keys[start : start + WINDOW]:
                try:
                    prompts.append(self.prompt(*pending[key]))
                except JudgeError as error:  # the tokenizer gives up on a text
                    reasons[key] = str(error)
                    yield {key: Stored((math.nan,) * len(labels.texts), 0)}
                else:
                    window.append(key)
            with self._counting:
                self.prompts += len(prompts)
                self.tokens += sum(prompt.tokens for prompt in prompts)
            for batch in self.backend.score([prompt.text for prompt in prompts]):
                done = {
                    window[i]: Stored(tuple(row.tolist()), prompts[i].trimmed_tokens)
                    for i, row in zip(batch.indices, batch.log_probabilities, strict=True)
                }
                if self.store is not None:
                    # What could not be scored is tried again by the next run.
                    scores = expected_score(batch.log_probabilities, labels).score
                    good = [i for i, s in zip(batch.indices, scores, strict=True) if s == s]
                    self.store.put({window[i]: done[window[i]] for i in good})
                reasons |= {window[i]: reason for i, reason in batch.reasons.items()}
                yield done

    def _rows(self, outcomes: list[Stored | None]) -> npt.NDArray[np.float64]:
        """Log-probabilities of the k labels, shape (n, k); NaN where there is no outcome.

        Raises:
            StoreError: If the store keeps something else under a key.
        """
        width = len(self.template.labels.texts)
        rows = [() if own is None else own.log_probabilities for own in outcomes]
        if any(len(row) not in (0, width) for row in rows):
            raise StoreError(
                f"the store keeps judgments without the template's {width} labels; it is "
                "damaged. Name another file with `store`."
            )
        return np.array([row or (math.nan,) * width for row in rows]).reshape(-1, width)
