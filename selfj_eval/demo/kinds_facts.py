"""Kinds of tasks on general knowledge: short facts and lists of things."""

from __future__ import annotations

from random import Random

from selfj_eval.demo.facts import CATEGORIES, FACTS
from selfj_eval.demo.kinds_numbers import PARTS, WRONG
from selfj_eval.demo.task import Task


def facts(rng: Random) -> Task:
    """Five questions with one right answer each."""
    keys, values, pools = [], [], []
    chosen: set[tuple[str, str]] = set()
    while len(chosen) < PARTS:
        wording, pairs = rng.choice(FACTS)
        subject = rng.choice(list(pairs))
        if (wording, subject) in chosen:
            continue
        chosen.add((wording, subject))
        keys.append(wording.format(subject))
        values.append(pairs[subject])
        pools.append(sorted(set(pairs.values()) - {pairs[subject]}))
    ask = rng.choice(
        (
            "Answer briefly: {}?",
            "I would like to know {}.",
            "Tell me {}, please.",
            "Do you know {}?",
            "Give me these facts: {}",
        )
    ).format(rng.choice(("; ", ", ")).join(keys))
    return Task(
        kind="facts",
        instruction=ask,
        keys=tuple(keys),
        values=tuple(values),
        wrong=tuple(tuple(rng.choice(pool) for pool in pools) for _ in range(WRONG)),
        forms=("{key} is {value}", "{key}: {value}", "{value} is {key}", "{value}"),
        layouts=("lines", "numbered", "bullets", "semicolons"),
        leads=("", "", "Here are the facts:"),
    )


def lists(rng: Random) -> Task:
    """Examples of a category, some of which are excluded; many right answers."""
    category = rng.choice(list(CATEGORIES))
    size = rng.choice((5, 5, 6))
    excluded = rng.sample(CATEGORIES[category], rng.randrange(2, 5))
    allowed = [item for item in CATEGORIES[category] if item not in excluded]
    rng.shuffle(allowed)
    strangers = [
        item
        for name, items in CATEGORIES.items()
        if name != category
        for item in items
        if item not in CATEGORIES[category]
    ]
    *most, last = excluded
    ask = rng.choice(
        (
            "Name {size} {category}, but not {out}.",
            "List {size} {category}. Leave out {out}.",
            "Give me {size} examples of {category} other than {out}.",
            "I need {size} {category} without {out}. Which can you name?",
        )
    ).format(size=size, category=category, out=f"{', '.join(most)} and {last}")
    return Task(
        kind="lists",
        instruction=ask,
        values=tuple(allowed[:size]),
        wrong=tuple(tuple(rng.sample(strangers, size)) for _ in range(WRONG)),
        spares=tuple(allowed[size:]),
        layouts=("commas", "lines", "numbered", "bullets"),
        leads=("", "", f"Some {category}:"),
        free_order=True,
    )
