"""Answers by two models, scored together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import DataError, StoreError, counted, printable, some
from selfj_eval.files.atomic import check_output, run_file
from selfj_eval.files.documents import read_json
from selfj_eval.files.hashes import sha256_of
from selfj_eval.judging.files import RecordFile
from selfj_eval.judging.options import ScoreOptions
from selfj_eval.judging.score import ScoreRun, Together, refuse_shared, score_answers
from selfj_eval.records.addresses import is_address, parse_address
from selfj_eval.records.formats.opening import COMPRESSED, READABLE
from selfj_eval.records.hub import HubRows, fetched
from selfj_eval.records.inputs import records_of
from selfj_eval.records.notices import Notices, on_nothing
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.record import Record
from selfj_eval.records.sources import identity

if TYPE_CHECKING:
    from selfj_eval.records.inputs import Answers

_IN_MEMORY = ("first", "second")


@dataclass(frozen=True)
class _Model:
    """One model's answers.

    Attributes:
        records: The answers.
        label: A name that does not depend on what is in them: the file's without its endings.
        address: The file, or the data set with its commit; None in memory.
        file: Here, or in the hub's cache; None of a data set and in memory.
        notices: What was recognised, converted or ignored.
    """

    records: Sequence[Record]
    label: str
    address: str | None
    file: Path | None
    notices: Sequence[str]


def score_models(first: Answers, second: Answers, options: ScoreOptions) -> ScoreRun:
    """Score the answers of two models in one run, so that one rater sees all of them.

    Each answer gets the name of its model: the one in the file, else the file's name. Where the two
    names would be equal, the files' names are used. Where both files use the same ids, the model's
    name is put in front.

    Args:
        first, second: Answers by one model each: one file, one data set of the hub, or rows in
            memory; no pattern, folder or list of files.
        options: As for ``score``. By default the scores go to ``scores_A_B.jsonl`` beside the first
            file, or in the current folder if that is on the hub; nowhere if either is in memory.

    Raises:
        DataError: As ``score``; also if one of the two is several files, holds answers by several
            models, both are the same, or two ids are the same with the models' names in front.
        StoreError: If a file that is written would be an input, or the default output holds the
            scores of other answers.
    """
    for own in (first, second):
        _refuse_several(own)
    models = [_read(own, at, options) for at, own in enumerate((first, second))]
    _refuse_twice(models)
    labels = _labels(models)
    names = one_model_each(
        [model.address or model.label for model in models],
        [[record.model for record in model.records] for model in models],
        lambda: labels,
    )
    hashes = {
        model.address: None if model.file is None else sha256_of(model.file)
        for model in models
        if model.address is not None
    }
    output = _output(models, labels, hashes, options)
    repeated = bool(set.intersection(*({r.id for r in model.records} for model in models)))
    address = next(iter(hashes), None)
    together: Any = Together(_named(models, names, repeated), address, hashes)
    # What the files say of their scale and names is in the records now.
    unread = ReadOptions()
    plain = {own.name: getattr(unread, own.name) for own in ReadOptions.declared()}
    run = score_answers(together, options.with_values(output=output, **plain))
    notices = [note for model in models for note in model.notices]
    for model, name in zip(models, names, strict=True):
        if model.records[0].model not in (None, name):
            own = model.records[0].model
            notices.append(f"the model is called {name}, because both are named {own!r}")
    if repeated:
        notices.append(
            "ids begin with the names of the models, because both models use the same ids"
        )
    return replace(run, notices=list(dict.fromkeys([*notices, *run.notices])))


def one_model_each(
    paths: Sequence[str],
    models: Sequence[Sequence[str | None]],
    others: Callable[[], Sequence[str]],
) -> list[str]:
    """The name of the model of each file.

    Args:
        paths: The files, for errors.
        models: The name of each answer's model in each file.
        others: Gives other names, one for each file. A file that names no model gets its own; all
            do where two would have the same name.

    Raises:
        DataError: If a file names several models, or not that of every answer.
    """
    found = []
    for path, own in zip(paths, models, strict=True):
        counts = Counter(own)
        unnamed = counts.pop(None, 0)
        if len(counts) > 1:
            listed = some(sorted(map(str, counts)), 5)
            message = f"holds answers by {len(counts)} models ({listed}); give a file per model."
            raise DataError(message, path=path, field="model")
        if counts and unnamed:
            number = counted(unnamed, "answer names", "answers name")
            message = f"{number} no model, others {next(iter(counts))!r}; name it in all or none."
            raise DataError(message, path=path, field="model")
        found.append(next(iter(counts), None))
    if None not in found and len(set(found)) == len(paths):
        return [str(name) for name in found]
    instead = list(others())
    names = [own if name is None else name for name, own in zip(found, instead, strict=True)]
    return names if len(set(names)) == len(paths) else instead


def _refuse_several(given: Any) -> None:
    what = None
    if isinstance(given, list | tuple) and any(isinstance(each, str | Path) for each in given):
        what = "this is a list of files"
    elif is_address(given):
        what = "is a pattern" if has_magic(parse_address(given).path or "") else None
    elif isinstance(given, str | Path):
        if Path(given).is_dir():
            what = "is a folder"
        elif has_magic(str(given)) and not Path(given).exists():
            what = "is a pattern"
    if what is not None:
        message = f"{what}; to compare two models, give one file for each, with all its answers."
        raise DataError(message, path=given if isinstance(given, str | Path) else None)


def _read(given: Any, at: int, options: ScoreOptions) -> _Model:
    how = options.part(ReadOptions)
    answers = fetched(given)
    if isinstance(answers, str | Path):
        path = Path(answers)
        file = RecordFile(path, how)
        survey = file.survey()
        if not survey.records:
            raise DataError(on_nothing("holds no records", survey.left_out), path=path)
        label = _without_endings(path).name
        return _Model(list(file), label, printable(path), path, survey.notices)
    notices = Notices()
    records = records_of(answers, options=how, notices=notices)
    on_hub = isinstance(answers, HubRows)
    label, address = (answers.name, answers.address) if on_hub else (_IN_MEMORY[at], None)
    return _Model(records, label, address, None, notices.sentences())


def _without_endings(path: PurePath) -> PurePath:
    """A file's name without the endings that say its format: ``x`` of ``x.jsonl.gz``."""
    for endings in (COMPRESSED, READABLE):
        if path.suffix.lower() in endings:
            path = path.with_suffix("")
    return path


