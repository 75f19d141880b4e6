"""Instruction tuning: a base model learns to answer, in the prompt form that generation uses."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.backends.loading import choose_device
from selfj_eval.backends.weights import check_weights, fingerprint, resolve_folder
from selfj_eval.errors import DataError, JudgeError, StoreError
from selfj_eval.generation.base import DEFAULT_PROMPT, PROMPTS, PromptTokenizer
from selfj_eval.reading import read_rows
from selfj_eval.training.config import option
from selfj_eval.training.settings import JudgeConfig
from selfj_eval.writing import write_json

if TYPE_CHECKING:
    from trl.trainer.sft_trainer import SFTTrainer


@dataclass(frozen=True, slots=True)
class SftConfig:
    """How a model is instruction-tuned. What the paper does not state is our choice.

    The help texts of the fields say what each does.
    """

    base: str = option(help="model to start from: a folder or hub id")
    train: str = option(help="rows with an instruction and an output (or response)")
    output: str = option(help="folder to make")
    validation: str | None = option(None, "rows of the same kind, for the loss")
    prompt: str = option(DEFAULT_PROMPT, "prompt form, as for selfj generate", tuple(PROMPTS))
    max_tokens: int = option(1024, "longest prompt with answer; longer rows are left out")
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
    epochs: float = option(3.0, "passes over the data")
    max_steps: int = option(-1, "end after so many steps instead")
    learning_rate: float = option(2e-4, "highest learning rate")
    warmup_steps: int = option(100, "steps over which the learning rate rises")
    schedule: str = option("cosine", "how it falls", ("linear", "cosine", "constant"))
    batch_size: int = option(16, "rows a process and forward pass")
    gradient_accumulation: int = option(8, "forward passes a step")
    gradient_checkpointing: bool = option(False, "less memory, more time")
    seed: int = option(0, "start of the random numbers")
    logging_steps: int = option(10, "steps between lines of the log")
    save_steps: int = option(200, "steps between checkpoints")
    report_to: tuple[str, ...] = option((), "trackers: tensorboard, wandb, trackio")
    trust_remote_code: bool = option(False, "run Python code that comes with the base")

    def __post_init__(self) -> None:
        """Refuse what makes no sense, as for a judge.

        Raises:
            DataError: Naming the setting.
        """
        self.loading()

    def loading(self) -> JudgeConfig:
        """The settings that a judge's training has too: how the base is loaded and adapted."""
        own = {f.name for f in fields(self)}
        shared = {f.name: getattr(self, f.name) for f in fields(JudgeConfig) if f.name in own}
        return JudgeConfig(train_ref=self.train, train_noref=self.train, **shared)


class Example(NamedTuple):
    """A row of the data.

    Attributes:
        instruction: The instruction; not empty.
        answer: Its answer; not empty.
    """

    instruction: str
    answer: str


def read_examples(path: Path) -> list[Example]:
    """Read rows with ``instruction`` and ``output`` or ``response``; other fields are ignored.

    Raises:
        DataError: Naming file, place and field, if the file or a row cannot be used.
    """
    found = []
    for place, row in read_rows(path):
        name = "output" if "output" in row else "response"
        for field in ("instruction", name):
            value = row.get(field)
            if not isinstance(value, str) or not value.strip():
                have = "nothing" if value is None else "empty text" if value == "" else repr(value)
                kind = "the answer (output or response)" if field == name else "the instruction"
                message = f"expected text, {kind}, got {have[:40]}."
                raise DataError(message, path=path, place=place, field=field)
        found.append(Example(row["instruction"], row[name].strip()))
    if not found:
        raise DataError("holds no rows.", path=path)
    return found


def encode_example(tokenizer: PromptTokenizer, example: Example) -> tuple[list[int], list[int]]:
    """Tokens of the prompt, exactly those of generation, and of answer and end.

    Raises:
        JudgeError: If the tokenizer has no end token.
    """
    own = tokenizer.tokenizer
    if own.eos_token_id is None:
        raise JudgeError("the base's tokenizer names no end token (eos_token), which ends answers.")
    prompt = tokenizer.encode(example.instruction)
    text, special = PROMPTS[tokenizer.prompt].replace("{instruction}", example.instruction), True
    if tokenizer.prompt == "chat":
        turn = [{"role": "user", "content": example.instruction}]
        text = own.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        special = False
    whole: list[int] = own(text + example.answer, add_special_tokens=special).input_ids
    answer = whole[len(prompt) :]
    if whole[: len(prompt)] != prompt:  # a token spans the seam, which generation never sees
        answer = own(example.answer, add_special_tokens=False).input_ids
    return prompt, [*answer, own.eos_token_id]


def encode_examples(
    tokenizer: PromptTokenizer, examples: list[Example], max_tokens: int
) -> tuple[list[dict[str, list[int]]], dict[str, int]]:
    """All rows that fit, labels on the answer alone, and counts of all rows.

    Returns:
        ``input_ids`` and ``labels`` a row; ``rows``, ``used``, ``too_long``, ``tokens``
        (of the used rows) and ``answer_tokens`` (those that have labels).
    """
    used, answered = [], 0
    for example in examples:
        prompt, answer = encode_example(tokenizer, example)
        if len(prompt) + len(answer) <= max_tokens:
            labels = [-100] * len(prompt) + answer
            used.append({"input_ids": prompt + answer, "labels": labels})
            answered += len(answer)
    counts = {"rows": len(examples), "used": len(used), "too_long": len(examples) - len(used),
              "tokens": sum(len(row["input_ids"]) for row in used),
              "answer_tokens": answered}  # fmt: skip
    return used, counts


