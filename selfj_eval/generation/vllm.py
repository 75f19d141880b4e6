"""Generating with vLLM (0.32), in an environment of its own (docs/install.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

from selfj_eval.engines.models.adapters import check_adapter_for_vllm
from selfj_eval.engines.models.weights import model_folders
from selfj_eval.engines.vllm.loading import engine_settings, load_llm, said
from selfj_eval.errors import JudgeError
from selfj_eval.generation.base import PromptTokenizer, Request, seed_of
from selfj_eval.generation.options import AUTO, Sampling
from selfj_eval.storage.store import Answer

CHUNK = 256
"""Prompts that are handed to vLLM together, which forms its own batches of them, and that are
lost when the run is killed."""


class VllmGenerator:
    """A model in vLLM that answers instructions.

    Texts and settings are as for ``generation.transformers.TransformersGenerator``. Every
    request has a seed of its own; still, vLLM's sums depend on what runs together, so that two
    runs may differ in some answers.

    Args:
        model: ``demo``, a model folder or GGUF file, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to put on the model.
        prompt: Name of the prompt form, or ``auto``.
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
        prompt: str = AUTO,
        revision: str | None = None,
        dtype: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        settings = engine_settings({})
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        if folders.adapter is not None:
            check_adapter_for_vllm(folders.adapter, folders.model)
        self._tokenizer = PromptTokenizer(
            folders.model, prompt, adapter=folders.adapter, trust_remote_code=trust_remote_code
        )
        self.prompt, self.encode = self._tokenizer.prompt, self._tokenizer.encode
        loaded = load_llm(folders, settings, dtype=dtype, trust_remote_code=trust_remote_code)
        self._llm, self._lora = loaded.llm, loaded.lora
        self._lock = Lock()  # an engine that two threads step mixes up their answers
        self.context = min(self._tokenizer.context, loaded.max_model_len)
        self.identity: Mapping[str, str] = {
            **folders.identity(),
            "dtype": loaded.dtype,
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
            with self._lock:
                outputs = self._llm.generate(
                    [TokensPrompt(prompt_token_ids=request.tokens) for request in batch],
                    params,
                    use_tqdm=False,
                    lora_request=self._lora,
                )
        except Exception as error:  # a dead engine, a GPU without memory, an adapter that misfits
            raise JudgeError(
                f"vLLM failed while generating: {said(error)} What was finished is kept."
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
