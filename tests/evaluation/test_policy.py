"""A policy as a service uses it, and the files it can be given."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selfj_eval import Policy
from selfj_eval.errors import DataError
from selfj_eval.judging.scored import Scored

SEEN = {"score": {"edges": [5.0, 7.0], "counts": [3, 4, 3]}, "length": None}
POLICY = Policy(6.5, 0.1, 0.95, 6.0, 1.3, -7.0, {"n": 800, "accepted": 144, "bad": 6})


def test_decisions(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    POLICY.save(path)
    loaded = Policy.load(path)
    assert loaded == POLICY
    assert loaded.decide(6.5) == (True, pytest.approx(1 / (1 + math.exp(7 - 1.3 * 6.5))))
    assert not loaded.decide(6.499999).accept
    assert loaded.decide(None) == (False, None)
    assert 0 <= loaded.decide(-1e6).p_good <= loaded.decide(1e6).p_good <= 1
    decision = loaded.decide(np.float32(7))
    assert type(decision.accept) is bool  # JSON knows no bool of numpy's
    for text in ("7", True):
        with pytest.raises(TypeError, match="a score must be a number or None"):
            loaded.decide(text)  # type: ignore[arg-type]
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="a score must be finite"):
            loaded.decide(wrong)


def test_decisions_by_category(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    policy = replace(
        POLICY, thresholds={"a": 6.5, "b": 3.0}, distributions={"all": SEEN, "accepted": SEEN}
    )
    policy.save(path)
    loaded = Policy.load(path)
    assert loaded == policy
    for category, accepted in (("a", False), ("b", True), ("c", False), (None, False)):
        assert loaded.decide(5.0, category).accept is accepted
        assert loaded.decide(Scored("1", 5.0, category=category)).accept is accepted
    # Without thresholds of their own, categories make no difference.
    assert POLICY.decide(7.0, "c").accept


def test_a_service_needs_no_numpy(tmp_path: Path) -> None:
    POLICY.save(tmp_path / "p.json")
    code = (
        "import sys; from selfj_eval import Policy; "
        f"assert Policy.load({str(tmp_path / 'p.json')!r}).decide(7.0).accept; "
        "assert 'numpy' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("kind"), "is not a policy; make one with `selfj select`"),
        (lambda d: d.update(threshold="6"), "field 'threshold': expected a number, got '6'"),
        (lambda d: d.update(threshold=True), "field 'threshold': expected a number, got True"),
        (lambda d: d.update(slope=math.nan), "is not JSON: NaN is not JSON"),
        (lambda d: d.pop("max_risk"), "field 'max_risk': expected a number, got None"),
        (lambda d: d.update(calibration=3), "field 'calibration': expected an object"),
        (lambda d: d.update(judge="x"), "field 'judge': expected an object"),
        (lambda d: d.update(max_risk=5), "field 'max_risk': expected a number between 0 and 1"),
        (lambda d: d.update(more=3), "field 'more': no field of a policy"),
        (lambda d: d.update(loss="much"), "field 'loss': expected one of bad, rating"),
        (lambda d: d.update(promise=3), "field 'promise': expected a text, got 3"),
        (lambda d: d.update(thresholds=[6]), "field 'thresholds': expected an object"),
        (lambda d: d.update(thresholds={"a": None}), "field 'thresholds.a': expected a number"),
        (
            lambda d: d.update(distributions={"all": SEEN}),
            "field 'distributions.accepted.score': expected a histogram",
        ),
        (
            lambda d: d.update(distributions={"all": SEEN, "accepted": {**SEEN, "score": 3}}),
            "field 'distributions.accepted.score': expected a histogram",
        ),
        (
            lambda d: d.update(
                distributions={"all": SEEN, "accepted": {"score": {"edges": [1], "counts": [2]}}}
            ),
            "field 'distributions.accepted.score': expected a histogram",
        ),
        (
            lambda d: d.update(distributions={"all": SEEN, "accepted": {}}),
            "field 'distributions.accepted.score': expected a histogram",
        ),
        (
            lambda d: d.update(distributions={"all": {"score": SEEN["score"]}, "accepted": SEEN}),
            "field 'distributions.all.length': expected a histogram",
        ),
        (
            lambda d: d.update(distributions={"all": {**SEEN, "score": None}, "accepted": SEEN}),
            "field 'distributions.all.score': expected a histogram",
        ),
    ],
)
def test_files_that_are_no_policy(
    tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    path = tmp_path / "policy.json"
    POLICY.save(path)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(DataError) as caught:
        Policy.load(path)
    assert message in str(caught.value)
    assert "policy.json" in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        Policy.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        Policy.load(tmp_path / "bad.json")
