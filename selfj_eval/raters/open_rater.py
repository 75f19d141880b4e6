"""From what a user says of a rater to the rater, loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selfj_eval.engines.models.weights import resolve_folder
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.files.stamps import Stamp, stamp
from selfj_eval.generation.base import Generator
from selfj_eval.generation.options import Sampling
from selfj_eval.jobs.arguments import items
from selfj_eval.raters.combined import SumRater
from selfj_eval.raters.judge import Judge
from selfj_eval.raters.prompting import PromptJudge
from selfj_eval.raters.protocol import Progress, Rater
from selfj_eval.raters.specs import KINDS, RaterSpec, short_name
from selfj_eval.raters.taken_options import refuse_loaded, refuse_untaken, spec_of, taken
from selfj_eval.records.record import Judgment, Record
from selfj_eval.storage.store import AnswerStore, JudgmentStore, MeasureStore

if TYPE_CHECKING:
    from selfj_eval.engines.models.embedder import Embedder

EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
"""The embedding model of cosine and vro, where none is named."""
SAMPLES = 5
"""Answers that vro has the model draw, where nothing else is said."""


J = TypeVar("J", bound=PromptJudge[Any])
_HINT = " (Options named here go into a YAML file of raters, as names with values: docs/bench.md.)"


class Stores:
    """The files that keep what raters do; each is made when it is first needed.

    Args:
        judgments, measures, answers: The files; None keeps nothing.
    """

    def __init__(self, judgments: Path | None, measures: Path | None, answers: Path | None) -> None:
        self._files = (judgments, measures, answers)
        self._stack = ExitStack()

    @classmethod
    def of_folder(cls, folder: Path) -> Stores:
        """In an existing folder."""
        return cls(*(folder / f"{name}.store" for name in ("judgments", "measures", "answers")))

    @classmethod
    def beside(cls, store: str | Path | None) -> Stores:
        """A judge's own file, and beside it those of other raters."""
        if store is None:
            return cls(None, None, None)
        if str(store) == ":memory:":
            return cls(Path(store), Path(store), Path(store))
        return cls(Path(store), Path(f"{store}.measures"), Path(f"{store}.answers"))

    @cached_property
    def judgments(self) -> JudgmentStore | None:
        """Of Self-J judges."""
        file = self._files[0]
        return None if file is None else self._stack.enter_context(JudgmentStore(file))

    @cached_property
    def measures(self) -> MeasureStore | None:
        """Numbers of other raters."""
        file = self._files[1]
        return None if file is None else self._stack.enter_context(MeasureStore(file))

    @cached_property
    def answers(self) -> AnswerStore | None:
        """Answers and replies that models were asked for."""
        file = self._files[2]
        return None if file is None else self._stack.enter_context(AnswerStore(file))

    def __enter__(self) -> Stores:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class _ByReference:
    """A rater with two questions: with the reference where a record has one, else without."""

    def __init__(self, raters: Mapping[bool, Rater]) -> None:
        self._raters = raters

    @property
    def from_store(self) -> int:
        return sum(rater.from_store for rater in self._raters.values())

    @property
    def failed(self) -> int:
        return sum(rater.failed for rater in self._raters.values())

    @property
    def description(self) -> dict[str, Any]:
        names = {True: "with_reference", False: "without_reference"}
        return {names[mode]: dict(r.description) for mode, r in self._raters.items()}

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        records = items(records, Record, "judge()")
        found: dict[int, Judgment] = {}
        for mode, rater in self._raters.items():
            at = [k for k, r in enumerate(records) if (r.reference is not None) is mode]
            judged = rater.judge([records[k] for k in at], progress=progress)
            found |= zip(at, judged, strict=True)
        return [found[k] for k in range(len(records))]


@contextmanager
def opened(
    judge: str | Path | Rater,
    options: JudgeOptions,
    *,
    reference: bool = True,
    store: str | Path | None = None,
) -> Iterator[Rater]:
    """The rater that a user names, loaded, with its store open.

    Args:
        judge: As ``specs.parse_raters`` reads one; or a rater that is loaded already.
        options: How it runs.
        reference: Show it the references of the records that have one.
        store: The file that keeps its judgments; None: they are kept nowhere.

    Raises:
        DataError: If there is no such rater, or it does not take an option.
        JudgeError: If its model cannot be loaded whole and safely.
    """
    if isinstance(judge, Path):
        judge = str(judge)
    if not isinstance(judge, str):
        refuse_loaded(options, reference)
        with Stores.beside(store) as stores:
            yield keeping(judge, stores) if isinstance(judge, Judge) else judge
        return
    with Stores.beside(store) as stores:
        spec = spec_of(judge, options)
        refuse_untaken([spec], options)
        parts = [
            (own.name, weight, open_one(own, options, reference, stores))
            for weight, own in spec.parts
        ]
        yield parts[0][2] if isinstance(spec, RaterSpec) else SumRater(parts, spec.fixed)


