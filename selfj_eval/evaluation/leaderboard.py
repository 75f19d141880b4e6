"""Results of judges collected in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import printable, shown
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.results import Result

if TYPE_CHECKING:
    from selfj_eval.evaluation.result import Evaluation

_DEFAULT = "leaderboards/judges.csv"


@dataclass(frozen=True, kw_only=True)
class LeaderboardOptions(Options):
    """Where the table is."""

    output: PathLike | None = option(
        None,
        f"the table; rows are added if it exists (default: {_DEFAULT})",
        placeholder="FILE",
    )
    markdown: PathLike | None = option(None, "also write the table as Markdown", placeholder="FILE")


@dataclass(frozen=True)
class Leaderboard(Result):
    """A table of judges.

    Attributes:
        entries: One row per judge, data set, reference and lowest good rating: a text by column.
        added, replaced: How many of them are new, and how many replaced a row.
        left_out: What was skipped, and why.
        written: The files.
    """

    entries: Sequence[Mapping[str, str]] = field(repr=False)
    added: int
    replaced: int
    left_out: Sequence[str]
    written: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """The summary, as the JSON that the command prints."""
        return {
            "rows": len(self.entries),
            "added": self.added,
            "replaced": self.replaced,
            "left_out": list(self.left_out),
            "written": list(self.written),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        return [dict(entry) for entry in self.entries]

    def __str__(self) -> str:
        lines = [f"{len(self.entries):,} rows: {self.added:,} added, {self.replaced:,} replaced"]
        lines += [f"  skipped     {shown(reason)}" for reason in self.left_out]
        return "\n".join([*lines, f"  written to  {' and '.join(self.written)}"])


def leaderboard_of(
    results: str | Path | Evaluation | Sequence[str | Path | Evaluation],
    options: LeaderboardOptions,
) -> Leaderboard:
    """Collect results of judges in one CSV table; existing rows are kept.

    A result of the same judge on the same data set, with or without reference and with the same
    lowest good rating, replaces its row. Paths of this machine are not written into the table.

    Args:
        results: lm-eval's ``results_*.json``, evaluations in memory or as JSON files, or folders
            of these; one, or a list.

    Raises:
        DataError: If one cannot be read, or contains no result.
        StoreError: If the table cannot be written.
    """
    from selfj_eval.evaluation import leaderboard_table as table
    from selfj_eval.files.atomic import atomic_write, check_output

    given = [results] if isinstance(results, str | Path | Result) else list(results)
    inputs = [path for path in given if isinstance(path, str | Path)]
    if options.output is None:
        Path(_DEFAULT).parent.mkdir(exist_ok=True)
    output = check_output(options.output or _DEFAULT, formats=(".csv",), inputs=inputs)
    written = [output]
    if options.markdown is not None:
        written.append(check_output(options.markdown, formats=(".md",), inputs=inputs))
    before = table.read_csv(output)
    now, left_out = table.read_results(given)
    rows = table.merge(before, now)
    table.write_csv(output, rows)
    if options.markdown is not None:
        with atomic_write(options.markdown) as stream:
            stream.write(table.markdown(rows).encode())
    replaced = len({*map(table.key, before)} & {*map(table.key, now)})
    paths = [printable(path) for path in written]
    return Leaderboard(rows, len(now) - replaced, replaced, left_out, paths)


leaderboard = keywords(leaderboard_of, LeaderboardOptions)
