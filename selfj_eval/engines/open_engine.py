"""Which engine runs a judge, and what may be said to each."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

from selfj_eval.engines.base import Backend
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, SECTIONS


class Opened(NamedTuple):
    """A loaded judge.

    Attributes:
        backend: The judge.
        template: Name of the prompt template that it is asked with.
    """

    backend: Backend
    template: str


_LOADING = Lock()
"""One model at a time: transformers' modules are not made to be imported by several threads."""


def open_backend(model: str, options: JudgeOptions) -> Opened:
    """Load a judge.

    Args:
        model: ``demo``, a model folder, a hub id, or with ``openai`` the name at the server.
        options: How it runs. The arguments of the engine's own are those of ``vllm.LLM``, or
            those of ``engines.server.openai.OpenAIBackend``; the template is by default the judge's
            own. Engines but ``transformers`` decide device and batches themselves.

    Raises:
        JudgeError: If it cannot be loaded, or the engine does not take an option.
    """
    engine, template = options.engine, options.template
    here = {"device": options.device, "batch_tokens": options.batch_tokens}
    files: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("adapter", "revision", "dtype", "trust_remote_code")
    }
    with _LOADING:
        if engine == "transformers":
            _refuse(engine, {"engine_args": options.engine_args})
            return _in_transformers(model, template, {**files, **here})
        template = DEFAULT_TEMPLATE if template is None else template
        if engine == "vllm":
            from selfj_eval.engines.vllm.scoring import VllmBackend

            _refuse(engine, here)
            vllm = VllmBackend(model, template=template, engine_args=options.engine_args, **files)
            return Opened(vllm, template)
        from selfj_eval.engines.server.openai import OpenAIBackend

        _refuse(engine, {**files, **here})
        return Opened(OpenAIBackend.with_args(model, template, options.engine_args), template)


def _in_transformers(model: str, template: str | None, options: dict[str, Any]) -> Opened:
    from selfj_eval.engines.local.encoder import EncoderBackend, is_encoder
    from selfj_eval.engines.local.transformers import TransformersBackend
    from selfj_eval.engines.models.weights import resolve_folder

    code = options["trust_remote_code"]
    folder = resolve_folder(model, revision=options["revision"], code=code, weights=False)
    if not is_encoder(folder):
        template = DEFAULT_TEMPLATE if template is None else template
        return Opened(TransformersBackend(model, template=template, **options), template)
    if options.pop("adapter") is not None or template not in (None, SECTIONS):
        raise JudgeError(
            f"{model} is an encoder judge: it takes no adapter, and only the prompt "
            f"template {SECTIONS!r}; leave out `adapter` and `template`."
        )
    return Opened(EncoderBackend(model, **options), SECTIONS)


def _refuse(engine: str, options: Mapping[str, Any]) -> None:
    """Refuse options that are not at their default."""
    defaults: tuple[object, ...] = (None, "auto", {})
    given = [n for n, v in options.items() if v is not False and v not in defaults]
    if given:
        raise JudgeError(f"the engine {engine} takes no `{given[0]}`; leave it out.")
