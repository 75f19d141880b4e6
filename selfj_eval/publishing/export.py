"""The verb ``export``: results in the formats in which the community collects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import printable, shown
from selfj_eval.jobs.options import keywords
from selfj_eval.jobs.results import Result
from selfj_eval.publishing.options import EVAL_RESULTS, ExportOptions

if TYPE_CHECKING:
    from selfj_eval.publishing.findings import Exportable


@dataclass(frozen=True)
class Export(Result):
    """What was written.

    Attributes:
        format: The format.
        model, dataset: What it is about.
        values: The published numbers by metric.
        records, unscored: How many answers there were, and how many of them have no score: no
            number counts them, and they have no sample line.
        samples: How many sample lines were written.
        undefined: The metrics that have no value, with their reasons.
        written: The files.
    """

    format: str
    model: str
    dataset: str
    values: dict[str, float]
    records: int
    unscored: int
    samples: int
    undefined: Sequence[str]
    written: Sequence[str]

    def rows(self) -> list[dict[str, Any]]:
        """One row per number."""
        about = {"model": self.model, "dataset": self.dataset}
        return [about | {"metric": name, "value": x} for name, x in self.values.items()]

    def __str__(self) -> str:
        lines = [f"{self.model} on {self.dataset}, for {self.format}"]
        lines += [f"  {name:<15} {value:.4f}" for name, value in self.values.items()]
        lines += [f"  skipped         {shown(reason)}" for reason in self.undefined]
        lines.append(f"  answers         {self.records:,}")
        if self.unscored:
            lines.append(f"  UNSCORED        {self.unscored:,}, not in any number or sample line")
        if self.samples:
            lines.append(f"  sample lines    {self.samples:,}")
        return "\n".join([*lines, *(f"  written to      {path}" for path in self.written)])


def export_result(result: Exportable, options: ExportOptions) -> Export:
    """Write a result in a format of a public collection of results.

    Scored answers become the mean score of the model that wrote them, an evaluation becomes the
    headline metrics of its judge. Unscored answers are skipped and counted.

    Args:
        result: Scored answers, as for ``evaluate``, or an evaluation: a file (what the command
            ``selfj eval`` prints as JSON), or what ``evaluate`` returned.

    Raises:
        DataError: If it cannot be read, or something is missing that the format needs.
        StoreError: If a file cannot be written.
    """
    from selfj_eval.files.atomic import atomic_write, check_output, output_folder
    from selfj_eval.publishing.eval_results import eval_results
    from selfj_eval.publishing.every_eval_ever import every_eval_ever
    from selfj_eval.publishing.findings import findings_of

    found = findings_of(result, options)
    make = eval_results if options.format == EVAL_RESULTS else every_eval_ever
    made = make(found, options)
    samples = 0
    for place, content in made.items():
        path = output_folder(Path(options.output) / place.parent) / place.name
        check_output(path, formats=(path.suffix,), inputs=(result,))
        with atomic_write(path) as stream:
            stream.write(content)
        samples += content.count(b"\n") if place.suffix == ".jsonl" else 0
    one = options.format == EVAL_RESULTS and found.about == "judge"
    return Export(
        format=options.format,
        model=options.model,
        dataset=options.dataset,
        values={r.metric: r.value for r in found.results if not one or r.metric == options.metric},
        records=found.records,
        unscored=found.unscored,
        samples=samples,
        undefined=() if one else tuple(found.undefined),
        written=[printable(Path(options.output) / place) for place in made],
    )


export = keywords(export_result, ExportOptions)