def keeping(judge: J, stores: Stores) -> J:
    """A loaded judge that has no store with that of this run; several runs may share a judge."""
    if judge.store is not None:
        return judge
    own = copy(judge)
    own.store, own.from_store, own.failed = stores.judgments, 0, 0
    return own


def open_one(spec: RaterSpec, options: JudgeOptions, reference: bool, stores: Stores) -> Rater:
    """A rater with the options that it takes, asked with references or without.

    Raises:
        JudgeError, DataError: As for ``opened``.
    """
    given = {name: getattr(options, name) for name in options.changed()}
    own = {n: v for n, v in given.items() if n in taken(spec.kind)} | dict(spec.options)
    reference = reference and spec.reference
    if spec.kind in ("judge", "self-eval") and spec.model is not None:
        judge = JudgeOptions.of(own)
        return Judge.open(spec.model, judge, reference=reference, store=stores.judgments)
    raters = open_rater(replace(spec, options=own), stores)
    if not reference and False not in raters:
        raise DataError(f"the rater {spec.name} needs references: do not set `reference` to false.")
    if len(raters) == 2 and reference:
        return _ByReference(raters)
    return raters[reference if reference in raters else not reference]


def rater_name(judge: str | Path | Rater, options: JudgeOptions) -> str:
    """What a rater is called in tables: models by the last part of their names."""
    if not isinstance(judge, str | Path):
        return type(judge).__name__
    name = short_name(str(judge))
    return name if options.adapter is None else f"{name}+{Path(options.adapter).name}"


def open_rater(
    spec: RaterSpec, stores: Stores, *, model: str | None = None, embedder: str = EMBEDDER
) -> dict[bool, Rater]:
    """Load a rater.

    Args:
        spec: What was asked for.
        stores: Where its work is kept.
        model: The answering model, for a rater that names none.
        embedder: The embedding model of cosine and vro, where the rater names none.

    Returns:
        The rater as asked with the reference (True) and without (False); one model serves both.

    Raises:
        JudgeError: If a model cannot be loaded completely and safely.
        DataError: If an option makes no sense.
    """
    try:
        return _open(spec, stores, model, embedder)
    except JudgeError as error:
        raise JudgeError(f"the rater {spec.name}: {error}{_HINT}") from error


def check_rater(spec: RaterSpec, *, model: str | None = None, embedder: str = EMBEDDER) -> None:
    """See whether the models of a rater are there, without loading them. Arguments as above.

    Raises:
        JudgeError: If a model's folder is not there and cannot be fetched from the hub.
    """
    embeds = {"cosine": spec.model, "vro": spec.options.get("embedder")}
    names = [embeds[spec.kind] or embedder] if spec.kind in embeds else []
    local = spec.options.get("engine") != "openai"
    if local and KINDS[spec.kind].model in ("answering", "its own"):
        names += [name for name in (spec.model or model,) if name is not None]
    for name in names:
        try:
            resolve_folder(name, revision=spec.options.get("revision"), weights=False)
        except JudgeError as error:
            hint = " The embedding model is named as `embedder`." if name == embedder else ""
            raise JudgeError(f"the rater {spec.name}: {error}{hint}") from error


def _open(spec: RaterSpec, stores: Stores, model: str | None, embedder: str) -> dict[bool, Rater]:
    options = dict(spec.options)
    match spec.kind:
        case "length" | "log-length":
            from selfj_eval.raters.length import LengthRater

            return {False: LengthRater(log=spec.kind == "log-length")}
        case "trigrams":
            from selfj_eval.raters.trigrams import TrigramRater

            return {True: TrigramRater()}
        case "tfidf":
            from selfj_eval.raters.cosine import TfidfRater

            return {True: TfidfRater()}
        case "cosine":
            from selfj_eval.raters.cosine import CosineRater

            chosen = _embedder(spec.model or embedder, options)
            return {True: CosineRater(chosen, store=stores.measures)}
    if (model := spec.model or model) is None:
        raise JudgeError(f"the rater {spec.name} needs a model: {spec.kind}:MODEL.")
    return _with_model(spec, model, options, stores, embedder)


