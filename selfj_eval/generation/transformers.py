"""Generating with Hugging Face transformers, in batches padded on the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, Any

from selfj_eval.engines.models.loading import choose_device, choose_dtype, load_model
from selfj_eval.engines.models.weights import model_folders
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.generation.base import PromptTokenizer, Request, seed_of
from selfj_eval.generation.options import AUTO, Sampling
from selfj_eval.storage.store import Answer

if TYPE_CHECKING:
    import torch

CPU_BATCH_SIZE = 8
GPU_BATCH_SIZE = 32
"""Answers that are generated together."""
_RANDOM = Lock()  # torch's random numbers are the process's: one model draws at a time


class TransformersGenerator:
    """A model in transformers that answers instructions.

    The text of an answer is as generated, without special tokens and, as AlpacaEval does it,
    without white space around it. Of the model's ``generation_config.json`` only the tokens
    that end an answer are used: how answers are drawn is said by ``Sampling`` alone.
    Several threads may use it; one batch is generated at a time.

    Args:
        model: ``demo``, a model folder or GGUF file, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to merge into the model.
        prompt: Name of the prompt form, or ``auto``.
        revision: Branch, tag or commit of the model on the hub.
        dtype, device: As for ``engines.local.transformers.TransformersBackend``.
        batch_size: Answers that are generated together; by default chosen by the device.
        trust_remote_code: Whether to run Python code that comes with the model.

    Raises:
        JudgeError: If the model cannot be loaded completely and safely.
    """

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        prompt: str = AUTO,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        from transformers import GenerationConfig

        if batch_size is not None and batch_size < 1:
            raise DataError(f"the batch size must be at least 1, got {batch_size}.")
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        folder, adapter_folder = folders.model, folders.adapter
        self._tokenizer = PromptTokenizer(
            folder,
            prompt,
            adapter=adapter_folder,
            trust_remote_code=trust_remote_code,
            tokenizer=folders.tokenizer,
        )
        self.prompt, self.encode = self._tokenizer.prompt, self._tokenizer.encode
        self.context = self._tokenizer.context
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self._model = load_model(folder, adapter_folder, self.dtype, self.device, trust_remote_code)
        # What stands there would fill in whatever a call does not say.
        self._model.generation_config = GenerationConfig()
        on_cpu = self.device.startswith("cpu")
        self._batch_size = batch_size or (CPU_BATCH_SIZE if on_cpu else GPU_BATCH_SIZE)
        self.identity: Mapping[str, str] = {
            **folders.identity(),
            "dtype": self.dtype,
            "engine": "transformers",
            "stop": ",".join(map(str, self._tokenizer.stop_ids)),
        }

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        """Requests of about the same length together, longest first; a batch has one limit."""
        size = max(1, self._batch_size // sampling.n)
        ordered = sorted(requests, key=lambda r: (-len(r.tokens), r.key))
        batches = []
        # A row that ran beyond its limit would leave the context, which some models cannot; only
        # prompts near the context's end have limits of their own.
        for _, group in groupby(ordered, key=lambda r: r.limit):
            alike = list(group)
            batches += [alike[start : start + size] for start in range(0, len(alike), size)]
        return batches

    def run(self, batch: Sequence[Request], sampling: Sampling) -> list[tuple[Answer, ...]]:
        """``sampling.n`` answers for each request; the random numbers are the batch's own."""
        import torch

        rows = [request for request in batch for _ in range(sampling.n)]
        devices = range(torch.cuda.device_count()) if self.device.startswith("cuda") else ()
        answers: list[Answer] = []
        # The caller's numbers stay as they were.
        with _RANDOM, torch.random.fork_rng(devices=list(devices)):
            torch.manual_seed(seed_of(batch))
            for start in range(0, len(rows), self._batch_size):
                answers += self._generate(rows[start : start + self._batch_size], sampling)
        n = sampling.n
        return [tuple(answers[start : start + n]) for start in range(0, len(answers), n)]

    def _generate(self, rows: Sequence[Request], sampling: Sampling) -> list[Answer]:
        import torch
        from transformers import GenerationConfig

        tokenizer, stops = self._tokenizer.tokenizer, self._tokenizer.stop_ids
        padding = tokenizer.pad_token_id
        if padding is None:
            padding = stops[0] if stops else 0
        width = max(len(row.tokens) for row in rows)
        ids = torch.full((len(rows), width), padding)
        mask = torch.zeros_like(ids)
        for line, row in enumerate(rows):
            ids[line, width - len(row.tokens) :] = torch.tensor(row.tokens)
            mask[line, width - len(row.tokens) :] = 1
        drawn: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            # The library's own default looks at 50 tokens only.
            drawn |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        settings = GenerationConfig(
            max_new_tokens=rows[0].limit,
            eos_token_id=stops or None,
            pad_token_id=padding,
            **drawn,
        )
        try:
            with torch.inference_mode():
                out = self._model.generate(
                    input_ids=ids.to(self.device),
                    attention_mask=mask.to(self.device),
                    generation_config=settings,
                    logits_processor=[self._refuse_nan],
                )
        except torch.OutOfMemoryError as error:
            raise JudgeError(
                f"out of memory with {len(rows)} answers to prompts of up to {width} tokens on "
                f"{self.device}; lower `batch_size`, or use a smaller `dtype`. What was finished "
                "is kept."
            ) from error
        return [self._answer(new) for new in out[:, width:].tolist()]

    def _refuse_nan(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # The likeliest of nothing but NaN is token 0: an answer, but not the model's.
        if bool(scores.isnan().any()):
            raise JudgeError(
                f"the model gives no finite probabilities in {self.dtype}; try `dtype` float32 or "
                "bfloat16. What was finished is kept."
            )
        return scores

    def _answer(self, tokens: list[int]) -> Answer:
        stops = set(self._tokenizer.stop_ids)
        end = next((at for at, token in enumerate(tokens) if token in stops), None)
        text = self._tokenizer.tokenizer.decode(
            tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Answer(text.strip(), "length" if end is None else "stop")
