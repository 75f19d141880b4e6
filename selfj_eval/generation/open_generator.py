"""From a model's name and options to a loaded model that answers."""

from __future__ import annotations

import logging
from typing import Any

from selfj_eval.generation.base import Generator
from selfj_eval.generation.options import GeneratorOptions

logger = logging.getLogger(__name__)


def open_generator(model: str, options: GeneratorOptions) -> Generator:
    """Load a model; says on stderr when answers may be cut by its context.

    Args:
        model: ``demo``, a model folder or GGUF file, or a hub id.
        options: How it runs.

    Raises:
        JudgeError: If it cannot be loaded whole and safely.
    """
    generator = _load(model, options)
    if options.max_new_tokens >= generator.context:
        logger.warning(
            f"note: the model's context of {generator.context:,} tokens has no room for "
            f"answers of {options.max_new_tokens:,}; longer answers are cut at its end"
        )
    return generator


def _load(model: str, options: GeneratorOptions) -> Generator:
    names = ("adapter", "prompt", "revision", "dtype", "trust_remote_code")
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    if options.engine == "vllm":
        from selfj_eval.generation.vllm import VllmGenerator

        return VllmGenerator(model, **given)
    from selfj_eval.generation.transformers import TransformersGenerator

    return TransformersGenerator(
        model, **given, batch_size=options.batch_size, device=options.device
    )
