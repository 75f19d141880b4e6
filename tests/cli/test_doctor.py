"""``selfj doctor``: what works here, and what does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.harness import installation
from selfj_eval.harness.installation import Check, Installation


def test_doctor(in_process: Any, data: Path) -> None:
    done = in_process("selfj", "doctor", "--json", SELFJ_DATA=str(data))
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["backend transformers"]["ok"] is True
    assert checks["lm-eval tasks"]["ok"] is True
    assert checks["data"]["ok"] is True
    assert found["packages"]["lm-eval"].startswith("0.4.")
    broken = in_process("selfj", "doctor", SELFJ_DATA="/nowhere")
    assert broken.returncode == 1
    assert "FAIL data: SELFJ_DATA=/nowhere has no judge_bench" in broken.stdout


def test_what_is_broken_does_not_stop_the_doctor(command: Any, tmp_path: Path) -> None:
    broken = tmp_path / "lm_eval" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('made to fail')\n")
    done = command("selfj", "doctor", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "FAIL lm-eval tasks" in done.stdout and "ok   backend transformers" in done.stdout
    path = command("selfj", "path", "judge", PYTHONPATH=str(tmp_path))
    assert path.returncode == 0 and Path(path.stdout.strip()).is_dir()


def test_doctor_sees_the_users_folder(in_process: Any, tmp_path: Path) -> None:
    def data() -> dict[str, Any]:
        done = in_process("selfj", "doctor", "--json", XDG_DATA_HOME=str(tmp_path))
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}["data"]

    missing = data()
    assert missing["ok"] is None
    # Other data, such as a shipped judge, may be there.
    assert f"no judge_bench in {tmp_path / 'selfj-eval'}, so that only" in missing["detail"]
    assert "`selfj data get judge_bench` gets it" in missing["detail"]
    folder = tmp_path / "selfj-eval" / "judge_bench"
    folder.mkdir(parents=True)
    (folder / "pointwise_one.parquet").touch()
    found = data()
    assert found["ok"] is True
    assert f"{folder.parent} has 1 file of judge_bench" in found["detail"]


def test_the_text_explains_its_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert installation._device().detail == "cpu, 1 thread, no accelerator"
    legend = "(-: not installed, or optional and not tested)"
    found = Installation("3.12", {"torch": "2"}, (Check("vllm", None, "not installed"),))
    assert str(found).endswith(f"\n-    vllm: not installed\n{legend}")
    assert legend in str(Installation("3.12", {"torch": None}, (Check("a", True, "b"),)))
    assert "(-" not in str(Installation("3.12", {"torch": "2"}, (Check("a", True, "b"),)))
