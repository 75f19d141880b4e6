"""AlpacaEval's data: the pack is complete, and its official numbers come out of it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.alpaca import upstream
from selfj_eval.errors import DataError
from selfj_eval.registry.alpaca_pack import (
    ANNOTATORS,
    EvaluationSet,
    ModelAnswers,
    evaluation_set,
    gamed_baselines,
    leaderboard,
    official_baseline,
    stored_outputs,
    stored_preferences,
)

Preferences = dict[str, dict[int, float | None]]


@pytest.fixture(scope="module")
def instructions(pack: Path) -> EvaluationSet:
    return evaluation_set()


@pytest.fixture(scope="module")
def outputs(pack: Path) -> dict[str, ModelAnswers]:
    return {answers.model: answers for answers in stored_outputs()}


@pytest.fixture(scope="module")
def preferences(pack: Path) -> dict[str, Preferences]:
    return {version: stored_preferences(name) for version, name in ANNOTATORS.items()}


def test_the_evaluation_set_is_the_official_one(instructions: EvaluationSet) -> None:
    assert len(instructions) == len(set(instructions.instructions)) == 805
    assert set(instructions.datasets) == {
        *("selfinstruct", "oasst", "koala", "helpful_base", "vicuna")
    }
    assert instructions.datasets.count("vicuna") == 80
    assert instructions.instructions[0].startswith("What are the names of some famous actors")


@pytest.mark.parametrize(
    ("version", "name", "length"),
    [("v1", "text_davinci_003", 482), ("v2", "gpt4_1106_preview", 2049)],
)
def test_the_official_baselines(pack: Path, version: str, name: str, length: int) -> None:
    baseline = official_baseline(version)
    assert baseline.model == name
    assert len(baseline.outputs) == 805 and baseline.missing == 0
    assert baseline.average_length == length


def test_the_baseline_of_v1_is_not_the_stored_output_of_the_same_name(
    outputs: dict[str, ModelAnswers],
) -> None:
    assert outputs["text_davinci_003"].average_length == 307
    same = zip(outputs["text_davinci_003"].outputs, official_baseline("v1").outputs, strict=True)
    assert sum(a == b for a, b in same) == 20
    assert outputs["gpt4_1106_preview"].outputs == official_baseline("v2").outputs


def test_the_stored_outputs_of_182_models(outputs: dict[str, ModelAnswers]) -> None:
    assert len(outputs) == 182 and list(outputs) == sorted(outputs)
    assert all(len(answers.outputs) == 805 for answers in outputs.values())
    missing = {name: answers.missing for name, answers in outputs.items() if answers.missing}
    assert missing == {
        "alpaca-7b_concise": 1,
        "alpaca-7b_verbose": 3,
        "llama-2-70b-chat-hf": 1,
        "phi-2": 2,
        "platolm-7b": 1,
        "text_davinci_001": 2,
    }


def test_stored_outputs_have_the_length_that_the_leaderboard_gives(
    outputs: dict[str, ModelAnswers],
) -> None:
    official = leaderboard("v2")
    both = [name for name in outputs if name in official]
    away = [abs(outputs[n].average_length - official[n]["avg_length"]) for n in both]
    assert len(both) > 170
    assert np.median(away) == 0


def test_some_models_can_be_read_alone(outputs: dict[str, ModelAnswers]) -> None:
    some = stored_outputs({"phi-2", "claude-2.1"})
    assert some == [outputs["claude-2.1"], outputs["phi-2"]]
    with pytest.raises(DataError, match="no stored outputs of: gpt-17"):
        stored_outputs({"phi-2", "gpt-17"})


@pytest.mark.parametrize(
    ("name", "models", "model", "win_rate"),
    [
        ("v1", 102, "wizardlm-13b-v1.2", 89.1656),
        ("v2", 223, "vicuna-13b-v1.5", 6.7221),
        ("v2_release", 95, "Yi-34B-Chat", 29.6599),
    ],
)
def test_the_official_leaderboards(
    pack: Path, name: str, models: int, model: str, win_rate: float
) -> None:
    table = leaderboard(name)
    assert len(table) == models
    assert table[model]["win_rate"] == pytest.approx(win_rate, abs=1e-4)
    # An empty cell is left out, never a NaN.
    assert all(np.isfinite(list(row.values())).all() for row in table.values())


def test_the_baseline_has_one_name_in_both_leaderboards_of_v2(pack: Path) -> None:
    for name in ("v2", "v2_release"):
        table = leaderboard(name)
        assert table["gpt4_1106_preview"]["win_rate"] == pytest.approx(50)
        assert "gpt4_turbo" not in table


def test_stored_preferences(preferences: dict[str, Preferences]) -> None:
    counts = {
        version: (len(found), sum(map(len, found.values())))
        for version, found in preferences.items()
    }
    assert counts == {"v1": (42, 33_810), "v2": (47, 37_827)}
    values = {
        v: [x for m in found.values() for x in m.values()] for v, found in preferences.items()
    }
    assert values["v1"].count(None) == 51 and values["v2"].count(None) == 0
    assert {x for x in values["v1"] if x is not None} == {1.0, 1.5, 2.0}
    assert all(1 <= x <= 2 for x in values["v2"])
    assert len(set(values["v2"])) > 9_000  # probabilities
    assert all(0 <= k < 805 for found in preferences.values() for m in found.values() for k in m)


def test_matching_preferences_are_about_the_stored_texts(
    preferences: dict[str, Preferences], outputs: dict[str, ModelAnswers]
) -> None:
    """GPT-4 saw the very answer that a scorer is given; what it saw of others is left out."""
    for version, everything in preferences.items():
        matching = stored_preferences(ANNOTATORS[version], matching=True)
        left = {m: len(everything[m]) - len(found) for m, found in matching.items()}
        assert all(
            set(found.items()) <= set(everything[m].items()) for m, found in matching.items()
        )
        for model, found in matching.items():
            assert all(outputs[model].outputs[k] is not None for k in found)
        if version == "v1":
            assert left["phi-2"] == 2 and left["text_davinci_001"] == 2
        else:
            assert set(left.values()) == {0}


@pytest.mark.parametrize(("version", "models"), [("v1", 41), ("v2", 46)])
def test_win_rates_of_stored_preferences_are_the_official_ones(
    preferences: dict[str, Preferences], version: str, models: int
) -> None:
    pytest.importorskip("alpaca_eval")
    official = leaderboard(version)
    both = [model for model in preferences[version] if model in official]
    assert len(both) == models
    for model in both:
        values = preferences[version][model].values()
        found = upstream.win_rate([{"preference": value} for value in values])
        for name in ("win_rate", "n_total", "standard_error"):
            assert found[name] == pytest.approx(official[model][name], abs=1e-6), (model, name)


def annotations(
    instructions: EvaluationSet, answers: ModelAnswers, given: dict[int, float | None]
) -> list[dict[str, Any]]:
    baseline = official_baseline("v2")
    return [
        {
            "index": k,
            "instruction": instructions.instructions[k],
            "output_1": baseline.outputs[k],
            "generator_1": baseline.model,
            "output_2": answers.outputs[k],
            "generator_2": answers.model,
            "annotator": ANNOTATORS["v2"],
            "preference": value,
        }
        for k, value in given.items()
        if answers.outputs[k] is not None
    ]


def test_length_controlled_win_rates_are_the_official_ones(
    instructions: EvaluationSet,
    outputs: dict[str, ModelAnswers],
    preferences: dict[str, Preferences],
) -> None:
    pytest.importorskip("alpaca_eval")
    official = leaderboard("v2")
    complete = [
        model
        for model, given in sorted(preferences["v2"].items())
        if len(given) == 805
        and outputs[model].missing == 0
        and model in official
        and model != "gpt4_1106_preview"
    ]
    assert len(complete) == 41
    away = []
    for model in complete[:12]:  # by name; each takes a while
        rows = annotations(instructions, outputs[model], preferences["v2"][model])
        found = upstream.length_controlled(rows, gamed_baselines(), of=805)
        assert not isinstance(found, str), (model, found)
        away.append(
            abs(found["length_controlled_winrate"] - official[model]["length_controlled_winrate"])
        )
        assert found["win_rate"] == pytest.approx(official[model]["win_rate"], abs=1e-6)
    # All 41 have a median of 0.00098 points; the largest is 0.153 (gpt4_gamed).
    assert np.median(away) <= 0.001
    assert max(away) <= 0.15


def test_length_control_goes_by_the_instruction_and_not_by_the_row(
    instructions: EvaluationSet,
    outputs: dict[str, ModelAnswers],
    preferences: dict[str, Preferences],
) -> None:
    pytest.importorskip("alpaca_eval")
    import huggingface_hub

    rows = annotations(instructions, outputs["claude-2.1"], preferences["v2"]["claude-2.1"])
    found = upstream.length_controlled(rows, gamed_baselines(), of=805)
    shuffled = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
    again = upstream.length_controlled(shuffled, gamed_baselines(), of=805)
    assert not isinstance(found, str) and not isinstance(again, str)
    assert again["length_controlled_winrate"] == pytest.approx(
        found["length_controlled_winrate"], abs=1e-6
    )
    module = upstream.alpaca_eval().metrics.glm_winrate
    assert module.hf_hub_download is huggingface_hub.hf_hub_download  # put back


def test_length_control_says_why_there_is_none(
    instructions: EvaluationSet,
    outputs: dict[str, ModelAnswers],
    preferences: dict[str, Preferences],
) -> None:
    pytest.importorskip("alpaca_eval")
    rows = annotations(instructions, outputs["claude-2.1"], preferences["v2"]["claude-2.1"])
    gamed = gamed_baselines()
    assert "for 724 of 805" in str(upstream.length_controlled(rows[:724], gamed, of=805))
    unscored = [row | {"preference": None} for row in rows]
    assert "for 0 of 805" in str(upstream.length_controlled(unscored, gamed, of=805))
    alike = [row | {"output_2": row["output_1"]} for row in rows]
    assert "same length" in str(upstream.length_controlled(alike, gamed, of=805))


READERS: list[Callable[[], object]] = [
    evaluation_set,
    lambda: official_baseline("v1"),
    stored_outputs,
    lambda: stored_preferences(ANNOTATORS["v2"]),
    lambda: leaderboard("v2"),
    gamed_baselines,
]


@pytest.mark.parametrize("read", READERS)
def test_without_a_data_folder_the_error_says_how_to_name_one(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SELFJ_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(DataError, match="SELFJ_DATA to a folder with alpaca_eval/ in it") as raised:
        read()
    assert "`selfj data get alpaca_eval/" in str(raised.value)


@pytest.mark.parametrize("read", READERS)
def test_a_folder_without_the_pack_is_an_error_with_its_path(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(tmp_path))
    with pytest.raises(DataError, match="no such file") as raised:
        read()
    assert str(raised.value.path).startswith(str(tmp_path / "alpaca_eval"))


def test_the_pack_itself_in_place_of_its_parent_is_told_apart(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFJ_DATA", str(pack))
    with pytest.raises(DataError, match="this is alpaca_eval itself; name the folder that it lies"):
        evaluation_set()


def test_a_damaged_parquet_file_is_an_error_with_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "alpaca_eval").mkdir()
    (tmp_path / "alpaca_eval" / "instructions.parquet").write_text("<html>404</html>")
    monkeypatch.setenv("SELFJ_DATA", str(tmp_path))
    with pytest.raises(DataError, match="is not the pack's file") as raised:
        evaluation_set()
    assert str(raised.value.path).endswith("instructions.parquet")


@pytest.mark.parametrize(
    ("damaged", "read"),
    [
        ("model_outputs/part-0.parquet", stored_outputs),
        (
            "leaderboards/v2_weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
            lambda: leaderboard("v2"),
        ),
    ],
)
def test_other_damaged_files_are_errors_too(
    damaged: str,
    read: Callable[[], object],
    pack: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    copy = tmp_path / "alpaca_eval"
    (copy / damaged).parent.mkdir(parents=True)
    shutil.copy(pack / "instructions.parquet", copy)
    (copy / damaged).write_text("<html>\n<p>404</p>\n</html>\n")
    monkeypatch.setenv("SELFJ_DATA", str(tmp_path))
    with pytest.raises(DataError):
        read()
