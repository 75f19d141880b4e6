"""Results of judges, from lm-eval and from evaluations, in one table."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.errors import DataError, printable
from selfj_eval.evaluation import KIND
from selfj_eval.metrics import GOOD_AT, Headline
from selfj_eval.metrics.headline import LOWER_IS_BETTER
from selfj_eval.writing import atomic_write

_METRICS = Headline._fields
_BOUNDED = tuple(f"{name}{end}" for name in _METRICS for end in ("", "_low", "_high"))
_NUMBERS = ("n", "unscored", *_BOUNDED, "good_at")
KEY = ("judge", "dataset", "reference")
COLUMNS = (*KEY, *_NUMBERS, "source", "versions", "command")

_EXPECTED = f"expected lm-eval's results_*.json or the JSON of `selfj eval` (kind {KIND!r})"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
# Not after a letter, dot or slash (a relative path), and not the // of an address.
_ABSOLUTE = re.compile(r"""(?<![\w.~/\\-])(~[\w.-]*|[A-Za-z]:)?(?!//)[\\/][^\s"',;:=]+""")
_SECRET = re.compile(r"(.*_)?(token|api_?key|password|secret)", re.IGNORECASE)
_SHOWN_SETTINGS = ("template", "max_tokens", "tokenizer", "good_at", "allow_markers")

Row = Mapping[str, str]
"""A cell for each of ``COLUMNS``, as it stands in the file."""


class Result(NamedTuple):
    """One judge on one data set, and when that was computed (minus infinity: not known)."""

    made: float
    row: Row


@dataclass(frozen=True)
class _Document:
    """A JSON file whose fields are checked as they are read; what is missing is None."""

    path: Path
    content: Any

    def _get(self, names: Sequence[str], kinds: type | tuple[type, ...], expected: str) -> Any:
        value = self.content
        for depth, name in enumerate(names):
            if value is None:
                return None
            if not isinstance(value, dict):
                self.refuse(names[:depth], "an object", value)
            value = value.get(name)
        if value is not None and (
            not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)
        ):
            self.refuse(names, expected, value)
        return value

    def refuse(self, names: Sequence[str], expected: str, value: object) -> None:
        """Raise the error for a value of the wrong kind."""
        got = repr(value) if len(repr(value)) < 60 else f"a {type(value).__name__}"
        message = f"expected {expected}, got {got}; repair the file, or make it again."
        raise DataError(message, path=self.path, field=".".join(names))

    def text(self, *names: str) -> str | None:
        value: str | None = self._get(names, str, "a text")
        return value

    def flag(self, *names: str) -> bool | None:
        value: bool | None = self._get(names, bool, "true or false")
        return value

    def mapping(self, *names: str) -> dict[str, Any]:
        return self._get(names, dict, "an object") or {}

    def number(self, *names: str) -> float | None:
        """NaN, which lm-eval writes for undefined metrics, is None."""
        value = self._get(names, (int, float), "a number")
        try:
            number = math.nan if value is None else float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            self.refuse(names, "a finite number", value)
        return None if math.isnan(number) else number


def read_results(paths: Iterable[str | Path]) -> tuple[list[Result], list[str]]:
    """Read results of judges.

    Args:
        paths: lm-eval's results files, evaluations in JSON, or folders of them. Other JSON files
            in a folder are passed over.

    Returns:
        The results, and the names of lm-eval tasks without the headline metrics.

    Raises:
        DataError: Naming file and field, when one is not what it should be, or when nothing is
            found.
    """
    files: dict[Path, bool] = {}  # in a folder it may be something else; named, it may not
    paths = [Path(path) for path in paths]
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                files.setdefault(file.resolve(), False)
        else:
            files[path.resolve()] = True
    results, left_out = [], set()
    for file, named in files.items():
        document = _Document(file, _json(file, named))
        match document.content:
            case {"kind": str(kind)} if kind == KIND:
                results.append(_of_evaluation(document))
            case {"results": _, "configs": _} | {"results": _, "lm_eval_version": _}:
                found, others = _of_lm_eval(document)
                results += found
                left_out.update(others)
            case _ if named:
                raise DataError(f"{_EXPECTED}; name another file.", path=file)
    if not results:
        shown = ", ".join(map(printable, paths))
        metrics = f"tasks that have {', '.join(_METRICS)}"
        raise DataError(f"no result of a judge in {shown}: {_EXPECTED}, of lm-eval {metrics}.")
    return results, sorted(left_out)


def newest(results: Iterable[Result]) -> list[Row]:
    """One row for each judge, data set and reference: the last one made, whatever the order."""
    best: dict[tuple[str, ...], Result] = {}
    for result in sorted(results, key=lambda r: (r.made, *r.row.values())):
        best[key(result.row)] = result
    return [result.row for result in best.values()]


