"""What AlpacaEval's length control is regularised with comes out of its stored results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from selfj_eval.errors import DataError
from selfj_eval.registry.converters import alpaca_length_control
from selfj_eval.registry.upstream import UpstreamFile

BASELINE = "gpt4_1106_preview"


class Study:
    """Results of a length control that was fitted here, to gamed preferences that are known."""

    def __init__(self, size: int = 60, penalty: float = 0.05) -> None:
        random = np.random.default_rng(3)
        self.questions = tuple(f"Question {k}?" for k in range(size))
        self.texts = {
            name: ["x" * int(n) for n in random.integers(low, high, size)]
            for name, low, high in [
                ("baseline", 80, 200),
                ("concise", 20, 90),
                ("verbose", 150, 400),
                ("small", 30, 300),
            ]
        }
        self.difficulty = random.normal(size=size)
        self.gamed = random.uniform(0.05, 0.95, 2 * size)
        self.preferred = random.uniform(0, 0.8, size)
        tanh = {name: np.tanh(self.delta(name)) for name in ("concise", "verbose", "small")}
        both = np.concatenate([tanh["concise"], tanh["verbose"]])
        zeros = np.zeros(2 * size)
        self.features = np.column_stack([both, np.tile(self.difficulty, 2)])
        design = np.column_stack([tanh["small"], self.difficulty, np.ones(size)])
        rows = np.vstack([design, np.column_stack([self.features, zeros])])
        target = np.concatenate([self.preferred, self.gamed])
        weight = np.concatenate([np.ones(size), np.full(2 * size, 0.1)])
        self.own = self.minimum(rows, target, weight, penalty)
        # Upstream stores what it predicts for answers of the baseline's length.
        self.fitted = 1 / (1 + np.exp(-self.own[1] * self.difficulty - self.own[2]))

    def delta(self, name: str) -> np.ndarray[Any, Any]:
        pairs = zip(self.texts["baseline"], self.texts[name], strict=True)
        values = np.array([len(a) - len(b) for a, b in pairs], dtype=float)
        scaled: np.ndarray[Any, Any] = values / values.std(ddof=1)
        return scaled

    @staticmethod
    def minimum(rows: Any, target: Any, weight: Any, penalty: float) -> Any:
        """Of the weighted log loss and penalty times the sum of absolute coefficients."""
        from scipy.optimize import root

        def slope(own: Any, signs: Any) -> Any:
            return rows.T @ (weight * (1 / (1 + np.exp(-rows @ own)) - target)) + penalty * signs

        own = root(slope, np.zeros(3), np.zeros(3), tol=1e-12).x
        signs = np.sign(own)
        own = root(slope, own, signs, tol=1e-12).x
        assert (np.sign(own) == signs).all() and np.abs(slope(own, signs)).max() < 1e-9
        return own

    def files(self, upstream: Any) -> list[UpstreamFile]:
        header = ",np.tanh(std_delta_len),instruction_difficulty,not_gamed_baseline.astype(float)"
        own = ",".join(f"{value:.16f}" for value in self.own)
        models = {"baseline": BASELINE}
        models |= {name: f"{BASELINE}_{name}" for name in ("concise", "verbose")}
        others = [f"{models[name]},-1,0.5,0.2" for name in ("concise", "verbose")]
        found = [upstream("weights.csv", "\n".join([header, f"small,{own}", *others]))]
        for name, model in models.items():
            pairs = zip(self.questions, self.texts[name], strict=True)
            rows = [{"instruction": question, "output": answer} for question, answer in pairs]
            found.append(upstream(f"results/{model}/model_outputs.json", rows))
        annotations = [
            {
                "instruction": question,
                "output_1": self.texts["baseline"][k],
                "output_2": self.texts["small"][k],
                "preference": 1 + float(self.preferred[k]),
                "glm_preference": float(self.fitted[k]),
            }
            for k, question in enumerate(self.questions)
        ]
        return [*found, upstream("results/small/weighted/annotations.json", annotations[::-1])]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def test_what_length_control_depends_on_comes_out_of_its_results(
    study: Study, upstream: Any
) -> None:
    rows = list(alpaca_length_control.gamed(study.files(upstream)))
    assert [row["index"] for row in rows] == [*range(60)] * 2
    assert [row["model"] for row in rows] == [f"{BASELINE}_concise"] * 60 + [
        f"{BASELINE}_verbose"
    ] * 60
    assert all(row["not_gamed_baseline"] is False for row in rows)
    difficulty = [row["instruction_difficulty"] for row in rows]
    assert difficulty == pytest.approx([*study.difficulty, *study.difficulty], abs=1e-6)
    assert [row["std_delta_len"] for row in rows[:60]] == pytest.approx(study.delta("concise"))
    preferences = np.array([row["preference"] for row in rows])
    assert ((preferences > 0) & (preferences < 1)).all()
    # Other preferences than the true ones, which no model's results can tell from these.
    assert np.abs(preferences - study.gamed).max() > 0.1
    assert preferences @ study.features == pytest.approx(study.gamed @ study.features, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "place", "field"),
    [
        ({"glm_preference": None}, "row 1", "glm_preference"),
        ({"glm_preference": 1.0}, "row 1", "glm_preference"),
        ({"preference": None}, "row 1", "preference"),
        ({"instruction": "Who?"}, "row 1", "instruction"),
    ],
)
def test_results_that_length_control_cannot_be_read_from_are_refused(
    change: dict[str, Any], place: str, field: str, study: Study, upstream: Any
) -> None:
    *files, annotations = study.files(upstream)
    first, *others = annotations.json()
    broken = upstream("results/small/weighted/annotations.json", [first | change, *others])
    with pytest.raises(DataError) as raised:
        list(alpaca_length_control.gamed([*files, broken]))
    assert (raised.value.place, raised.value.field) == (place, field)
    incomplete = upstream("results/small/weighted/annotations.json", others)
    with pytest.raises(DataError, match="lacks 1 of 60 instructions"):
        list(alpaca_length_control.gamed([*files, incomplete]))


def test_coefficients_that_are_no_numbers_or_missing_are_refused(
    study: Study, upstream: Any
) -> None:
    stored, *others = study.files(upstream)
    lines = stored.text().splitlines()
    broken = upstream("weights.csv", "\n".join([lines[0], "small,1,x,2"]))
    with pytest.raises(DataError) as raised:
        list(alpaca_length_control.gamed([broken, *others]))
    assert (raised.value.place, raised.value.field) == ("line 2", "instruction_difficulty")
    few = upstream("weights.csv", "\n".join(lines[:2]))
    with pytest.raises(DataError, match=f"has no row for {BASELINE}_concise"):
        list(alpaca_length_control.gamed([few, *others]))
