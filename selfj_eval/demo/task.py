"""One exercise with a known solution, and the ways to write a solution down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Layout = Literal["lines", "numbered", "bullets", "commas", "semicolons", "sentences"]


@dataclass(frozen=True, slots=True)
class Task:
    """An exercise whose solution has several parts, each of them right or wrong.

    Attributes:
        kind: Kind of exercise, such as "arithmetic".
        instruction: What is asked.
        values: The right parts in the order asked for, 5 or more, all different in a task
            whose ``errors`` are "swap".
        keys: What each part is about (may stand beside it in an answer), or empty.
        wrong: Alternatives to ``values``; each differs from ``values`` at every place.
        spares: More right values, for tasks with several right answers.
        forms: How a part is written, with the fields ``{key}`` and ``{value}``.
        layouts: How parts may be joined.
        leads: What may stand before the parts.
        errors: Where errors can be: at "any" place; only at the "tail", since each step
            builds on the one before; or by a "swap" of places.
        free_order: Whether the parts may stand in any order.
    """

    kind: str
    instruction: str
    values: tuple[str, ...]
    keys: tuple[str, ...] = ()
    wrong: tuple[tuple[str, ...], ...] = ()
    spares: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("{value}",)
    layouts: tuple[Layout, ...] = ("lines", "numbered", "bullets")
    leads: tuple[str, ...] = ("",)
    errors: Literal["any", "tail", "swap"] = "any"
    free_order: bool = False


@dataclass(frozen=True, slots=True)
class Style:
    """One way to write a solution down; see ``Task`` for the fields."""

    form: str
    layout: Layout
    lead: str


def pick_style(task: Task, rng: Random) -> Style:
    """A style at random among those the task allows."""
    return Style(rng.choice(task.forms), rng.choice(task.layouts), rng.choice(task.leads))


def with_errors(task: Task, count: int, rng: Random) -> list[str]:
    """The values of a solution with exactly ``count`` wrong parts.

    Args:
        task: The task.
        count: 0 to the number of parts; not 1 if the task's errors are a "swap".
        rng: Chooses which parts are wrong and how.

    Returns:
        As many values as the task has parts.
    """
    total = len(task.values)
    values = list(task.values)
    if task.spares and count < total:
        place = rng.randrange(total)
        values[place] = rng.choice(task.spares)
    if count == 0:
        return values
    if task.errors == "swap":
        places = sorted(rng.sample(range(total), count))
        shift = rng.randrange(1, count)
        for index, place in enumerate(places):
            values[place] = task.values[places[(index + shift) % count]]
        return values
    tail = range(total - count, total)
    places = list(tail) if task.errors == "tail" else rng.sample(range(total), count)
    source = rng.choice(task.wrong)
    for place in places:
        values[place] = source[place]
    return values


def write_parts(task: Task, values: Sequence[str], style: Style) -> list[str]:
    """Each part as text in the style's form."""
    keys = task.keys or ("",) * len(values)
    return [
        style.form.format(key=key, value=value) for key, value in zip(keys, values, strict=True)
    ]


def lay_out(parts: Sequence[str], style: Style, *, finished: bool = True) -> str:
    """Join parts to an answer.

    Args:
        parts: The written parts, at least one.
        style: Layout and lead.
        finished: Whether the last full stop is set, where the layout has one.
    """
    match style.layout:
        case "lines":
            body = "\n".join(parts)
        case "numbered":
            body = "\n".join(f"{number}. {part}" for number, part in enumerate(parts, 1))
        case "bullets":
            body = "\n".join(f"- {part}" for part in parts)
        case "commas":
            body = ", ".join(parts) + "." * finished
        case "semicolons":
            body = "; ".join(parts) + "." * finished
        case "sentences":
            body = " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts)
            body = body if finished else body[:-1]
    if not style.lead:
        return body
    return style.lead + ("\n" if "\n" in body else " ") + body
