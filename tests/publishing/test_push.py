"""The real client of the hub, sent to a server here."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import push, score
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.errors import DataError, JudgeError, StoreError

ROWS = [{"id": str(k), "instruction": f"Add {k} and 1.", "response": f"{k + 1}"} for k in range(3)]
TO = "hf://datasets/me/scores"


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Scores made by a judge in a folder of this machine, with their run file."""
    judge = shutil.copytree(JUDGE_DIR, tmp_path / "secret-home" / "my-judge")
    score(ROWS, judge=str(judge), output=str(tmp_path / "scores.jsonl"))
    run = tmp_path / "scores.jsonl.run.json"
    changed = json.loads(run.read_text())
    changed |= {"command": "selfj score --store /secret-home/s", "input": "/secret-home/a.jsonl"}
    run.write_text(json.dumps(changed))
    return tmp_path / "scores.jsonl"


def test_scores_go_with_their_run_file_but_without_folders(
    hub: Any, scores: Path, command: Any, tmp_path: Path
) -> None:
    before = scores.read_text()
    done = command("selfj", "push", scores, "--to", f"{TO}/a/b", **hub.environment)
    assert done.returncode == 0, done.stderr
    assert "2 files sent to the dataset me/scores" in done.stdout
    assert f"{hub.environment['HF_ENDPOINT']}/datasets/me/scores/commit/1" in done.stdout
    made = hub.said()["create"]
    assert (made["type"], made["organization"], made["name"]) == ("dataset", "me", "scores")
    assert made.get("visibility") == "private" or made.get("private") is True
    commit = hub.said()
    assert commit["commit"] == "/api/datasets/me/scores/commit/main"
    assert list(commit["texts"]) == ["a/b/scores.jsonl", "a/b/scores.jsonl.run.json"]
    assert commit["texts"]["a/b/scores.jsonl"] == before == scores.read_text()
    run = json.loads(commit["texts"]["a/b/scores.jsonl.run.json"])
    assert run["judge"]["model"] == "my-judge" and run["input"] == "a.jsonl"
    assert run["judge"]["template"] == "self-j" and "command" not in run
    assert "secret-home" not in json.dumps(run)
    assert "hf_right" not in done.stdout + done.stderr
    written = [f for f in tmp_path.rglob("*") if f.is_file() and b"hf_right" in f.read_bytes()]
    assert not written


def test_a_judge_goes_whole_and_nothing_else_of_its_folder(
    hub: Any, command: Any, tmp_path: Path
) -> None:
    judge = shutil.copytree(JUDGE_DIR, tmp_path / "judge")
    (judge / "training.json").write_text('{"config": {"base": "/home/me/base"}}')
    mine = ("notes.xyz", "notes.txt", "wandb-secrets.json", "my_config.json")
    for name in mine:
        (judge / name).write_text("{}")
    (judge / "LICENSE.txt").write_text("Apache-2.0")
    (judge / "checkpoint-5").mkdir()
    (judge / "checkpoint-5" / "optimizer.pt").write_bytes(pickle.dumps(1))
    (judge / "README.md").write_text("---\nlicense: mit\n---\n# A judge\n")
    there = ("selfj", "push", judge, "--to", "hf://me/judge@next", "--json")
    planned = json.loads(command(*there, "--dry-run", **hub.environment).stdout)
    done = command(*there, "--public", **hub.environment)
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert sent["files"] == planned["files"] and planned["url"] is None
    made = hub.said()["create"]  # the dry run made nothing
    assert made.get("visibility") == "public" or made.get("private") is False
    commit = hub.said()
    assert commit["commit"] == "/api/models/me/judge/commit/next"
    assert {
        "config.json",
        "model.safetensors",
        "README.md",
        "tokenizer.json",
        "LICENSE.txt",
    } <= set(commit["sent"])
    assert commit["sent"]["model.safetensors"] == (judge / "model.safetensors").stat().st_size
    left_out = {"training.json", *mine, "checkpoint-5/"}
    assert left_out <= set(sent["left_out"]) and not left_out & set(commit["sent"])


