"""A model's answers annotated by AlpacaEval's own GPT-4 annotators: done, kept and read again."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from selfj_eval.alpaca.options import PACKAGES
from selfj_eval.errors import DataError, StoreError, brief, printable
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.results import Result
from selfj_eval.records.record import is_number
from selfj_eval.registry import alpaca_pack
from selfj_eval.registry.alpaca_pack import BASELINES

if TYPE_CHECKING:
    from selfj_eval.alpaca.evaluation import Line
    from selfj_eval.registry.alpaca_pack import ModelAnswers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpt4Annotation(Result):
    """What GPT-4's annotations of a model gave.

    Attributes:
        annotator, endpoint, model: What annotated, where it was asked, whose answers.
        line: The line of the leaderboard.
        no_length_control: Why there is no length-controlled win rate, or None.
        instructions: How many the evaluation set has.
        output: The file with all of this; the annotations lie beside it.
    """

    annotator: str
    endpoint: str
    model: str
    line: Line
    no_length_control: str | None
    instructions: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        """As it is written to the file, but for how it was made."""
        return {
            "annotator": self.annotator,
            "endpoint": self.endpoint,
            "model": self.model,
            "row": self.line.to_dict(),
            "no_length_control": self.no_length_control,
        }

    @property
    def complete(self) -> bool:
        """Whether every instruction has a preference."""
        return not (self.line.n_unscored or self.line.n_missing)

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [{"model": self.model, "annotator": self.annotator, **self.line.to_dict()}]

    def __str__(self) -> str:
        line = self.line
        rate = "undefined" if line.win_rate is None else f"{line.win_rate:.2f} %"
        return (
            f"  win rate {rate} on {line.n_total} of {self.instructions}, {line.n_unscored} "
            f"unscored, {line.n_missing} missing; {self.output}"
        )


def annotate(answers: ModelAnswers, version: str, result: Path, *, model: str) -> Gpt4Annotation:
    """Annotate with the GPT-4 annotator of a version, and keep what came of it.

    Args:
        answers: To AlpacaEval's own instructions.
        version: ``v1`` or ``v2``.
        result: The file to write; its cache and annotations lie beside it.
        model: The model that answered.

    Raises:
        JudgeError: If the server cannot be used; what was annotated is kept.
        StoreError: If results cannot be written.
    """
    from selfj_eval.alpaca.evaluation import line_of, with_length_control
    from selfj_eval.alpaca.upstream import annotate_with_gpt4
    from selfj_eval.files.atomic import write_json
    from selfj_eval.jobs.provenance import provenance

    instructions, baseline = (
        alpaca_pack.evaluation_set(),
        alpaca_pack.official_baseline(version),
    )
    cache = cache_of(result, endpoint())
    annotations = annotate_with_gpt4(version, instructions, baseline, answers, cache=cache)
    gamed = alpaca_pack.gamed_baselines() if version == "v2" else None
    line, reason = with_length_control(
        line_of(answers, annotations, mode="community"), annotations, gamed, of=len(instructions)
    )
    found = Gpt4Annotation(
        annotator=alpaca_pack.ANNOTATORS[version],
        endpoint=endpoint(),
        model=model,
        line=line,
        no_length_control=reason,
        instructions=len(instructions),
        output=printable(result),
    )
    write_json(result.with_suffix(".annotations.json"), annotations)
    write_json(result, found.to_dict() | provenance(*PACKAGES))
    return found


def endpoint() -> str:
    """Host of the server that is asked: another one may not be GPT-4 at all."""
    url = urlsplit(os.environ.get("OPENAI_BASE_URL", ""))
    port = "" if url.port is None else f":{url.port}"
    return f"{url.hostname}{port}" if url.hostname else "OpenAI"


def cache_of(result: Path, asked: str) -> Path:
    """The cache of a server: AlpacaEval looks annotations up by the texts alone.

    Version 0.1.0 had one for all servers. It is taken over where the result beside it says that
    this server was asked.
    """
    cache = result.with_suffix(f".{re.sub(r'[^A-Za-z0-9.-]', '_', asked)}.cache.json")
    old = result.with_suffix(".cache.json")
    if cache.exists() or not old.is_file():
        return cache
    try:
        written = read_json(result)
    except DataError:
        written = None
    before = written.get("endpoint") if isinstance(written, dict) else None
    if before == asked:
        old.replace(cache)
    else:
        by = f"of {before}" if before else "of an unknown server"
        logger.warning(
            f"selfj: note: {printable(old)} holds annotations {by} and is not used; if {asked} "
            f"gave them, rename it to {cache.name}."
        )
    return cache


@dataclass(frozen=True)
class Made:
    """What GPT-4's annotations of a row gave, as ``alpaca.run`` left it.

    Attributes:
        annotator, endpoint, model: What annotated, where it was asked, whose answers.
        line: The line of the leaderboard.
    """

    annotator: str
    endpoint: str
    model: str
    line: Line


def result_file(results: Path, row: str, version: str) -> Path:
    """Where ``alpaca.run`` leaves what GPT-4's annotations of a row gave."""
    return results / row / f"gpt4_{version}.json"


def read_results(results: Path, row: str) -> dict[str, Made]:
    """What ``alpaca.run`` left for a row, by version.

    Raises:
        StoreError: If a file is damaged.
    """
    from selfj_eval.alpaca.evaluation import Line

    found = {}
    for version in BASELINES:
        path = result_file(results, row, version)
        if path.is_file():
            try:
                made = read_json(path)
                line = made["row"]
                names = {"win_rate", "length_controlled_winrate", "n_total"} & line.keys()
                if not all(is_number(line[name]) for name in names):
                    raise TypeError("expected numbers")
                if names - {"n_total"} and "n_total" not in names:
                    raise KeyError("n_total")
                who = (made["annotator"], made["endpoint"], made["model"])
                found[version] = Made(*who, Line.of(line))
            except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
                message = (
                    f"{path} is not a result of `selfj alpaca run` ({brief(error)}); delete it."
                )
                raise StoreError(message) from error
    return found
