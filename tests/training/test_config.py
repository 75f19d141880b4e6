"""Settings of a training: YAML, flags, and errors that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfj_eval.cli import main
from selfj_eval.cli.flags import add_flags, given
from selfj_eval.cli.parser import Parser
from selfj_eval.errors import DataError
from selfj_eval.jobs.options import OptionError
from selfj_eval.training.settings import JudgeConfig

CONFIGS = Path(__file__).parents[2] / "configs"
NEEDED = {"base": "b", "train_ref": "r", "train_noref": "n", "output": "o"}


def test_the_papers_run_is_what_is_shipped() -> None:
    """arXiv 2409.00935, section 3: batch 128, 2 epochs, 3e-4, LoRA 16/16/0.05, 8-bit base."""
    config = JudgeConfig.load(CONFIGS / "self-j-13b.yaml", {})
    assert config.batch_size * config.gradient_accumulation == 128
    assert (config.epochs, config.learning_rate, config.warmup_steps) == (2, 3e-4, 100)
    assert (config.lora_r, config.lora_alpha, config.lora_dropout) == (16, 16, 0.05)
    assert config.lora_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (config.student_weight, config.kl_weight, config.max_tokens) == (0.3, 2, 1024)
    assert config.quantization == "8bit"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("base: b\ntrain_ref: r\ntrain_noref: n\noutput: o\nlearning_rate: 1e-5\n")
    parser = Parser()
    add_flags(parser, JudgeConfig, config=True)
    options = parser.parse_args(
        ["--config", str(file), "--epochs", "3", "--no-group-by-length", "--lora-modules", "x", "y"]
    )
    config = JudgeConfig.load(options.config, given(options, JudgeConfig))
    assert config.learning_rate == 1e-5
    assert (config.epochs, config.group_by_length, config.lora_modules) == (3, False, ("x", "y"))
    assert config.kl_weight == 2


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("learning_rat: 1", "learning_rat", "no such option. Did you mean learning_rate"),
        ("epochs: two", "epochs", "must be a number"),
        ("batch_size: 1.5", "batch_size", "must be a whole number"),
        ("batch_size: true", "batch_size", "must be a whole number"),
        ("batch_size: 0", "batch_size", "at least 1"),
        ("kl_weight: .nan", "kl_weight", "finite"),
        ("quantization: 3bit", "quantization", "one of none, 8bit, 4bit"),
        ("lora_modules: q_proj", "lora_modules", "must be a list"),
        ("architecture: encoder", "lora_r", "an encoder is trained whole"),
        ("quantization: 4bit\nlora_r: 0", "lora_r", "rank above 0"),
        ("validation_ref: x", "validation_ref", "both files"),
        ("seed: 4294967296", "seed", "must lie between 0 and 4"),
        ("lora_r: -1", "lora_r", "must be at least 0, got -1"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, field: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        JudgeConfig.load(file, NEEDED)
    in_file = field in text  # else it is the default that does not go with what is
    assert (f"field {field!r}" if in_file else f"`{field}`") in str(caught.value)


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for text, message in (("- a", "expected options"), ("a: [", "is not YAML")):
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            JudgeConfig.load(file, NEEDED)
    with pytest.raises(DataError, match="cannot be read"):
        JudgeConfig.load(tmp_path / "none.yaml", NEEDED)
    with pytest.raises(DataError, match="`base` is missing; give it"):
        JudgeConfig.load(None, {})
    file.write_text("seed: 1")
    with pytest.raises(DataError, match="a.yaml: `base` is missing; write it there, or give it"):
        JudgeConfig.load(file, {})


def test_pythons_callers_read_the_options_name() -> None:
    with pytest.raises(OptionError, match="^`lora_r` must be at least 0, got -1"):
        JudgeConfig(**NEEDED, lora_r=-1)


def test_a_command_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    needed = [f"--{name.replace('_', '-')}={value}" for name, value in NEEDED.items()]
    assert main(["train", "judge", *needed, "--lora-r=-1"]) == 2
    assert capsys.readouterr().err == "selfj: error: --lora-r must be at least 0, got -1.\n"
    assert main(["train", "judge"]) == 2
    assert "--base is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file", sorted((CONFIGS / "accelerate").glob("*.yaml")), ids=lambda f: f.stem
)
def test_accelerate_takes_the_launch_configurations(file: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    loaded = load_config_from_file(str(file))
    assert loaded.mixed_precision == "bf16"
    kind = {"fsdp": "FSDP", "multi_gpu": "MULTI_GPU"}.get(file.stem, "DEEPSPEED")
    assert str(loaded.distributed_type).removeprefix("DistributedType.") == kind
    if kind == "DEEPSPEED":
        assert loaded.deepspeed_config["zero_stage"] == int(file.stem[-1])
