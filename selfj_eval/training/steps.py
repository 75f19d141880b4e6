"""How many steps a training has, and what of its settings makes sense for so many."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from selfj_eval.errors import DataError
from selfj_eval.training.settings import TrainingConfig

if TYPE_CHECKING:
    from transformers import TrainingArguments

logger = logging.getLogger(__name__)

FEW = 20
"""Fewer steps than this mostly teach a model little, whatever the data."""


def plan_steps(config: TrainingConfig, settings: TrainingArguments, rows: int) -> int:
    """Count the steps, set the warm-up, and say so when they are few; before anything is loaded.

    Args:
        config: The settings.
        settings: The same for the trainer; gets the steps of the warm-up.
        rows: Rows of the training data.

    Returns:
        The steps of the optimizer.

    Raises:
        DataError: If a setting given in steps is not over before the training is.
    """
    batches = math.ceil(rows / (settings.train_batch_size * settings.world_size))
    an_epoch = math.ceil(batches / config.gradient_accumulation)
    steps = config.max_steps if config.max_steps > 0 else math.ceil(config.epochs * an_epoch)
    for name in ("warmup_steps", "kl_warmup_steps"):
        given = getattr(config, name, None) or 0
        if given >= steps:
            raise DataError(
                f"{given:,} steps are too many: the whole training has {steps:,} "
                f"({_how(config, settings, rows)}). Set it lower"
                + (", or leave it out for warmup_ratio" if name == "warmup_steps" else "")
                + "; or train longer, with more epochs or a smaller batch.",
                field=name,
            )
    # Rounded down: the first step of a warm-up has the learning rate 0, and must not be the only.
    share = int(config.warmup_ratio * steps)
    settings.warmup_steps = share if config.warmup_steps is None else config.warmup_steps
    if steps < FEW and settings.process_index == 0:
        logger.warning(
            f"warning: only {steps:,} steps ({_how(config, settings, rows)}), which is very few; "
            "for more steps, lower batch_size or gradient_accumulation, or raise "
            + ("max_steps" if config.max_steps > 0 else "epochs")
        )
    return steps


def _how(config: TrainingConfig, settings: TrainingArguments, rows: int) -> str:
    if config.max_steps > 0:
        return f"max_steps {config.max_steps:,}"
    batch = settings.train_batch_size * settings.world_size * config.gradient_accumulation
    return f"{rows:,} rows, {batch:,} per step, {config.epochs:g} epochs"
