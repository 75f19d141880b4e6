"""The settings of labelling, of training, and of merging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from selfj_eval.engines.options import DTYPES, JudgeOptions
from selfj_eval.errors import DataError, printable
from selfj_eval.generation.options import AUTO, PROMPT_CHOICES, GeneratorOptions
from selfj_eval.jobs.options import Options, PathLike, like, option
from selfj_eval.jobs.progress import Watch

_SEEDS = 2**32 - 1  # the largest that numpy takes

SOURCES: Mapping[str, tuple[str, ...]] = {
    "self-j": ("z1", "z2"),
    "self-eval": ("z1",),
    "cosine": ("z2",),
    "rating": ("rating",),
}
"""What labels are made of, and the measures that each needs: z1, the expected score of the model's
own evaluation over 9; z2, the cosine similarity to the reference; a given rating."""
SCALES = ("rank", "min-max")
BINS = ("equal-frequency", "equal-width")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Options):
    """What every training is told: the base, what of it is trained, and how.

    The help texts of the fields say what each does.
    """

    group_title: ClassVar[str] = "what is trained, and how"

    base: PathLike = option(
        help="model to start from: a folder, GGUF file or hub id", placeholder="MODEL"
    )
    output: PathLike = option(help="folder to create", placeholder="DIR")
    lora_r: int = option(16, "rank of the LoRA adapter; 0 trains all weights", low=0)
    lora_alpha: float = option(16.0, "scale of the adapter")
    lora_dropout: float = option(0.05, "dropout before the adapter")
    lora_modules: tuple[str, ...] = option(
        ("q_proj", "k_proj", "v_proj", "o_proj"), "layers that get an adapter", placeholder="NAME"
    )
    quantization: str = option(
        "none", "load the base in 8 or 4 bits (bitsandbytes)", ("none", "8bit", "4bit")
    )
    dtype: str = option(
        "auto",
        "number format for computing; auto is bfloat16 on a GPU that supports it, otherwise "
        "float32",
        DTYPES,
    )
    epochs: float = option(2.0, "passes over the data")
    max_steps: int = option(-1, "stop after N steps instead of `epochs`; -1 for no limit")
    learning_rate: float = option(3e-4, "highest learning rate")
    warmup_ratio: float = option(0.03, "share of the steps over which the learning rate rises")
    warmup_steps: int | None = option(
        None, "number of steps over which the learning rate rises, instead of `warmup_ratio`", low=0
    )
    schedule: str = option(
        "linear", "how the learning rate falls", ("linear", "cosine", "constant")
    )
    weight_decay: float = option(0.0, "AdamW's weight decay", low=0)
    adam_beta2: float = option(0.999, "AdamW's second beta")
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm")
    batch_size: int = option(16, "rows per process and forward pass", low=1)
    gradient_accumulation: int = option(8, "forward passes per step", low=1)
    gradient_checkpointing: bool = option(False, "use less memory but more time")
    seed: int = option(0, "seed of the random numbers", low=0, high=_SEEDS)
    logging_steps: int = option(10, "steps between lines of the log", low=1)
    eval_steps: int = option(200, "steps between validations, if there is a validation file", low=1)
    save_steps: int = option(200, "steps between checkpoints", low=1)
    report_to: tuple[str, ...] = option(
        (), "trackers to log to: tensorboard, wandb, trackio", placeholder="NAME"
    )
    trust_remote_code: bool = option(False, "run Python code that comes with the base")

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            OptionError: Naming the setting.
        """
        for name in ("warmup_ratio", "lora_dropout", "adam_beta2"):
            self.need(0 <= getattr(self, name) < 1, name, "must be in [0, 1)")
        for name in ("max_grad_norm", "learning_rate"):
            self.need(getattr(self, name) > 0, name, "must be above 0")
        self.need(self.max_steps > 0 or self.epochs > 0, "epochs", "must be above 0")
        self.need(
            self.quantization == "none" or self.lora_r > 0,
            "lora_r",
            f"must be above 0: a base in {self.quantization} cannot be trained itself; give a "
            "rank above 0",
        )

    def noted(self) -> dict[str, Any]:
        """All settings by name, as a training's notes hold them: paths are texts."""
        return {
            name: printable(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(TrainingConfig):
    """How a judge is trained.

    The defaults are Self-J's 13B run (arXiv 2409.00935), but for its 100 steps of warm-up, which
    are more than a small training has, and its base in 8 bits.
    """

    group_title: ClassVar[str] = "the judge's data and loss"

    train_ref: PathLike = option(help="training pairs: prompts with reference", placeholder="FILE")
    train_noref: PathLike = option(
        help="the same training answers: prompts without reference", placeholder="FILE"
    )
    validation_ref: PathLike | None = option(
        None, "validation pairs: prompts with reference", placeholder="FILE"
    )
    validation_noref: PathLike | None = option(
        None, "the same validation answers: prompts without reference", placeholder="FILE"
    )
    allow_unpaired: bool = option(
        False,
        "accept answers without a reference; only the student learns from them",
    )
    architecture: str = option(
        "decoder",
        "a causal model that predicts a digit token, or an encoder with ten classes",
        ("decoder", "encoder"),
    )
    max_tokens: int = option(
        1024, "longest prompt with label, in tokens; longer texts are cut in the middle", low=1
    )
    student_weight: float = option(
        0.3, "weight of the cross-entropy without reference (the student)", low=0
    )
    kl_weight: float = option(2.0, "weight of the distillation; 0 turns it off", low=0)
    kl_warmup_steps: int = option(
        0, "steps over which the distillation's weight rises from 0", low=0
    )
    label_spread: float = option(
        0.0,
        "spread each label over its neighbours: standard deviation of a normal curve around it, "
        "in points",
        low=0,
    )
    freeze_layers: int = option(0, "train neither embeddings nor the first N layers", low=0)
    cache_frozen: bool = option(
        False,
        "run the frozen layers only once and keep their output in OUTPUT.checkpoints, so that "
        "later epochs skip them",
    )
    group_by_length: bool = option(
        True, "put rows of similar length into one batch, which needs less padding"
    )

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            OptionError: Naming the setting.
        """
        super().check()
        self.need(
            (self.validation_ref is None) == (self.validation_noref is None),
            "validation_ref",
            "needs `validation_noref`, and that needs it: validation takes both files, with "
            "reference and without",
        )
        self.need(
            self.architecture == "decoder" or self.lora_r == 0,
            "lora_r",
            "must be 0: an encoder is trained whole, and its new head with it",
        )
        self.need(
            not self.cache_frozen or (self.freeze_layers > 0 and self.lora_r > 0),
            "cache_frozen",
            "needs `freeze_layers` and an adapter (`lora_r`): otherwise no layer is frozen",
        )


@dataclass(frozen=True, kw_only=True)
class SftConfig(TrainingConfig):
    """How a model is instruction-tuned. What the paper does not state is our choice."""

    group_title: ClassVar[str] = "the data, and defaults of instruction tuning"

    train: PathLike = option(
        help="rows with an instruction and an output (or response)", placeholder="FILE"
    )
    validation: PathLike | None = option(
        None, "rows of the same kind, to measure the loss on", placeholder="FILE"
    )
    prompt: str = option(AUTO, "prompt format, as in selfj generate", PROMPT_CHOICES)
    max_tokens: int = option(
        1024, "longest prompt with answer, in tokens; longer rows are skipped", low=1
    )
    epochs: float = option(3.0, "passes over the data")
    learning_rate: float = option(2e-4, "highest learning rate")
    schedule: str = option(
        "cosine", "how the learning rate falls", ("linear", "cosine", "constant")
    )


@dataclass(frozen=True, kw_only=True)
class MergeOptions(Options):
    """How an adapter is put into its base."""

    adapter: PathLike = option(help="the adapter's folder, or hub id", placeholder="DIR")
    base: PathLike | None = option(
        None,
        "the adapter's base model (default: the one that the adapter names)",
        placeholder="MODEL",
    )
    output: PathLike = option(help="folder to create", placeholder="DIR")
    dtype: str = option("float32", "number format of the result", DTYPES[1:])


@dataclass(frozen=True, kw_only=True)
class LabelOptions(GeneratorOptions):
    """How answers are labelled, and how instructions without answers get some."""

    group_title: ClassVar[str] = "what labels are made of"

    model: PathLike | None = option(
        None,
        "the model that answers the instructions and evaluates its own answers: 'demo', a folder, "
        "a GGUF file, a hub id",
        placeholder="MODEL",
    )
    judge: PathLike | None = option(
        None,
        "the model that evaluates the answers, instead of the one that answered",
        placeholder="MODEL",
    )
    judge_adapter: PathLike | None = option(
        None, "LoRA adapter to put on `judge`", placeholder="DIR"
    )
    embedder: PathLike | None = option(
        None, "sentence-transformers model for z2: folder or hub id", placeholder="NAME"
    )
    output: PathLike = option(help="beginning of the output files' names", placeholder="NAME")
    source: str | None = option(
        None, "what labels are computed from (default: self-j)", tuple(SOURCES)
    )
    weights: tuple[float, float] | None = option(
        None, "weights of z1 and z2 (default: 1 1)", placeholder="W"
    )
    scale: str | None = option(
        None,
        "how a measure is rescaled to 0..1: rank (its quantile, the default) or min-max",
        SCALES,
    )
    bins: str | None = option(
        None, "how the range is divided into ten labels (default: equal-frequency)", BINS
    )
    rule: PathLike | None = option(
        None, "use this OUTPUT.rule.json instead of fitting a new rule", placeholder="FILE"
    )
    validation: float = option(
        0.1,
        "share of the instructions in the validation part; 0 for none",
        placeholder="SHARE",
    )
    limit: int | None = option(None, "only the first N rows", low=1)
    store: PathLike | None = option(
        None, "keep answers and judgments in NAME.answers and NAME.judgments", placeholder="NAME"
    )
    template: str | None = like(JudgeOptions, "template")
    max_tokens: int | None = like(JudgeOptions, "max_tokens")
    batch_tokens: int | None = like(JudgeOptions, "batch_tokens")
    temperature: float = option(
        0.7, "sampling temperature; 0 always takes the most likely token", low=0
    )
    progress: Watch = option(False, internal=True)

    ANSWERING: ClassVar[tuple[str, ...]] = (
        "engine", "prompt", "n", "temperature", "top_p", "max_new_tokens", "batch_size"
    )  # fmt: skip
    """The options that only say how answers are drawn."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            DataError: Naming the option.
        """
        super().check()
        self.need(0 <= self.validation < 1, "validation", "must be in [0, 1)")
        if self.weights is not None and min(self.weights) <= 0:
            raise DataError(
                "`weights` must be above 0; for one measure alone take another `source`."
            )
        given = [n for n in ("source", "weights", "scale", "bins") if getattr(self, n) is not None]
        if self.rule is not None and given:
            names = ", ".join(f"`{name}`" for name in given)
            raise DataError(f"{names}: the rule in {self.rule} has its own; leave it out.")
        if self.adapter and not self.model:
            raise DataError("`adapter` is for `model`; that of `judge` is `judge_adapter`.")
        if self.judge_adapter and not self.judge:
            raise DataError("`judge_adapter` is for `judge`; the model's own is `adapter`.")

    def check_source(self, source: str) -> None:
        """Refuse what does not go with what the labels are made of.

        Args:
            source: One of ``SOURCES``: the option's, or that of the stored rule.

        Raises:
            DataError: Naming the option that is missing, or one too many.
        """
        if self.weights and source != "self-j":
            raise DataError(f"`weights` are those of z1 and z2; `source` {source} has one measure.")
        asking = f"`source` {source}" if self.rule is None else f"{self.rule} ({source})"
        if "z1" in SOURCES[source] and not (self.model or self.judge):
            raise DataError(f"{asking} needs `model`, or `judge`: who evaluates?")
        if "z2" in SOURCES[source] and not self.embedder:
            raise DataError(
                f"{asking} needs `embedder`, such as sentence-transformers/all-MiniLM-L6-v2."
            )
