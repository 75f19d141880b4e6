"""HHH alignment in the layout of Prometheus: helpful, honest and harmless answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow, pairwise
from selfj_eval.registry.upstream import UpstreamFile

_PROMPT = re.compile(
    r"\n###The instruction to evaluate:\n(?P<instruction>.*)"
    r"\n###Response to evaluate:\n(?P<response>.*)\n###Score Rubrics:\n",
    re.DOTALL,
)


def human(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Pairs with people's choice; a hash of instruction and chosen answer puts them in order."""
    (file,) = files
    return pairwise("hhh_alignment", _pairs(file), rater="human")


def _pairs(file: UpstreamFile) -> Iterator[SetRow]:
    for place, row in listed(file):
        instruction, chosen = _parts(file, place, row, "chosen_instruction")
        other, rejected = _parts(file, place, row, "rejected_instruction")
        if instruction != other:
            raise file.error("has two instructions", place, "rejected_instruction")
        first = hashlib.sha1(f"{instruction}\x1f{chosen}".encode()).digest()[0] % 2 == 0
        yield {
            "instruction": instruction,
            "response_a": chosen if first else rejected,
            "response_b": rejected if first else chosen,
            "label": "A" if first else "B",
            "category": field(file, place, row, "source"),
        }


def _parts(file: UpstreamFile, place: str, row: SetRow, name: str) -> tuple[str, str]:
    """Instruction and response, cut out of the prompt of a judge."""
    parts = _PROMPT.search(field(file, place, row, name, str))
    if parts is None:
        raise file.error("is not a judge's prompt", place, name)
    return parts["instruction"].strip(), parts["response"].strip()