def _refuse_twice(models: Sequence[_Model]) -> None:
    given = [m.address if m.file is None else identity(m.file) for m in models]
    if given[0] is not None and given[0] == given[1]:
        message = "is given twice; give the answers of two models."
        raise DataError(message, path=models[0].address)


def _labels(models: Sequence[_Model]) -> list[str]:
    """A name for each that the other does not have: with as much of its path as that takes."""
    labels = [model.label for model in models]
    if len(set(labels)) == len(models):
        return labels
    places = [m.address or m.label if m.file is None else identity(m.file) for m in models]
    paths = [PurePath(place) for place in places]
    short = [_without_endings(path) for path in paths]
    parts = [path.parts for path in (paths if short[0] == short[1] else short)]
    shared = 0
    while parts[0][shared : shared + 1] == parts[1][shared : shared + 1] != ():
        shared += 1
    return ["/".join(own[shared:] or own[-1:]) for own in parts]


def _output(
    models: Sequence[_Model],
    labels: Sequence[str],
    hashes: Mapping[str, str | None],
    options: ScoreOptions,
) -> Path | None:
    """Where the scores go, once it is sure that nothing which is needed is written over."""
    output = options.output
    if output is None and all(model.address is not None for model in models):
        both = "_".join(re.sub(r"[^\w.@-]+", "_", label) for label in labels)
        name = f"scores_{both}.jsonl"
        first = models[0].file
        on_hub = first is None or is_address(printable(first))
        output = Path(name) if first is None or on_hub else first.with_name(name)
        _refuse_scores_of_others(output, hashes)
    files = [model.file for model in models if model.file is not None]
    if output is not None:
        output = check_output(output, inputs=files)
    kept = options.store or (None if output is None else f"{output}.store")
    for file in files:
        refuse_shared(file, output, kept)
    return output


def _refuse_scores_of_others(output: Path, inputs: Mapping[str, str | None]) -> None:
    """A default name is the same for files of the same names in other folders."""
    notes = run_file(output)
    if not notes.exists():
        return
    former: Any = None
    with suppress(DataError):
        former = read_json(notes)
    made_of = former.get("input_sha256") if isinstance(former, dict) else None
    if not isinstance(made_of, dict) or _places(made_of) != _places(inputs):
        message = f"{output} holds scores of other answers, says {notes}; name another `output`."
        raise StoreError(message)


def _places(inputs: Mapping[str, str | None]) -> set[str]:
    return {name if is_address(name) else str(Path(name).resolve()) for name in inputs}


def _named(models: Sequence[_Model], names: Sequence[str], repeated: bool) -> list[Record]:
    """All records, with the names of their models; before their ids, too, where these repeat."""
    found, whose = list[Record](), dict[str, tuple[str, str]]()
    for model, name in zip(models, names, strict=True):
        for record in model.records:
            own = f"{name}:{record.id}" if repeated else record.id
            first, its_id = whose.setdefault(own, (name, record.id))
            if first != name:  # the name of one model goes on as an id of the other does
                raise DataError(
                    "both models use the same ids, so the models' names are put in front of "
                    f"them; but then {its_id!r} of {first!r} and {record.id!r} of {name!r} are "
                    f"both {own!r}. Change one of these ids, or the name of a model.",
                    path=model.address,
                    field="id",
                )
            found.append(replace(record, model=name, id=own))
    return found