def _with_model(
    spec: RaterSpec, model: str, options: dict[str, Any], stores: Stores, embedder: str
) -> dict[bool, Rater]:
    match spec.kind:
        case "ppl" | "log-ppl":
            from selfj_eval.raters.perplexity import PerplexityRater

            log = spec.kind == "log-ppl"
            return {False: PerplexityRater(model, log=log, store=stores.measures, **options)}
        case "reward":
            from selfj_eval.raters.reward import RewardRater

            return {False: RewardRater(model, store=stores.measures, **options)}
        case "vro":
            return {False: _vro(model, options, stores, embedder)}
        case "generative":
            return _generative(model, options, stores)
    judge = Judge.load(model, store=stores.judgments, **options)
    more: Mapping[str, Any] = {
        "template": judge.template,
        "rubric": judge.rubric,
        "max_tokens": judge.max_tokens,
        "allow_markers": judge.allow_markers,
    }
    free = Judge(judge.backend, reference=False, store=stores.judgments, **more)
    return {True: judge, False: free}


def _vro(model: str, options: dict[str, Any], stores: Stores, embedder: str) -> Rater:
    from selfj_eval.raters.vro import VroRater

    drawn: dict[str, Any] = {"n": SAMPLES, "temperature": 1.0, "max_new_tokens": 256}
    names = (*drawn, "top_p", "seed")
    drawn |= {name: options.pop(name) for name in names if name in options}
    sampling = Sampling(**drawn)
    chosen = _embedder(options.pop("embedder", embedder), options)
    if options.get("engine") != "vllm" and "batch_size" not in options:
        # All samples of eight instructions: a batch of fewer costs a CPU nearly as much.
        options["batch_size"] = 8 * sampling.n
    generator = _generator(model, options)
    return VroRater(
        generator,
        chosen,
        sampling=sampling,
        answers=stores.answers,
        store=stores.measures,
    )


def _embedder(model: str, options: Mapping[str, Any]) -> Embedder:
    """One for all raters: it remembers the answers, which each of them embeds."""
    return _loaded_embedder(model, options.get("device", "auto"), stamp(model))


@lru_cache(maxsize=1)
def _loaded_embedder(model: str, device: str, _: Stamp) -> Embedder:
    from selfj_eval.engines.models.embedder import Embedder

    return Embedder(model, device=device)


def _generator(model: str, options: dict[str, Any]) -> Generator:
    engine = options.pop("engine", "transformers")
    if engine == "vllm":
        from selfj_eval.generation.vllm import VllmGenerator

        return VllmGenerator(model, **options)
    if engine != "transformers":
        raise JudgeError(f"no engine {engine!r} that answers; there are: transformers, vllm.")
    from selfj_eval.generation.transformers import TransformersGenerator

    return TransformersGenerator(model, **options)


def _generative(model: str, options: dict[str, Any], stores: Stores) -> dict[bool, Rater]:
    from selfj_eval.raters.asking import Asker, GeneratorAsker
    from selfj_eval.raters.chatting import ChatAsker
    from selfj_eval.raters.generative import GenerativeRater
    from selfj_eval.raters.rating_formats import get_format, read_format

    if {"prompt_file", "format"} <= options.keys():
        raise JudgeError("give format or prompt_file: the file names its own format.")
    file = options.pop("prompt_file", None)
    form = get_format(options.pop("format", "self-j")) if file is None else read_format(file)
    markers = options.pop("allow_markers", False)
    limit = options.pop("max_new_tokens", form.syntax.tokens)
    asker: Asker
    if options.get("engine") == "openai":
        del options["engine"]
        given = options.pop("engine_args", {})
        if options:
            raise JudgeError(f"the engine openai takes no {next(iter(options))}; leave it out.")
        asker = ChatAsker.with_args(model, max_new_tokens=limit, engine_args=given)
    else:
        if "engine_args" in options:
            raise JudgeError("engine_args are for the engine openai; leave them out.")
        generator = _generator(model, options)
        asker = GeneratorAsker(generator, max_new_tokens=limit)
    prompts = {True: form.with_reference, False: form.without_reference}
    return {
        reference: GenerativeRater(
            asker,
            format=form,
            reference=reference,
            allow_markers=markers,
            answers=stores.answers,
        )
        for reference, prompt in prompts.items()
        if prompt is not None
    }
