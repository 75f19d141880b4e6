"""Which engine runs a judge, and what may be said to each."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

from selfj_eval.backends.base import Backend
from selfj_eval.errors import JudgeError
from selfj_eval.prompts import DEFAULT_TEMPLATE, SECTIONS

ENGINES = ("transformers", "vllm", "openai")


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


def open_backend(
    model: str,
    *,
    engine: str = "transformers",
    engine_args: Mapping[str, Any] | None = None,
    adapter: str | None = None,
    template: str | None = None,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    batch_tokens: int | None = None,
    trust_remote_code: bool = False,
) -> Opened:
    """Load a judge.

    Args:
        model: ``demo``, a model folder, a hub id, or with ``openai`` the name at the server.
        engine: One of ``ENGINES``.
        engine_args: Arguments of the engine's own: those of ``vllm.LLM``, or those of
            ``backends.openai.OpenAIBackend``.
        adapter, revision, dtype, trust_remote_code: As for the engine's backend.
        template: Name of the prompt template; by default the judge's own.
        device, batch_tokens: As for ``backends.transformers.TransformersBackend``; the other
            engines decide both themselves.

    Raises:
        JudgeError: If it cannot be loaded, or the engine does not take an option.
    """
    with _LOADING:
        if engine not in ENGINES:
            raise JudgeError(f"no engine {engine!r}; there are: {', '.join(ENGINES)}.")
        here = {"device": device, "batch_tokens": batch_tokens}
        files: dict[str, Any] = {"adapter": adapter, "revision": revision, "dtype": dtype}
        files["trust_remote_code"] = trust_remote_code
        if engine == "transformers":
            _refuse(engine, {"engine_args": engine_args})
            return _in_transformers(model, template, {**files, **here})
        template = DEFAULT_TEMPLATE if template is None else template
        if engine == "vllm":
            from selfj_eval.backends.vllm import VllmBackend

            _refuse(engine, here)
            vllm = VllmBackend(model, template=template, engine_args=engine_args or {}, **files)
            return Opened(vllm, template)
        from selfj_eval.backends.openai import OpenAIBackend

        _refuse(engine, {**files, **here})
        return Opened(OpenAIBackend.with_args(model, template, engine_args or {}), template)


def _in_transformers(model: str, template: str | None, options: dict[str, Any]) -> Opened:
    from selfj_eval.backends.encoder import EncoderBackend, is_encoder
    from selfj_eval.backends.transformers import TransformersBackend
    from selfj_eval.backends.weights import resolve_folder

    code = options["trust_remote_code"]
    folder = resolve_folder(model, revision=options["revision"], code=code, weights=False)
    if not is_encoder(folder):
        template = DEFAULT_TEMPLATE if template is None else template
        return Opened(TransformersBackend(model, template=template, **options), template)
    if options.pop("adapter") is not None or template not in (None, SECTIONS):
        raise JudgeError(
            f"{model} is an encoder judge: it takes no adapter, and only the prompt "
            f"template {SECTIONS!r}; leave out --adapter and --template."
        )
    return Opened(EncoderBackend(model, **options), SECTIONS)


def _refuse(engine: str, options: Mapping[str, Any]) -> None:
    """Refuse options that are not at their default."""
    defaults: tuple[object, ...] = (None, "auto", {})
    given = [n for n, v in options.items() if v is not False and v not in defaults]
    if given:
        flag = "--" + given[0].replace("_", "-").removesuffix("s" if "args" in given[0] else "")
        raise JudgeError(f"the engine {engine} takes no {flag}; leave it out.")
