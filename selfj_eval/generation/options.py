"""Options of a model that answers: how it is loaded and asked, and how its answers are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selfj_eval.engines.options import ModelOptions
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import Options, option
from selfj_eval.prompts.templates import RESPONSE_WRAPPER

PROMPTS: Mapping[str, str] = {
    "wizardlm": "{instruction}" + RESPONSE_WRAPPER,
    "chat": "the tokenizer's chat template",
    "plain": "{instruction}",
}
"""Prompt forms by name. ``wizardlm`` is what Self-J's models were trained with: nothing, not
even a space, follows its colon."""
AUTO = "auto"
PROMPT_CHOICES = (AUTO, *PROMPTS)
"""What a user may name. ``auto`` is the form that ``selfj train sft`` noted beside the model, else
its chat template where it has one, else ``wizardlm``."""


@dataclass(frozen=True, kw_only=True)
class Sampling(Options):
    """How answers are drawn; a temperature of 0 takes the likeliest token each time (greedy)."""

    group_title: ClassVar[str] = "how answers are drawn"

    n: int = option(1, "answers per instruction", low=1)
    temperature: float = option(
        0.0, "sampling temperature; 0 always takes the most likely token", low=0
    )
    top_p: float = option(
        1.0, "draw from the most likely tokens that together have this probability"
    )
    max_new_tokens: int = option(
        1024, "longest answer in tokens; longer answers are cut and counted", low=1
    )
    seed: int = option(0, "seed of the random numbers", low=0)

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            DataError: Naming the option.
        """
        self.need(0 < self.top_p <= 1, "top_p", "must be above 0 and at most 1")
        if self.n > 1 and self.temperature == 0:
            raise DataError(
                f"{self.n} answers per instruction at temperature 0 would all be the same; give a "
                "`temperature` above 0, or 1 for `n`."
            )


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(ModelOptions, Sampling):
    """How a model answers."""

    title: ClassVar[str] = "how the model is asked"

    engine: str = option("transformers", "what runs the model", ("transformers", "vllm"))
    prompt: str = option(
        AUTO,
        "prompt format; auto is the format that `selfj train sft` recorded, or else the model's "
        "chat template if it has one, or else wizardlm",
        PROMPT_CHOICES,
    )
    batch_size: int | None = option(
        None,
        "how many answers to generate together (transformers only; default: 8 on a CPU, 32 on a "
        "GPU)",
        low=1,
    )

    def check(self) -> None:
        """Refuse what vLLM does itself.

        Raises:
            DataError: Naming the options.
        """
        super().check()
        if self.engine == "vllm" and (self.batch_size is not None or self.device != "auto"):
            raise DataError(
                "`batch_size` and `device` are for `engine` transformers: vLLM forms its own "
                "batches on the devices it finds (CUDA_VISIBLE_DEVICES); leave them out."
            )

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        return self.part(Sampling)
