"""Settings files that are no settings: one line that says why, whatever reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfj_eval.alpaca.manifest import read_manifest
from selfj_eval.collection.sources import load_sources
from selfj_eval.errors import SelfJError
from selfj_eval.evaluation.policy import Policy
from selfj_eval.files.documents import read_json, read_yaml
from selfj_eval.raters.rating_formats import read_format
from selfj_eval.raters.specs import read_raters
from selfj_eval.training.labelling.rules import LabelRule
from selfj_eval.training.settings import SftConfig

READERS: dict[str, Callable[[Path], object]] = {
    "policy": Policy.load,
    "label rule": lambda path: LabelRule.from_dict(read_json(path), path=str(path)),
    "raters": read_raters,
    "rating format": read_format,
    "training": lambda path: SftConfig.load(path, {}),
    "sources": load_sources,
    "manifest": read_manifest,
}
"""Every reader of settings that people write; ``test_no_traceback`` has what runs leave, too."""
BAD = {
    "nested deeply": "[" * 50_000,
    "nested deeply, closed": "[" * 5_000 + "]" * 5_000,
    "objects nested deeply": '{"a": ' * 20_000,
    "a number of 400 digits": '{"kind": 1' + "0" * 400 + "}",
    "a number of 5,000 hexadecimal digits": "kind: 0x" + "f" * 5_000,
    "a number of 5,000 digits": '{"kind": ' + "7" * 5_000 + "}",
    "a key twice": '{"kind": 1, "kind": 2}',
    "not UTF-8": b'{"a": "\xff"}',
    "no value": "",
    "a text": '"selfj-policy"',
    "a list of numbers": "[1, 2]",
    "a date that is none": "{a: 2024-13-45}",
    "aliases that expand": "a0: &a0 [1, 1]\n"
    + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 30)),
    "an alias of itself": "a: &a [*a]\n",
    "a tag": "!!python/object/apply:os.system [true]",
    "NUL": b"a: \0",
}


def test_every_document_is_read_here() -> None:
    """Whoever reads JSON or YAML elsewhere meets what ``files.documents`` has met already."""
    package = Path(__file__).parents[2] / "selfj_eval"
    own = {
        "files/documents.py",
        "records/formats/text.py",  # rows, with their places
        "training/run_folder.py",  # what it has just dumped
        "alpaca/client.py",  # the same
        "engines/server/endpoint.py",  # a server's replies
        "engines/server/failures.py",
        "judging/ray.py",  # between its own processes
        "collection/on_ray.py",
    }
    # What these read of a model's folder, engines/models/folders.py has read before.
    models = {f"engines/{n}.py" for n in ("models/adapters", "local/encoder", "vllm/loading")}
    models.add("engines/vllm/scoring.py")
    for file in package.rglob("*.py"):
        if (name := file.relative_to(package).as_posix()) not in own | models:
            found = re.search(r"json\.loads?\(|yaml\.(safe_|full_)?load\w*\(", file.read_text())
            assert found is None, f"{name}: read it with selfj_eval.files.documents"


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_settings_file_is_one_line(tmp_path: Path, reader: str, case: str) -> None:
    path, text = tmp_path / "x.yaml", BAD[case]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SelfJError) as raised:
        READERS[reader](path)
    assert str(path) in str(raised.value) or reader == "training"
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 1000


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_a_folder_and_nothing_are_refused(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("pipe", "is not a regular file"), (".", "Is a directory"), ("no", "No such file")
    ):  # fmt: skip
        with pytest.raises(SelfJError, match=reason):
            READERS[reader](tmp_path / name)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["kind", "format", "name", "rater", "model", "threshold", "row", "cells",
                         "source", "weights", "scales", "edges", "fields", "train", "epochs"])
        | st.text(max_size=4), inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@pytest.mark.parametrize("reader", READERS)
@given(value=values)
def test_any_document_is_read_or_refused_in_a_line(
    tmp_path: Path, reader: str, value: object
) -> None:
    import yaml

    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    try:
        READERS[reader](path)
    except SelfJError as error:
        assert "\n" not in str(error)


def test_what_people_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("a: 1\nb: [x, 2.5]\n")
    assert read_yaml(path) == {"a": 1, "b": ["x", 2.5]}
    path.write_text("base: &base {a: 1}\nmore: {<<: *base, b: 2}\n")
    assert read_yaml(path)["more"] == {"a": 1, "b": 2}
    path.write_text('{"a": 1e400, "b": [null]}'.replace("1e400", "1.5"))
    assert read_json(path) == {"a": 1.5, "b": [None]}
