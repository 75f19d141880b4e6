"""The tasks through the real ``lm_eval`` command: found, run, and the numbers of `selfj score`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval import Judge, SelfJError, read_records
from selfj_eval.demo import JUDGE_DIR, TEST_INSTRUCTIONS
from selfj_eval.errors import DataError
from selfj_eval.harness.installation import tasks_folder
from selfj_eval.metrics import headline

TASKS = tasks_folder()


def samples(folder: Path, task: str) -> list[dict[str, Any]]:
    (file,) = folder.glob(f"*/samples_{task}_20*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def results(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*/results_*.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return found


@pytest.mark.long
def test_stock_lm_eval_finds_the_tasks(command: Any) -> None:
    listed = command("lm_eval", "ls", "tasks")
    assert listed.returncode == 0, listed.stderr
    names = {file.stem for file in TASKS.glob("*/*.yaml")}
    assert len(names) >= 40
    for name in names:
        assert f"|{name} " in listed.stdout.replace("| ", "|"), name
    assert "overrides existing task" not in listed.stderr


def test_every_file_of_judge_bench_has_its_tasks(data: Path) -> None:
    have = {file.stem for file in (TASKS / "judge_bench").glob("*.yaml")}
    want = {"selfj_judge_llmbar_gpt4_hidden_ref"}  # the name ..._noref belongs to another set
    for file in (data / "judge_bench").glob("*.parquet"):
        kind, _, source = file.stem.partition("_")
        if kind == "pairwise":
            want.add(f"selfj_pair_{source}")
        elif kind != "aux":
            want.add(f"selfj_judge_{source}")
            if pq.read_table(file, columns=["reference"])["reference"].null_count < len(
                pq.read_table(file, columns=["id"])
            ):
                want.add(f"selfj_judge_{source}_noref")
    assert have == want
    for file in (TASKS / "judge_bench").glob("*.yaml"):
        source = yaml.safe_load(file.read_text())["metadata"]["selfj_source"]
        assert (data / "judge_bench" / f"{source}.parquet").is_file()


@pytest.mark.long
def test_demo_group_needs_nothing_but_the_package(command: Any, tmp_path: Path) -> None:
    done = command(
        "lm_eval", "--model", "hf", "--model_args", f"pretrained={JUDGE_DIR}", "--tasks", "selfj",
        "--output_path", tmp_path, "--log_samples", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = results(tmp_path)
    for task in ("selfj_judge_demo", "selfj_judge_demo_noref"):
        assert found[task]["spearman,none"] >= 0.6
        assert found[task]["digit_mass,none"] > 0.9
        assert found[task]["unscored,none"] == 0
        assert len(samples(tmp_path, task)) == 10 * TEST_INSTRUCTIONS
    (written,) = tmp_path.glob("*/results_*.json")
    used = json.loads(written.read_text())["configs"]["selfj_gen_demo"]["metadata"][
        "selfj_judge_used"
    ]
    assert used == dict(Judge.load("demo").backend.identity)
    rows = samples(tmp_path, "selfj_gen_demo")
    assert len(rows) == TEST_INSTRUCTIONS
    assert found["selfj_gen_demo"]["score,none"] == pytest.approx(
        np.mean([r["score"] for r in rows])
    )
    # The very answers that lm-eval logged, judged again without lm-eval.
    log = next(tmp_path.glob("*/samples_selfj_gen_demo_*.jsonl"))
    for row, judgment in zip(rows, Judge.load("demo").judge(read_records(log)), strict=True):
        assert row["score"] == pytest.approx(judgment.score, abs=1e-4)
        assert isinstance(row["filtered_resps"][0], str)


@pytest.mark.long
def test_lm_eval_selfj_score_and_a_direct_forward_agree_on_real_answers(
    command: Any, data: Path, tmp_path: Path
) -> None:
    limit = 100
    source = data / "judge_bench" / "pointwise_mtbench.parquet"
    done = command(
        "lm_eval", "--model", "hf", "--model_args", f"pretrained={JUDGE_DIR}",
        "--tasks", "selfj_judge_mtbench,selfj_judge_mtbench_noref", "--limit", limit,
        "--output_path", tmp_path, "--log_samples", "--device", "cpu", SELFJ_DATA=str(data),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    tokenizer = AutoTokenizer.from_pretrained(JUDGE_DIR)
    model = AutoModelForCausalLM.from_pretrained(JUDGE_DIR, dtype=torch.float32)
    digits = tokenizer.convert_tokens_to_ids(list("0123456789"))
    for task, option in (("", "--reference"), ("_noref", "--no-reference")):
        output = tmp_path / f"scores{task}.jsonl"
        scored = command(
            "selfj",
            "score",
            source,
            "--judge",
            JUDGE_DIR,
            "--output",
            output,
            "--limit",
            limit,
            option,
        )
        assert scored.returncode == 0, scored.stderr
        by_command = {r["id"]: r for r in map(json.loads, output.read_text().splitlines())}
        rows = samples(tmp_path, f"selfj_judge_mtbench{task}")
        assert len(rows) == limit
        cut = sum(row["trimmed_tokens"] > 0 for row in by_command.values())
        assert results(tmp_path)[f"selfj_judge_mtbench{task}"]["trimmed,none"] == cut
        assert any(row["trimmed_tokens"] for row in by_command.values())
        for row in rows:
            own = by_command[row["doc"]["id"]]
            prompt = row["arguments"]["gen_args_0"]["arg_0"]
            with torch.no_grad():
                ids = torch.tensor([tokenizer(prompt).input_ids])
                logits = model(ids, logits_to_keep=1).logits[0, -1]
            p = logits.double().softmax(-1)[digits].numpy()
            assert row["score"] == pytest.approx(p @ np.arange(10) / p.sum(), abs=1e-4)
            assert own["score"] == pytest.approx(row["score"], abs=1e-4)
            assert own["digit_mass"] == pytest.approx(row["digit_mass"], abs=1e-4)
        score, rating = np.array([[row["score"], row["doc"]["rating"]] for row in rows]).T
        reported = results(tmp_path)[f"selfj_judge_mtbench{task}"]
        assert reported["pearson,none"] == pytest.approx(pearsonr(score, rating).statistic)
        assert reported["auroc,none"] == pytest.approx(roc_auc_score(rating >= 7, score))
        for name, metric in headline(score, rating, rating >= 7)._asdict().items():
            assert reported[f"{name},none"] == pytest.approx(metric.value, abs=1e-9)


@pytest.mark.long
def test_every_real_set_runs_and_reports_a_number_or_a_reason(
    command: Any, data: Path, tmp_path: Path
) -> None:
    done = command(
        "lm_eval", "--model", "hf", "--model_args", f"pretrained={JUDGE_DIR}", "--tasks",
        "selfj_judge_*,selfj_pair_*", "--limit", 12, "--output_path", tmp_path, "--device", "cpu",
        SELFJ_DATA=str(data), timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = results(tmp_path)
    assert len(found) == 39
    log = done.stdout + done.stderr
    for task, values in found.items():
        main = "acc" if task.startswith("selfj_pair") else "pearson"
        value = values[f"{main},none"]
        assert math.isfinite(value) or f"{task}: {main} is undefined: " in log, task
    assert "selfj_judge_flask_responses: pearson is undefined: none of 12 documents has both" in log


def test_missing_data_is_one_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_task: Any
) -> None:
    monkeypatch.delenv("SELFJ_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(DataError) as raised:
        load_task("selfj_judge_mtbench", {})
    last = str(raised.value)
    assert "variable SELFJ_DATA (or `selfj_data` in lm-eval's `metadata`) to a folder" in last
    assert "`selfj data get judge_bench/pointwise_mtbench`" in last
    assert "`selfj data get judge_bench`" in last
    with pytest.raises(DataError, match=r"/nowhere/.*/pointwise_mtbench.parquet: there is no"):
        load_task("selfj_judge_mtbench", {"selfj_data": "/nowhere"})


def test_selfj_lm_eval_finds_the_tasks_where_lm_eval_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.__main__

    from selfj_eval.cli import lm_eval as subcommand
    from selfj_eval.harness import installation

    calls: list[list[str]] = []
    monkeypatch.setattr(lm_eval.__main__, "cli_evaluate", lambda: calls.append(subcommand.sys.argv))
    monkeypatch.setattr(subcommand.sys, "argv", [])
    assert installation.found_by_lm_eval()
    subcommand.run(["--model", "hf", "--tasks", "selfj"])
    assert calls[-1] == ["lm_eval", "--model", "hf", "--tasks", "selfj"]
    monkeypatch.setattr(installation, "found_by_lm_eval", lambda: False)
    include = ["--include_path", str(TASKS)]
    subcommand.run(["--model", "hf", "--tasks", "selfj"])
    assert calls[-1] == ["lm_eval", *include, "--model", "hf", "--tasks", "selfj"]
    subcommand.run(["run", "--tasks", "selfj"])
    assert calls[-1] == ["lm_eval", "run", *include, "--tasks", "selfj"]
    subcommand.run(["ls", "tasks"])
    assert calls[-1] == ["lm_eval", "ls", "tasks", *include]
    with pytest.raises(SelfJError, match="lm_eval takes one --include_path"):
        subcommand.run(["--tasks", "selfj", "--include_path=mine"])
