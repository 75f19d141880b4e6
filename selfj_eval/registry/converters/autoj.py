"""Auto-J: GPT-4's ratings from its training data, and its test set of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field, pair_rows
from selfj_eval.registry.converters.finishing import SetRow, pairwise, pointwise
from selfj_eval.registry.upstream import UpstreamFile

_LABELS = {0: "A", 1: "B", 2: "tie"}


def single_train(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Answers that GPT-4 rated 1 to 10 after critiques that it wrote with a scenario's criteria.

    Args:
        files: The training data (prompt and rating), and the critiques of the same answers in the
            same order (query and answer as texts of their own).
    """
    return pointwise("autoj_single_train", _rated(*files), scale=(1, 10), rater="gpt-4")


def _rated(training: UpstreamFile, critiques: UpstreamFile) -> Iterator[SetRow]:
    rated, written = list(training.jsonl()), list(critiques.jsonl())
    if len(rated) != len(written):
        raise critiques.error(f"has {len(written)} rows, {training} has {len(rated)}")
    for (place, row), (_, critique) in zip(rated, written, strict=True):
        prompt = field(training, place, row, "usrmsg", str)
        query = field(critiques, place, critique, "meta", "prompt", str)
        answer = field(critiques, place, critique, "meta", "response", str)
        # The two files share no id: only the texts show that the rows belong together.
        if query not in prompt or answer not in prompt:
            raise critiques.error(f"is not about the answer in {training}", place, "meta")
        yield {
            "instruction": query,
            "response": answer,
            "rating": field(training, place, row, "pred_score"),
            "category": field(training, place, row, "scenario"),
        }


def pairs(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Pairs of answers with a person's choice, which can be a tie."""
    (file,) = files
    columns = {"instruction": "prompt", "response_a": "response 1", "response_b": "response 2"}
    columns["category"] = "scenario"
    return pairwise("autoj_pairwise", pair_rows(file, columns, _LABELS), rater="human")
