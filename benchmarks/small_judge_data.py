"""The rated sets that a small judge is trained and measured on, and who sees which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rated_sets import read_set

from selfj_eval import Record

Sets = Mapping[str, list[Record]]

HALVES = (
    ("qlora_vicuna", "vicuna_blog", "prometheus_vicuna", "just_eval"),
    ("arena_bench", "mtbench", "cje_arena", "llms_from_scratch"),
)
"""Sets under Apache-2.0 or MIT. Those with the same instructions are in the same half."""
NEVER_TRAINED = (
    "llmbar_gpt4", "llmbar_gpt4_noref",
    "selfeval_vicuna", "cherry", "autoj_single_train", "shepherd_human", "roscoe_human",
)  # fmt: skip
"""Sets without a stated licence, or with one that forbids it; and LLMBar, whose answers are
written to mislead: from them a judge of this size learns that long answers are bad."""
UNSTATED = {"mtbench": {"llama2-7b-chat", "vicuna-7b", "gpt-3", "mamba2-hybrid-8b-3t-128k"}}
"""Models of a set whose ratings come from repositories without a stated licence."""
UNSTATED_REFERENCES = {"qlora_vicuna", "vicuna_blog"}
"""Sets whose references come from such a repository (FairEval), while the ratings do not."""


@dataclass(frozen=True)
class Run:
    """A judge that is trained without some sets.

    Attributes:
        name: Of its files.
        trained: The sets it learns from.
        scored: Sets that it does not learn from: their unseen instructions are scored. Those that
            nobody learns from are scored by the first fold, which has not seen the Vicuna questions
            either, and by the judge that is shipped.
        answers: Of a set in training, at most: all runs learn from about as many.
        shipped: Whether others get it: then it learns only from ratings and references under a
            stated licence.
    """

    name: str
    trained: tuple[str, ...]
    scored: tuple[str, ...]
    answers: int = 200
    shipped: bool = False


RUNS = {
    run.name: run
    for run in (
        Run("fold1", HALVES[1], (*HALVES[0], *NEVER_TRAINED)),
        Run("fold2", HALVES[0], HALVES[1]),
        Run("all", HALVES[0] + HALVES[1], NEVER_TRAINED, answers=120, shipped=True),
    )
}


def read_sets() -> Sets:
    """All sets, ratings on 0..9."""
    names = (*HALVES[0], *HALVES[1], *NEVER_TRAINED)
    return {name: read_set(name) for name in names}


def trainable(sets: Sets, run: Run) -> dict[str, list[Record]]:
    """Of each trained set, the answers to instructions that the other half does not have.

    just_eval asks the questions of both halves: there ``unseen`` sees to it.
    """
    rated = [name for half in HALVES for name in half if name in run.scored and name != "just_eval"]
    held = {r.instruction for name in rated for r in sets[name]}
    left_out = UNSTATED if run.shipped else {}
    found = {
        name: [
            r for r in sets[name]
            if r.instruction not in held and r.model not in left_out.get(name, ())
        ]
        for name in run.trained
    }  # fmt: skip
    for name in UNSTATED_REFERENCES & found.keys() if run.shipped else ():
        found[name] = [replace(r, reference=None) for r in found[name]]
    return found


def unseen(sets: Sets, run: Run) -> dict[str, list[Record]]:
    """Of each scored set, the answers to instructions that the judge was not trained on."""
    seen = {r.instruction for records in trainable(sets, run).values() for r in records}
    return {name: [r for r in sets[name] if r.instruction not in seen] for name in run.scored}
