"""Generating with vLLM (0.32), in an environment of its own (docs/install.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from selfj_eval.backends.weights import model_folders
from selfj_eval.errors import JudgeError, brief
from selfj_eval.generation.base import (
    DEFAULT_PROMPT,
    PromptTokenizer,
    Request,
    Sampling,
    seed_of,
)
from selfj_eval.store import Answer

CHUNK = 256
"""Prompts that are handed to vLLM together, which forms its own batches of them, and that are
lost when the run is killed."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for


class VllmGenerator:
    """A model in vLLM that answers instructions.

    Texts and settings are as for ``generation.transformers.TransformersGenerator``. Every
    request has a seed of its own; still, vLLM's sums depend on what runs together, so that two
    runs may differ in some answers.

    Args:
        model: ``demo``, a model folder, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to put on the model.
        prompt: Name of the prompt form.
        revision: Branch, tag or commit of the model on the hub.
        dtype: ``auto`` (the model's own), ``float32``, ``bfloat16`` or ``float16``.
        trust_remote_code: Whether to run Python code that comes with the model.

    Raises:
        JudgeError: If vLLM is not installed, or the model cannot be loaded safely.
    """

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        prompt: str = DEFAULT_PROMPT,
        revision: str | None = None,
        dtype: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise JudgeError(
                f"vLLM cannot be imported ({brief(error)}); it needs an environment of its own "
                "(docs/install.md). Or use --engine transformers."
            ) from error
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        folder, adapter_folder = folders
        self._tokenizer = PromptTokenizer(folder, prompt, trust_remote_code=trust_remote_code)
        self.prompt, self.encode = prompt, self._tokenizer.encode
        lora = {} if adapter_folder is None else {"max_lora_rank": _rank(adapter_folder)}
        try:
            self._llm = LLM(
                model=str(folder),
                dtype=dtype,
                load_format="safetensors",  # never pickles
                generation_config="vllm",  # the model's own would change what was asked for
                trust_remote_code=trust_remote_code,
                enable_lora=adapter_folder is not None,
                **lora,
            )
            config = self._llm.llm_engine.model_config
        except Exception as error:  # whatever a foreign model or a full GPU makes it raise
            raise JudgeError(f"vLLM cannot load {folder}: {brief(error)}") from error
        self._lora = (
            None if adapter_folder is None else LoRARequest("adapter", 1, str(adapter_folder))
        )
        self.context = min(self._tokenizer.context, int(config.max_model_len))
        self.identity: Mapping[str, str] = {
            **folders.identity(),
            "dtype": str(config.dtype).removeprefix("torch."),
            "engine": "vllm",
            "stop": ",".join(map(str, self._tokenizer.stop_ids)),
        }

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        """Chunks in the order given."""
        return [list(requests[start : start + CHUNK]) for start in range(0, len(requests), CHUNK)]

    def run(self, batch: Sequence[Request], sampling: Sampling) -> list[tuple[Answer, ...]]:
        """``sampling.n`` answers for each request."""
        from vllm import SamplingParams, TokensPrompt

        params = [
            SamplingParams(
                n=sampling.n,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=request.limit,
                seed=seed_of([request]),
                stop_token_ids=self._tokenizer.stop_ids,
                skip_special_tokens=True,
            )
            for request in batch
        ]
        try:
            outputs = self._llm.generate(
                [TokensPrompt(prompt_token_ids=request.tokens) for request in batch],
                params,
                use_tqdm=False,
                lora_request=self._lora,
            )
        except Exception as error:  # a dead engine, a GPU without memory, an adapter that misfits
            raise JudgeError(
                f"vLLM failed while generating: {brief(error)} What was finished is kept."
            ) from error
        answers = []
        for output in outputs:
            samples = sorted(output.outputs, key=lambda sample: int(sample.index))
            reasons = {sample.finish_reason for sample in samples}
            if len(samples) != sampling.n or not reasons <= {"stop", "length"}:
                raise JudgeError(
                    f"vLLM gave {len(samples)} of {sampling.n} answers, finished as "
                    f"{', '.join(sorted(map(str, reasons)))}; expected stop or length. Run it "
                    "again: what was finished is kept."
                )
            answers.append(tuple(Answer(s.text.strip(), s.finish_reason) for s in samples))
        return answers


def _rank(adapter: Path) -> int:
    """The smallest rank that vLLM has room for and the adapter fits into."""
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        # Modules may have ranks of their own.
        wanted = max([settings["r"], *(settings.get("rank_pattern") or {}).values()])
        return next(rank for rank in _RANKS if rank >= wanted)
    except StopIteration:
        raise JudgeError(
            f"the adapter {adapter} has rank {wanted}, more than vLLM's {_RANKS[-1]}; use --engine "
            "transformers."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JudgeError(f"{adapter}/adapter_config.json is damaged ({error!r}).") from error
