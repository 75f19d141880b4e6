"""The paper's table, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files
from typing import Any

from selfj_eval.benchmarking.result import Published
from selfj_eval.files.documents import read_yaml


@cache
def published() -> Mapping[str, Any]:
    """The published table: ``source``, ``columns``, ``same_model``, ``rows``.

    Pearson's r x 100 with GPT-4's scores (Self-J, arXiv 2409.00935), on 850 samples that are not
    public: other answers than those of any set here.
    """
    with as_file(files("selfj_eval.benchmarking").joinpath("published.yaml")) as own:
        table: Mapping[str, Any] = read_yaml(own)
    return table


def published_row(rater: str, reference: bool, columns: Sequence[str]) -> Published | None:
    """The published row of the same rater, with the columns of the same models.

    Args:
        rater: What it is called here.
        reference: Whether it is asked with the reference.
        columns: Answering models of a set.

    Returns:
        None where there is no such row.
    """
    table = published()
    name = rater.casefold()
    for row in table["rows"]:
        if name in row["raters"] and row["reference"] is reference:
            values = dict(zip(table["columns"], row["values"], strict=True))
            ours = {
                alias: values[theirs]
                for theirs, aliases in table["same_model"].items()
                for alias in aliases
            }
            cells = {c: ours[c.casefold()] for c in columns if c.casefold() in ours}
            return Published(row["rater"], row["average"], cells)
    return None
