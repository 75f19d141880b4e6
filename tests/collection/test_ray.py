"""The collection on Ray's workers: the same files as without."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from selfj_eval.collection.pipeline import assemble, prepare_all
from selfj_eval.collection.preparing import PreparedSource, Recipe
from selfj_eval.collection.sources import load_sources
from selfj_eval.errors import DataError

pytest.importorskip("ray", reason="the extra ray is not installed")
pytest.importorskip("datasketch", reason="the extra collect is not installed")

SOURCES = [source for source in load_sources() if source.name in ("mbpp", "qasc", "sciq")]


@pytest.mark.long
def test_the_same_files_as_without_ray(tmp_path: Path) -> None:
    from selfj_eval.collection.on_ray import on_ray

    for name, field in (("mbpp", "text"), ("qasc", "question")):  # sciq fails
        (tmp_path / "from" / name).mkdir(parents=True)
        rows = [{field: f"What is the {k}th thing that a {name} does in autumn?"} for k in range(9)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "from" / name / "a.jsonl").write_text(text)
    recipe, found = Recipe(str(tmp_path / "from")), []
    for runner in (None, on_ray):
        out = tmp_path / f"out-{runner is None}"
        outcomes = prepare_all(SOURCES, recipe, out, workers=2, runner=runner)
        assert [name for name, o in outcomes.items() if isinstance(o, PreparedSource)] == [
            "mbpp",
            "qasc",
        ]
        assert isinstance(outcomes["sciq"], DataError)
        assert "there is no folder of this source" in str(outcomes["sciq"])
        assemble(SOURCES, outcomes, recipe, out)
        files = sorted(p for p in out.rglob("*") if p.is_file())
        found.append([(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])
    assert found[0] == found[1]
