"""Training a judge, from the settings to a model folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.engines.models.tokenizer import context_length, encoder_length, load_tokenizer
from selfj_eval.engines.models.weights import check_weights, fingerprint, resolve_folder
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import keywords
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, SECTIONS, get_template
from selfj_eval.training.base import load_base
from selfj_eval.training.encoding import Encoded, Label, PairCollator, encode_pairs, label_tokens
from selfj_eval.training.pairs import Pair, read_pairs
from selfj_eval.training.results import JudgeRun, PairCounts
from selfj_eval.training.run_folder import (
    PACKAGES,
    Run,
    arguments,
    checkpoints,
    free_output,
)
from selfj_eval.training.settings import JudgeConfig
from selfj_eval.training.steps import plan_steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

ENCODER_LABEL = Label(list(range(10)), None)


def train_judge_model(config: JudgeConfig) -> JudgeRun:
    """Train a judge by paired self-distillation and write its folder, with notes and card.

    All data is read and checked before anything is loaded. Checkpoints are kept beside the output,
    in ``OUTPUT.checkpoints``, until the judge is finished. The same call continues from the last
    checkpoint. If the training is finished, it returns the recorded result.

    Raises:
        DataError: If the data or the settings cannot be used.
        JudgeError: If the base cannot be loaded or trained.
        StoreError: If the output is another training's, or the checkpoints belong to other
            settings.
    """
    free_output(config)
    train = read_pairs(
        Path(config.train_ref), Path(config.train_noref), allow_unpaired=config.allow_unpaired
    )
    validation = None
    if config.validation_ref is not None and config.validation_noref is not None:
        files = Path(config.validation_ref), Path(config.validation_noref)
        validation = read_pairs(*files, allow_unpaired=config.allow_unpaired)
    folder = resolve_folder(str(config.base), code=config.trust_remote_code)
    check_weights(folder)
    run = Run(
        config,
        JudgeRun,
        fingerprint(folder),
        data=("train_ref", "train_noref"),
        validation=("validation_ref", "validation_noref"),
        packages=PACKAGES,
    )
    if run.done is not None:
        return run.done

    from transformers import TrainingArguments, set_seed

    # First of all: it finds the other processes, and on which device the base is to be loaded.
    settings = TrainingArguments(
        **arguments(config, validate=validation is not None),
        remove_unused_columns=False,
        label_names=["labels"],
    )
    plan_steps(config, settings, len(train))
    set_seed(config.seed)  # a new head and new adapters are random
    tokenizer, label = _tokenizer(config, folder)
    parts = {"train": train} | ({} if validation is None else {"validation": validation})
    encoded = {name: _encode(pairs, tokenizer, label, config) for name, pairs in parts.items()}
    if settings.process_index == 0:
        _say_trimmed(encoded.values(), config.max_tokens)

    from selfj_eval.training.trainer import JudgeTrainer

    model = load_base(
        config, folder, tokenizer,
        encoder=config.architecture == "encoder", freeze_layers=config.freeze_layers,
    )  # fmt: skip
    rows, frozen, output = encoded["train"].dataset, None, None
    if config.cache_frozen:
        from selfj_eval.training.frozen import FrozenLayers

        if settings.world_size > 1:
            raise DataError("is for one process; leave it out.", field="cache_frozen")
        frozen = FrozenLayers(model, config.freeze_layers)
        prompts = [prompt for row in rows for prompt in (row["ref"], row["free"])]
        output = frozen.output(prompts, checkpoints(config), run.base)
        rows = rows.add_column("row", list(range(len(rows))))
    pad = tokenizer.pad_token_id
    trainer = JudgeTrainer(
        config=config,
        label=label,
        frozen=frozen,
        model=model,
        args=settings,
        data_collator=PairCollator(0 if pad is None else pad, label.end is not None, output),
        train_dataset=rows,
        eval_dataset=encoded["validation"].dataset if validation is not None else None,
        processing_class=tokenizer,
    )  # fmt: skip
    known = {pair.instruction for pair in train}
    counts = {
        name: _counts(parts[name], found, known if name == "validation" else None)
        for name, found in encoded.items()
    }
    return run.train(trainer, tokenizer, counts)


train_judge = keywords(train_judge_model, JudgeConfig)


def _say_trimmed(encoded: Iterable[Encoded], max_tokens: int) -> None:
    """Name the prompts that lose most, before the training starts."""
    for found in encoded:
        if found.trimmed:
            worst = "; ".join(f"{w.where}: {w.tokens:,} tokens" for w in found.longest)
            logger.info(
                f"note: {found.trimmed:,} of {found.prompts:,} prompts are "
                f"longer than {max_tokens:,} tokens and are cut in the middle, most of all {worst}"
            )


def _counts(pairs: list[Pair], encoded: Encoded, known: set[str] | None) -> PairCounts:
    labels = [0] * 10
    for pair in pairs:
        labels[pair.label] += 1
    return PairCounts(
        pairs=len(pairs),
        with_reference=sum(pair.reference is not None for pair in pairs),
        labels=labels,
        prompts=encoded.prompts,
        trimmed=encoded.trimmed,
        trimmed_tokens=encoded.trimmed_tokens,
        longest=encoded.longest,
        seen_instructions=None
        if known is None
        else sum(pair.instruction in known for pair in pairs),
    )


def _tokenizer(config: JudgeConfig, folder: Path) -> tuple[PreTrainedTokenizerBase, Label]:
    model, tokenizer = load_tokenizer(folder, str(config.base), config.trust_remote_code)
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
