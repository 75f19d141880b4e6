"""What users notice before anything is judged: start-up time, help, what is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import selfj_eval

ROOT = Path(__file__).parents[1]


def test_import_is_light() -> None:
    code = (
        "import sys, selfj_eval; heavy = {'torch', 'transformers', 'numpy', 'lm_eval', 'datasets', "
        "'pyarrow'}; assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_nothing_that_takes_long() -> None:
    code = (
        "import sys\nfrom selfj_eval.cli import main\ntry:\n    main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'requests', 'yaml', 'filelock', "
        "'tqdm', 'lm_eval'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: selfj" in done.stdout


def test_scoring_loads_only_what_a_model_in_transformers_needs(tmp_path: Path) -> None:
    """Of a start-up of four seconds, nine tenths are imports; these would add to it."""
    answers = tmp_path / "ladder.jsonl"
    selfj_eval.write_records(answers, selfj_eval.ladder(instructions=1))
    code = (
        "import sys\nfrom selfj_eval.cli import main\n"
        f"assert main(['score', {str(answers)!r}, '--judge', 'demo']) == 0\n"
        "heavy = {'peft', 'bitsandbytes', 'datasets', 'pandas', 'pyarrow', 'sklearn', 'requests', "
        "'scipy.stats', 'lm_eval', 'matplotlib', 'gguf', 'openpyxl', 'rich', 'vllm', 'openai', "
        "'torch._inductor.compile_fx'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores_ladder.jsonl").is_file()


def test_every_public_name_is_there() -> None:
    for name in selfj_eval.__all__:
        assert getattr(selfj_eval, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        selfj_eval.nothing  # noqa: B018


@pytest.mark.parametrize(
    "subcommand",
    [
        "score",
        "eval",
        "report",
        "select",
        "compare",
        "check",
        "leaderboard",
        "export",
        "push",
        "ladder",
        "path",
        "doctor",
        "data",
        "collect",
    ],
)
def test_help_explains_and_shows_an_example(command: Any, subcommand: str) -> None:
    done = command("selfj", subcommand, "--help")
    assert done.returncode == 0
    assert f"usage: selfj {subcommand}" in done.stdout
    assert "example" in done.stdout


def test_path(command: Any) -> None:
    judge = Path(command("selfj", "path", "judge").stdout.strip())
    assert (judge / "model.safetensors").is_file()
    tasks = Path(command("selfj", "path", "tasks").stdout.strip())
    assert (tasks / "judge_bench" / "selfj_judge_mtbench.yaml").is_file()


def test_ladder_is_written(command: Any, tmp_path: Path) -> None:
    done = command("selfj", "ladder", "--output", tmp_path / "l.parquet", "--instructions", "3")
    assert done.returncode == 0, done.stderr
    assert len(selfj_eval.read_records(tmp_path / "l.parquet")) == 30
    wrong = command("selfj", "ladder", "--output", tmp_path / "l.jsonl", "--instructions", "0")
    assert wrong.returncode == 2
    assert "--instructions must lie between 1 and 50,000, got 0" in wrong.stderr


def test_the_package_has_no_pickles_and_little_weight() -> None:
    package = Path(selfj_eval.__file__).parent
    files = [file for file in package.rglob("*") if file.is_file()]
    assert not [f for f in files if f.suffix in {".pkl", ".bin", ".pt", ".pth", ".ckpt"}]
    assert sum(f.stat().st_size for f in (package / "demo" / "judge").iterdir()) < 6_000_000


def test_the_hooks_check_with_the_ruff_that_developers_have() -> None:
    """Two versions of ruff would format the same file in two ways."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    used = {
        package
        for repo in config["repos"]
        for hook in repo["hooks"]
        for package in hook["additional_dependencies"]
        if package.startswith("ruff")
    }
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert used == {line for line in pinned if line.startswith("ruff==")} != set()
