"""Kinds of tasks on given text: sorting, words, tables, rewriting sentences."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from selfj_eval.demo.facts import CONTRACTIONS, NAMES, OBJECTS, VERBS, WORDS
from selfj_eval.demo.kinds_numbers import PARTS, WRONG, off
from selfj_eval.demo.task import Task

SORTED = 8


def sorting(rng: Random) -> Task:
    """Eight words or numbers to be sorted."""
    descending = rng.random() < 0.4
    if rng.random() < 0.5:
        numbers = rng.sample(range(1, 300), SORTED)
        items = [str(number) for number in numbers]
        result = [str(number) for number in sorted(numbers, reverse=descending)]
        order = "from large to small" if descending else "from small to large"
    else:
        items = rng.sample(WORDS, SORTED)
        result = sorted(items, reverse=descending)
        order = "from Z to A" if descending else "by the alphabet"
    ask = rng.choice(
        (
            "Sort {order}: {all}",
            "Put these in order {order}: {all}.",
            "Please arrange this list {order}. The list is: {all}",
            "Here is a list: {all}. Sort it {order}.",
        )
    ).format(order=order, all=", ".join(items))
    return Task(
        kind="sorting",
        instruction=ask,
        values=tuple(result),
        layouts=("commas", "lines", "numbered", "semicolons"),
        leads=("", "", "Sorted:", "In order:"),
        errors="swap",
    )


def _vowels(word: str) -> int:
    return sum(letter in "aeiou" for letter in word)


_WORD_WORK: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Write each of these words backwards", lambda word: word[::-1]),
    ("Write these words in capital letters", str.upper),
    ("Write these words with a hyphen between the letters", "-".join),
    ("Count the letters of each word", lambda word: str(len(word))),
    ("Count the vowels (a, e, i, o, u) of each word", lambda word: str(_vowels(word))),
    ("Give the first two letters of each word", lambda word: word[:2]),
    ("Give the last three letters of each word", lambda word: word[-3:]),
    ("Write each word twice without a space", lambda word: word * 2),
    ("Remove the first letter of each word", lambda word: word[1:]),
)


def strings(rng: Random) -> Task:
    """One operation on the letters of each of five words."""
    work, function = rng.choice(_WORD_WORK)
    words = rng.sample(WORDS, PARTS)
    values = [function(word) for word in words]
    wrong = [[_misspell(value, rng) for value in values] for _ in range(WRONG)]
    ask = rng.choice(("{work}: {all}", "{work}. The words are: {all}.", "{all}. {work}, please."))
    return Task(
        kind="strings",
        instruction=ask.format(work=work, all=", ".join(words)),
        keys=tuple(words),
        values=tuple(values),
        wrong=tuple(map(tuple, wrong)),
        forms=("{key}: {value}", "{key} - {value}", "{key} becomes {value}", "{value}"),
        layouts=("lines", "numbered", "bullets", "commas"),
        leads=("", "", "Result:"),
    )


def _misspell(value: str, rng: Random) -> str:
    """``value`` with a small mistake: another number, or two places changed."""
    if value.isdigit():
        return str(off(int(value), rng))
    letters = list(value)
    for place in rng.sample(range(len(letters)), min(2, len(letters))):
        if letters[place].isalpha():
            letter = rng.choice([c for c in "aeioustrnlm" if c != letters[place].lower()])
            letters[place] = letter.upper() if letters[place].isupper() else letter
    changed = "".join(letters)
    return changed if changed != value else value + value[-1]


def table(rng: Random) -> Task:
    """Five cells to be read from a small table that the instruction holds."""
    columns = rng.sample(("age", "points", "room", "books", "height", "wins"), 2)
    names = rng.sample(NAMES, 7)
    rows = {name: [rng.randrange(2, 100), rng.randrange(2, 100)] for name in names}
    column = rng.randrange(2)
    asked = rng.sample(names, PARTS)
    numbers = [rows[name][column] for name in asked]
    # Wrong cells are mostly real cells of the same table: a judge has to look them up.
    wrong = []
    for _ in range(WRONG):
        cells = [rows[rng.choice(names)][rng.randrange(2)] for _ in asked]
        pairs = zip(cells, numbers, strict=True)
        wrong.append(tuple(str(cell if cell != number else number + 1) for cell, number in pairs))
    header = f"name | {columns[0]} | {columns[1]}"
    body = "\n".join(f"{name} | {cells[0]} | {cells[1]}" for name, cells in rows.items())
    word = columns[column]
    ask = rng.choice(
        (
            "{table}\nFrom this table, give the {word} of {all}.",
            "Look at this table:\n{table}\nWhat is the {word} of {all}?",
            "Read the {word} of {all} from the table.\n{table}",
        )
    ).format(table=f"{header}\n{body}", word=word, all=", ".join(asked))
    return Task(
        kind="table",
        instruction=ask,
        keys=tuple(asked),
        values=tuple(map(str, numbers)),
        wrong=tuple(wrong),
        forms=("{key}: {value}", "{key} has {value}", f"{{key}}, {word} {{value}}", "{value}"),
        layouts=("lines", "bullets", "semicolons", "numbered"),
        leads=("", "", f"The {word} of each:"),
    )


def rewriting(rng: Random) -> Task:
    """Five short sentences to be rewritten by a rule."""
    rule = rng.randrange(4)
    names = rng.sample(NAMES, PARTS)
    verbs = rng.sample(VERBS, PARTS)
    things = rng.sample(OBJECTS, PARTS)
    pairs = list(zip(names, verbs, things, strict=True))
    present = [f"{name} {verb.present} the {thing}" for name, verb, thing in pairs]
    past = [f"{name} {verb.past} the {thing}" for name, verb, thing in pairs]
    future = [f"{name} will {verb.base} the {thing}" for name, verb, thing in pairs]
    negated = [f"{name} does not {verb.base} the {thing}" for name, verb, thing in pairs]
    if rule == 3:
        picked = rng.sample(CONTRACTIONS, PARTS)
        endings = [f"the {thing}" for thing in things]
        given = [f"{short} {end}" for (short, _, _), end in zip(picked, endings, strict=True)]
        values = [f"{full} {end}" for (_, full, _), end in zip(picked, endings, strict=True)]
        changed = [f"{bad} {end}" for (_, _, bad), end in zip(picked, endings, strict=True)]
        wrong = [changed, given]
        work = "Write out the short forms"
    else:
        given = present
        values = (past, future, negated)[rule]
        others = [forms for forms in (past, future, negated) if forms is not values]
        wrong = [*others, given]
        work = (
            "Put these sentences into the past tense",
            "Put these sentences into the future with 'will'",
            "Negate these sentences with 'does not'",
        )[rule]
    ask = rng.choice(("{work}: {all}", "{work}. {all}", "{all}\n{work}, please."))
    return Task(
        kind="rewriting",
        instruction=ask.format(work=work, all=" ".join(f"{sentence}." for sentence in given)),
        values=tuple(values),
        wrong=tuple(map(tuple, wrong)),
        layouts=("sentences", "lines", "numbered", "bullets"),
        leads=("", "", "Rewritten:"),
    )
