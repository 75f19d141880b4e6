"""Layouts of other programs' files that are read as records: one file a family.

A layout is known by the fields of the first row, never guessed: what was recognised is noted, two
that fit are an error, and the option ``layout`` names another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError
from selfj_eval.records.formats import Rows
from selfj_eval.records.layouts.arena_hard import ARENA_HARD
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.chat import CHAT
from selfj_eval.records.layouts.deepeval import DEEPEVAL
from selfj_eval.records.layouts.fastchat import FASTCHAT
from selfj_eval.records.layouts.inspect_ai import INSPECT
from selfj_eval.records.layouts.lighteval import LIGHTEVAL
from selfj_eval.records.layouts.lm_eval import LM_EVAL
from selfj_eval.records.layouts.mlflow import MLFLOW
from selfj_eval.records.layouts.openai_batch import OPENAI_BATCH
from selfj_eval.records.layouts.openai_evals import OPENAI_EVALS
from selfj_eval.records.layouts.preference import PREFERENCE
from selfj_eval.records.layouts.promptfoo import PROMPTFOO
from selfj_eval.records.layouts.raters import RATERS
from selfj_eval.records.notices import Notices
from selfj_eval.records.options import ALL, PLAIN, ReadOptions

__all__ = ["LAYOUTS", "Layout", "columns_of", "layout_rows", "recognised"]

LAYOUTS: tuple[Layout, ...] = (
    *CHAT,
    *OPENAI_BATCH,
    *PREFERENCE,
    *INSPECT,
    *PROMPTFOO,
    *DEEPEVAL,
    *FASTCHAT,
    *ARENA_HARD,
    *RATERS,
    *MLFLOW,
    *LM_EVAL,
    *LIGHTEVAL,
    *OPENAI_EVALS,
)


def recognised(
    row: Mapping[str, Any], options: ReadOptions, *, path: Path | None, place: str
) -> Layout | None:
    """The layout of a file by its first row; None where its rows are records as they are.

    Args:
        row: The first row.
        options: The layout that the user names, and what fields are called.
        path, place: Where the row stands, for errors.

    Raises:
        DataError: If several fit, or the one that is named does not.
    """
    if options.layout == PLAIN:
        return None
    if options.layout is not None:
        return _named(options.layout, row, path, place)
    told = [options.fields.get(name) for name in ("instruction", "response")]
    plain = {"instruction", "response"} <= row.keys() or any(name in row for name in told if name)
    found = [each for each in LAYOUTS if each.fits(row) and (each.beside or not plain)]
    if len(found) > 1:
        names = " or ".join(each.name for each in found)
        message = f"may be of the layout {names}; name one as `layout`."
        raise DataError(message, path=path, place=place)
    return found[0] if found else None


def _named(name: str, row: Mapping[str, Any], path: Path | None, place: str) -> Layout:
    layout = next((each for each in LAYOUTS if each.name == name), None)
    if layout is None:
        known = ", ".join((PLAIN, *(each.name for each in LAYOUTS)))
        raise DataError(f"no `layout` {name!r}; there are: {known}.", path=path)
    if not layout.fits(row):
        lacks = [key for key in layout.keys if key not in row]
        have = ", ".join(map(str, row)) or "none"
        why = f"lacks {', '.join(lacks)}" if lacks else "is made otherwise"
        message = f"`layout` {name}: the first row {why}; the fields here are: {have}."
        raise DataError(message, path=path, place=place)
    return layout


def layout_rows(
    layout: Layout,
    rows: Rows,
    *,
    path: Path | None,
    options: ReadOptions,
    notices: Notices,
    holds: str = "records",
) -> Rows:
    """The rows of records, or of pairs, that a file of a layout gives, each with its place.

    Args:
        layout: The layout.
        rows: The rows of the file.
        path: The file, or None in memory.
        options: How they are read.
        notices: Gets what was recognised, converted or left out.
        holds: What is wanted: ``records`` or ``pairs``.

    Raises:
        DataError: If the layout holds something else, an option is not for it, or a row is made
            otherwise.
    """
    if layout.rows is None:
        raise DataError(f"looks like {layout.title}. {layout.refusal}", path=path)
    if layout.holds != holds:
        advice = {
            "pairs": "`selfj prefer` compares them; here each row is one answer",
            "records": "here each row is a pair of answers",
        }[layout.holds]
        raise DataError(f"looks like {layout.title}; {advice}.", path=path)
    for name in options.fields:
        if name not in layout.takes:
            known = ", ".join(layout.takes) or "none"
            message = f"`fields` {name}: in {layout.title}, these can be named: {known}."
            raise DataError(message, path=path)
    if options.turns == ALL and not layout.every_turn:
        raise DataError(f"`turns` all is for conversations, not {layout.title}.", path=path)
    notices.say(f"read as {layout.title}, layout {layout.name}")
    source = Source(rows, path, options.fields, notices, options.turns, options)
    yield from layout.rows(source)
    source.finish()


def columns_of(names: Collection[str]) -> set[str]:
    """The columns that any layout reads of a table with these columns: all, where one fits."""
    fits = any(all(key in names for key in each.keys) for each in LAYOUTS)
    return set(names) if fits else set()
