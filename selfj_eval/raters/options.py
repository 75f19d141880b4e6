"""What may be said of each kind of rater; what is not said is the rater's own default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from selfj_eval.engines.options import ENGINES, ModelOptions
from selfj_eval.jobs.options import Options, option


@dataclass(frozen=True, kw_only=True)
class NoOptions(Options):
    """Of raters about which there is nothing to say."""


@dataclass(frozen=True, kw_only=True)
class CosineOptions(Options):
    """Of the cosine of sentence embeddings."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps")


@dataclass(frozen=True, kw_only=True)
class PerplexityOptions(ModelOptions):
    """Of the perplexity of answers."""

    group_title: ClassVar[str] = "perplexity"

    prompt: str | None = option(None, "form of the prompt: auto, wizardlm, chat or plain")
    batch_tokens: int | None = option(None, "tokens per batch", low=1)


@dataclass(frozen=True, kw_only=True)
class RewardOptions(Options):
    """Of a reward model."""

    prompt: str | None = option(None, "form of the prompt")
    max_tokens: int | None = option(None, "longest input", low=1)
    revision: str | None = option(None, "branch, tag or commit on the hub")
    dtype: str = option("auto", "number format", ("auto", "float32", "bfloat16", "float16"))
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps")
    batch_tokens: int | None = option(None, "tokens per batch", low=1)
    trust_remote_code: bool = option(False, "run Python code that comes with the model")


@dataclass(frozen=True, kw_only=True)
class VroOptions(ModelOptions):
    """Of the similarity to other answers that the model samples."""

    prompt: str | None = option(None, "form of the prompt: auto, wizardlm, chat or plain")
    n: int | None = option(None, "answers that are sampled per instruction", low=1)
    temperature: float | None = option(None, "of the sampling", low=0)
    top_p: float | None = option(None, "of the sampling", low=0, high=1)
    max_new_tokens: int | None = option(None, "longest sampled answer", low=1)
    seed: int | None = option(None, "of the sampling", low=0)
    embedder: str | None = option(None, "sentence-transformers model")
    engine: str = option("transformers", "what runs the model", ("transformers", "vllm"))
    batch_size: int | None = option(None, "answers per batch", low=1)


@dataclass(frozen=True, kw_only=True)
class GenerativeOptions(ModelOptions):
    """Of a model that writes its rating."""

    format: str | None = option(None, "form of the question and the reply")
    prompt_file: str | None = option(None, "YAML file with a form of one's own")
    prompt: str | None = option(None, "form of the prompt: auto, wizardlm, chat or plain")
    allow_markers: bool = option(False, "also rate answers that hold text of the prompt")
    max_new_tokens: int | None = option(None, "longest reply", low=1)
    engine: str = option("transformers", "what runs the model", ENGINES)
    engine_args: dict[str, Any] = option({}, "arguments of the engine's own")
    batch_size: int | None = option(None, "prompts per batch", low=1)
