"""What the libraries' errors come to: the line that says why, on one line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.errors import brief


def judge_with(folder: Path, **settings: object) -> Path:
    """The demo judge with other settings in its configuration."""
    shutil.copytree(JUDGE_DIR, folder / "judge")
    file = folder / "judge" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder / "judge"


def other_base(folder: Path) -> None:
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(JUDGE_DIR), LoraConfig(target_modules=["q_proj"], r=4)
    )
    adapted.save_pretrained(folder)
    config = AutoConfig.from_pretrained(JUDGE_DIR, hidden_size=32, num_attention_heads=2)
    PeftModel.from_pretrained(LlamaForCausalLM(config), folder)


def no_target(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(JUDGE_DIR)
    get_peft_model(model, LoraConfig(target_modules=["query"]))


def cut_off(folder: Path) -> None:
    file = folder / "a.safetensors"
    save_file({"a": torch.zeros(10)}, file)
    file.write_bytes(file.read_bytes()[:-4])
    safe_open(file, "pt")


def broken_parquet(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(b"PAR1 is where it ends")
    pq.read_table(folder / "a.parquet")


def no_tokenizer(folder: Path) -> None:
    judge = judge_with(folder)
    (judge / "tokenizer.json").unlink()
    AutoTokenizer.from_pretrained(judge)


def wrong_fields(folder: Path) -> None:
    import pydantic

    class Settings(pydantic.BaseModel):
        size: int
        name: str

        @pydantic.field_validator("size")
        @classmethod
        def _some(cls, value: int) -> int:
            if value < 1:
                raise ValueError("must be above 0")
            return value

    Settings.model_validate({"size": 0})


def not_on_the_hub(folder: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download("nobody/nothing", cache_dir=folder, local_files_only=True)


def generated(folder: Path) -> None:
    from datasets import load_dataset

    (folder / "a.json").write_text('{"a": 1}\nno JSON\n')
    load_dataset("json", data_files=str(folder / "a.json"), cache_dir=str(folder))


CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "state_dict": (
        lambda _: torch.nn.Linear(3, 4).load_state_dict({"weight": torch.zeros(4, 5)}),
        r'Missing key\(s\) in state_dict: "bias"\. size mismatch for weight: .*\[4, 5\]\) from',
    ),
    "adapter": (other_base, r"size mismatch for .*q_proj.lora_A.*\[4, 128\]\).*\[4, 32\]\)"),
    "target": (no_target, r"Target modules .*query.* not found in the base model"),
    "configuration": (
        lambda f: AutoModelForCausalLM.from_pretrained(judge_with(f, num_attention_heads=7)),
        r"hidden size \(128\) is not a multiple of the number of attention heads \(7\)",
    ),
    "kind": (lambda f: AutoConfig.from_pretrained(judge_with(f, model_type="x")), "type `x`"),
    "tokenizer": (no_tokenizer, "Couldn't instantiate .*from one of: .*sentencepiece or tiktoken"),
    "yaml": (
        lambda _: yaml.safe_load("a: [1\nb: 2\n"),
        r"^expected ',' or '\]', but got ':', line 2, column 2$",
    ),
    "pydantic": (wrong_fields, r"^size: must be above 0; name: Field required$"),
    "safetensors": (cut_off, "^Error while deserializing header: .*not fully covered"),
    "parquet": (broken_parquet, "Parquet magic bytes not found in footer"),
    "arrow": (lambda _: pa.array([1, "a"]), "Could not convert 'a' with type str"),
    "hub": (not_on_the_hub, "Cannot find .* cached snapshot folder"),
    "cause": (generated, r"^An error occurred while generating the dataset \(JSON parse error"),
    "key": (lambda _: {}["added_tokens"], "^KeyError: 'added_tokens'$"),
    "nothing": (lambda _: next(iter(())), "^StopIteration$"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_line_that_says_why(case: str, tmp_path: Path) -> None:
    act, wanted = CASES[case]
    with pytest.raises(BaseException) as caught:  # each library has its own
        act(tmp_path)
    said = brief(caught.value)
    assert re.search(wanted, said)
    assert len(said) < 450 and said.isprintable() and not said.endswith(":")


def test_a_stack_trace_as_text_ends_with_the_reason() -> None:
    """As Ray writes what happened in a worker."""
    text = (
        "\x1b[36mray::Scorer.__call__()\x1b[39m (pid=7, ip=10.0.0.1)\n"
        '  File "/somewhere/distributed.py", line 10, in __call__\n    raise error\n'
        "MemoryError: cannot allocate 5 GB\x07\n"
    )
    assert brief(RuntimeError(text)) == "MemoryError: cannot allocate 5 GB"
