"""Ranking AlpacaEval's stored models, and its agreement with GPT-4's rankings."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from scipy.stats import kendalltau, norm, spearmanr

from selfj_eval import DataError, alpaca
from selfj_eval.registry.alpaca_pack import leaderboard

MEASURED = """
import pathlib, resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path(sys.argv[1]).write_text(str(peak * (1 if sys.platform == "darwin" else 1024)))
sys.exit(status)
"""
# Their V1 lines are of another model, of the baseline itself, and against another baseline.
OTHER_TEXTS = ["falcon-7b-instruct", "text_davinci_003", "Mistral-7B+RAHF-DUAL+LoRA"]


class Run(NamedTuple):
    """What the command did.

    Attributes:
        folder: Of its results.
        document: What it printed.
        peak: Bytes of memory at its largest.
    """

    folder: Path
    document: dict[str, Any]
    peak: int


@pytest.fixture(scope="module")
def ranked(pack: Path, command: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    pytest.importorskip("resource")
    folder = tmp_path_factory.mktemp("ranking")
    done = command(
        *("python", "-c", MEASURED, folder / "peak", Path(sys.executable).parent / "selfj"),
        *("alpaca", "rank", "--judge", "length", "--resamples", 50, "--json"),
        *("--output", folder / "out"),
        SELFJ_DATA=str(pack.parent),
    )
    assert done.returncode == 0, done.stderr

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} in JSON")

    documents = json.loads(done.stdout, parse_constant=refuse)
    assert len(documents) == 1
    return Run(folder / "out", documents[0], int((folder / "peak").read_text()))


@pytest.fixture(scope="module")
def instructions(pack: Path) -> pd.DataFrame:
    return pd.read_parquet(pack / "instructions.parquet").set_index("instruction_id")


@pytest.fixture(scope="module")
def lengths(pack: Path) -> pd.DataFrame:
    """Characters of each stored output."""
    stored = ds.dataset(pack / "model_outputs").to_table(["instruction_id", "model", "output"])
    return pd.DataFrame(
        {
            "instruction_id": stored["instruction_id"].to_pandas(),
            "model": pc.cast(stored["model"], "string").to_pandas().astype(object),
            "length": pc.utf8_length(stored["output"]).to_pandas(),
        }
    )


@pytest.fixture(scope="module")
def expected(pack: Path, lengths: pd.DataFrame, instructions: pd.DataFrame) -> pd.DataFrame:
    """A row a model: what the null model should find, and what GPT-4 found; from the files."""
    lengths = lengths.copy()
    for version, name in (("v1", "text_davinci_003"), ("v2", "gpt4_1106_preview")):
        gap = lengths["length"] - lengths["instruction_id"].map(
            instructions[f"output_{name}"].str.len()
        )
        lengths[f"win_rate_{version}"] = 50 + 50 * np.sign(gap)
    found = lengths.drop(columns="instruction_id").groupby("model").mean()
    found = found.rename(columns={"length": "mean_score"})
    boards = pack / "leaderboards"
    v1 = pd.read_csv(boards / "v1_alpaca_eval_gpt4_leaderboard.csv", index_col=0)
    v2 = pd.read_csv(boards / "v2_weighted_alpaca_eval_gpt4_turbo_leaderboard.csv", index_col=0)
    release = pd.read_csv(boards / "v2_release_2024-01-10_95_models_leaderboard.csv", index_col=0)
    v1 = v1.drop(index=OTHER_TEXTS)
    for name, board in (("v1", v1), ("v2", v2)):
        found[f"{name}_win_rate"] = board["win_rate"]
        found[f"{name}_length_controlled"] = board["length_controlled_winrate"]
    found["release"] = found.index.isin(release.rename({"gpt4_turbo": "gpt4_1106_preview"}).index)
    return found


def test_agreement_equals_what_pandas_and_scipy_find(ranked: Run, expected: pd.DataFrame) -> None:
    rows = {(r["models"], r["by"], r["gpt4"]): r for r in ranked.document["agreement"]}
    assert len(rows) == 16
    for (models, by, gpt4), row in rows.items():
        some = expected[expected["release"]] if models == "release" else expected
        both = some[[by, gpt4]].dropna()
        assert row["n_models"] == len(both) > 40
        assert row["spearman"] == pytest.approx(spearmanr(both[by], both[gpt4]).statistic)
        assert row["kendall_tau_b"] == pytest.approx(kendalltau(both[by], both[gpt4]).statistic)
        assert 0 < row["rbo"] < 1
        assert row["scorer"] == "length"
    assert rows["all", "mean_score", "v2_win_rate"]["n_models"] == 176
    assert rows["release", "mean_score", "v2_win_rate"]["n_models"] == 77
    # Length alone says much of the raw win rate and less of the length-controlled one.
    of_raw = rows["all", "mean_score", "v2_win_rate"]["spearman"]
    assert of_raw > rows["all", "mean_score", "v2_length_controlled"]["spearman"] + 0.1


def test_intervals_lie_around_their_values(ranked: Run) -> None:
    for row in ranked.document["agreement"]:
        for metric in ("spearman", "kendall_tau_b", "rbo"):
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            assert low < high < low + 0.3
            assert low - 0.03 <= row[metric] <= high + 0.03


def test_each_model_has_its_row(ranked: Run, expected: pd.DataFrame) -> None:
    rows = pd.DataFrame(ranked.document["models"]).set_index("model")
    assert sorted(rows.index) == sorted(expected.index) and len(rows) == 182
    assert rows["rank"].tolist() == list(range(1, 183))
    assert rows["mean_score"].is_monotonic_decreasing
    expected = expected.loc[rows.index]
    for name in ("mean_score", "win_rate_v1", "win_rate_v2"):
        assert rows[name].to_numpy(float) == pytest.approx(expected[name].to_numpy()), name
    for name in ("v1_win_rate", "v2_win_rate", "v2_length_controlled"):
        given = rows[f"gpt4_{name}"].to_numpy(float)
        assert given == pytest.approx(expected[name].to_numpy(), nan_ok=True), name
    assert (rows["in_release"] == expected["release"]).all()
    assert (rows["avg_length"] == rows["mean_score"].astype(int)).all()
    assert rows["n_missing"].sum() == ranked.document["missing"] == 10
    assert rows.loc["alpaca-7b_verbose", "n_missing"] == 3
    assert ranked.document["unscored"] == rows["n_unscored"].sum() == 0
    assert ranked.document["answers"] == 146_500


@pytest.mark.parametrize("model", OTHER_TEXTS)
def test_official_numbers_about_other_texts_are_not_compared(ranked: Run, model: str) -> None:
    row = next(r for r in ranked.document["models"] if r["model"] == model)
    assert model in leaderboard("v1")
    assert row["gpt4_v1_win_rate"] is None and row["gpt4_v1_length_controlled"] is None
    assert row["gpt4_v2_win_rate"] == leaderboard("v2").get(model, {}).get("win_rate")


def test_single_preferences_against_another_computation(
    ranked: Run, pack: Path, lengths: pd.DataFrame, instructions: pd.DataFrame
) -> None:
    from sklearn.linear_model import LogisticRegression

    found = {row["version"]: row for row in ranked.document["preferences"]}
    assert set(found) == {"v1", "v2"}
    given = pd.read_parquet(pack / "preferences.parquet")
    given = given[given["annotator"] == "weighted_alpaca_eval_gpt4_turbo"]
    given = given[given["output_matches"] & given["baseline_matches"]]
    base = instructions["output_gpt4_1106_preview"].str.len()
    given = given.assign(model=given["model"].astype(object))
    both = given.merge(lengths, on=["instruction_id", "model"])
    gap = (both["length"] - both["instruction_id"].map(base)).to_numpy(float)
    p = both["preference"].to_numpy() - 1
    row = found["v2"]
    assert row["n"] == len(both) == 37_827
    assert row["annotator"] == "weighted_alpaca_eval_gpt4_turbo"
    right = np.where(gap == 0, 0.5, (gap > 0) == (p > 0.5))
    assert row["accuracy"] == pytest.approx(right[p != 0.5].mean())
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8)
    twice = np.concatenate([gap, gap])[:, None] / 1000
    model.fit(twice, np.repeat([1, 0], len(gap)), sample_weight=np.concatenate([p, 1 - p]))
    assert row["temperature"] == pytest.approx(1000 / model.coef_[0, 0], rel=1e-3)
    # With hundreds of instructions, a sum with random signs is nearly normal.
    both = both.assign(win=np.sign(gap))
    p_values = []
    for values in ("win", "preference"):
        table = both.pivot(index="model", columns="instruction_id", values=values).to_numpy(float)
        i, j = np.triu_indices(len(table), 1)
        apart = table[i] - table[j]
        p_values.append(norm.sf(np.nansum(apart, 1) / np.sqrt(np.nansum(apart**2, 1))))
    soft = row["soft_pairwise_accuracy"]
    assert soft["n"] == len(i) == 47 * 46 // 2
    assert soft["value"] == pytest.approx(1 - np.abs(p_values[0] - p_values[1]).mean(), abs=0.002)


def test_the_files_have_no_text_for_nothing(ranked: Run) -> None:
    files = {path.name for path in ranked.folder.iterdir()}
    assert {"agreement.csv", "models_length.csv", "ranking.svg", "ranking.json"} <= files
    for name, key in (("agreement.csv", "agreement"), ("models_length.csv", "models")):
        frame = pd.read_csv(ranked.folder / name, keep_default_na=False, dtype=str)
        assert len(frame) == len(ranked.document[key])
        columns = [name for name in ranked.document[key][0] if not name.startswith("gpt4_")]
        assert list(frame.columns) == (columns if key == "models" else [*ranked.document[key][0]])
        words = {word.lower() for column in frame for word in frame[column]}
        assert not words & {"nan", "none", "null", "inf"}
    run = json.loads((ranked.folder / "ranking.json").read_text())
    assert "--resamples 50" in run["command"]
    assert run["scorers"][0]["scorer"] == "length"


def test_the_figure_has_its_letters_as_text(ranked: Run) -> None:
    root = ET.parse(ranked.folder / "ranking.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join("".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text"))
    for text in ("AlpacaEval 2", "length-controlled", "mean characters", "first leaderboard"):
        assert text in words


def test_ranking_does_not_need_much_memory(ranked: Run) -> None:
    assert 1e8 < ranked.peak < 2e9


# A scorer of our own.


def test_only_the_instructions_drawn_are_scored_and_counted(ranked: Run, tmp_path: Path) -> None:
    (some,) = alpaca.rank(
        judge="length", output=tmp_path / "some", resamples=20, instructions=40, seed=3
    ).rankings
    whole = ranked.document
    assert some.settings.instructions == 40 and whole["settings"]["instructions"] == 805
    assert some.answers + some.missing == 40 * 182
    (preferences,) = (p for p in some.preferences if p.version == "v2")
    assert preferences.n == 47 * 40  # of these instructions alone
    rows = {(a.by, a.gpt4, a.models): a for a in some.agreement}
    for row in whole["agreement"]:
        own = rows[row["by"], row["gpt4"], row["models"]]
        assert own.n_models == row["n_models"]
        if row["spearman"] is not None:
            assert own.spearman == pytest.approx(row["spearman"], abs=0.12)
    with pytest.raises(DataError, match="`instructions` must be at most 805, got 806"):
        alpaca.rank(judge="length", output=tmp_path / "none", instructions=806)
