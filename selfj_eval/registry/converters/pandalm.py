"""PandaLM's test set: pairs of answers of small models, chosen by three annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import choice, field, listed
from selfj_eval.registry.converters.finishing import SetRow, pairwise
from selfj_eval.registry.upstream import UpstreamFile

LABELS = {0: "tie", 1: "A", 2: "B"}


def pairs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Pairs with the choice of at least two of three; where all differ, there is no label."""
    (file,) = files
    return pairwise("pandalm", _rows(file), rater="human")


def _rows(file: UpstreamFile) -> Iterator[SetRow]:
    for place, row in listed(file):
        labels = [choice(file, place, row, f"annotator{number}", LABELS) for number in (1, 2, 3)]
        label, votes = Counter(labels).most_common(1)[0]
        instruction = field(file, place, row, "instruction", str).strip()
        text = field(file, place, row, "input", str).strip()
        yield {
            "instruction": f"{instruction}\n\n{text}" if text else instruction,
            "response_a": field(file, place, row, "response1", (str, bool)),
            "response_b": field(file, place, row, "response2", (str, bool)),
            "category": field(file, place, row, "motivation_app", str),
            "label": label if votes > 1 else None,
        }
