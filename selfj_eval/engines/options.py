"""Options of a model and of a judge, for all that load one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from selfj_eval.jobs.options import Options, option

ENGINES = ("transformers", "vllm", "openai")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """How a model is loaded."""

    group_title: ClassVar[str] = "how the model runs"

    adapter: str | None = option(None, "LoRA adapter to put on the model", placeholder="DIR")
    revision: str | None = option(None, "branch, tag or commit of the model on the hub")
    dtype: str = option(
        "auto",
        "number format (default: float32 on a CPU, bfloat16 on a GPU that supports it)",
        DTYPES,
    )
    device: str = option("auto", "where the model runs: auto, cpu, cuda, cuda:1, mps")
    trust_remote_code: bool = option(
        False, "run Python code that comes with the model; only for sources that you trust"
    )


@dataclass(frozen=True, kw_only=True)
class JudgeOptions(ModelOptions):
    """How a judge runs."""

    group_title: ClassVar[str] = "how the judge runs"

    template: str | None = option(
        None,
        "prompt template: self-j, self-j-unwrapped, sections, chat, rubric, yes-no, pairwise "
        "(only to compare two answers), or a .yaml file of your own (docs/templates.md; default: "
        "self-j, for an encoder judge sections)",
    )
    rubric: str | None = option(
        None,
        "YAML file with the criteria to judge answers by (one, or several with weights), for a "
        "template that shows them, such as rubric (docs/templates.md)",
        placeholder="FILE",
    )
    max_tokens: int | None = option(
        None,
        "longest prompt in tokens; from a longer one, the middle of the answer is cut, then of "
        "the reference, then of the instruction (default: the judge's context; 4096 for a server "
        "without a named tokenizer)",
        low=1,
    )
    allow_markers: bool = option(
        False, "also judge answers that contain text from the judge's prompt"
    )
    engine: str = option(
        "transformers",
        "what runs the judge: transformers, vllm, or openai (a judge behind an OpenAI-compatible "
        "server)",
        ENGINES,
    )
    engine_args: dict[str, Any] = option(
        {},
        "an argument for the engine itself, such as tensor_parallel_size=2 (vllm) or "
        "base_url=http://localhost:8000/v1 (openai); may be repeated (docs/engines.md)",
    )
    batch_tokens: int | None = option(
        None,
        "tokens per batch (transformers; default: as many as fit into memory, on a CPU 4096)",
        low=1,
    )
