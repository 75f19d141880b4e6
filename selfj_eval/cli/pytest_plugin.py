"""The pytest plugin: the flag ``--selfj-judge``, and the fixture ``selfj`` that judges and checks.

Every project in whose environment this package is installed loads it, so it imports nothing that
takes time until a test asks for the fixture.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selfj_eval.evaluation.checked import Check
    from selfj_eval.judging.score import ScoreRun


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag."""
    parser.getgroup("selfj", "selfj-eval").addoption(
        "--selfj-judge",
        metavar="JUDGE",
        help="what scores the answers of tests that use the fixture selfj: small, demo, a model "
        "folder, ... (as selfj score --judge)",
    )


class JudgedAnswers:
    """What the fixture ``selfj`` is.

    Args:
        judge: What scores answers; None where the flag was not given.
        folder: For the scores of files.
        store: File that keeps judgments for the next run.
    """

    def __init__(self, judge: str | None, folder: Path, store: Path) -> None:
        self._judge, self._folder, self._store = judge, folder, store
        self._numbers = count(1)

    def score(self, answers: Any, **options: Any) -> ScoreRun:
        """Score answers with the judge of the run; a judgment that is known is not made again.

        Args:
            answers: A file, or rows in memory, as for ``selfj_eval.score``.
            **options: As for ``selfj_eval.score``, such as ``judge`` for another judge.
        """
        __tracebackhide__ = True
        from selfj_eval.judging.score import score

        judge = options.pop("judge", self._judge)
        if judge is None:
            pytest.fail("no judge is named; run pytest with --selfj-judge JUDGE", pytrace=False)
        if isinstance(answers, str | Path):
            output = self._folder / f"scores_{next(self._numbers)}.jsonl"
            options = {"output": output} | options
        # Another run, or another process of pytest-xdist, may have cleared pytest's cache.
        self._store.parent.mkdir(parents=True, exist_ok=True)
        return score(answers, judge=judge, **{"store": self._store} | options)

    def check(self, scores: Any, *require: str, **options: Any) -> Check:
        """Fail the test if scores break a requirement.

        Args:
            scores: What ``score`` returned, a file of scored answers, or rows.
            *require: Such as ``"mean_score>=6"``.
            **options: As for ``selfj_eval.check``, such as ``baseline``, ``no_worse``, ``point``.

        Returns:
            What was found, if every requirement is kept.
        """
        __tracebackhide__ = True
        from selfj_eval.evaluation.check import check

        found = check(scores, require=require, **options)
        if not found.holds:
            pytest.fail(str(found), pytrace=False)
        return found


@pytest.fixture(scope="session")
def selfj(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> JudgedAnswers:
    """Judges answers (``selfj.score``) and fails tests whose scores are too low (``selfj.check``).

    Example::

        def test_the_answers_are_good(selfj):
            selfj.check(selfj.score("answers.jsonl"), "mean_score>=6")
    """
    folder = tmp_path_factory.mktemp("selfj")
    cache = getattr(request.config, "cache", None)
    kept = folder if cache is None else cache.mkdir("selfj")
    judge = request.config.getoption("--selfj-judge")
    # Runs at the same time and pytest-xdist's processes may share it: a store is made for that.
    return JudgedAnswers(judge, folder, kept / "judgments.store")
