"""The figures of a report, computed once, while the page can be used."""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from selfj_eval.errors import DataError, SelfJError, brief
from selfj_eval.evaluation.options import VerdictOptions

if TYPE_CHECKING:
    from selfj_eval.evaluation.result import Evaluation
    from selfj_eval.judging.scored import ScoresLike
    from selfj_eval.reports.report import Figures


class Findings(NamedTuple):
    """What is shown.

    Attributes:
        judges: Name and evaluation of each file's judge.
        figures: As SVG without style attributes, which the page's policy forbids.
    """

    judges: Sequence[tuple[str, Evaluation]]
    figures: Figures


@dataclass
class FigureState:
    """How far the figures are.

    Attributes:
        doing: What is done now, as a sentence.
        findings: What came of it; None while it is at work.
        error: Why there are none, or None.
    """

    doing: str = ""
    findings: Findings | None = None
    error: str | None = None


class FigureJob:
    """Computes the figures in a thread of its own when they are first asked for.

    Args:
        given: As for ``as_scores``; each is read when it is its turn.
        options: What the numbers are computed with.
    """

    def __init__(self, given: Sequence[ScoresLike], options: VerdictOptions) -> None:
        self._given, self._options = given, options
        self._lock = threading.Lock()
        self._state: FigureState | None = None

    def state(self) -> FigureState:
        """How far the figures are; the first call starts the work."""
        with self._lock:
            if self._state is None:
                self._state = FigureState("The files are being read.")
                # A daemon: who ends the command does not wait for figures.
                threading.Thread(target=self._run, args=(self._state,), daemon=True).start()
        return self._state

    def _run(self, state: FigureState) -> None:
        try:
            state.findings = self._computed(state)
        except SelfJError as error:
            state.error = str(error)
        except Exception as error:  # in this thread nobody else would see it
            state.error = f"The figures cannot be computed: {brief(error)}"

    def _computed(self, state: FigureState) -> Findings:
        if importlib.util.find_spec("matplotlib") is None:
            raise DataError("figures need matplotlib: pip install 'selfj-eval[report]'.")
        from selfj_eval.evaluation.evaluate import evaluated, work
        from selfj_eval.judging.scored import as_scores, distinct_names
        from selfj_eval.reports.report import drawn

        read, documents = [], []
        for number, each in enumerate(self._given, 1):
            of = f"File {number} of {len(self._given)}"
            state.doing = f"{of} is being read."
            scores = as_scores(each, ratings=self._options.ratings, scale=self._options)
            done, total = 0, max(1, work(scores, self._options))

            def progress(more: int, of: str = of, total: int = total) -> None:
                nonlocal done
                done += more
                state.doing = f"{of}: {done:,} of {total:,} resamples are computed."

            documents.append(evaluated(scores, self._options, progress))
            read.append(replace(scores, answers=()))  # the texts need not stay in memory
        names = distinct_names(read)
        state.doing = "The figures are being drawn."
        judges = list(zip(names, documents, strict=True))
        return Findings(judges, _without_styles(drawn(documents, names)))


_STYLE = re.compile(r' style="([^"]*)"')


def _without_styles(figures: Figures) -> Figures:
    """The figures with attributes in place of styles."""
    from markupsafe import Markup

    def plain(svg: str) -> Markup:
        # What matplotlib says in a style is also known as an attribute (SVG 2, section 6.6).
        return Markup(_STYLE.sub(lambda found: _attributes(found[1]), svg))

    return replace(
        figures,
        risk=figures.risk and plain(figures.risk),
        forest=figures.forest and plain(figures.forest),
        reliability={name: plain(svg) for name, svg in figures.reliability.items()},
        distribution={name: plain(svg) for name, svg in figures.distribution.items()},
    )


def _attributes(style: str) -> str:
    pairs = (declaration.partition(":") for declaration in style.split(";") if declaration.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)