def train_sft(config: SftConfig) -> dict[str, Any]:
    """Instruction-tune a model and write it, or its adapter, to ``config.output``.

    Checkpoints stand in ``OUTPUT.checkpoints``; the same settings go on from the last.

    Returns:
        What was made, with the names that ``train_judge`` uses.

    Raises:
        DataError: If the data or the settings cannot be used.
        JudgeError: If the base cannot be loaded or trained, or trl is missing.
        StoreError: If the output exists, or the checkpoints belong to other settings.
    """
    output = Path(config.output)
    if output.exists():
        raise StoreError(f"{output} exists; name a new folder, or remove it first.")
    files = {"train": config.train, "validation": config.validation}
    parts = {name: read_examples(Path(file)) for name, file in files.items() if file is not None}
    folder = resolve_folder(config.base, code=config.trust_remote_code)
    check_weights(folder)
    tokenizer = PromptTokenizer(folder, config.prompt, trust_remote_code=config.trust_remote_code)
    if config.max_tokens > tokenizer.context:
        message = f"{config.max_tokens} is more than the {tokenizer.context} the base has room for."
        raise DataError(message, field="max_tokens")
    encoded = {n: encode_examples(tokenizer, rows, config.max_tokens) for n, rows in parts.items()}
    for name, (used, counts) in encoded.items():
        if not used:
            message = f"all {counts['rows']} rows are longer than max_tokens, {config.max_tokens}."
            raise DataError(message, path=files[name], field="output")
    base = fingerprint(folder)
    checkpoints = Path(f"{output}.checkpoints")
    last = _last_checkpoint(checkpoints, _decisive(config, base))
    trainer = _trainer(config, folder, {name: used for name, (used, _) in encoded.items()})
    if last is None and trainer.is_world_process_zero():
        write_json(checkpoints / "settings.json", _decisive(config, base))
    done = trainer.train(resume_from_checkpoint=last)
    metrics = trainer.evaluate() if "validation" in encoded else {}
    draft = checkpoints / "finished"
    trainer.save_model(str(draft))
    if trainer.is_world_process_zero():
        tokenizer.tokenizer.save_pretrained(draft)  # as the base has it, without a padding token
        (draft / "training_args.bin").unlink(missing_ok=True)  # a pickle, and no part of a model
        draft.replace(output)
    weights = list(trainer.model.parameters())
    trained = sum(w.numel() for w in weights if w.requires_grad)
    return {
        "parameters": {"trained": trained, "all": sum(w.numel() for w in weights)},
        "data": {name: counts for name, (_, counts) in encoded.items()},
        "metrics": {k.removeprefix("eval_"): v for k, v in metrics.items() if math.isfinite(v)},
        "loss": done.training_loss,
        "steps": done.global_step,
        "history": trainer.state.log_history,
        "seconds": done.metrics["train_runtime"],
        "base_fingerprint": base,
        "main_process": trainer.is_world_process_zero(),
    }


def _decisive(config: SftConfig, base: str) -> dict[str, Any]:
    """What must not change between the parts of an interrupted training."""
    data = hashlib.sha256(Path(config.train).read_bytes()).hexdigest()
    own = asdict(config) | {"base": base, "train": data}
    for name in ("output", "report_to"):
        del own[name]
    settings: dict[str, Any] = json.loads(json.dumps(own))
    return settings


def _last_checkpoint(place: Path, now: dict[str, Any]) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    if not place.parent.is_dir():
        raise StoreError(f"{place}: there is no folder {place.parent}; make it first.")
    place.mkdir(exist_ok=True)
    known, last = place / "settings.json", get_last_checkpoint(str(place))
    if last is None or not known.is_file():
        return None
    before = json.loads(known.read_text(encoding="utf-8"))
    if other := sorted(name for name in now if now[name] != before.get(name)):
        raise StoreError(
            f"{place} holds a training with other settings: {', '.join(other)}. Go on with those "
            "it was made with, name another output, or remove it."
        )
    return str(last)


def _trainer(config: SftConfig, folder: Path, rows: dict[str, list[Any]]) -> SFTTrainer:
    try:
        from trl.trainer.sft_config import SFTConfig as TrlConfig
        from trl.trainer.sft_trainer import SFTTrainer
    except ImportError as error:
        raise JudgeError(
            'instruction tuning needs trl; install it with: pip install "selfj-eval[train]"'
        ) from error
    from datasets import Dataset
    from transformers import set_seed

    from selfj_eval.training.base import load_base, training_dtype

    loading, device = config.loading(), choose_device("auto")
    dtype = training_dtype(loading)
    # First of all: it finds the other processes, and on which device the base is to be loaded.
    arguments = TrlConfig(
        output_dir=f"{config.output}.checkpoints",
        max_length=None,  # rows that are too long have been left out, and counted
        dataset_kwargs={"skip_prepare_dataset": True},
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        num_train_epochs=config.epochs,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        lr_scheduler_type=config.schedule,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=config.logging_steps,
        save_steps=config.save_steps,
        save_total_limit=2,
        report_to=list(config.report_to) or "none",
    )
    set_seed(config.seed)  # a new adapter is random
    # A tokenizer of its own: trl gives it a padding token.
    code = config.trust_remote_code
    tokenizer = PromptTokenizer(folder, config.prompt, trust_remote_code=code).tokenizer
    sets = {name: Dataset.from_list(own) for name, own in rows.items()}
    return SFTTrainer(
        model=load_base(loading, folder, tokenizer),
        args=arguments,
        train_dataset=sets["train"],
        eval_dataset=sets.get("validation"),
        processing_class=tokenizer,
    )