def test_a_wrong_token_is_one_line_with_the_way_out(hub: Any, scores: Path, command: Any) -> None:
    wrong = hub.environment | {"HF_TOKEN": "hf_wrong"}
    done = command("selfj", "push", scores, "--to", TO, **wrong)
    assert done.returncode == 2
    assert "me/scores cannot be written" in done.stderr and "hf auth login" in done.stderr
    assert "Traceback" not in done.stderr and "hf_wrong" not in done.stderr


def test_a_hub_that_is_not_there_is_one_line(hub: Any, scores: Path, command: Any) -> None:
    away = hub.environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = command("selfj", "push", scores, "--to", TO, **away)
    assert done.returncode == 2, done.stderr
    assert "me/scores cannot be written" in done.stderr and "refused" in done.stderr


def test_where_the_answers_came_from_goes_without_folders(scores: Path) -> None:
    from selfj_eval.publishing.push import _without_places

    address = f"hf://datasets/me/answers@{'a' * 40}/x.jsonl"
    run = json.loads(Path(f"{scores}.run.json").read_text())
    assert _without_places(run | {"input": address})["input"] == address
    hashes = {"/secret-home/a.jsonl": "1", address: "2"}
    sent = _without_places(run | {"input_sha256": hashes})
    assert sent["input_sha256"] == {"a.jsonl": "1", address: "2"}


def test_without_a_network_nothing_is_sent(scores: Path) -> None:
    planned = push(scores, to=TO, dry_run=True)
    assert [file.name for file in planned.files] == ["scores.jsonl", "scores.jsonl.run.json"]
    assert planned.files[0].bytes == scores.stat().st_size
    assert "the file holds instructions and answers" in planned.notes
    assert "would be sent" in str(planned)
    with pytest.raises(StoreError, match="me/scores cannot be written"):  # HF_HUB_OFFLINE
        push(scores, to=TO)


@pytest.mark.parametrize("name", ["training_args.bin", "tokenizer.model", "old.pkl"])
def test_pickles_are_refused(name: str, tmp_path: Path) -> None:
    judge = shutil.copytree(JUDGE_DIR, tmp_path / "judge")
    (judge / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match=rf"{name}: is a pickle"):
        push(judge, to="hf://me/judge", dry_run=True)
    with pytest.raises(DataError, match="cannot tell the format from the name"):
        push(judge / name, to=TO, dry_run=True)


def test_what_is_no_judge_and_no_scores_is_refused(tmp_path: Path) -> None:
    judge = shutil.copytree(JUDGE_DIR, tmp_path / "judge")
    (judge / "model.safetensors").unlink()
    with pytest.raises(JudgeError, match="holds no weights"):
        push(judge, to="hf://me/judge", dry_run=True)
    (judge / "config.json").unlink()
    with pytest.raises(DataError, match="neither a scores file nor a judge's folder"):
        push(judge, to="hf://me/judge", dry_run=True)
    with pytest.raises(DataError, match="nothing: is not there"):
        push(tmp_path / "nothing", to="hf://me/judge")
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps(ROWS[0]) + "\n")
    with pytest.raises(DataError, match="no row has a score"):
        push(answers, to=TO, dry_run=True)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("me/scores", "`to` must be hf://datasets/OWNER/NAME"),
        ("hf://datasets/scores", "`to` must be"),
        ("hf://datasets/me/../../x", "`to` must be"),
        ("hf://me/scores", "scores go to a data set of the hub"),
    ],
)
def test_targets_that_do_not_fit(to: str, message: str, scores: Path) -> None:
    with pytest.raises(DataError, match=message):
        push(scores, to=to, dry_run=True)


def test_an_adapters_base_that_nobody_else_has_is_said(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(JUDGE_DIR)
    settings = LoraConfig(r=2, target_modules=["q_proj"])
    get_peft_model(model, settings).save_pretrained(tmp_path / "adapter")
    planned = push(tmp_path / "adapter", to="hf://me/adapter", dry_run=True)
    assert "adapter_model.safetensors" in {file.name for file in planned.files}
    assert any("names the base" in note for note in planned.notes)
