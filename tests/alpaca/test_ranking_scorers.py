"""Rankings by scorers whose agreement with GPT-4 is known, and the command's errors."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.alpaca.rank_agreement import gpt4_rankings, ranking_of, score_models, work
from selfj_eval.alpaca.rating import NamedRater
from selfj_eval.cli import main
from selfj_eval.raters.protocol import Progress
from selfj_eval.records.record import Judgment, Record
from selfj_eval.registry.alpaca_pack import (
    ANNOTATORS,
    BASELINES,
    ModelAnswers,
    evaluation_set,
    leaderboard,
    stored_preferences,
)

# Their V1 lines are of another model, of the baseline itself, and against another baseline.
OTHER_TEXTS = ["falcon-7b-instruct", "text_davinci_003", "Mistral-7B+RAHF-DUAL+LoRA"]


class Given:
    """A rater that knows only texts: an answer's is its model's name; None: unscored."""

    from_store = failed = 0
    description: Mapping[str, Any] = {}

    def __init__(self, scores: Mapping[str, float | None], base: float = 0.0) -> None:
        self._scores, self._base = scores, base

    def judge(
        self, records: Iterable[Record], *, progress: Progress | None = None
    ) -> list[Judgment]:
        values = [self._scores.get(record.response, self._base) for record in records]
        if progress is not None:
            progress(len(values))
        return [Judgment("", v, None, None, "refused" if v is None else None) for v in values]


Rank = Callable[..., dict[str, Any]]
TEMPERATURE = 100.0
"""So high that no preference is rounded to 1 or 2."""


@pytest.fixture(scope="module")
def stored() -> Callable[..., Any]:
    """``stored_preferences``, which reads each file once for all tests here."""
    return functools.cache(stored_preferences)


@pytest.fixture
def ranking(pack: Path, stored: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Rank:
    """Rank 48 models with made-up answers, a few resamples and no jackknife."""
    monkeypatch.setattr("selfj_eval.registry.alpaca_pack.stored_preferences", stored)
    module = importlib.import_module("selfj_eval.metrics.bootstrap")
    monkeypatch.setattr(module, "LARGEST_JACKKNIFE", 0)
    instructions = evaluation_set()
    names = [*stored(ANNOTATORS["v2"]), "wizardlm-13b-v1.2"]
    models = [ModelAnswers(name, (name,) * 805) for name in names]

    own = {version: ModelAnswers(name, (name,) * 805) for version, name in BASELINES.items()}
    monkeypatch.setattr("selfj_eval.registry.alpaca_pack.official_baseline", own.__getitem__)

    def run(rater: Given, resamples: int = 3) -> dict[str, Any]:
        scored = score_models(NamedRater(rater, "given"), instructions, models, lambda _: None)
        done: list[int] = []
        found = ranking_of(
            "given", scored, temperature=TEMPERATURE, resamples=resamples, progress=done.append
        )
        assert sum(done) == work(scored, resamples)
        return found.to_dict()

    return run


@pytest.mark.long
def test_a_baselines_answers_are_references(pack: Path, tmp_path: Path) -> None:
    from selfj_eval import alpaca

    (found,) = alpaca.rank(
        judge="tfidf", references="v2", instructions=40, output=tmp_path / "tfidf", resamples=20
    ).rankings
    assert found.unscored == 0 and found.models[0].model == "gpt4_1106_preview"  # like itself
    rows = [a for a in found.agreement if (a.by, a.gpt4) == ("mean_score", "v2_win_rate")]
    assert all(row.spearman is not None and row.spearman > 0.3 for row in rows)
    assert found.judge is not None and found.judge["references_sha256"] == "gpt4_1106_preview"


@pytest.mark.parametrize("sign", [1, -1])
def test_gpt4s_own_win_rate_agrees_with_itself(ranking: Rank, sign: int) -> None:
    given = {model: sign * row["win_rate"] for model, row in leaderboard("v2").items()}
    document = ranking(Given(given, base=sign * 50.0))
    rows = [r for r in document["agreement"] if r["gpt4"] == "v2_win_rate"]
    assert len(rows) == 4
    for row in rows:
        assert row["spearman"] == pytest.approx(sign)
        assert row["kendall_tau_b"] == pytest.approx(sign)
        assert row["rbo"] == pytest.approx(1) if sign == 1 else row["rbo"] < 0.5
    some = [r for r in document["models"] if r["gpt4_v2_win_rate"] is not None]
    best = max(some, key=lambda r: sign * r["gpt4_v2_win_rate"])
    assert best["rank"] == 1


def test_preferences_that_fall_with_the_score_have_no_temperature(ranking: Rank) -> None:
    given = {model: row["win_rate"] for model, row in leaderboard("v2").items()}
    found = {}
    for base in (200.0, -200.0):  # every model loses, mostly rightly; every model wins
        document = ranking(Given(given | {"gpt4_1106_preview": base}))
        json.dumps(document, allow_nan=False)
        found[base] = next(r for r in document["preferences"] if r["version"] == "v2")
    assert found[200.0]["temperature"] > 0 and found[200.0]["accuracy"] > 0.5
    assert found[-200.0]["temperature"] is None and found[-200.0]["accuracy"] < 0.5


def test_a_model_without_scores_is_left_out_of_the_comparison(ranking: Rank) -> None:
    given: dict[str, float | None] = {m: r["win_rate"] for m, r in leaderboard("v2").items()}
    given["wizardlm-13b-v1.2"] = None
    document = ranking(Given(given, base=50.0))
    assert document["unscored"] == 805 and len(document["errors"]) == 805
    last = document["models"][-1]
    assert last["model"] == "wizardlm-13b-v1.2" and last["n_unscored"] == 805
    assert last["mean_score"] is None and last["win_rate_v2"] is None
    whole = ranking(Given({m: r["win_rate"] for m, r in leaderboard("v2").items()}, base=50.0))
    for row, complete in zip(document["agreement"], whole["agreement"], strict=True):
        # GPT-4's length-controlled V1 has no number of it.
        less = "v1_length" not in row["gpt4"]
        assert row["n_models"] == complete["n_models"] - less
        assert row["spearman"] is not None
    json.dumps(document, allow_nan=False)


def test_a_scorer_that_scores_everything_alike_ranks_nothing(ranking: Rank) -> None:
    document = ranking(Given({}, base=5.0))
    assert all(row["spearman"] is None and row["rbo"] is None for row in document["agreement"])
    assert all(row["temperature"] is None for row in document["preferences"])
    json.dumps(document, allow_nan=False)


def test_a_scorer_that_scores_nothing_is_reported_and_no_crash(ranking: Rank) -> None:
    everything = dict.fromkeys([*leaderboard("v2"), *leaderboard("v1")])
    document = ranking(Given(everything))
    assert all(row["mean_score"] is None for row in document["models"])
    json.dumps(document, allow_nan=False)


def test_gpt4s_rankings_are_the_official_leaderboards(pack: Path) -> None:
    found = gpt4_rankings()
    assert {name: len(values) for name, values in found.items()} == {
        "v1_win_rate": 99,
        "v1_length_controlled": sum(
            "length_controlled_winrate" in row and model not in OTHER_TEXTS
            for model, row in leaderboard("v1").items()
        ),
        "v2_win_rate": 223,
        "v2_length_controlled": 223,
    }
    assert found["v2_length_controlled"]["vicuna-13b-v1.5"] == pytest.approx(10.4844, abs=1e-4)
    assert found["v1_win_rate"]["llama-2-13b-chat-hf"] == pytest.approx(81.0945, abs=1e-4)


def test_an_option_is_for_the_raters_that_take_it(
    small_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval import alpaca

    monkeypatch.setenv("SELFJ_DATA", str(small_pack))
    how: dict[str, Any] = {"instructions": 2, "resamples": 20}
    judges = ["trigrams", "demo", "length"]
    found = alpaca.rank(judge=judges, max_tokens=200, output=tmp_path / "all", **how).rankings
    (alone,) = alpaca.rank(judge="demo", max_tokens=200, output=tmp_path / "one", **how).rankings
    assert [own.name for own in found] == judges
    assert found[1].judge is not None
    assert found[1].judge["max_tokens"] == 200
    assert found[1].models == alone.models
    assert found[1].trimmed > 0  # the option counts
    assert found[0].trimmed == found[2].trimmed == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--judge", "length", "--resamples", "5"), "--resamples must be at least 20"),
        (("--judge", "length", "--temperature", "-1"), "--temperature must be at least 0"),
        (("--judge", "a/judge", "--judge", "b/judge"), "two --judge would share a file name"),
        (("--judge", "length", "--judge", "length"), "two --judge would share a file name"),
        (
            ("--judge", "length", "--judge", "cosine", "--max-tokens", "99"),
            "none of the raters length, cosine takes --max-tokens; leave it out",
        ),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alpaca", "rank", *arguments, "--output", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_without_the_data_it_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SELFJ_DATA", raising=False)
    assert main(["alpaca", "rank", "--judge", "length", "--output", str(tmp_path / "out")]) == 2
    assert "SELFJ_DATA" in capsys.readouterr().err
