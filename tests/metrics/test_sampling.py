"""Are answers chosen for rating with the probabilities that are stated?"""

from __future__ import annotations

import numpy as np
import pytest

from selfj_eval.metrics.sampling import choose

GROUP = np.repeat(np.arange(10), 5)


def test_answers_are_chosen_as_often_as_is_said() -> None:
    size = np.random.default_rng(0).random(50) + 0.1
    size[3] = 40
    draws, count = 4000, np.zeros(50)
    for seed in range(draws):
        found = choose(12, size=size, group=GROUP, seed=seed)
        assert len(set(found.chosen)) == 12
        count[found.chosen] += 1
    assert found.inclusion[3] == 1
    assert found.inclusion.sum() == pytest.approx(12)
    rest = np.arange(50) != 3  # proportional to size where that is possible
    assert np.ptp(found.inclusion[rest] / size[rest]) < 1e-9
    error = np.sqrt(found.inclusion * (1 - found.inclusion) / draws)
    assert (np.abs(count / draws - found.inclusion) <= 4.5 * error).all()


def test_a_sample_is_spread() -> None:
    by_group = choose(10, size=np.ones(50), group=GROUP, seed=1)
    assert np.bincount(GROUP[by_group.chosen]).tolist() == [1] * 10
    stratum = np.arange(50) % 5
    by_stratum = choose(10, size=np.ones(50), stratum=stratum, seed=1)
    assert np.bincount(stratum[by_stratum.chosen]).tolist() == [2] * 5
    assert sorted(choose(50, size=np.ones(50)).chosen) == list(range(50))


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (0, [1, 1], "count"),
        (3, [1, 1], "count"),
        (1, [1, 0], "above 0"),
        (1, [1, np.nan], "finite"),
    ],
)
def test_wrong_input(count: int, size: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(count, size=size)
