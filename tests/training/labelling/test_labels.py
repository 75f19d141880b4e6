from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from selfj_eval import Record
from selfj_eval.errors import DataError
from selfj_eval.training.labelling.labelled_files import (
    Files,
    given_ratings,
    labelled,
    reason_unlabelled,
    write_labelled,
)
from selfj_eval.training.labelling.rules import LabelRule, Scale, in_validation
from selfj_eval.training.pairs import read_pairs


def measures(n: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Skewed z1 and z2 that agree in part."""
    random = np.random.default_rng(seed)
    quality = random.random(n)
    return {
        "z1": quality**4,
        "z2": np.clip(0.6 * quality + 0.2 * random.standard_normal(n), -1, 1),
    }


@pytest.mark.parametrize("n", [11, 100, 101, 137, 5000])
def test_equal_frequency_bins_are_equal_in_size(n: int) -> None:
    z = measures(n)
    for source, most in (("self-eval", 1), ("cosine", 1), ("self-j", 2 + n // 50)):
        # Sums of two ranks tie now and then, and ties stay together.
        counts = np.bincount(LabelRule.fit(z, source=source).apply(z).label, minlength=10)
        assert counts.sum() == n
        assert counts.max() - counts.min() <= most


def test_sums_of_ranks_that_are_equal_are_ties() -> None:
    z = {"z1": np.arange(50.0), "z2": np.arange(50.0)[::-1].copy()}
    z["z2"][[0, 49]] = z["z2"][[49, 0]]  # all but two answers have the rank sum 49
    label, total = LabelRule.fit(z).apply(z)
    assert len(set(total[1:49])) == 1
    assert len(set(label[1:49])) == 1
    assert label[0] < label[1] <= label[49]


def test_a_rule_is_fitted_on_its_part_alone_and_gives_the_same_labels_from_its_file() -> None:
    part, rest = measures(200), measures(300, seed=1)
    rule = LabelRule.fit(part)
    before = rule.apply(part)
    again = LabelRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert again == rule
    assert np.array_equal(again.apply(part).z, before.z)
    # Among other answers, and one at a time: a label does not depend on what else is labelled.
    both = again.apply({name: np.concatenate([part[name], rest[name]]) for name in part})
    assert np.array_equal(both.label[:200], before.label)
    alone = [again.apply({n: z[i : i + 1] for n, z in rest.items()}).label[0] for i in range(20)]
    assert alone == both.label[200:220].tolist()


def test_the_rank_scale_is_the_average_rank() -> None:
    z = np.array([3.0, 1.0, 3.0, 7.0, 3.0, -2.0])
    expected = (rankdata(z) - 1) / (len(z) - 1)
    assert Scale.fit(z)(z) == pytest.approx(expected, abs=1e-15)
    assert Scale.fit(z)(np.array([-9.0, 99.0, 2.0])) == pytest.approx([0, 1, 0.4])
    large = np.random.default_rng(0).standard_normal(20_000).round(2)
    scale = Scale.fit(large)
    assert len(scale.values) <= 1001
    exact = (rankdata(large) - 1) / (len(large) - 1)
    assert np.abs(scale(large) - exact).max() < 0.002


def test_min_max_keeps_distances() -> None:
    z = np.array([0.2, 0.4, 0.3, 1.2])
    assert Scale.fit(z, "min-max")(z) == pytest.approx([0, 0.2, 0.1, 1])
    assert Scale.fit(z, "min-max")(np.array([-5.0, 5.0])).tolist() == [0, 1]


def test_ranks_do_not_care_how_a_measure_is_spread() -> None:
    z = measures(300)
    bent = z | {"z1": np.exp(5 * z["z1"])}
    assert np.array_equal(LabelRule.fit(z).apply(z).label, LabelRule.fit(bent).apply(bent).label)


def test_each_source_orders_by_its_own_measure() -> None:
    z = measures(400)
    for source, name in (("self-eval", "z1"), ("cosine", "z2")):
        own = LabelRule.fit(z, source=source).apply({name: z[name]})
        assert (np.diff(own.label[np.argsort(z[name])]) >= 0).all()
        assert set(own.label) == set(range(10))
    both = LabelRule.fit(z).apply(z).label
    for name in z:
        assert 0.6 < spearmanr(both, z[name]).statistic < 0.99
    heavy = LabelRule.fit(z, weights=(1000, 1)).apply(z).label
    alone = LabelRule.fit(z, source="self-eval").apply(z).label
    assert (heavy == alone).mean() > 0.98


def test_ties_have_one_label_and_a_value_on_an_edge_goes_up() -> None:
    z = {"z1": np.repeat([0.1, 0.2, 0.4, 0.9, 1.0], 20)}
    labels = LabelRule.fit(z, source="self-eval").apply(z).label.reshape(5, 20)
    assert [set(row) for row in labels.tolist()] == [{1}, {3}, {5}, {7}, {9}]
    wide = LabelRule.fit(
        {"rating": np.arange(11.0)}, source="rating", scale="min-max", bins="equal-width"
    )
    assert wide.apply({"rating": np.arange(11.0)}).label.tolist() == [*range(10), 9]
    most = {"z1": np.concatenate([np.zeros(90), np.arange(1, 11)])}
    skewed = LabelRule.fit(most, source="self-eval").apply(most).label
    assert len(set(skewed[:90])) == 1
    assert (np.diff(skewed) >= 0).all()


def test_equal_width_divides_the_range() -> None:
    z = {"z2": np.linspace(-1, 1, 2001) ** 3}
    rule = LabelRule.fit(z, source="cosine", scale="min-max", bins="equal-width")
    assert rule.edges == pytest.approx(np.arange(0.1, 1, 0.1))
    counts = np.bincount(rule.apply(z).label, minlength=10)
    assert counts[4] > 5 * counts[0]


@pytest.mark.parametrize(
    ("z", "options", "message"),
    [
        ({"z1": [0.1, np.nan, 0.3], "z2": [1, 2, 3]}, {}, "z1 is nan at position 1"),
        ({"z1": [0.1, 0.2, 0.3], "z2": [1, 2, np.inf]}, {}, "z2 is inf at position 2"),
        ({"z1": [0.5] * 9, "z2": range(9)}, {}, "z1 is 0.5 for all 9 answers"),
        ({"z1": [], "z2": []}, {}, "z1 has no value"),
        ({"z1": [1, 2], "z2": [1, 2, 3]}, {}, "z1 has 2, z2 has 3 values"),
        ({"z1": [1, 2]}, {}, "the measure z2 is missing"),
        ({"z1": [1, 2], "z2": [2, 1]}, {}, "the same for all 2 answers"),
        ({"z1": [1, 2]}, {"source": "z1"}, "no source 'z1'; there are: self-j"),
        ({"z1": [1, 2]}, {"source": "self-eval", "weights": (1, 1)}, "takes 1 weight"),
        ({"z1": [1, 2], "z2": [1, 2]}, {"weights": (1, 0)}, "2 weight\\(s\\) above 0"),
        ({"z1": [1, 2], "z2": [1, 2]}, {"weights": (1, np.nan)}, "above 0"),
        ({"z1": [1, 2], "z2": [1, 2]}, {"scale": "log"}, "no scale 'log'"),
        ({"z1": [1, 2], "z2": [1, 2]}, {"bins": "ten"}, "no bins 'ten'"),
        ({"z1": [[1, 2]], "z2": [1, 2]}, {}, "must have shape"),
    ],
)
def test_what_a_rule_cannot_be_fitted_to(
    z: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        LabelRule.fit({name: np.asarray(list(v), float) for name, v in z.items()}, **options)


def test_nan_never_gets_a_label() -> None:
    rule = LabelRule.fit(measures(50))
    with pytest.raises(DataError, match=r"z2 is nan at position 0 \(1 of 2"):
        rule.apply({"z1": [0.1, 0.2], "z2": [np.nan, 0.5]})


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"source": "mine"},
        {"edges": [0.1] * 8},
        {"edges": [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]},
        {"edges": [float("nan")] * 9},
        {"weights": [1.0]},
        {"weights": [1.0, -1.0]},
        {"scales": []},
        {"scales": [{"values": [1.0, 0.0], "positions": [0.0, 1.0]}] * 2},
        {"scales": 3},
    ],
)
def test_a_damaged_rule_is_refused(change: dict[str, Any]) -> None:
    whole = LabelRule.fit(measures(50)).to_dict()
    with pytest.raises(DataError, match=r"r\.json: is not a rule that selfj label wrote"):
        LabelRule.from_dict(whole | change, path="r.json")
    with pytest.raises(DataError, match="is not a rule"):
        LabelRule.from_dict([])


def test_the_split_is_by_instruction_stable_and_close_to_its_share() -> None:
    texts = [f"Question {i}?" for i in range(4000)]
    parts = [in_validation(text, 0.1) for text in texts]
    assert 0.08 < np.mean(parts) < 0.12
    assert parts != [in_validation(text, 0.1, seed=1) for text in texts]
    assert [in_validation(text.upper().replace(" ", "\n "), 0.1) for text in texts] == parts
    grown = [in_validation(text, 0.2) for text in texts]
    assert all(after for before, after in zip(parts, grown, strict=True) if before)
    assert not any(in_validation(text, 0.0) for text in texts)


def answers(n: int = 60, each: int = 3) -> list[Record]:
    return [
        Record(f"{i}-{k}", f"Ask {i}.", f"Say {i * k}.", reference=f"{i}")
        for i in range(n)
        for k in range(each)
    ]


def test_only_the_training_part_decides_the_labels(tmp_path: Path) -> None:
    records = answers()
    z = measures(len(records))
    data = labelled(records, z, validation=0.3)
    train = np.array([part == "train" for part in data.parts])
    by_text: dict[str, set[str]] = {}
    for record, part in zip(records, data.parts, strict=True):
        by_text.setdefault(record.instruction, set()).add(part)
    assert {len(parts) for parts in by_text.values()} == {1}
    assert 0 < train.sum() < len(records)
    assert data.rule.fitted_on == train.sum()
    # Validation answers of whatever quality leave the training labels as they are.
    other = {name: np.where(train, values, 0.0) for name, values in z.items()}
    changed = labelled(records, other, validation=0.3)
    assert changed.rule == data.rule
    assert np.array_equal(changed.labels.label[train], data.labels.label[train])
    assert np.ptp(data.histogram("train")) <= 4

    files = Files.of(str(tmp_path / "p"))
    write_labelled(files, data, {})
    train_pairs, validation = (read_pairs(*files.pairs(p)) for p in ("train", "validation"))
    expected = dict(zip([r.id for r in records], data.labels.label.tolist(), strict=True))
    assert {p.id: p.label for p in (*train_pairs, *validation)} == expected
    assert not {p.instruction for p in train_pairs} & {p.instruction for p in validation}
    # A later run without a validation part leaves none of an earlier one.
    write_labelled(files, labelled(records, z, validation=0), {})
    assert not files.validation_ref.exists()
    assert not files.validation_noref.exists()
    assert len(read_pairs(files.ref, files.noref)) == len(records)


def test_what_can_be_no_training_data() -> None:
    assert reason_unlabelled(Record("1", "a", "b")) is None
    assert "is empty" in str(reason_unlabelled(Record("1", "a", " \n")))
    dictated = Record("1", "a", "b\n\n### Response:9", "c", where="f, line 2")
    assert "f, line 2, field 'response': holds the prompt's" in str(reason_unlabelled(dictated))
    open_ended = Record("1", "a\n\n[Answer]\nx", "b")
    assert "field 'instruction'" in str(reason_unlabelled(open_ended))


def test_ratings_come_on_one_scale_or_not_at_all() -> None:
    five = [Record(str(r), "a", "b", rating=r, rating_min=1, rating_max=5) for r in (1, 3, 5)]
    assert given_ratings(five).tolist() == [0, 4.5, 9]
    raw = Record("x", "a", "b", rating=4, where="f, line 4")
    with pytest.raises(DataError, match="f, line 4, field 'rating_min': there is no scale here"):
        given_ratings([*five, raw])
    with pytest.raises(DataError, match="field 'rating': is missing"):
        given_ratings([Record("x", "a", "b")])
