"""On Ray Serve: two replicas give the judgments of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import selfj_eval
from selfj_eval import DataError

pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

CODE = """
import json, logging, os, socket, sys
from concurrent.futures import ThreadPoolExecutor
import httpx, ray
from ray import serve
from selfj_eval import read_records
from selfj_eval.serving.ray_app import build

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
serve.start(http_options={"port": port})
arguments = {"judge": "demo", "workers": "2", "batch_wait_ms": "5.0", "policy": "policy.json"}
serve.run(build(arguments), name="selfj")
client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
body = {"records": [{"instruction": "a", "response": "b"}]}
found = {"without token": client.post("/v1/judge", json=body).status_code}
client.headers["Authorization"] = "Bearer s3cret"

def ask(record):
    row = {"id": record.id, "instruction": record.instruction, "response": record.response}
    answer = client.post("/v1/decide", json={"records": [row | {"reference": record.reference}]})
    return answer.json()["decisions"][0]

with ThreadPoolExecutor(16) as pool:
    found["decisions"] = list(pool.map(ask, read_records("answers.jsonl")))
wrong = client.post("/v1/judge", content=b"{", headers={"Content-Type": "application/json"})
found["wrong"] = [wrong.status_code, wrong.json()["error"]["code"]]
started = {
    line.split()[1]
    for _ in range(60)
    for line in client.get("/metrics").text.splitlines()
    if line.startswith("process_start_time_seconds ")
}
found["processes"] = len(started)
serve.shutdown()
ray.shutdown()
print(json.dumps(found))
"""


@pytest.mark.long
def test_two_replicas_decide_as_one_process(scored: Path, policy: Path, tmp_path: Path) -> None:
    records = selfj_eval.ladder(instructions=60)[:80]
    selfj_eval.write_records(str(tmp_path / "answers.jsonl"), records)
    (tmp_path / "policy.json").write_bytes(policy.read_bytes())
    quiet = {"SELFJ_SERVE_TOKEN": "s3cret", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, env=os.environ | quiet, capture_output=True,
        text=True, timeout=570,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["without token"] == 401
    assert found["wrong"] == [400, "broken_json"]
    assert found["processes"] == 2
    own = selfj_eval.Policy.load(policy)
    rows = [json.loads(line) for line in scored.read_text().splitlines()[: len(records)]]
    assert [d["id"] for d in found["decisions"]] == [row["id"] for row in rows]
    for decision, row in zip(found["decisions"], rows, strict=True):
        assert decision["score"] == pytest.approx(row["score"], abs=1e-4)
        assert (decision["decision"] == "accept") is own.decide(row["score"]).accept


def test_arguments_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from selfj_eval.serving.ray_app import build

    monkeypatch.delenv("SELFJ_SERVE_TOKEN", raising=False)
    for arguments, said in (
        ({"judge": "demo"}, "there is no token"),
        ({"judge": "demo", "port": "80"}, "no such option"),
        ({"judge": "demo", "workers": "two"}, "`workers`"),
        ({"judge": "demo", "store": "a.store"}, "in one process"),
        ({"workers": "2"}, "`judge` is missing"),
    ):
        with pytest.raises(DataError, match=said):
            build(arguments)