def key(row: Row) -> tuple[str, ...]:
    """What a row is about: a later one with the same key replaces it."""
    return tuple(row[name] for name in KEY)


def merge(before: Iterable[Row], now: Iterable[Row]) -> list[Row]:
    """The rows of both, sorted by data set, reference and judge; ``now`` replaces ``before``."""
    rows = {key(row): row for row in [*before, *now]}
    return sorted(rows.values(), key=lambda row: (row["dataset"], row["reference"], row["judge"]))


def read_csv(path: str | Path) -> list[Row]:
    """Read what ``write_csv`` wrote; nothing when there is no such file.

    Raises:
        DataError: If the file is something else.
    """
    path, rows = Path(path), dict[tuple[str, ...], Row]()
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        message = f"is not a readable CSV file ({error}); name another --output."
        raise DataError(message, path=path) from error
    if not lines or tuple(lines[0]) != COLUMNS:
        have = ", ".join(lines[0] if lines else ()) or "none"
        message = f"has other columns than a leaderboard ({have[:200]}); name another --output."
        raise DataError(message, path=path)
    for number, line in enumerate(lines[1:], 2):
        where: dict[str, Any] = {"path": path, "place": f"row {number}"}
        if len(line) != len(COLUMNS):
            message = f"expected {len(COLUMNS)} cells, got {len(line)}; repair or delete the row."
            raise DataError(message, **where)
        row = dict(zip(COLUMNS, map(_cell, line), strict=True))
        for name in _NUMBERS:
            if row[name] and not _NUMBER.fullmatch(row[name]):
                message = f"expected a number or nothing, got {row[name]!r}; repair the cell."
                raise DataError(message, field=name, **where)
        if key(row) in rows:
            message = f"a second row for {', '.join(key(row))}; delete one of the two."
            raise DataError(message, **where)
        rows[key(row)] = row
    return list(rows.values())


def write_csv(path: str | Path, rows: Iterable[Row]) -> None:
    """Write all rows, or nothing when that fails."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(stream.getvalue().encode())


def markdown(rows: Iterable[Row]) -> str:
    """One table: the judges of a data set stand below each other. Limited runs are marked."""
    arrows = [f"{name} ↓" if name in LOWER_IS_BETTER else name for name in _METRICS]
    lines = [["data set", "reference", "judge", "n", "unscored", *arrows]]
    lines.append(["---"] * 3 + ["--:"] * (2 + len(_METRICS)))
    for row in rows:
        names = [re.sub(r"([\\`*<\[\]|])", r"\\\1", row[n]) for n in ("dataset", *KEY[2:], "judge")]
        limited = " (limited)" if "--limit" in re.split(r"[\s=]", row["command"]) else ""
        numbers = [f"{round(float(row[m]), 3) + 0.0:.3f}" if row[m] else "-" for m in _METRICS]
        counts = [(row["n"] or "-") + limited, row["unscored"] or "-"]
        lines.append([" ".join(name.split()) or "-" for name in names] + counts + numbers)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _json(path: Path, named: bool) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}. Name a file or folder of results."
        raise DataError(message, path=path) from error
    except (ValueError, RecursionError) as error:
        # Half a results file must not go unnoticed; other files of a folder are not ours.
        if not named and not path.name.startswith("results_"):
            return None
        message = f"is not valid JSON ({error}); {_EXPECTED}. Make it again."
        raise DataError(message, path=path) from error


def _of_evaluation(doc: _Document) -> Result:
    run = ("provenance", "run")
    judge = doc.text(*run, "judge", "model") or doc.text("judge")
    adapter = doc.text(*run, "judge", "adapter")
    data = doc.text(*run, "input") or doc.text("provenance", "scores")
    versions = doc.mapping("provenance", "versions") | doc.mapping(*run, "versions")
    made = doc.text(*run, "made")
    try:
        time = datetime.fromisoformat(made) if made else None
    except ValueError:
        doc.refuse([*run, "made"], "a date and time", made)
    if time is not None and time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    numbers = {
        f"{name}{end}": doc.number("headline", name, part)
        for name in _METRICS
        for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    return Result(
        -math.inf if time is None else time.timestamp(),
        _row(
            numbers | {"n": doc.number("counts", "used")}
            | {"unscored": doc.number("counts", "unscored")}
            | {"good_at": doc.number("settings", "good_at")},
            judge=_last(judge or "") + (f"+{_last(adapter)}" if adapter else ""),
            dataset=Path(_last(data or "")).stem.removesuffix(".scores"),
            reference={True: "yes", False: "no", None: ""}[doc.flag(*run, "judge", "reference")],
            source="selfj-eval",
            versions=_public(", ".join(f"{k} {v}" for k, v in versions.items())),
            command=_public_command(doc.text(*run, "command") or ""),
        ),
    )  # fmt: skip
