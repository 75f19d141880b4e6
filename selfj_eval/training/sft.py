"""Instruction tuning: a base model learns to answer, in the prompt form that generation uses."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.engines.models.weights import check_weights, fingerprint, resolve_folder
from selfj_eval.errors import DataError, JudgeError, printable
from selfj_eval.generation.base import PromptTokenizer
from selfj_eval.jobs.options import keywords
from selfj_eval.records.notices import Notices
from selfj_eval.records.questions import QUESTION_FIELDS
from selfj_eval.records.reading import iter_rows
from selfj_eval.records.record import question_of
from selfj_eval.training.base import load_base
from selfj_eval.training.results import RowCounts, SftRun
from selfj_eval.training.run_folder import PACKAGES, Run, arguments, free_output
from selfj_eval.training.settings import SftConfig
from selfj_eval.training.steps import plan_steps

if TYPE_CHECKING:
    from trl.trainer.sft_trainer import SFTTrainer

logger = logging.getLogger(__name__)


class Example(NamedTuple):
    """A row of the data.

    Attributes:
        instruction: The instruction; not empty.
        answer: Its answer; not empty.
    """

    instruction: str
    answer: str


def read_examples(path: Path) -> list[Example]:
    """Read rows with ``instruction`` and ``output`` or ``response``.

    ``input`` (Alpaca), ``system``, ``history`` and ``messages`` become part of the instruction;
    other fields are ignored.

    Raises:
        DataError: Naming file, place and field, if the file or a row cannot be used.
    """
    found, notices = [], Notices()
    fields = ("instruction", "output", "response", *QUESTION_FIELDS)
    for place, row in iter_rows(path, fields=fields, notices=notices):
        name = "output" if "output" in row else "response"
        value = row.get(name)
        if not isinstance(value, str) or not value.strip():
            have = "nothing" if value is None else "empty text" if value == "" else repr(value)
            message = f"expected text, the answer (output or response), got {have[:40]}."
            raise DataError(message, path=path, place=place, field=name)
        question = question_of(row, path=path, place=place, notices=notices)
        found.append(Example(question, value.strip()))
    if not found:
        raise DataError("holds no rows.", path=path)
    for sentence in notices.sentences():
        logger.info(f"note: {printable(path)}: {sentence}")
    return found


def encode_example(tokenizer: PromptTokenizer, example: Example) -> tuple[list[int], list[int]]:
    """Tokens of the prompt, exactly those of generation, and of answer and end.

    Raises:
        JudgeError: If the tokenizer has no end token.
    """
    own = tokenizer.tokenizer
    if own.eos_token_id is None:
        raise JudgeError("the base's tokenizer names no end token (eos_token), which ends answers.")
    text = tokenizer.text(example.instruction)
    prompt = tokenizer.encoded(text)[0].ids
    whole = tokenizer.encoded(text, example.answer)[0].ids
    answer = whole[len(prompt) :]
    if whole[: len(prompt)] != prompt:  # a token spans the seam, which generation never sees
        answer = tokenizer.encode_answer(example.answer)
    return prompt, [*answer, own.eos_token_id]


def encode_examples(
    tokenizer: PromptTokenizer, examples: list[Example], max_tokens: int
) -> tuple[list[dict[str, list[int]]], RowCounts]:
    """All rows that fit, labels on the answer alone, and counts of all rows.

    Returns:
        ``input_ids`` and ``labels`` per row, and the counts.
    """
    used, answered = [], 0
    for example in examples:
        prompt, answer = encode_example(tokenizer, example)
        if len(prompt) + len(answer) <= max_tokens:
            labels = [-100] * len(prompt) + answer
            used.append({"input_ids": prompt + answer, "labels": labels})
            answered += len(answer)
    counts = RowCounts(
        rows=len(examples),
        used=len(used),
        too_long=len(examples) - len(used),
        tokens=sum(len(row["input_ids"]) for row in used),
        answer_tokens=answered,
    )
    return used, counts


def train_sft_model(config: SftConfig) -> SftRun:
    """Instruction-tune a model and write it, or its adapter, with notes and card.

    Checkpoints are kept in ``OUTPUT.checkpoints`` until the model is finished. The same call
    continues from the last checkpoint. If the training is finished, it returns the recorded result.

    Raises:
        DataError: If the data or the settings cannot be used.
        JudgeError: If the base cannot be loaded or trained, or trl is missing.
        StoreError: If the output is another training's, or the checkpoints belong to other
            settings.
    """
    free_output(config)
    files = {"train": config.train, "validation": config.validation}
    parts = {name: read_examples(Path(file)) for name, file in files.items() if file is not None}
    folder = resolve_folder(str(config.base), code=config.trust_remote_code)
    check_weights(folder)
    tokenizer = PromptTokenizer(folder, config.prompt, trust_remote_code=config.trust_remote_code)
    # Noted by name, so that ``auto`` finds it when the model answers.
    config = replace(config, prompt=tokenizer.prompt)
    if config.max_tokens > tokenizer.context:
        message = f"{config.max_tokens} is more than the {tokenizer.context} the base has room for."
        raise DataError(message, field="max_tokens")
    encoded = {n: encode_examples(tokenizer, rows, config.max_tokens) for n, rows in parts.items()}
    for name, (used, counts) in encoded.items():
        if not used:
            message = f"all {counts.rows} rows are longer than max_tokens, {config.max_tokens}."
            raise DataError(message, path=str(files[name]), field="output")
    run = Run(
        config,
        SftRun,
        fingerprint(folder),
        data=("train",),
        validation=("validation",),
        packages=(*PACKAGES, "trl"),
    )
    if run.done is not None:
        return run.done
    trainer = _trainer(config, folder, {name: used for name, (used, _) in encoded.items()})
    # The base's own tokenizer, without the padding token that trl adds.
    data = {name: counts for name, (_, counts) in encoded.items()}
    return run.train(trainer, tokenizer.tokenizer, data)


train_sft = keywords(train_sft_model, SftConfig)


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

    # First of all: it finds the other processes, and on which device the base is to be loaded.
    settings = TrlConfig(
        **arguments(config, validate="validation" in rows),
        max_length=None,  # rows that are too long have been left out, and counted
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    plan_steps(config, settings, len(rows["train"]))
    set_seed(config.seed)  # a new adapter is random
    # A tokenizer of its own: trl gives it a padding token.
    code = config.trust_remote_code
    tokenizer = PromptTokenizer(folder, config.prompt, trust_remote_code=code).tokenizer
    sets = {name: Dataset.from_list(own) for name, own in rows.items()}
    return SFTTrainer(
        model=load_base(config, folder, tokenizer),
        args=settings,
        train_dataset=sets["train"],
        eval_dataset=sets.get("validation"),
        processing_class=tokenizer,
    )
