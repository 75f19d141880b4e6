"""The examples of docs/serving.md, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page asks with curl")
def test_the_page_can_be_followed(tmp_path: Path) -> None:
    examples = re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert [language for language, _ in examples] == ["bash", "python", "bash"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = []
    try:
        for language, code in examples:
            program = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
            done = subprocess.run(
                program, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True,
                text=True, timeout=400,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
    finally:
        if (tmp_path / "serve.pid").exists():
            with suppress(ProcessLookupError):
                os.kill(int((tmp_path / "serve.pid").read_text()), signal.SIGKILL)
    assert '{"judgments":[{"id":"0","score":' in printed[0]
    assert re.search(r'"decision":"(accept|decline)","p_good":0\.\d', printed[0])
    lines = printed[1].splitlines()
    assert [line.split()[0] for line in lines] == [str(k) for k in range(8)]
    assert {line.split()[1] for line in lines} <= {"accept", "decline"}
    assert re.match(r"10 requests in \d+ s, 10 answered with 10 judgments \(0 unsc", printed[2])
