"""What the trainings have in common: checkpoints, arguments, the finished folder."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from selfj_eval.engines.models.loading import choose_device
from selfj_eval.errors import DataError, JudgeError, StoreError, brief, printable
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import parse_json, read_json
from selfj_eval.files.hashes import sha256_of
from selfj_eval.jobs.provenance import provenance
from selfj_eval.training.base import training_dtype
from selfj_eval.training.card import write_card
from selfj_eval.training.results import DataFile, Parameters, TrainingRun
from selfj_eval.training.settings import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer

logger = logging.getLogger(__name__)


PACKAGES = ("torch", "transformers", "peft", "accelerate")
"""What decides a training, for its notes."""

R = TypeVar("R", bound=TrainingRun)


class Run(Generic[R]):
    """A training that can be interrupted: the same settings go on from its last checkpoint.

    Args:
        config: The settings; checkpoints stand in ``OUTPUT.checkpoints``.
        result: The class of what comes of it.
        base: Fingerprint of the base.
        data: The settings that name training data; their contents must stay the same.
        validation: Those that name validation data.
        packages: What decides the result, for the notes.

    Raises:
        DataError: If a tracker is not installed.
        StoreError: If the output is another training's or has no parent, or the checkpoints
            belong to another training.

    Attributes:
        done: What ``train`` has returned, if this very training has been finished before.
    """

    def __init__(
        self,
        config: TrainingConfig,
        result: type[R],
        base: str,
        *,
        data: tuple[str, ...],
        validation: tuple[str, ...],
        packages: tuple[str, ...],
    ) -> None:
        self.config, self.base, self._result = config, base, result
        self.output = free_output(config)
        self.done: R | None = None
        self.checkpoints = checkpoints(config)
        for tracker in config.report_to:
            if find_spec(tracker) is None:
                message = f"there is no tracker {tracker!r} here; install it, or leave it out."
                raise DataError(message, field="report_to")
        if not self.output.parent.is_dir():
            raise StoreError(
                f"{self.output}: there is no folder {self.output.parent}; make it first."
            )
        named = {name: getattr(config, name) for name in (*data, *validation)}
        paths = {name: Path(file) for name, file in named.items() if file is not None}
        self._files = {n: DataFile(printable(f), sha256_of(f)) for n, f in paths.items()}
        self._made = provenance(*packages)
        own = config.noted() | {"base": base, "dtype": training_dtype(config)}
        own["processes"] = int(os.environ.get("WORLD_SIZE", "1"))  # as torchrun sets it
        for name in data:
            own[name] = self._files[name].sha256
        for name in ("output", "report_to", "gradient_checkpointing", "logging_steps"):
            del own[name]
        self._data = data
        self._decisive: dict[str, Any] = json.loads(json.dumps(own))
        if self.output.exists():
            self.done = self._finished()
            if self.done.main_process:
                remove_checkpoints(config)
        # Of a finished one, another process may be removing them.
        self._last = None if self.done is not None else self._last_checkpoint()

    def train(
        self,
        trainer: Trainer,
        tokenizer: PreTrainedTokenizerBase,
        data: Mapping[str, Any],
    ) -> R:
        """Train to the end; write the model with its tokenizer, notes and card.

        Args:
            trainer: The trainer.
            tokenizer: What is written beside the model.
            data: Counts of the data, part of the result.

        Raises:
            JudgeError: If memory does not suffice, or the training has changed no weight.
        """
        import torch
        from transformers.trainer_pt_utils import get_model_param_count

        from selfj_eval.training.changes import check_trained, sums_of
        from selfj_eval.training.log import LogAtCheckpoints

        self.checkpoints.mkdir(exist_ok=True)
        main = trainer.is_world_process_zero()
        if self._last is None and main:
            write_json(self.checkpoints / "settings.json", self._decisive)
        elif main:
            logger.info(f"continuing from {self._last}")
        before = sums_of(trainer.model)
        trainer.add_callback(LogAtCheckpoints())
        if self._last is not None and _is_last_step(Path(self._last)):
            # Its weights are only to be loaded: resumed, it would take one step more.
            trainer.args.max_steps, trainer.args.num_train_epochs = -1, 0
        try:
            done = trainer.train(resume_from_checkpoint=self._last)
        except torch.OutOfMemoryError as error:
            raise JudgeError(
                "out of memory; turn on gradient_checkpointing (the training continues from its "
                "last checkpoint), or, to start again, lower batch_size and raise "
                f"gradient_accumulation by as much, or take quantization 8bit or 4bit, and remove "
                f"{self.checkpoints}."
            ) from error
        metrics = trainer.evaluate() if trainer.eval_dataset is not None else {}
        draft = self.checkpoints / "finished"
        trainer.save_model(str(draft))
        result = self._result(
            kind=self._result.trained,
            config=self.config.noted(),
            files=self._files,
            command=self._made["command"],
            made=self._made["made"],
            versions=self._made["versions"],
            data=dict(data),
            parameters=Parameters(
                trained=get_model_param_count(trainer.model, trainable_only=True),
                all=get_model_param_count(trainer.model),
            ),
            metrics={
                name.removeprefix("eval_"): value
                for name, value in metrics.items()
                if math.isfinite(value)
            },
            loss=mean_loss(trainer.state.log_history),
            steps=done.global_step,
            # Without transformers' summary, which is about the last start alone.
            history=[line for line in trainer.state.log_history if "train_runtime" not in line],
            decides=self._decisive,
            seconds=done.metrics["train_runtime"],
            base_fingerprint=self.base,
            output=printable(self.output),
            main_process=main,
        )
        if main:
            tokenizer.save_pretrained(draft)
            (draft / "training_args.bin").unlink(missing_ok=True)  # a pickle, no part of a model
            advice = f"Then remove {self.checkpoints}, and start again."
            check_trained(draft, before, steps=done.global_step, advice=advice)
            self._name_base(draft)
            write_json(draft / "training.json", result.notes())
            write_card(draft, self.output.name)
            draft.replace(self.output)
            remove_checkpoints(self.config)
        return result

    def _name_base(self, folder: Path) -> None:
        """Name a base of the hub as such: peft writes the place where it lies on this machine."""
        file = folder / "adapter_config.json"
        if file.is_file() and not Path(self.config.base).expanduser().is_dir():
            settings = read_json(file)
            base = printable(self.config.base)
            write_json(file, settings | {"base_model_name_or_path": base})

    def _finished(self) -> R:
        """What is noted in the output of this very training.

        Raises:
            StoreError: If it is the output of another one, or of none.
        """
        main = int(os.environ.get("RANK", "0")) == 0  # as torchrun sets it
        try:
            notes = read_json(self.output / "training.json")
            made = notes["decides"]
            other = sorted(n for n in self._decisive if self._decisive[n] != made.get(n))
            done = self._result.of(notes, output=printable(self.output), main_process=main)
        except (DataError, LookupError, TypeError, AttributeError):
            raise _exists(self.output) from None
        if other:
            raise _exists(self.output, f", a training with another {' and another '.join(other)}")
        if main:
            logger.info(f"{self.output} is finished: nothing is left to do")
        return done

    def _last_checkpoint(self) -> str | None:
        known, last = self.checkpoints / "settings.json", last_whole_checkpoint(self.checkpoints)
        if last is None or not known.is_file():
            return None
        try:
            before = dict(read_json(known))
        except (DataError, TypeError, ValueError) as error:
            raise StoreError(
                f"{known} is damaged, so nothing says which training the checkpoints are of. "
                f"Remove {self.checkpoints}, or name another output."
            ) from error
        now = self._decisive
        other = sorted(name for name in now if now[name] != before.get(name))
        if changed := [name for name in other if name in self._data]:
            raise StoreError(
                f"{self.checkpoints} holds a training on other data: the contents of "
                f"{', '.join(changed)} have changed. Name another output, or remove them."
            )
        if other:
            raise StoreError(
                f"{self.checkpoints} holds a training with other settings ({', '.join(other)}); "
                "name another output, remove the checkpoints, or go on with the settings they "
                "were made with."
            )
        return str(last)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer's state is written last."""
    for found in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            _state(found)
        except DataError:
            continue
        return found
    return None


