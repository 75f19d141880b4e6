"""Answers by several models, a file each, scored together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, printable
from selfj_eval.files.atomic import check_output
from selfj_eval.judging.files import RecordFile
from selfj_eval.judging.options import ScoreOptions
from selfj_eval.judging.score import ScoreRun, score_answers
from selfj_eval.records.hub import HubRows, fetched
from selfj_eval.records.inputs import records_of
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.record import Record
from selfj_eval.records.sources import short_names, sources_of

if TYPE_CHECKING:
    from selfj_eval.records.inputs import Answers

_IN_MEMORY = ("first", "second")


@dataclass(frozen=True)
class _Model:
    """One model's answers.

    Attributes:
        records: The answers.
        address: The file, or where they are from; None in memory.
        scores: Where ``score`` would write their scores by default; None in memory.
        notices: What was recognised, converted or ignored.
    """

    records: Sequence[Record]
    address: str | None
    scores: Path | None
    notices: Sequence[str]


@dataclass(frozen=True)
class _Together:
    """All the answers, as ``score`` takes them."""

    records: Sequence[Record]
    address: str | None


def score_models(first: Answers, second: Answers, options: ScoreOptions) -> ScoreRun:
    """Score the answers of two models in one run, so that one rater sees all of them.

    Each answer gets the name of its model: the one in the file, else the file's name. Where both
    files use the same ids, the model's name is put in front.

    Args:
        first, second: Answers by one model each, as for ``score``.
        options: As for ``score``. By default the scores of files go to ``scores_A_B.jsonl`` beside
            the first.

    Raises:
        DataError: As ``score``; also if there are several models in one of the two, or it is the
            same file.
    """
    given = (first, second)
    models = [_read(each, options) for each in given]
    labels = _labels(given, models)
    addresses = [model.address or label for model, label in zip(models, labels, strict=True)]
    sets = [{record.model for record in model.records} for model in models]
    names = one_model_each(addresses, sets, lambda: labels)
    repeated = bool(set.intersection(*({r.id for r in model.records} for model in models)))
    records = _named(models, names, repeated)
    output = options.output
    if output is None and models[0].scores is not None:
        both = "_".join(label.replace("/", "_") for label in labels)
        output = models[0].scores.with_name(f"scores_{both}.jsonl")
    if output is not None:
        output = check_output(output, inputs=given)
    together: Any = _Together(records, ", ".join(addresses))
    # What the files say of their scale and names is in the records now.
    unread = ReadOptions()
    plain = {own.name: getattr(unread, own.name) for own in ReadOptions.declared()}
    run = score_answers(together, options.with_values(output=output, **plain))
    notices = [note for model in models for note in model.notices]
    if repeated:
        notices.append("ids begin with the names of the models, because both files use the same")
    return replace(run, notices=list(dict.fromkeys([*notices, *run.notices])))


def one_model_each(
    paths: Sequence[str], models: Sequence[set[str | None]], others: Callable[[], Sequence[str]]
) -> list[str]:
    """The name of the model of each file.

    Args:
        paths: The files, for errors.
        models: The names in each file.
        others: Gives other names, one for each file; they are used where a file names no model, or
            two name the same.

    Raises:
        DataError: If a file names several models.
    """
    names = []
    for path, own in zip(paths, models, strict=True):
        if len(own) > 1:
            listed = ", ".join(sorted(map(str, own))[:5])
            message = f"holds answers by {len(own)} models ({listed}); give a file per model."
            raise DataError(message, path=path, field="model")
        names.append(next(iter(own), None))
    known = [name for name in names if name is not None]
    return known if len(set(known)) == len(paths) else list(others())


def _read(answers: Any, options: ScoreOptions) -> _Model:
    how = options.part(ReadOptions)
    given = fetched(answers)
    if not isinstance(given, str | Path):
        notices = Notices()
        records = records_of(given, options=how, notices=notices)
        address = given.address if isinstance(given, HubRows) else None
        return _Model(records, address, None, notices.sentences())
    sources = sources_of(answers)
    file = RecordFile(sources.files[0], how, None, sources.files[1:])
    survey = file.survey()
    said = (*sources.notices, *survey.notices)
    return _Model(list(file), sources.input, sources.scores, said)


def _labels(given: Sequence[Any], models: Sequence[_Model]) -> list[str]:
    """A name for each that does not depend on what is in it.

    Raises:
        DataError: If it is the same file twice.
    """
    if any(model.scores is None for model in models):
        return list(_IN_MEMORY)
    files = [Path(each) for each in given]
    if len({file.resolve() for file in files}) < len(files):
        message = "is given twice; give the answers of two models, a file each."
        raise DataError(message, path=printable(files[0]))
    names = short_names(files)
    return [names[file] for file in files]


def _named(models: Sequence[_Model], names: Sequence[str], repeated: bool) -> list[Record]:
    """All records, with the names of their models; before their ids, too, where these repeat."""
    return [
        replace(record, model=name, id=f"{name}:{record.id}" if repeated else record.id)
        for model, name in zip(models, names, strict=True)
        for record in model.records
    ]
