"""Results of judges, from lm-eval and from evaluations, in one table."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, brief, printable
from selfj_eval.evaluation.cells import markdown_cell
from selfj_eval.evaluation.options import GOOD_AT
from selfj_eval.evaluation.result import KIND, Evaluation
from selfj_eval.files.atomic import atomic_write
from selfj_eval.files.documents import Document, parse_json, refuse_special
from selfj_eval.metrics import LOWER_IS_BETTER, Headline

_METRICS = Headline._fields
_ENDS = {"": "value", "_low": "low", "_high": "high"}
_PLACES = {  # the columns that hold numbers, and where an evaluation has them
    **{"n": ("counts", "used"), "unscored": ("counts", "unscored")},
    **{name + end: ("headline", name, part) for name in _METRICS for end, part in _ENDS.items()},
    "good_at": ("settings", "good_at"),
}
COLUMNS = ("judge", "dataset", "reference", *_PLACES, "source", "versions", "command")

_EXPECTED = f"expected lm-eval's results_*.json or what `selfj eval` prints as JSON (kind {KIND!r})"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
# Not after a letter, dot or slash (a relative path), and not the // of an address.
_PATH = re.compile(r"""(?<![\w.~/\\-])(?:(?!//)(?:~[\w.-]*)?/|[A-Za-z]:[\\/])[^\s"',;:=]+""")
_SECRET = re.compile(r"(.*_)?(token|api_?key|password|secret)", re.IGNORECASE)

Row = Mapping[str, str]  # a cell for each of COLUMNS, in their order, as it stands in the file
_Result = tuple[str, Row]  # when it was made (ISO 8601, UTC), and the row


def read_results(given: Iterable[str | Path | Evaluation]) -> tuple[list[Row], list[str]]:
    """Read lm-eval's results and evaluations: files, or folders, where other JSON is passed over.

    Evaluations may be in memory, too.

    Returns:
        The result made last of each judge, data set, reference and good_at; and what was left out
        and why.

    Raises:
        DataError: Naming file and field, when one is not what it should be; or nothing is found.
    """
    files: dict[Path, bool] = {}  # whether it is named: then it must hold results
    given = list(given)
    paths = [Path(path) for path in given if isinstance(path, str | Path)]
    for path in paths:
        for file in path.rglob("*.json") if path.is_dir() else [path]:
            files[file] = files.get(file, False) or file is path
    results, left_out = list[_Result](), list[str]()
    for result in given:
        if isinstance(result, Evaluation):
            results.append(_of_evaluation(Document(Path("evaluation"), result.to_dict())))
    for file, named in files.items():
        document = Document(file, _json(file, named))
        match document.content:
            case {"kind": str(kind)} if kind == KIND:
                results.append(_of_evaluation(document))
            case {"results": _, "configs": _}:
                found = {t: _of_task(document, t) for t in document.get(dict, "results") or {}}
                results += [result for result in found.values() if result]
                tasks = found.keys() & (document.get(dict, "configs") or {}).keys()  # no groups
                left_out += [f"{t}: not all of the metrics" for t in tasks if not found[t]]
            case _ if named:
                raise DataError(f"{_EXPECTED}; name another file.", path=file)
    if not results:
        shown, metrics = ", ".join(map(printable, paths)), ", ".join(_METRICS)
        raise DataError(f"no result of a judge in {shown}: {_EXPECTED}, with all of {metrics}.")
    results.sort(key=lambda result: (result[0], *result[1].values()))  # whatever their order
    last = {key(row): row for _, row in results}
    older = (row for _, row in results if last[key(row)] != row)
    left_out += [f"{row['dataset']}: another result of {row['judge']}" for row in older]
    return list(last.values()), sorted(left_out)


def merge(before: Iterable[Row], now: Iterable[Row]) -> list[Row]:
    """The rows of both, sorted by data set, reference and judge; later ones replace earlier."""
    rows = {key(row): row for row in (*before, *now)}
    return [rows[k] for k in sorted(rows)]


def key(row: Row) -> tuple[str, str, str, str]:
    """What a row is about."""
    return row["dataset"], row["reference"], row["judge"], row["good_at"]


def read_csv(path: str | Path) -> list[Row]:
    """Read what ``write_csv`` wrote: no rows when there is no file, DataError when another."""
    try:
        refuse_special(Path(path))
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        message = f"is not a readable CSV file ({error}); name another `output`."
        raise DataError(message, path=path) from error
    if not lines or tuple(lines[0]) != COLUMNS:
        message = f"the columns are not a leaderboard's ({', '.join(COLUMNS[:4])}, ...)"
        raise DataError(f"{message}; name another `output`.", path=path)
    rows: list[Row] = [dict(zip(COLUMNS, map(_cell, line), strict=False)) for line in lines[1:]]
    for number, row in enumerate(rows, 2):
        given = ((name, row.get(name)) for name in _PLACES)
        field = next((name for name, cell in given if cell and not _NUMBER.fullmatch(cell)), None)
        if field or len(lines[number - 1]) != len(COLUMNS):
            expected = "a number or nothing" if field else f"{len(COLUMNS)} cells"
            message = f"expected {expected}; repair or delete the row."
            raise DataError(message, path=path, place=f"row {number}", field=field)
    return rows


def write_csv(path: str | Path, rows: Iterable[Row]) -> None:
    """Write all rows, or nothing when that fails."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *(row.values() for row in rows)])
    with atomic_write(path) as file:
        file.write(stream.getvalue().encode())


def markdown(rows: Iterable[Row]) -> str:
    """One table, the judges of a data set from best to worst; runs with a limit are marked.

    The best have the highest Pearson correlation.
    """
    metrics = [f"{name} ↓" if name in LOWER_IS_BETTER else name for name in _METRICS]
    lines = [["data set", "reference", "judge", "good at", "n", "unscored", *metrics]]
    lines.append(["---"] * 3 + ["---:"] * (3 + len(metrics)))
    ranked = sorted(
        rows, key=lambda r: (r["dataset"], r["reference"], -float(r["pearson"] or "-inf"), key(r))
    )
    for row in ranked:
        names = [markdown_cell(name) for name in key(row)]
        words = re.split(r"[\s=]", row["command"])
        limited = " (limited)" if "limit" in [w[2:] for w in words if w[:2] == "--"] else ""
        counts = [(row["n"] or "-") + limited, row["unscored"] or "-"]
        values = [f"{round(float(row[m]), 3) + 0.0:.3f}" if row[m] else "-" for m in _METRICS]
        lines.append([name or "-" for name in names] + counts + values)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _json(path: Path, named: bool) -> Any:
    try:
        refuse_special(path)
        return parse_json(path.read_bytes(), strict=False)  # lm-eval writes NaN
    except (OSError, ValueError) as error:
        # Half a results file must not go unnoticed; other files of a folder are not ours.
        if not named and not path.name.startswith("results_"):
            return None
        raise DataError(f"is not readable ({brief(error)}); {_EXPECTED}.", path=path) from error


def _of_evaluation(doc: Document) -> _Result:
    run = ("provenance", "run")
    judge, adapter = (doc.get(str, *run, "judge", name) for name in ("model", "adapter"))
    # Scores of unknown origin: what they have in common with other judges' are the ratings.
    places = [(*run, "input"), ("provenance", "ratings"), ("provenance", "scores")]
    data = next((text for place in places if (text := doc.get(str, *place))), "")
    versions = [doc.get(dict, *place, "versions") or {} for place in (run[:1], run)]
    return doc.get(str, *run, "made") or "", _row(
        {name: doc.get(float, *place) for name, place in _PLACES.items()},
        judge=(judge or doc.get(str, "judge"), adapter),
        dataset=Path(_last(data)).stem.removesuffix(".scores"),
        reference={None: "", True: "yes", False: "no"}[doc.get(bool, *run, "judge", "reference")],
        source="selfj-eval",
        versions=versions[0] | versions[1],
        command=doc.get(str, *run, "command") or "",
    )


def _of_task(doc: Document, task: str) -> _Result | None:
    columns = {name.rpartition(",")[0]: name for name in doc.get(dict, "results", task) or {}}
    if not columns.keys() >= set(_METRICS):
        return None
    named = {name: columns.get(name, name) for name in (*_METRICS, "unscored")}
    numbers = {name: doc.get(float, "results", task, column) for name, column in named.items()}
    n = doc.get(float, "n-samples", task, "effective")
    numbers["n"] = None if n is None else n - (numbers.get("unscored") or 0)
    meta = ("configs", task, "metadata")
    good_at = doc.get(float, *meta, "selfj_good_at")
    numbers["good_at"] = GOOD_AT if good_at is None else good_at
    args: Any = doc.get(object, "config", "model_args") or {}
    if isinstance(args, str):
        args = dict(part.partition("=")[::2] for part in args.split(","))
    elif not isinstance(args, dict):
        doc.refuse(object, args, ("config", "model_args"))
    model, limit = doc.get(str, "config", "model"), doc.get(float, "config", "limit")
    shown = ",".join(f"{k}={v}" for k, v in args.items() if not _SECRET.fullmatch(k))
    program = ["selfj", "lm-eval"] if model == "selfj" else ["lm_eval"]
    given = {"model": str(model), "model_args": shown, "tasks": task}
    given |= {} if limit is None else {"limit": f"{limit:.15g}"}
    command = [*program, *(word for name, value in given.items() for word in (f"--{name}", value))]
    date = min(max(doc.get(float, "date") or 0, 0), 4e9)  # what any clock can show
    return datetime.fromtimestamp(date, UTC).isoformat(timespec="seconds"), _row(
        numbers,
        judge=(
            args.get("pretrained") or doc.get(str, "model_name"),
            args.get("peft") or args.get("adapter"),
        ),
        dataset=_public(doc.get(str, *meta, "selfj_source") or task),
        reference="no" if doc.get(bool, *meta, "selfj_reference") is False else "yes",
        source="lm-eval",
        versions={n: doc.get(str, f"{n}_version") for n in ("lm_eval", "transformers")},
        command=shlex.join(command) if model else "",
    )


def _row(numbers: Mapping[str, float | None], **cells: Any) -> Row:
    for name, value in numbers.items():
        if value is not None:  # + 0.0: no minus zero
            cells[name] = f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
    cells["judge"] = "+".join(_model(str(name)) for name in cells["judge"] if name)
    versions = (f"{k.replace('_', '-')} {v}" for k, v in cells["versions"].items() if v)
    cells["versions"] = _public(", ".join(versions))
    try:
        cells["command"] = shlex.join(map(_public, shlex.split(cells["command"])))
    except ValueError:  # quotes that do not close: not a command line of ours
        cells["command"] = _public(cells["command"])
    return {name: _cell(cells.get(name, "")) for name in COLUMNS}


def _cell(text: str) -> str:
    """Valid text that no spreadsheet takes for a formula."""
    text = text.encode("utf-8", "replace").decode()
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(text)
    return ("'" * formula + text).replace("\r", " ")  # csv.writer would not quote it


def _public(text: str) -> str:
    """Without absolute paths, which name the user and the machine: their last part stays."""
    parts = re.split(r"(?:^|(?<=,))([\w-]+=)", text.replace("file://", ""))
    return "".join(
        _last(part) if re.match(r"~|(?:[A-Za-z]:)?[\\/]", part)  # with the blanks in it
        else _PATH.sub(lambda path: _last(path[0]), part)
        for part in parts
    )  # fmt: skip


def _model(name: str) -> str:
    """A judge's name: owner/name of a hub or a relative folder, else the folder's last part."""
    if _public(name) != name:
        return _last(name)
    return "/".join(re.split(r"[\\/]", name.rstrip("\\/"))[-2:]).removeprefix("./")


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