def _is_last_step(checkpoint: Path) -> bool:
    """Whether a whole checkpoint holds the end of its training."""
    state = _state(checkpoint)
    return bool(state["global_step"] >= state["max_steps"])


def _state(checkpoint: Path) -> dict[str, Any]:
    """The trainer's state of a checkpoint.

    Raises:
        DataError: If it is not whole, as after a kill, or is damaged.
    """
    file = checkpoint / "trainer_state.json"
    try:  # a loss that is no number is written as NaN
        state = parse_json(file.read_bytes(), strict=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {brief(error)}.", path=file) from error
    steps = [state.get(n) for n in ("global_step", "max_steps")] if isinstance(state, dict) else []
    if not steps or not all(type(step) is int for step in steps):
        raise DataError("is not a state of a training.", path=file)
    found: dict[str, Any] = state
    return found


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def mean_loss(history: list[dict[str, Any]]) -> float:
    """Mean over the steps up to the last line of the log that has a loss."""
    total, before = 0.0, 0
    for line in history:
        if "loss" in line:
            total += line["loss"] * (line["step"] - before)
            before = line["step"]
    return total / max(before, 1)


def free_output(config: TrainingConfig) -> Path:
    """The folder to make.

    Raises:
        StoreError: If it exists, and is none that a training has made.
    """
    output = Path(config.output)
    if output.exists() and not (output / "training.json").is_file():
        raise _exists(output)
    return output


def _exists(output: Path, what: str = "") -> StoreError:
    return StoreError(f"{output} exists{what}; name a new folder, or remove it first.")


def checkpoints(config: TrainingConfig) -> Path:
    """Where a training keeps what it needs to go on."""
    return Path(f"{config.output}.checkpoints")


def remove_checkpoints(config: TrainingConfig) -> None:
    """Remove what a finished training no longer needs; TensorBoard's logs go to ``OUTPUT.runs``."""
    logs = checkpoints(config) / "runs"  # where transformers lets it write
    if logs.is_dir():
        kept = Path(f"{config.output}.runs")
        kept.mkdir(exist_ok=True)
        for run in logs.iterdir():
            run.replace(kept / run.name)
    shutil.rmtree(checkpoints(config), ignore_errors=True)


def arguments(config: TrainingConfig, *, validate: bool) -> dict[str, Any]:
    """The settings as ``transformers.TrainingArguments`` has them."""
    dtype, device = training_dtype(config), choose_device("auto")
    found: dict[str, Any] = {
        "output_dir": str(checkpoints(config)),
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "gradient_checkpointing": config.gradient_checkpointing,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps,
        "learning_rate": config.learning_rate,
        # transformers' "constant" has no warm-up. How long it is, steps.plan_steps decides.
        "lr_scheduler_type": "constant_with_warmup"
        if config.schedule == "constant"
        else config.schedule,
        "weight_decay": config.weight_decay,
        "adam_beta2": config.adam_beta2,
        "max_grad_norm": config.max_grad_norm,
        "use_cpu": device == "cpu",
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": config.logging_steps,
        "logging_first_step": True,
        "save_steps": config.save_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if validate else "no",
        "eval_steps": config.eval_steps if validate else None,
        "report_to": list(config.report_to) or "none",
        "dataloader_pin_memory": device == "cuda",
    }
    if config.gradient_checkpointing:
        found["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    return found
