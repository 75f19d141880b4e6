"""What all converters end with: clean texts, ids by content, repeats merged."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any

SetRow = Mapping[str, Any]


def row_id(source: str, *texts: str | None) -> str:
    """Id of a row: its set, and a hash of what is in it."""
    content = "\x1f".join(text or "" for text in texts)
    return f"{source}-{hashlib.sha1(content.encode()).hexdigest()[:12]}"


def pointwise(
    source: str, rows: Iterable[SetRow], *, scale: tuple[float, float], rater: str
) -> Iterator[SetRow]:
    """Rated answers in the columns of a record.

    Texts are stripped at both ends. Rows without instruction, response or a rating on the scale
    are left out. Exact repeats of (instruction, response, rater) become one row, in the place and
    with the other fields of the first, with the mean of their ratings.

    Args:
        source: Name of the set, such as ``mtbench``.
        rows: ``instruction``, ``response``, ``rating``, and if known ``reference``, ``model``,
            ``category``, and ``rater`` where it differs from row to row.
        scale: Lowest and highest rating.
        rater: Who rated.
    """
    ratings: dict[tuple[str, ...], list[float]] = {}
    first: dict[tuple[str, ...], SetRow] = {}
    low, high = scale
    for row in rows:
        texts = _texts(row, "instruction", "response")
        rating = row["rating"]
        if texts is None or isinstance(rating, bool) or not isinstance(rating, int | float):
            continue
        if not (math.isfinite(rating) and low <= rating <= high):
            continue
        key = (*texts, row.get("rater") or rater)
        ratings.setdefault(key, []).append(float(rating))
        first.setdefault(key, row)
    for (instruction, response, who), given in ratings.items():
        row = first[instruction, response, who]
        yield {
            "id": row_id(source, source, instruction, response, who),
            "source": source,
            "category": row.get("category"),
            "instruction": instruction,
            "response": response,
            "reference": _optional(row.get("reference")),
            "model": row.get("model"),
            "rating": fmean(given),
            "rating_min": float(low),
            "rating_max": float(high),
            "rater": who,
        }


def pairwise(source: str, rows: Iterable[SetRow], *, rater: str) -> Iterator[SetRow]:
    """Labelled pairs in our columns.

    Texts are stripped; rows with an empty text or without a label are left out; exact repeats of
    a pair are dropped.

    Args:
        source: Name of the set.
        rows: ``instruction``, ``response_a``, ``response_b``, ``label`` (``A``, ``B``, ``tie``),
            and if known ``reference``, ``category``.
        rater: Who chose.
    """
    seen = set()
    for row in rows:
        texts = _texts(row, "instruction", "response_a", "response_b")
        if texts is None or row["label"] not in ("A", "B", "tie") or texts in seen:
            continue
        seen.add(texts)
        instruction, a, b = texts
        yield {
            "id": row_id(source, source, instruction, a, b),
            "source": source,
            "category": row.get("category"),
            "instruction": instruction,
            "response_a": a,
            "response_b": b,
            "reference": _optional(row.get("reference")),
            "label": row["label"],
            "rater": rater,
        }


def _texts(row: SetRow, *names: str) -> tuple[str, ...] | None:
    texts = tuple(value.strip() for name in names if isinstance(value := row.get(name), str))
    return texts if len(texts) == len(names) and all(texts) else None


def _optional(text: object) -> str | None:
    return (text.strip() or None) if isinstance(text, str) else None
