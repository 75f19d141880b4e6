"""The settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.training.config import option


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What every training is told: the base, what of it is trained, and how.

    The help texts of the fields say what each does.
    """

    base: str = option(help="model to start from: a folder or hub id")
    output: str = option(help="folder to make")
    lora_r: int = option(16, "rank of the LoRA adapter; 0 trains all weights")
    lora_alpha: float = option(16.0, "scale of the adapter")
    lora_dropout: float = option(0.05, "dropout before the adapter")
    lora_modules: tuple[str, ...] = option(
        ("q_proj", "k_proj", "v_proj", "o_proj"), "layers that get an adapter"
    )
    quantization: str = option(
        "none", "load the base in 8 or 4 bits (bitsandbytes)", ("none", "8bit", "4bit")
    )
    dtype: str = option(
        "auto", "arithmetic; auto is bfloat16 where a GPU has it, else float32",
        ("auto", "float32", "bfloat16", "float16"),
    )  # fmt: skip
    epochs: float = option(2.0, "passes over the data")
    max_steps: int = option(-1, "end after so many steps instead")
    learning_rate: float = option(3e-4, "highest learning rate")
    warmup_ratio: float = option(0.03, "share of the steps over which the learning rate rises")
    warmup_steps: int | None = option(None, "so many steps instead")
    schedule: str = option("linear", "how it falls", ("linear", "cosine", "constant"))
    weight_decay: float = option(0.0, "AdamW's weight decay")
    adam_beta2: float = option(0.999, "AdamW's second beta")
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm")
    batch_size: int = option(16, "rows a process and forward pass")
    gradient_accumulation: int = option(8, "forward passes a step")
    gradient_checkpointing: bool = option(False, "less memory, more time")
    seed: int = option(0, "start of the random numbers")
    logging_steps: int = option(10, "steps between lines of the log")
    eval_steps: int = option(200, "steps between validations, if there is a validation file")
    save_steps: int = option(200, "steps between checkpoints")
    report_to: tuple[str, ...] = option((), "trackers: tensorboard, wandb, trackio")
    trust_remote_code: bool = option(False, "run Python code that comes with the base")

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            DataError: Naming the setting.
        """
        for name in ("batch_size", "gradient_accumulation", "logging_steps", "eval_steps",
                     "save_steps"):  # fmt: skip
            self.need(getattr(self, name) >= 1, name, "must be at least 1")
        for name in ("lora_r", "weight_decay", "seed"):
            self.need(getattr(self, name) >= 0, name, "must be 0 or more")
        self.need((self.warmup_steps or 0) >= 0, "warmup_steps", "must be 0 or more")
        self.need(0 <= self.warmup_ratio < 1, "warmup_ratio", "must be in [0, 1)")
        self.need(0 <= self.lora_dropout < 1, "lora_dropout", "must be in [0, 1)")
        self.need(0 <= self.adam_beta2 < 1, "adam_beta2", "must be in [0, 1)")
        self.need(self.max_grad_norm > 0, "max_grad_norm", "must be above 0")
        self.need(self.learning_rate > 0, "learning_rate", "must be above 0")
        self.need(self.max_steps > 0 or self.epochs > 0, "epochs", "must be above 0")
        self.need(
            self.quantization == "none" or self.lora_r > 0,
            "lora_r",
            f"a base in {self.quantization} cannot be trained itself; give a rank above 0",
        )

    def need(self, holds: Any, field: str, expected: str) -> None:
        """Refuse a setting unless what it needs holds."""
        if not holds:
            raise DataError(f"{expected}, got {getattr(self, field)!r}.", field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig(TrainingConfig):
    """How a judge is trained.

    The defaults are Self-J's 13B run (arXiv 2409.00935), but for its 100 steps of warm-up, which
    are more than a small training has, and its base in 8 bits.
    """

    train_ref: str = option(help="training pairs, prompts with reference")
    train_noref: str = option(help="the same answers, prompts without")
    validation_ref: str | None = option(None, "validation pairs, prompts with reference")
    validation_noref: str | None = option(None, "the same answers, prompts without")
    allow_unpaired: bool = option(False, "answers without reference teach the student alone")
    architecture: str = option(
        "decoder", "a causal model that predicts a digit token, or an encoder with ten classes",
        ("decoder", "encoder"),
    )  # fmt: skip
    max_tokens: int = option(1024, "longest prompt with label; longer ones lose their middles")
    student_weight: float = option(0.3, "weight of the student's cross-entropy")
    kl_weight: float = option(2.0, "weight of the distillation; 0 turns it off")
    kl_warmup_steps: int = option(0, "steps over which the distillation's weight rises from 0")
    label_spread: float = option(0.0, "width, in points, of a normal curve around each label")
    freeze_layers: int = option(0, "train neither embeddings nor the first N layers (lora_r 0)")
    group_by_length: bool = option(True, "batches of about equal length: less padding")

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            DataError: Naming the setting.
        """
        TrainingConfig.__post_init__(self)  # slots and super() do not go together
        self.need(self.max_tokens >= 1, "max_tokens", "must be at least 1")
        for name in ("student_weight", "kl_weight", "kl_warmup_steps", "label_spread",
                     "freeze_layers"):  # fmt: skip
            self.need(getattr(self, name) >= 0, name, "must be 0 or more")
        self.need(
            (self.validation_ref is None) == (self.validation_noref is None),
            "validation_ref",
            "validation needs both files, with reference and without",
        )
        self.need(
            self.architecture == "decoder" or self.lora_r == 0,
            "lora_r",
            "an encoder is trained whole, and its new head with it; give 0",
        )
        self.need(
            self.freeze_layers == 0 or self.lora_r == 0,
            "freeze_layers",
            "an adapter leaves all layers as they are; give 0, or lora_r 0",
        )
