"""Made instructions with planted duplicates: as many as wanted, the same for a seed.

Lengths are log-normal with a mean of about 60 words, words follow Zipf's law over more than 50,000
forms, and each text begins with one of the usual openings. A tenth of the texts are copies of an
earlier one: equal, with other case or white space, or changed a little, with the Jaccard similarity
that the change really has. The first texts are the same however many are asked for.

example:
  python benchmarks/made_instructions.py --count 100000 > made.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import NamedTuple

import numpy as np

from selfj_eval.collection.signatures import words

BLOCK = 4096
MEAN_WORDS, SPREAD, FEWEST, MOST = 60, 0.8, 5, 1500
SENTENCE = 14
COPIES = 0.1
CHANGES = ("exact", "case", "space", "word", "dropped", "swapped", "appended")
WEIGHTS = (30, 15, 15, 16, 8, 6, 10)
OPENINGS = [
    opening.split()
    for opening in """What is the
What is the difference between
How do I
How can I
How does the
Why is the
Why does
When should I use
Which of these
Who was the first
Where can I find
Is it possible to
Can you explain the
Explain the
Explain in simple words how
Describe the
Write a function that returns the
Write a Python function to
Write a short story about a
Write a query that selects the
Given a list of numbers, find the
Given the following passage, say whether the
Give three examples of
Summarize the
List the
Compare the
I have a table with the
I am trying to
My code throws an error when I
Please help me
Show that the
Prove that for every
Solve for x if the
A patient presents with
A train leaves the
Translate this sentence:
Name the""".splitlines()
]
FREQUENT = """
the of and to a in is that for it with as was on be by this are from or at an have not which you
but they can his their has one all will there would if we what more when who about other do some
its than into them these then two may only time could also after should how any first our
between new each most because through used where many such so use no like make need want work
"""
STEMS = """
act art band bank base bath bear beat bed bend bind blend block board boil bond book boot bound
box brain branch break bridge bright build burn calc call camp cap carb card care cart case cast
cell cent chain chair charg check chem child chip claim class clean clear climb clock cloud
coast code cold col comb cook cool copy core corn cost count court cover craft crop cross cycl
dark dat deal deep dens depth design dict digit direct dog door draft draw dream dress drink
drive drop dry duct earth edg electr end eng equal event fact fail fall farm fast feel fer field
fig fill film find fish fit fix flat float flow fold food form frame free fresh friend front
fruit fuel full func garden gen gest gift glass glob gold good grad gram grant graph grass green
group grow guard guid hand hard head heal heart heat help hold home hook host house hunt ident
imag index ject join judg jump kind king know land lang law lead leaf learn leg lend lev light
line link list load lock log long loop loss mach mail main man map mark mass match mat meas med
meet ment met mind mix mod moment mort mot mount mov nat net night norm not object ocean oper
order organ pack page paint pair paper park part pass patch path pay pend phon photo pipe plan
plant plast plate play plot point pol port pos post pract press price print prob proc proof prop
quant quest quick rad rain range rank rat reach read real record reg rest ring river road rob
rock roll root round rule rupt sail salt samp sand scal school scop scor scrib search seat sect
seed sel sens serv set shade shap shar shell ship short show sight sign silk simpl sing sist
skill sleep slid smooth snow soil sol sort sound spac spec spell spir spot spread spring stand
star stat steam stem step stitch stone stor storm stream street struct stud sum sun swim tabl
tact talk tain tech teach temp ten term test text therm thread tim tool touch tour town tract
trad train tree tri trust tub turn typ univers val var ven vers vid view vis voc vol walk wall
warm wash water wave weav web weight wind wing wire wood word worth writ yard year
"""
PREFIXES = "re un in de pre over under inter sub trans non out mis super anti"
SUFFIXES = "s ed ing er ers ion able ment ness ly al ity ful less ist ive ance"


class Made(NamedTuple):
    """A made text; of a copy also the index of its original, what was changed (one of
    ``CHANGES``), and the Jaccard similarity of the two by their pairs of neighbouring words."""

    text: str
    original: int | None = None
    change: str | None = None
    jaccard: float | None = None


def main() -> None:
    """Write them as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for made in made_instructions(options.count, options.seed):
        sys.stdout.write(json.dumps(made._asdict()) + "\n")


