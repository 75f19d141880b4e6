"""Kinds of tasks whose answers are computed numbers: sums, chains, units, small programs."""

from __future__ import annotations

from random import Random

from selfj_eval.demo.facts import NAMES, UNITS
from selfj_eval.demo.task import Layout, Task

PARTS = 5
WRONG = 3
"""Number of wrong alternatives made for each task."""

_ROWS: tuple[Layout, ...] = ("lines", "numbered", "bullets", "semicolons")


def off(value: int, rng: Random) -> int:
    """A number near ``value``, but never ``value``; not negative if ``value`` is not."""
    step = rng.choice((1, 1, 2, 3, 5, 9, 10, 11, 20, 100))
    return value + step if value < step or rng.random() < 0.5 else value - step


def _wrong_numbers(values: list[int], rng: Random) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(off(value, rng)) for value in values) for _ in range(WRONG))


def arithmetic(rng: Random) -> Task:
    """Five independent sums, differences and products."""
    keys, values = [], []
    for _ in range(PARTS):
        sign = rng.choice("+-*")
        if sign == "*":
            a, b = rng.randrange(2, 20), rng.randrange(2, 10)
            value = a * b
        else:
            a, b = sorted((rng.randrange(2, 200), rng.randrange(2, 200)), reverse=True)
            value = a + b if sign == "+" else a - b
        keys.append(f"{a} {sign} {b}")
        values.append(value)
    ask = rng.choice(
        (
            "Work out: {}.",
            "Calculate the following: {}.",
            "What are the results of {}?",
            "Compute {}. Give all results in this order.",
            "Please solve these for me: {}",
        )
    ).format(rng.choice(("; ", ", ")).join(keys))
    return Task(
        kind="arithmetic",
        instruction=ask,
        keys=tuple(keys),
        values=tuple(map(str, values)),
        wrong=_wrong_numbers(values, rng),
        forms=("{key} = {value}", "{key} is {value}", "{key} gives {value}", "{value}"),
        layouts=_ROWS,
        leads=("", "", "The results:"),
    )


def steps(rng: Random) -> Task:
    """A chain of five operations on a number, with the number after each."""
    start = rng.randrange(2, 30)
    operations, phrases, number = [], [], start
    for _ in range(PARTS):
        sign = rng.choice("+-*+-")
        by = rng.randrange(2, 4) if sign == "*" else rng.randrange(2, 30)
        if sign == "-" and number <= by:
            sign = "+"
        number = _apply(number, sign, by)
        operations.append((sign, by))
        verb = {"+": "add", "-": "subtract", "*": "multiply by"}[sign]
        phrases.append(f"{verb} {by}")
    chains = []
    # A wrong start makes every later number wrong too, since no operation joins two numbers.
    for first in (start, *(off(start, rng) for _ in range(WRONG))):
        number, chain = first, []
        for sign, by in operations:
            number = _apply(number, sign, by)
            chain.append(str(number))
        chains.append(tuple(chain))
    ask = rng.choice(
        (
            "Start with {start}. Then {todo}. Show the number after each step.",
            "{name} thinks of {start}, then does this: {todo}. What is the number each time?",
            "Take {start} and {todo}. Write down every intermediate result.",
            "Begin at {start}; {todo}. Give the number after every step.",
        )
    ).format(start=start, todo=", ".join(phrases), name=rng.choice(NAMES))
    return Task(
        kind="steps",
        instruction=ask,
        keys=tuple(phrases),
        values=chains[0],
        wrong=tuple(chains[1:]),
        forms=("{key}: {value}", "{key} gives {value}", "{key}, and we have {value}", "{value}"),
        layouts=(*_ROWS, "sentences"),
        leads=("", "", f"We start with {start}."),
        errors="tail",
    )


def _apply(number: int, sign: str, by: int) -> int:
    return number * by if sign == "*" else number + by if sign == "+" else number - by


def units(rng: Random) -> Task:
    """Five quantities to be converted to a smaller unit."""
    large, small, factor = rng.choice(UNITS)
    amounts = rng.sample(range(2, 100 if factor <= 24 else 40), PARTS)
    results = [amount * factor for amount in amounts]
    keys = tuple(f"{amount} {large}" for amount in amounts)
    ask = rng.choice(
        (
            "Convert to {small}: {all}.",
            "How many {small} are {all}?",
            "Please express these in {small}: {all}",
            "Write each of these quantities in {small}: {all}.",
        )
    ).format(small=small, all=rng.choice(("; ", ", ")).join(keys))
    return Task(
        kind="units",
        instruction=ask,
        keys=keys,
        values=tuple(map(str, results)),
        wrong=_wrong_numbers(results, rng),
        forms=(
            f"{{key}} = {{value}} {small}",
            f"{{key}} is {{value}} {small}",
            f"{{key}} equals {{value}} {small}",
            f"{{value}} {small}",
        ),
        layouts=_ROWS,
        leads=("", "", f"In {small}:"),
    )


def code(rng: Random) -> Task:
    """The output of a short program, line by line."""
    lines = rng.choice((5, 5, 6))
    a, b, c = rng.randrange(2, 12), rng.randrange(1, 40), rng.randrange(0, 9)
    name = rng.choice(("i", "n", "k", "x"))
    shape = rng.randrange(4)
    if shape == 0:
        program = f"for {name} in range({lines}):\n    print({name} * {a} + {b})"
        numbers = [i * a + b for i in range(lines)]
    elif shape == 1:
        program = f"{name} = {b}\nfor _ in range({lines}):\n    {name} += {a}\n    print({name})"
        numbers = [b + a * (i + 1) for i in range(lines)]
    elif shape == 2:
        stop = c + lines
        program = f"for {name} in range({c}, {stop}):\n    print({name} * {name} + {b})"
        numbers = [i * i + b for i in range(c, stop)]
    else:
        items = [rng.randrange(2, 60) for _ in range(lines)]
        program = f"for {name} in {items}:\n    print({name} + {a})"
        numbers = [item + a for item in items]
    ask = rng.choice(
        (
            "What does this program print?\n{}",
            "Give the output of this Python code:\n{}",
            "Run this in your head and tell me what is printed.\n{}",
            "Here is some code:\n{}\nWhat is its output?",
        )
    ).format(program)
    return Task(
        kind="code",
        instruction=ask,
        values=tuple(map(str, numbers)),
        wrong=_wrong_numbers(numbers, rng),
        layouts=("lines", "commas", "numbered"),
        leads=("", "", "It prints", "The output is"),
    )
