"""Judging with vLLM (0.32), in an environment of its own (docs/install.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from selfj_eval.engines.base import Batch
from selfj_eval.engines.local.encoder import is_encoder
from selfj_eval.engines.models.adapters import check_adapter_for_vllm
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.engines.models.weights import model_folders
from selfj_eval.engines.vllm.loading import engine_settings, load_llm, runs_on_cpu, said
from selfj_eval.errors import JudgeError
from selfj_eval.jobs.arguments import items
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, Offsets, PromptTemplate, Turn

CHUNK = 256
"""Prompts that are handed to vLLM together, which forms its own batches of them, and that are
lost when the run is killed."""
_DECIDES_SCORES = (
    "quantization", "quantization_config", "kv_cache_dtype", "kv_cache_dtype_skip_layers",
    "hf_overrides", "disable_sliding_window", "lora_dtype", "lora_target_modules",
    "mamba_cache_dtype", "mamba_ssm_cache_dtype", "model_class_overrides",
)  # fmt: skip


class VllmBackend:
    """A judge in vLLM. Several threads may use it; vLLM gets one chunk of prompts at a time.

    Args:
        model: ``demo``, a model folder or GGUF file, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to put on the model.
        template: The prompt template, or its name; each of its labels must be one token.
        engine_args: More arguments of ``vllm.LLM``, such as ``tensor_parallel_size``.
        revision: Branch, tag or commit of the model on the hub.
        dtype: ``auto`` (float32 on a CPU, unless the model is quantised; vLLM's choice
            elsewhere, which is the model's own), ``float32``, ``bfloat16`` or ``float16``.
        trust_remote_code: Whether to run Python code that comes with the model.

    Raises:
        JudgeError: If vLLM is not installed, an argument is none of its own, or the judge
            cannot be loaded whole and safely.
    """

    usage: Mapping[str, float] = {}

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        template: str | PromptTemplate = DEFAULT_TEMPLATE,
        engine_args: Mapping[str, Any],
        revision: str | None = None,
        dtype: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        settings = engine_settings(engine_args)
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        if is_encoder(folders.model):
            raise JudgeError(f"{model} is an encoder judge; use `engine` transformers.")
        if folders.adapter is not None:
            check_adapter_for_vllm(folders.adapter, folders.model)
        self._tokenizer = JudgeTokenizer(
            str(folders.model), template=template, trust_remote_code=trust_remote_code
        )
        self.template = self._tokenizer.template
        self._label_ids = self._tokenizer.labels.single_only("the engine vllm")
        # vLLM is given token ids and asked for some, so it needs no tokenizer; and room for longer
        # prompts would be wasted.
        ours = {"runner": "generate", "skip_tokenizer_init": True}
        settings.setdefault("max_model_len", self._tokenizer.max_tokens)
        loaded = load_llm(
            folders,
            settings | ours,
            dtype=_dtype(dtype, folders.model, engine_args),
            trust_remote_code=trust_remote_code,
        )
        self._llm, self._lora = loaded.llm, loaded.lora
        self._lock = Lock()  # an engine that two threads step mixes up their answers
        if self._lora is not None:
            try:
                self._llm.llm_engine.add_lora(self._lora)
            except Exception as error:  # an adapter of a kind or shape that vLLM does not take
                raise JudgeError(
                    f"vLLM cannot put the adapter {folders.adapter} on {folders.model}: "
                    f"{said(error)} Put it into the weights with selfj merge, or use `engine` "
                    "transformers."
                ) from error
        # vLLM counts the one token that it generates.
        self.max_tokens = min(self._tokenizer.max_tokens, loaded.max_model_len - 1)
        self.identity: Mapping[str, str] = {
            **folders.identity(),
            "dtype": loaded.dtype,
            "engine": "vllm",
            **{
                name: json.dumps(engine_args[name], sort_keys=True, default=str)
                for name in _DECIDES_SCORES
                if engine_args.get(name) is not None
            },
        }

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        return self._tokenizer.offsets(text)

    def chat(self, turns: Sequence[Turn]) -> str:
        """Messages in the model's chat template."""
        return self._tokenizer.in_chat(turns)

    def score(self, prompts: Iterable[str]) -> Iterator[Batch]:
        """Judge all prompts, one generated token each.

        They are handed over in chunks, in the order of their tokens, so that those that begin
        alike come one after the other and vLLM finds the beginning in its cache.

        Args:
            prompts: Finished prompts of at most ``max_tokens`` tokens.

        Yields:
            Batches with float64 log-probabilities of shape (m, k), of the template's k labels.

        Raises:
            JudgeError: If vLLM fails, or answers something else than what was asked.
        """
        texts = items(prompts, str, "score()")
        if not texts:
            return
        ids = self._tokenizer.rows(texts)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        for start in range(0, len(order), CHUNK):
            indices = order[start : start + CHUNK]
            outputs = self._run([ids[i] for i in indices])
            rows, reasons = np.full((len(indices), len(self._label_ids)), np.nan), {}
            for at, (index, output) in enumerate(zip(indices, outputs, strict=True)):
                found = _labels(output, self._label_ids, self.template.labels.texts)
                if isinstance(found, str):
                    reasons[index] = found
                else:
                    rows[at] = found
            yield Batch(indices, rows, reasons)

    def _run(self, rows: list[list[int]]) -> list[Any]:
        """vLLM's outputs for rows of token ids, one each, in their order."""
        from vllm import SamplingParams, TokensPrompt

        # Log-probabilities of these tokens in the softmax over the whole vocabulary. The likeliest
        # tokens (logprobs=20) need not be labels, and restricting what may be generated
        # (allowed_token_ids, structured outputs) loses some of them.
        one_token = SamplingParams(
            temperature=0,
            max_tokens=1,
            logprob_token_ids=list(self._label_ids),
            detokenize=False,
        )
        try:
            with self._lock:
                outputs: list[Any] = self._llm.generate(
                    [TokensPrompt(prompt_token_ids=row) for row in rows],
                    one_token,
                    use_tqdm=False,
                    lora_request=self._lora,
                )
        except Exception as error:  # a dead engine, a GPU without memory
            raise JudgeError(
                f"vLLM failed while judging: {said(error)} What was finished is kept."
            ) from error
        if [list(output.prompt_token_ids) for output in outputs] != rows:
            raise JudgeError(
                f"vLLM answered {len(outputs)} prompts, not the {len(rows)} that it was asked. "
                "Run it again: what was finished is kept."
            )
        return outputs


def _labels(output: Any, ids: Sequence[int], texts: Sequence[str]) -> list[float] | str:
    """Log-probabilities of the labels in an output of vLLM's, or why there are none."""
    answers = output.outputs
    if len(answers) != 1 or not answers[0].logprobs:
        how = ", ".join(str(answer.finish_reason) for answer in answers) or "nothing"
        return f"vLLM gave no log-probabilities (it finished with: {how}); judge it again."
    first = answers[0].logprobs[0]
    missing = [text for text, token in zip(texts, ids, strict=True) if token not in first]
    if missing:
        return f"vLLM gave no log-probability for {', '.join(missing)}; judge it again."
    return [float(first[token].logprob) for token in ids]


def _dtype(dtype: str, folder: Path, engine_args: Mapping[str, Any]) -> str:
    """The number format to ask vLLM for."""
    if dtype != "auto" or not runs_on_cpu() or engine_args.get("quantization") is not None:
        return dtype
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "auto" if "quantization_config" in config else "float32"
