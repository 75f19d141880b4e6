"""``selfj merge``: one folder that judges as adapter and base together do, with its card."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval import Judge, Record
from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.training.card import model_card
from selfj_eval.training.merge import merge
from selfj_eval.training.pairs import Pair, write_pairs

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def selfj(in_process: Run) -> Run:
    """Runs ``selfj`` in a folder, and looks at its status."""

    def run(folder: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        with contextlib.chdir(folder):
            done = in_process("selfj", *arguments)
        assert done.returncode == status, done.stderr[-2000:]
        return done

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, selfj: Run) -> Path:
    """A folder with ``adapter``, trained on the demo judge."""
    folder = tmp_path_factory.mktemp("merge")
    records = [r for r in ladder("train", instructions=6, seed=0) if r.response.strip()]
    pairs = [
        Pair(r.id, r.instruction, r.response, r.reference, int(r.rating or 0)) for r in records
    ]
    for part, some in (("train", pairs[:40]), ("val", pairs[40:])):
        write_pairs(folder / f"{part}.ref.jsonl", folder / f"{part}.noref.jsonl", some)
    selfj(
        folder, "train", "judge", "--base", str(JUDGE_DIR), "--train-ref=train.ref.jsonl",
        "--train-noref=train.noref.jsonl", "--validation-ref=val.ref.jsonl",
        "--validation-noref=val.noref.jsonl", "--output=adapter", "--lora-r=4", "--batch-size=8",
        "--gradient-accumulation=1", "--epochs=1", "--warmup-steps=0", "--learning-rate=1e-3",
    )  # fmt: skip
    return folder


def test_merged_judges_as_adapter_and_base(trained: Path, selfj: Run) -> None:
    selfj(trained, "merge", "--adapter=adapter", "--output=merged")
    records = [Record("1", "What is 2 + 3?", "5", "5"), Record("2", "Name a colour.", "blue")]
    plain = Judge.load(str(JUDGE_DIR)).judge(records)
    adapted = Judge.load(str(JUDGE_DIR), adapter=str(trained / "adapter")).judge(records)
    merged = Judge.load(str(trained / "merged")).judge(records)
    for a, b, c in zip(adapted, merged, plain, strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-5)
        assert a.score != pytest.approx(c.score, abs=1e-5)
    assert "exists" in selfj(trained, "merge", "--adapter=adapter", "--output=merged",
                             status=2).stderr  # fmt: skip


def test_merged_weights_compute_what_the_adapter_computes_beside_its_base(
    trained: Path, selfj: Run
) -> None:
    if not (trained / "merged").exists():
        selfj(trained, "merge", "--adapter=adapter", "--output=merged")
    base = AutoModelForCausalLM.from_pretrained(JUDGE_DIR)
    tokens = AutoTokenizer.from_pretrained(JUDGE_DIR)(
        "What is 2 + 3? It is 5.", return_tensors="pt"
    )
    with torch.no_grad():
        plain = base(**tokens).logits
        beside = PeftModel.from_pretrained(base, str(trained / "adapter")).eval()(**tokens).logits
        merged = AutoModelForCausalLM.from_pretrained(trained / "merged")(**tokens).logits
    assert (merged - beside).abs().max() < 1e-4 < (merged - plain).abs().max()


def test_the_card_has_the_numbers_and_no_path(trained: Path, selfj: Run) -> None:
    if not (trained / "merged").exists():
        selfj(trained, "merge", "--adapter=adapter", "--output=merged")
    metrics = json.loads((trained / "adapter" / "training.json").read_text())["metrics"]
    for folder in ("adapter", "merged"):
        card = (trained / folder / "README.md").read_text()
        assert f"{metrics['teacher_pearson']:.3f}" in card
        assert f"{metrics['student_spearman']:.3f}" in card
        assert "train.ref.jsonl" in card and "selfj train judge" in card
        assert str(trained) not in card and str(JUDGE_DIR.parent) not in card
        assert len(re.findall(r"`[0-9a-f]{16}`", card)) >= 4
    assert "merged in float32" in card
    # The command on an adapter's card works.
    adapter = (trained / "adapter" / "README.md").read_text()
    assert f"--judge {JUDGE_DIR.name} --adapter adapter" in adapter
    assert f'judge="{JUDGE_DIR.name}", adapter="adapter"' in adapter


def test_a_card_of_what_python_made_names_no_command(trained: Path, tmp_path: Path) -> None:
    made = merge(adapter=trained / "adapter", output=tmp_path / "merged", dtype="bfloat16")
    assert (made.command, made.dtype, made.output) == (None, "bfloat16", str(tmp_path / "merged"))
    assert json.loads((tmp_path / "merged" / "merge.json").read_text()) == made.to_dict()
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "selfj train judge" in card and "selfj merge" not in card


@pytest.mark.parametrize(
    ("base", "named"),
    [("meta-llama/Llama-2-13b-hf", True), ("/models/llama", False), ("models/a/b", False)],
)
def test_the_card_names_a_base_of_the_hub_for_the_hub(base: str, named: bool) -> None:
    head = model_card("judge", None, {"base": base, "dtype": "float32", "base_fingerprint": "0",
                                      "adapter_fingerprint": "1", "command": "x"})  # fmt: skip
    assert (f"\nbase_model: {base}\n" in head.split("---\n")[1]) == named


@pytest.mark.long
def test_a_base_of_the_hub_is_named_as_such(
    trained: Path, tmp_path: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as the place where it lies on this machine, where nobody else would find it."""
    cached = tmp_path / "hub" / "models--owner--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
    shutil.copytree(JUDGE_DIR, cached / "snapshots" / "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.chdir(tmp_path)
    hub = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    for line in (
        ("train", "judge", "--base=owner/tiny", f"--train-ref={trained}/train.ref.jsonl",
         f"--train-noref={trained}/train.noref.jsonl", "--output=a", "--lora-r=4", "--max-steps=1",
         "--gradient-accumulation=1"),
        ("merge", "--adapter=a", "--output=m"),
    ):  # fmt: skip
        done = command("selfj", *line, **hub)
        assert done.returncode == 0, done.stderr[-2000:]
    for folder in (tmp_path / "a", tmp_path / "m"):
        assert "\nbase_model: owner/tiny\n" in (folder / "README.md").read_text()
        for file in folder.glob("*.json"):
            assert "snapshots" not in file.read_text(), file


def test_an_adapter_without_a_base_is_refused(trained: Path, tmp_path: Path, selfj: Run) -> None:
    for file in (trained / "adapter").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    done = selfj(trained, "merge", "--adapter", str(tmp_path), "--output=other", status=2)
    assert "--base" in done.stderr and "Traceback" not in done.stderr
    whole = selfj(trained, "merge", f"--adapter={JUDGE_DIR}", "--output=other", status=2)
    assert "is not an adapter" in whole.stderr
    other = selfj(trained, "merge", "--adapter=adapter", "--base=/nowhere/x", "--output=other",
                  status=2)  # fmt: skip
    assert "no folder '/nowhere/x'" in other.stderr
    assert not (trained / "other").exists()
