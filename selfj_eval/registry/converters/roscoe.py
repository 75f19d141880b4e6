"""ROSCOE in the layout of JUDGE-BENCH: people's ratings of chains of reasoning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow, pointwise
from selfj_eval.registry.upstream import UpstreamFile

# An instance is the whole text that the annotator saw: what to do, the task with its solution
# or its label, and the chain of reasoning.
_INSTANCE = re.compile(
    r"\nCONTEXT:\n(?:Question: )?(?P<task>.*?)"
    r"\n(?:\\Solution: (?P<solution>.*?)|Correct Relationship \(Yes or No\): (?P<label>yes|no))"
    r"\n\nGENERATED RESPONSE:\n(?P<chain>.*)\nJudge the generated response:",
    re.DOTALL,
)
_CALCULATOR = re.compile("<<.*?>>")


def human(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """Ratings from 1 to 5 of the overall quality of a chain; one file for each data set."""
    rows = (row for file in files for row in _rated(file))
    return pointwise("roscoe_human", rows, scale=(1, 5), rater="human")


def _rated(file: UpstreamFile) -> Iterator[SetRow]:
    name = re.search(r"roscoe-(\w+)-overall", file.path)
    if name is None:
        raise file.error("is not named roscoe-<data set>-overall")
    for place, row in listed(file, "instances"):
        parts = _INSTANCE.search(field(file, place, row, "instance", str))
        if parts is None:
            raise file.error("has no task, solution and response", place, "instance")
        solution, label = parts["solution"], parts["label"]
        yield {
            "instruction": parts["task"],
            "response": parts["chain"],
            "reference": _CALCULATOR.sub("", solution)
            if label is None
            else f"The answer is {label.capitalize()}.",
            "rating": field(file, place, row, "annotations", "Overall Quality", "mean_human"),
            "category": name[1],
        }