def made_instructions(count: int, seed: int = 0) -> Iterator[Made]:
    """Make ``count`` texts. An original stays in memory until its last copy is made."""
    original, last = planned_copies(count, seed)
    vocabulary = made_vocabulary(seed)
    waiting: dict[int, str] = {}
    for begin in range(0, count, BLOCK):
        rng, random = np.random.default_rng([seed, begin]), Random(seed * (1 << 40) + begin)
        texts = fresh_texts(BLOCK, vocabulary, rng)
        for at in range(begin, min(begin + BLOCK, count)):
            if (source := original[at]) < 0:
                text = texts[at - begin]
                if last[at]:
                    waiting[at] = text
                yield Made(text)
                continue
            text = waiting[source] if last[source] != at else waiting.pop(source)
            change = random.choices(CHANGES, WEIGHTS)[0]
            copy = changed(text, change, vocabulary, random)
            yield Made(copy, int(source), change, jaccard(text, copy))


def planned_copies(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each text its original, or -1; of each original its last copy, or 0."""
    which, where = (np.random.default_rng([seed, part]) for part in (1, 2))
    copies = which.random(count) < COPIES
    copies[:1] = False
    fresh, at = np.flatnonzero(~copies), np.flatnonzero(copies)
    before = at - np.arange(len(at))
    original = np.full(count, -1)
    original[at] = fresh[(where.random(len(at)) * before).astype(np.int64)]
    last = np.zeros(count, np.int64)
    np.maximum.at(last, original[at], at)
    return original, last


def made_vocabulary(seed: int) -> np.ndarray:
    """Words by frequency: the frequent ones of English, then made ones, the shorter ones first."""
    random = Random(seed)
    prefixes, suffixes = ["", *PREFIXES.split()], ["", *SUFFIXES.split()]
    forms = {"".join(parts) for parts in product(prefixes, STEMS.split(), suffixes)}
    made = sorted(forms.difference(FREQUENT.split()))
    made.sort(key=lambda word: len(word) + 4 * random.random())
    return np.array([*FREQUENT.split(), *made], object)


def fresh_texts(count: int, vocabulary: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Texts that are no copies."""
    middle = np.log(MEAN_WORDS) - SPREAD**2 / 2
    lengths = rng.lognormal(middle, SPREAD, count).astype(np.int64).clip(FEWEST, MOST)
    frequency = np.cumsum(1 / np.arange(1, len(vocabulary) + 1))
    drawn = np.searchsorted(frequency, rng.random(lengths.sum()) * frequency[-1])
    forms = vocabulary[drawn].tolist()
    texts, end = [], 0
    for opening, length in zip(rng.integers(0, len(OPENINGS), count), lengths, strict=True):
        begin, end = end, end + int(length)
        chosen = OPENINGS[opening]
        text = [*chosen, *forms[begin : max(end - len(chosen), begin + 2)]]
        for stop in range(SENTENCE, len(text) - 3, SENTENCE):
            text[stop] += "."
            text[stop + 1] = text[stop + 1].capitalize()
        texts.append(" ".join(text) + ("?" if chosen[0][0] in "WHI" and length < 30 else "."))
    return texts


def changed(text: str, change: str, vocabulary: np.ndarray, random: Random) -> str:
    """A copy of a text with one change."""
    parts = text.split()
    at = random.randrange(1, len(parts) - 1)
    if change == "case":
        return random.choice((text.upper, text.lower, text.title))()
    if change == "space":
        return (
            " ".join(parts[:at]) + random.choice(("  ", "\n", "\t", " \n\n")) + " ".join(parts[at:])
        )
    if change == "word":
        parts[at] = vocabulary[random.randrange(len(vocabulary))]
    elif change == "dropped":
        del parts[at]
    elif change == "swapped":
        at = random.choice([k for k in range(1, len(parts)) if parts[k - 1] != parts[k]])
        parts[at - 1], parts[at] = parts[at], parts[at - 1]
    elif change == "appended":
        more = random.randint(3, max(len(parts) // 6, 3))
        sentence = [vocabulary[random.randrange(len(vocabulary))] for _ in range(more)]
        parts += [sentence[0].capitalize(), *sentence[1:-1], sentence[-1] + "."]
    return text if change == "exact" else " ".join(parts)


def jaccard(one: str, other: str) -> float:
    """Of the sets of neighbouring words, the borders included."""
    first, second = (
        set(zip([None, *listed], [*listed, None], strict=True))
        for listed in (words(one), words(other))
    )
    return len(first & second) / len(first | second)


if __name__ == "__main__":
    main()
