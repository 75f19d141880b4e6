"""The verb ``view`` without a browser: its routes, its figures, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from selfj_eval.cli import main
from selfj_eval.errors import DataError
from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.workbench import application
from selfj_eval.workbench.excerpts import LONGEST
from selfj_eval.workbench.serving import running
from selfj_eval.workbench.view import View, ViewOptions, view_page
from selfj_eval.workbench.view_page import PAGE_SIZE

Jsonl = Callable[..., Path]
OPTIONS = ViewOptions(resamples=20, open_browser=False)


def rows(n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    made = []
    for k in range(n):
        rating = int(rng.integers(1, 11))
        score = float(np.clip(rating - 1 + rng.normal(0, 2), 0, 9))
        row = {"id": f"a{k}", "score": score, "rating": rating, "rating_min": 1, "rating_max": 10}
        row |= {"instruction": f"Question {k // 2}?", "response": f"Answer {k}"}
        made.append(row | {"model": f"m{k % 2}", "category": f"kind {k % 3}"})
    return made


@pytest.fixture
def serve(jsonl: Jsonl) -> Iterator[Callable[..., httpx.Client]]:
    """A client of the page of some rows, a file a list."""
    open_blocks: list[Any] = []

    def start(*files: list[dict[str, Any]], options: ViewOptions = OPTIONS) -> httpx.Client:
        paths = [jsonl(*made, name=f"{'xyz'[k]}.jsonl") for k, made in enumerate(files)]
        shown = view_page(paths, options)
        app, _ = shown.__enter__()
        server = running(app, options)
        client = httpx.Client(base_url=server.__enter__(), trust_env=False, timeout=60)
        open_blocks.extend([shown, server])
        return client

    yield start
    for block in reversed(open_blocks):
        block.__exit__(None, None, None)


def test_every_page_of_the_list(serve: Callable[..., httpx.Client]) -> None:
    made = rows(PAGE_SIZE * 2 + 7)
    client = serve(made)
    seen = []
    for start in range(0, len(made), PAGE_SIZE):
        part = client.get(f"/api/answers?sort=score&start={start}").json()
        assert part["total"] == len(made)
        seen += part["rows"]
    ordered = sorted(made, key=lambda row: row["score"])
    assert [row["id"] for row in seen] == [row["id"] for row in ordered]
    assert [row["scores"] for row in seen] == [[row["score"]] for row in ordered]
    assert [row["response"] for row in seen] == [row["response"] for row in ordered]
    # An old link may lead beyond the end.
    beyond = client.get("/api/answers?sort=score&start=5000").json()
    assert (beyond["start"], beyond["rows"]) == (2 * PAGE_SIZE, part["rows"])
    assert client.get(f"/api/answers?start={len(made) - 1}").json()["start"] == len(made) - 1
    assert client.get("/api/answers?q=zzzz&start=50").json()["start"] == 0


def test_unscored_answers_are_counted_and_say_why(serve: Callable[..., httpx.Client]) -> None:
    made = rows(20)
    for k in (3, 8):
        made[k] |= {"score": None, "error": f"no digit, {k}"}
    client = serve(made)
    listed = client.get("/api/answers").json()
    assert (listed["total"], listed["unscored"]) == (20, 2)
    assert listed["rows"][3]["scores"] == [None]
    assert client.get("/api/answers/8").json()["verdicts"][0]["error"] == "no digit, 8"
    found = client.get("/api/answers?show=unscored").json()
    assert [row["id"] for row in found["rows"]] == ["a3", "a8"]


def test_one_answer_with_its_siblings_and_a_long_text(serve: Callable[..., httpx.Client]) -> None:
    made = rows(6)
    made[2]["response"] = "y" * (LONGEST + 12)
    client = serve(made)
    answer = client.get("/api/answers/2").json()
    assert answer["response"] == {"text": "y" * LONGEST, "cut": 12}
    assert answer["reference"] is None
    assert [(other["n"], other["model"]) for other in answer["others"]] == [(3, "m1")]
    assert client.get("/api/answers/6").json() == {
        "error": "there is no answer 6: the answers are numbered from 0 to 5."
    }
    for missing in (6, -1, 99, 10**18):
        assert client.get(f"/api/answers/{missing}").status_code == 404
    assert client.get("/api/answers/x").status_code == 422
    wrong = client.get("/api/answers?sort=secret")
    assert wrong.status_code == 400 and "expected one of file, score" in wrong.json()["error"]


def test_figures_are_those_of_the_evaluation(
    serve: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    client = serve(rows(90), [row | {"score": 9 - row["score"]} for row in rows(90)])
    page = figures(client)
    for name in "xy":
        own = evaluate(tmp_path / f"{name}.jsonl", resamples=20)
        metric = own.headline.spearman
        assert metric.low is not None
        assert (
            f'{metric.value:.3f} <span class="soft">{metric.low:.3f} to {metric.high:.3f}' in page
        )
        assert own.conclusion.replace("'", "&#39;") in page
    assert page.count("<svg") == 6  # risk, categories, and reliability and distribution of each
    assert not re.search(r"\sstyle=|<style|<script", page)  # the policy of the page forbids them
    assert 'stroke="var(--series-1)"' in page and 'fill="var(--ink)"' in page
    assert figures(client) == page


def figures(client: httpx.Client) -> str:
    """The page of figures once it is ready."""
    deadline = time.monotonic() + 120
    while 'http-equiv="refresh"' in (page := client.get("/figures").text):
        assert "This page shows the figures as soon as they are ready" in page
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return page


def test_figures_say_why_there_are_none(serve: Callable[..., httpx.Client]) -> None:
    bare = [row | {"rating": None} for row in rows(9)]
    assert "No answer has a score and a rating" in figures(serve(bare))


def test_figures_show_an_error(serve: Callable[..., httpx.Client]) -> None:
    page = figures(serve(rows(9), options=ViewOptions(good_at=40, open_browser=False)))
    assert 'role="alert"' in page and "good_at" in page


def test_the_temporary_file_goes_with_the_page(
    jsonl: Jsonl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with view_page(jsonl(*rows(9)), OPTIONS) as (_, result):
        assert [f.name for f in place.rglob("*.sqlite")] == ["answers.sqlite"]
    assert list(place.iterdir()) == []
    assert result == View([str(tmp_path / "records.jsonl")], ["records"], 9, 0, 9)
    assert str(result) == "9 answers, 9 rated; judges: records"
    with pytest.raises(DataError), view_page(jsonl({"id": 1, "x": 2}, name="bad.jsonl"), OPTIONS):
        pass
    assert list(place.iterdir()) == []


def test_answers_in_memory_can_be_viewed() -> None:
    with view_page(rows(9), OPTIONS) as (_, result):
        assert (result.answers, result.rated) == (9, 9)


def test_a_missing_package_is_named(jsonl: Jsonl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_NEEDED", ("fastapi", "no_such_package"))
    reason = r"needs no_such_package: pip install 'selfj-eval\[web\]'"
    with pytest.raises(DataError, match=reason), view_page(jsonl(*rows(2)), OPTIONS):
        pass


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(jsonl: Jsonl, tmp_path: Path, end: int) -> None:
    path = jsonl(*rows(30))
    place = tmp_path / "temporary"
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "selfj_eval", "view", str(path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(place)},
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/", said)
    assert address is not None, said
    about = httpx.get(f"{address[0]}api/about", trust_env=False).json()
    assert (about["answers"], about["judges"][0]["name"]) == (30, "records")
    process.send_signal(end)
    out, err = process.communicate(timeout=60)
    assert list(place.iterdir()) == []
    if end == signal.SIGINT:
        assert process.returncode == 0, err
        assert json.loads(out)["answers"] == 30
    else:
        assert process.returncode == 128 + end


def test_wrong_input_is_refused_before_anything_is_served(
    jsonl: Jsonl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(jsonl({"id": "1", "response": "x"}))]) == 2
    assert "no row has a score" in capsys.readouterr().err
