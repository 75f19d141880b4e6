"""Which engine runs a judge, and what may be said to each."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from selfj_eval.engines.base import Backend
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import JudgeError
from selfj_eval.jobs.garbage import no_search
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, SECTIONS, PromptTemplate, get_template

_LOADING = Lock()
"""One model at a time: transformers' modules are not made to be imported by several threads."""


def open_backend(model: str, options: JudgeOptions) -> Backend:
    """Load a judge.

    Args:
        model: ``demo``, a model folder, a hub id, or with ``openai`` the name at the server.
        options: How it runs. The arguments of the engine's own are those of ``vllm.LLM``, or
            those of ``engines.server.openai.OpenAIBackend``; the template is by default the judge's
            own. Engines but ``transformers`` decide device and batches themselves.

    Raises:
        JudgeError: If it cannot be loaded, or the engine does not take an option.
    """
    engine = options.engine
    template = None if options.template is None else get_template(options.template)
    here = {"device": options.device, "batch_tokens": options.batch_tokens}
    files: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("adapter", "revision", "dtype", "trust_remote_code")
    }
    with _LOADING, no_search():
        if engine == "transformers":
            _refuse(engine, {"engine_args": options.engine_args})
            return _in_transformers(model, template, {**files, **here})
        template = template or get_template(DEFAULT_TEMPLATE)
        if engine == "vllm":
            from selfj_eval.engines.vllm.scoring import VllmBackend

            _refuse(engine, here)
            return VllmBackend(model, template=template, engine_args=options.engine_args, **files)
        from selfj_eval.engines.server.openai import OpenAIBackend

        _refuse(engine, {**files, **here})
        return OpenAIBackend.with_args(model, template, options.engine_args)


def _in_transformers(
    model: str, template: PromptTemplate | None, options: dict[str, Any]
) -> Backend:
    from selfj_eval.engines.local.encoder import EncoderBackend, is_encoder
    from selfj_eval.engines.local.transformers import TransformersBackend
    from selfj_eval.engines.models.weights import refuse_second_adapter, resolve_folder

    refuse_second_adapter(model, options["adapter"])
    code = options["trust_remote_code"]
    folder = resolve_folder(model, revision=options["revision"], code=code, weights=False)
    if not is_encoder(folder):
        template = template or get_template(DEFAULT_TEMPLATE)
        return TransformersBackend(model, template=template, **options)
    if template is not None and template.pairwise:
        raise _rates_one(model)
    if options.pop("adapter") is not None or template not in (None, get_template(SECTIONS)):
        raise JudgeError(
            f"{model} is an encoder judge: it takes no adapter, and only the prompt "
            f"template {SECTIONS!r}; leave out `adapter` and `template`."
        )
    return EncoderBackend(model, **options)


def check_pairwise(model: str, options: JudgeOptions) -> None:
    """Refuse a judge that cannot compare two answers, before it is loaded. Arguments as above.

    Raises:
        JudgeError: If it is an encoder, or is not there.
    """
    from selfj_eval.engines.local.encoder import is_encoder
    from selfj_eval.engines.models.weights import resolve_folder

    if options.engine == "transformers":
        code = options.trust_remote_code
        if is_encoder(resolve_folder(model, revision=options.revision, code=code, weights=False)):
            raise _rates_one(model)


def _rates_one(model: str) -> JudgeError:
    return JudgeError(
        f"{model} is an encoder judge, which rates one answer; it cannot compare two."
    )


def _refuse(engine: str, options: Mapping[str, Any]) -> None:
    """Refuse options that are not at their default."""
    defaults: tuple[object, ...] = (None, "auto", {})
    given = [n for n, v in options.items() if v is not False and v not in defaults]
    if given:
        raise JudgeError(f"the engine {engine} takes no `{given[0]}`; leave it out.")


def template_of(backend: Backend, template: str | PromptTemplate | None) -> PromptTemplate:
    """The template that a loaded judge is asked with; by default its own.

    Raises:
        JudgeError: If the backend was loaded for another one, with other labels.
    """
    own = backend.template
    if template is None:
        return own
    given = get_template(template)
    if (given.name, given.key()) == (own.name, own.key()):
        return own  # with the marks of the model's chat template
    same = [(t.labels.texts, t.chat, t.prefill, _end_blank(t)) for t in (given, own)]
    if same[0] != same[1]:
        raise JudgeError(
            f"the judge was loaded for the template {own.name}, whose labels, chat or end are not "
            f"those of {given.name}; load it for that one."
        )
    return given


def _end_blank(template: PromptTemplate) -> set[bool]:
    """Whether its prompts end with a blank, which decides the tokens of the label behind it."""
    return {template.render(*example)[-1:].isspace() for example in template.examples}
