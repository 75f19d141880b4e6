"""One part of ``gpu.py``, in this process: writes OUTPUT/PART.json as it goes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed

from gpu_device import Device  # noqa: E402
from gpu_findings import Findings, NotRunError  # noqa: E402

from selfj_eval.errors import brief  # noqa: E402


def main() -> int:
    """Run it; whether it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    findings = Findings(
        options.output / f"{options.part}.json", options.limit,
        part=options.part, device=options.device, tiny=options.tiny,
    )  # fmt: skip
    try:
        device = Device(options.device)
        findings.save(machine=device.facts())
        PARTS[options.part](findings, device, options.tiny)
    except NotRunError as error:
        findings.save(status="not run", reason=brief(error))
    except Exception as error:
        traceback.print_exc()
        findings.save(status="failed", reason=f"{type(error).__name__}: {brief(error)}")
        return 1
    else:
        findings.save(status="done")
    return 0


def marked_tests(findings: Findings, device: Device, tiny: bool) -> None:
    """Run the tests marked ``gpu``; only their files, since others need more packages."""
    if importlib.util.find_spec("pytest") is None:
        raise NotRunError("pytest is not installed: pip install pytest")
    files = [
        file
        for file in sorted((ROOT / "tests").glob("test_*.py"))
        if "pytest.mark.gpu" in file.read_text(encoding="utf-8")
    ]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "--import-mode=importlib",
            "-p", "no:cacheprovider", "-m", "gpu", f"--junitxml={report}", *map(str, files),
        ]  # fmt: skip
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        status = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
        if not report.exists():
            raise RuntimeError(f"pytest ended with status {status.returncode}; see the log")
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    outcomes: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in cases:
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else None
        kind = kind or ("skipped" if "skipped" in kinds else "passed")
        outcomes[kind].append(f"{case.get('classname')}.{case.get('name')}")
    findings.save(tests=outcomes)
    if outcomes["failed"]:
        raise RuntimeError(f"{len(outcomes['failed'])} failed: {', '.join(outcomes['failed'])}")
    if device.is_cuda and not outcomes["passed"]:
        raise RuntimeError("none of the tests ran; the log says why they were skipped")


def _score(findings: Findings, device: Device, tiny: bool, *, size: str) -> None:
    from gpu_scoring import score

    score(findings, device, tiny, size=size)


def _train_step(findings: Findings, device: Device, tiny: bool) -> None:
    from gpu_training import train_step

    train_step(findings, device, tiny)


def _lora(findings: Findings, device: Device, tiny: bool) -> None:
    from gpu_training import lora

    lora(findings, device, tiny)


# What a part does not need is not imported, and cannot make it fail.
PARTS = {
    "tests": marked_tests,
    "score-1b": partial(_score, size="1b"),
    "score-7b": partial(_score, size="7b"),
    "train-step": _train_step,
    "lora": _lora,
}


if __name__ == "__main__":
    sys.exit(main())
