"""From what a user says of a rater to the rater, loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from selfj_eval.backends.weights import resolve_folder
from selfj_eval.errors import JudgeError
from selfj_eval.generation.base import Generator
from selfj_eval.generation.options import Sampling
from selfj_eval.judge import Judge
from selfj_eval.judging.options import JudgeOptions
from selfj_eval.judging.protocol import Rater
from selfj_eval.raters.specs import KINDS, RaterSpec
from selfj_eval.stamps import Stamp, stamp
from selfj_eval.store import AnswerStore, JudgmentStore, MeasureStore

if TYPE_CHECKING:
    from selfj_eval.training.similarity import Embedder

EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
"""The embedding model of cosine and vro, where none is named."""
SAMPLES = 5
"""Answers that vro has the model draw, where nothing else is said."""


_HINT = (
    " (What is said of options here belongs into the file of --raters, as names with values: "
    "docs/bench.md.)"
)


class Stores:
    """The files that keep what raters do, in a folder.

    Args:
        folder: An existing folder.
    """

    def __init__(self, folder: Path) -> None:
        with ExitStack() as stack:
            self.judgments = stack.enter_context(JudgmentStore(folder / "judgments.store"))
            self.measures = stack.enter_context(MeasureStore(folder / "measures.store"))
            self.answers = stack.enter_context(AnswerStore(folder / "answers.store"))
            self._stack = stack.pop_all()

    def __enter__(self) -> Stores:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


@contextmanager
def opened(
    judge: str | Rater,
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
    with nullcontext() if store is None else JudgmentStore(store) as judgments:
        if isinstance(judge, str):
            yield Judge.open(judge, options, reference=reference, store=judgments)
        else:
            yield judge


def rater_name(judge: str | Rater, options: JudgeOptions) -> str:
    """What a rater is called in tables: the last part of its name, and its adapter's."""
    if not isinstance(judge, str):
        return type(judge).__name__
    name = Path(judge).name or judge
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
        JudgeError: If a model cannot be loaded whole and safely.
        DataError: If an option makes no sense.
    """
    try:
        return _open(spec, stores, model, embedder)
    except JudgeError as error:
        raise JudgeError(f"the rater {spec.name}: {error}{_HINT}") from error


def check_rater(spec: RaterSpec, *, model: str | None = None, embedder: str = EMBEDDER) -> None:
    """See whether the models of a rater are there, without loading them. Arguments as above.

    Raises:
        JudgeError: If a model's folder is not there and cannot be had from the hub.
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
            hint = " The embedding model is named with --embedder." if name == embedder else ""
            raise JudgeError(f"the rater {spec.name}: {error}{hint}") from error


def _open(spec: RaterSpec, stores: Stores, model: str | None, embedder: str) -> dict[bool, Rater]:
    options = dict(spec.options)
    match spec.kind:
        case "length" | "log-length":
            from selfj_eval.raters.length import LengthRater

            return {False: LengthRater(log=spec.kind == "log-length")}
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
        "template": judge.template.name,
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
    from selfj_eval.training.similarity import Embedder

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
        generator = _generator(model, {"prompt": "chat"} | options)
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
