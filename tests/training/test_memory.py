"""A base in 8 or 4 bits, bfloat16 and checkpointed gradients; and where trackers' files stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from selfj_eval import Judge
from selfj_eval.cli import main as selfj
from selfj_eval.demo import JUDGE_DIR, ladder
from selfj_eval.training.pairs import Pair, write_pairs

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
pytest.importorskip("tensorboard", reason="tensorboard is not installed")


@pytest.mark.long
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_quantised_base_learns_and_is_merged_in_full(
    quantization: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    records = [r for r in ladder("train", instructions=20, seed=0) if r.response.strip()]
    pairs = [
        Pair(r.id, r.instruction, r.response, r.reference, int(r.rating or 0)) for r in records
    ]
    write_pairs(tmp_path / "ref.jsonl", tmp_path / "noref.jsonl", pairs)
    command = [
        "train", "judge", f"--base={JUDGE_DIR}", "--train-ref=ref.jsonl",
        "--train-noref=noref.jsonl", "--output=adapter", f"--quantization={quantization}",
        "--dtype=bfloat16", "--gradient-checkpointing", "--report-to=tensorboard", "--json",
        "--batch-size=8", "--gradient-accumulation=1", "--max-steps=12", "--warmup-steps=1",
        "--logging-steps=2", "--learning-rate=1e-2",
    ]  # fmt: skip
    assert selfj(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert 0 < summary["parameters"]["trained"] < 0.1 * summary["parameters"]["all"]

    # TensorBoard's files outlive the checkpoints.
    assert not (tmp_path / "adapter.checkpoints").exists()
    (run,) = (tmp_path / "adapter.runs").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert len(losses) == 7 and losses[-1] < 0.6 * losses[0]
    assert {"train/ce_ref", "train/ce_free", "train/kl"} <= set(events.Tags()["scalars"])

    # The adapter goes into the base as it is on the disk, not as it was loaded.
    assert selfj(["merge", "--adapter=adapter", "--output=judge"]) == 0
    merged = Judge.load(str(tmp_path / "judge"))
    weights = load_file(tmp_path / "judge" / "model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) > 1_000_000
    scores = [judgment.score for judgment in merged.judge(records[:20])]
    plain = [judgment.score for judgment in Judge.load(str(JUDGE_DIR)).judge(records[:20])]
    assert all(score is not None for score in scores)
    assert scores != pytest.approx(plain, abs=1e-3)
