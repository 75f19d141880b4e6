"""Every kind of rater that needs a model, named in a file and run by ``selfj bench``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.judging.scored import read_scores


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a chat server whose replies stand in the records (``reply_server.py``)."""
    pytest.importorskip("openai", reason="the extra openai is not installed")
    (tmp_path / "log").touch()
    program = Path(__file__).parents[1] / "servers" / "reply_server.py"
    with subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        process.kill()


@pytest.fixture
def reward_model(tiny_judge: Path, tmp_path: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    folder = tmp_path / "reward"
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(tiny_judge, num_labels=1)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_judge).save_pretrained(folder)
    return folder


@pytest.fixture
def rated(jsonl: Callable[..., Path]) -> Path:
    """Six answers; each holds the reply that the chat server gives to it."""
    rows = []
    for k in range(6):
        reply = f"Fine. [[{k + 1}]]" if k else "I would rather not say."
        row = {"id": str(k), "instruction": f"What is 2 + {k}?", "reference": str(2 + k)}
        shown = f"{k + 2}. {'So it is. ' * k}<<{json.dumps({'content': reply})}>>"
        row |= {"response": shown, "rating": 2 * k}
        rows.append(row | {"model": "m"})
    return jsonl(*rows, name="rated.jsonl")


def test_a_file_of_raters(
    in_process: Callable[..., Any],
    rated: Path,
    reward_model: Path,
    server: str,
    minilm: Path,
    tmp_path: Path,
) -> None:
    raters = tmp_path / "raters.yaml"
    entries = [
        {"name": "ppl", "rater": "ppl", "model": "demo", "prompt": "plain"},
        {"name": "log", "rater": "log-ppl", "model": "demo", "prompt": "plain"},
        {"name": "vro", "rater": "vro", "model": "demo", "n": 2, "max_new_tokens": 8},
        {"name": "rm", "rater": "reward", "model": str(reward_model), "prompt": "human"},
        {"name": "gpt", "rater": "generative", "model": "gpt-4", "format": "mt-bench",
         "engine": "openai", "engine_args": {"base_url": server}},
        {"name": "writer", "rater": "generative", "model": "demo", "prompt": "wizardlm",
         "max_new_tokens": 3},
        {"name": "judge", "rater": "judge", "model": "demo", "max_tokens": 512},
    ]  # fmt: skip
    raters.write_text(json.dumps(entries))  # JSON is YAML
    out = tmp_path / "out"
    names = "ppl,log,vro,rm,gpt,writer,judge,gpt+judge"
    arguments = ["bench", "--raters", raters, "--judge", names, "--data", rated, "--output", out]
    arguments += ["--embedder", minilm, "--resamples", 20, "--models", "m", "--json"]
    key = {"OPENAI_API_KEY": "sk-secret"}
    done = in_process("selfj", *arguments, **key)
    assert done.returncode == 1, done.stderr  # the reply without a rating
    document = json.loads(done.stdout)
    rows = {(r["rater"], r["reference"]): r for r in document["sets"][0]["rows"]}
    assert set(rows) == {
        *((name, True) for name in ("gpt", "writer", "judge", "gpt+judge")),
        *((name, False) for name in names.split(",")),
    }
    for name in ("ppl", "log", "vro", "rm", "judge"):
        assert rows[name, False]["scored"] == 6, rows[name, False]["first_error"]
    for mode in (True, False):
        gpt = rows["gpt", mode]
        assert (gpt["scored"], gpt["unscored"]) == (5, 1)
        assert "I would rather not say." in gpt["first_error"]
        assert gpt["cells"]["m"]["value"] == pytest.approx(1)
        assert rows["gpt+judge", mode]["scored"] == 5
    perplexities = [a.score for a in read_scores(out / rows["ppl", False]["scores"]).answers]
    logs = [a.score for a in read_scores(out / rows["log", False]["scores"]).answers]
    assert sorted(range(6), key=lambda k: perplexities[k] or 0) == sorted(
        range(6), key=lambda k: logs[k] or 0
    )
    requests = len((tmp_path / "log").read_text().splitlines())
    assert requests == 12
    again = json.loads(in_process("selfj", *arguments, **key).stdout)
    assert again["sets"] == document["sets"]
    assert len((tmp_path / "log").read_text().splitlines()) == requests  # replies are kept
    written = [p for p in out.rglob("*") if p.is_file()]
    assert not [p.name for p in written if b"sk-secret" in p.read_bytes()]


def test_the_leaderboard_knows_the_raters(
    in_process: Callable[..., Any], rated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["bench", "--judge", "length,demo,ppl:demo", "--data", rated, "--resamples", 20]
    assert in_process("selfj", *arguments, "--output", out).returncode == 0
    results = tmp_path / "results"
    results.mkdir()
    for file in (out / "scores").rglob("*.parquet"):
        shown = in_process("selfj", "eval", file, "--resamples", 20, "--json")
        (results / f"{file.stem}.json").write_text(shown.stdout)
    board = tmp_path / "board.csv"
    done = in_process("selfj", "leaderboard", results, "--output", board)
    assert done.returncode == 0, done.stderr
    lines = [line.split(",")[:3] for line in board.read_text().splitlines()[1:]]
    free = [[name, "rated", "no"] for name in ("demo", "length", "ppl:demo")]
    assert lines == [*free, ["demo", "rated", "yes"]]


def test_the_robustness_suite(in_process: Callable[..., Any], rated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["bench", "--robust", "--judge", "length,tfidf,demo", "--data", rated]
    done = in_process("selfj", *arguments, "--output", out, "--limit", 4, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["sets"]["rated"]
    modes = ["demo (with reference)", "demo (without reference)"]
    assert list(found) == ["length", "tfidf", *modes]
    for document in found.values():
        assert document["base"]["records"] == 4
    assert found["length"]["changes"]["repetition"]["wrong_way"]["value"] == 1
    assert found["tfidf"]["changes"]["repetition"]["mean_change"]["value"] == pytest.approx(0)
    assert found[modes[0]]["changes"]["markers"]["refused"] == 4
    assert (out / "robust.md").read_text().count("| repetition |") == 4
    assert in_process("selfj", *arguments[:2], "--judge", "demo+length", *arguments[4:],
                   "--output", out).returncode == 2  # fmt: skip


def test_wrong_options_are_refused(
    in_process: Callable[..., Any], rated: Path, tmp_path: Path
) -> None:
    raters = tmp_path / "raters.yaml"
    for entry, message in (
        (
            {"rater": "vro", "model": "demo", "n": "five"},
            "raters.yaml, entry 1, field 'n': must be a whole number, got 'five'",
        ),
        (
            {"rater": "ppl", "model": "demo", "prompt": "chat"},
            "has no chat template; use `prompt` wizardlm or plain, whichever the model was trained "
            "with. (Options named here go into a YAML file of raters",
        ),
        ({"rater": "ppl", "model": "demo", "device": "abacus"}, "unknown device 'abacus'"),
        ({"rater": "generative", "model": "demo", "format": "x"}, "no rating format 'x'"),
        (
            {"rater": "generative", "model": "demo", "engine": "abacus"},
            "must be one of transformers, vllm, openai, got 'abacus'",
        ),
        ({"rater": "judge", "model": str(tmp_path / "no")}, "no folder"),
    ):
        raters.write_text(json.dumps([{"name": "x", **entry}]))
        arguments = ["bench", "--raters", raters, "--judge", "x", "--data", rated]
        done = in_process("selfj", *arguments, "--output", tmp_path / "out")
        assert done.returncode == 2
        assert message in done.stderr
