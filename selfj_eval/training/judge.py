"""Training a judge, from the settings to a model folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.backends.loading import choose_device
from selfj_eval.backends.tokenizer import context_length, encoder_length, load_tokenizer
from selfj_eval.backends.weights import check_weights, fingerprint, resolve_folder
from selfj_eval.errors import DataError, JudgeError, StoreError
from selfj_eval.prompts import DEFAULT_TEMPLATE, SECTIONS, get_template
from selfj_eval.training.base import load_base, training_dtype
from selfj_eval.training.encoding import (
    Encoded,
    Label,
    PairCollator,
    encode_pairs,
    label_tokens,
)
from selfj_eval.training.pairs import Pair, read_pairs
from selfj_eval.training.settings import JudgeConfig
from selfj_eval.writing import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, TrainingArguments

ENCODER_LABEL = Label(list(range(10)), None)


def train_judge(config: JudgeConfig) -> dict[str, Any]:
    """Train a judge and write it to ``config.output``.

    All data is read and checked before anything is loaded. Checkpoints stand beside the output,
    in ``OUTPUT.checkpoints``; the same settings go on from the last of them.

    Args:
        config: The settings.

    Returns:
        What was made: ``parameters`` (trained and all), ``data`` (counts), ``metrics`` (of the
        validation file, at the end), ``loss`` (mean of the training), ``steps``, ``seconds``,
        ``history`` (all lines of the log).

    Raises:
        DataError: If the data or the settings cannot be used.
        JudgeError: If the base cannot be loaded or trained.
        StoreError: If the output exists, or the checkpoints belong to other settings.
    """
    output = Path(config.output)
    if output.exists():
        raise StoreError(f"{output} exists; name a new folder, or remove it first.")
    train = read_pairs(
        Path(config.train_ref), Path(config.train_noref), allow_unpaired=config.allow_unpaired
    )
    validation = None
    if config.validation_ref is not None and config.validation_noref is not None:
        files = Path(config.validation_ref), Path(config.validation_noref)
        validation = read_pairs(*files, allow_unpaired=config.allow_unpaired)
    folder = resolve_folder(config.base, code=config.trust_remote_code)
    check_weights(folder)
    checkpoints = Path(f"{output}.checkpoints")
    last = _checkpoint(checkpoints, config, folder)

    import torch
    from transformers import set_seed

    # First of all: it finds the other processes, and on which device the base is to be loaded.
    arguments = _arguments(config, checkpoints, validation is not None)
    set_seed(config.seed)  # a new head and new adapters are random
    tokenizer, label = _tokenizer(config, folder)
    parts = {"train": train} | ({} if validation is None else {"validation": validation})
    encoded = {name: _encode(pairs, tokenizer, label, config) for name, pairs in parts.items()}
    model = load_base(config, folder, tokenizer)

    from selfj_eval.training.trainer import JudgeTrainer

    pad = tokenizer.pad_token_id
    trainer = JudgeTrainer(
        config=config,
        label=label,
        model=model,
        args=arguments,
        data_collator=PairCollator(0 if pad is None else pad, left=label.end is not None),
        train_dataset=encoded["train"].dataset,
        eval_dataset=encoded["validation"].dataset if validation is not None else None,
        processing_class=tokenizer,
    )
    if last is None and trainer.is_world_process_zero():
        write_json(checkpoints / "settings.json", _decisive(config, folder))
    try:
        done = trainer.train(resume_from_checkpoint=last)
    except torch.OutOfMemoryError as error:
        raise JudgeError(
            "out of memory; lower batch_size and raise gradient_accumulation by as much, turn on "
            "gradient_checkpointing, or load the base with quantization 8bit or 4bit. The same "
            "command goes on from the last checkpoint."
        ) from error
    metrics = trainer.evaluate() if validation is not None else {}
    draft = checkpoints / "finished"
    trainer.save_model(str(draft))
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(draft)
        (draft / "training_args.bin").unlink(missing_ok=True)  # a pickle, and no part of a judge
        draft.replace(output)
    trained = sum(w.numel() for w in model.parameters() if w.requires_grad)
    return {
        "parameters": {"trained": trained, "all": sum(w.numel() for w in model.parameters())},
        "data": {name: _counts(parts[name], found) for name, found in encoded.items()},
        "metrics": {name.removeprefix("eval_"): value for name, value in metrics.items()},
        "loss": done.training_loss,
        "steps": done.global_step,
        "history": trainer.state.log_history,
        "seconds": done.metrics["train_runtime"],
        "base_fingerprint": fingerprint(folder),
        "main_process": trainer.is_world_process_zero(),
    }


def remove_checkpoints(config: JudgeConfig) -> None:
    """Remove what a finished training no longer needs."""
    shutil.rmtree(Path(f"{config.output}.checkpoints"), ignore_errors=True)


def _counts(pairs: list[Pair], encoded: Encoded) -> dict[str, Any]:
    labels = [0] * 10
    for pair in pairs:
        labels[pair.label] += 1
    with_reference = sum(pair.reference is not None for pair in pairs)
    return {"pairs": len(pairs), "with_reference": with_reference, "labels": labels,
            **encoded.counts}  # fmt: skip


def _decisive(config: JudgeConfig, folder: Path) -> dict[str, Any]:
    """What must not change between the parts of an interrupted training."""
    import hashlib

    files = ("train_ref", "train_noref")
    own = {k: v for k, v in asdict(config).items() if k not in ("output", "report_to", *files)}
    digests = {
        name: hashlib.sha256(Path(getattr(config, name)).read_bytes()).hexdigest() for name in files
    }
    settings: dict[str, Any] = json.loads(json.dumps(own | digests))
    return settings | {"base": fingerprint(folder)}


def _checkpoint(place: Path, config: JudgeConfig, folder: Path) -> str | None:
    """The last complete checkpoint of the same training, if there is one."""
    from transformers.trainer_utils import get_last_checkpoint

    if not place.is_dir():
        if not place.parent.is_dir():
            raise StoreError(f"{config.output}: there is no folder {place.parent}; make it first.")
        place.mkdir(exist_ok=True)
        return None
    last = get_last_checkpoint(str(place))
    known = place / "settings.json"
    if last is None or not known.is_file():
        return None
    before, now = json.loads(known.read_text(encoding="utf-8")), _decisive(config, folder)
    other = sorted(name for name in now if now[name] != before.get(name))
    if other:
        raise StoreError(
            f"{place} holds a training with other settings ({', '.join(other)}); name another "
            "output, remove the checkpoints, or go on with the settings they were made with."
        )
    return str(last)


def _tokenizer(config: JudgeConfig, folder: Path) -> tuple[PreTrainedTokenizerBase, Label]:
    model, tokenizer = load_tokenizer(folder, config.base, config.trust_remote_code)
    encoder = config.architecture == "encoder"
    longest = (encoder_length if encoder else context_length)(model, tokenizer)
    if config.max_tokens > longest:
        raise DataError(
            f"{config.max_tokens} is more than the {longest} tokens the base has room for.",
            field="max_tokens",
        )
    if encoder:
        return tokenizer, ENCODER_LABEL
    return tokenizer, label_tokens(tokenizer, get_template(DEFAULT_TEMPLATE), str(folder))


def _encode(
    pairs: list[Pair], tokenizer: PreTrainedTokenizerBase, label: Label, config: JudgeConfig
) -> Encoded:
    template = get_template(SECTIONS if label.end is None else DEFAULT_TEMPLATE)
    return encode_pairs(pairs, tokenizer, template, label, config.max_tokens)


def _arguments(config: JudgeConfig, place: Path, validate: bool) -> TrainingArguments:
    from transformers import TrainingArguments

    dtype = training_dtype(config)
    settings: dict[str, Any] = {
        "output_dir": str(place),
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps,
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup_steps,
        "lr_scheduler_type": config.schedule,
        "weight_decay": config.weight_decay,
        "adam_beta2": config.adam_beta2,
        "max_grad_norm": config.max_grad_norm,
        "use_cpu": choose_device("auto") == "cpu",
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "length_column_name": "length",
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": config.logging_steps,
        "logging_first_step": True,
        "save_steps": config.save_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if validate else "no",
        "eval_steps": config.eval_steps if validate else None,
        "report_to": list(config.report_to) or "none",
        "dataloader_pin_memory": choose_device("auto") == "cuda",
    }
    if config.gradient_checkpointing:
        kind = {"use_reentrant": False}
        settings |= {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": kind}
    return TrainingArguments(**settings)
