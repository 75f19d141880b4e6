from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.engines.models.embedder import Embedder
from selfj_eval.errors import JudgeError


def test_similar_texts_are_similar(minilm: Path) -> None:
    embedder = Embedder(str(minilm), device="cpu")
    pairs = [
        ("The cat sat on the mat.", "A cat was sitting on a mat."),
        ("The cat sat on the mat.", "Shares fell sharply on Monday."),
        ("same", "same"),
        ("", "same"),
        ("same", " \n"),
        ("", ""),
        ("word " * 300, "same"),
    ]
    counted: list[int] = []
    found = embedder.similarity(pairs, progress=counted.append)
    assert found.cosine.dtype == np.float64
    near, far, equal, *empty = found.cosine[:6]
    assert near > 0.8
    assert far < 0.2
    assert equal == pytest.approx(1, abs=1e-6)
    assert (np.abs(found.cosine) <= 1).all()
    assert empty == [0, 0, 0]
    assert (found.texts, found.cut, sum(counted)) == (5, 1, 5)
    order = [3, 6, 0, 2, 1, 5, 4]
    shuffled = embedder.similarity([pairs[i] for i in order])
    assert shuffled.cosine == pytest.approx(found.cosine[order], abs=1e-5)
    assert len(embedder.similarity([]).cosine) == 0


def test_unsafe_or_foreign_embedders_are_refused(minilm: Path, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="is not a sentence-transformers model"):
        Embedder(str(JUDGE_DIR))
    copy = shutil.copytree(minilm, tmp_path / "copy")
    before = Embedder(str(copy), device="cpu").identity
    assert before == Embedder(str(minilm), device="cpu").identity
    pooling = copy / "1_Pooling" / "config.json"
    settings = json.loads(pooling.read_text())
    pooling.write_text(
        json.dumps(settings | {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True})
    )
    assert Embedder(str(copy), device="cpu").identity != before, (
        "another pooling is another embedder"
    )
    modules = json.loads((copy / "modules.json").read_text())
    modules[1]["type"] = "evil.Module"
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(JudgeError, match=r"names the module evil\.Module"):
        Embedder(str(copy))
    shutil.copy(minilm / "modules.json", copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(JudgeError, match="only as pickles"):
        Embedder(str(copy))
