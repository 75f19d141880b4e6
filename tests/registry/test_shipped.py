"""The registry that is shipped: sound, and with a set for every task."""

from __future__ import annotations

from pathlib import Path

import yaml

from selfj_eval.registry.building import converter_of
from selfj_eval.registry.columns import expected
from selfj_eval.registry.sets import load_sets

TASKS = Path(__file__).parents[2] / "tasks" / "judge_bench"


def test_every_set_loads_and_has_its_converter() -> None:
    sets = load_sets()
    assert {item.pack for item in sets} == {"judge_bench", "alpaca_eval"}
    for item in sets:
        assert callable(converter_of(item)), item
        aux = item.name.startswith("aux_")  # beside the sets, read by nothing
        assert bool(expected(item.output)) != aux, f"{item}: its columns are not known"
        assert all(len(file.commit) == 40 for file in item.files)
        assert all(file.sha256 or file.blob for file in item.files)


def test_it_is_read_once_and_nobody_changes_it() -> None:
    one = load_sets()
    own = one[0]
    one.clear()
    assert load_sets()[0] is own


def test_every_task_has_its_set() -> None:
    outputs = {item.output for item in load_sets()}
    sources = {
        yaml.safe_load(task.read_text(encoding="utf-8"))["metadata"]["selfj_source"]
        for task in TASKS.glob("selfj_*.yaml")
    }
    assert len(sources) > 20
    assert {f"judge_bench/{source}.parquet" for source in sources} <= outputs
