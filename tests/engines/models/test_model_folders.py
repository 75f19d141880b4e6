"""What a stranger's model folder may hold: nothing that is read from elsewhere, or never ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.engines.models.weights import fingerprint, model_folders, resolve_folder
from selfj_eval.errors import JudgeError
from selfj_eval.generation.answering import answers_to
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.raters.judge import Judge
from selfj_eval.raters.perplexity import PerplexityRater
from selfj_eval.raters.reward import RewardRater
from selfj_eval.records.record import Record
from selfj_eval.training.judge import train_judge
from selfj_eval.training.merge import merge
from selfj_eval.training.pairs import Pair, write_pairs
from selfj_eval.training.sft import train_sft


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """A copy of the demo judge, to be spoiled."""
    return Path(shutil.copytree(JUDGE_DIR, tmp_path / "judge"))


def edit(file: Path, **fields: Any) -> None:
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(known | fields))


def sharded(folder: Path) -> dict[str, str]:
    """Part the weights into two files; returns the index's weight_map."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    files = {"one.safetensors": names[:9], "two.safetensors": names[9:]}
    for file, own in files.items():
        save_file({name: weights[name] for name in own}, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, own in files.items() for name in own}
    edit(folder / "model.safetensors.index.json", metadata={}, weight_map=weight_map)
    return weight_map


def scores(folder: Path, **options: Any) -> list[float | None]:
    judge = Judge.load(str(folder), device="cpu", **options)
    return [j.score for j in judge.judge([Record("1", "Add 2 and 3.", "It is 5.")])]


def test_shards_are_loaded_and_each_counts(judge: Path) -> None:
    whole = scores(judge)
    sharded(judge)
    assert scores(judge) == whole
    before = fingerprint(judge)
    for file in ("one.safetensors", "two.safetensors"):
        weights = load_file(judge / file)
        first = sorted(weights)[0]
        weights[first] = weights[first] + 1
        save_file(weights, judge / file, metadata={"format": "pt"})
        assert fingerprint(judge) != before
        before = fingerprint(judge)


@pytest.mark.parametrize("place", ["../other/two.safetensors", "sub/two.safetensors", "absolute"])
def test_an_index_that_leads_out_of_the_folder_is_refused(judge: Path, place: str) -> None:
    """What lies there is valid, and would be loaded by transformers."""
    weight_map = sharded(judge)
    place = str(judge.parent / "two.safetensors") if place == "absolute" else place
    (judge / place).parent.mkdir(exist_ok=True)
    (judge / "two.safetensors").rename(judge / place)
    moved = {n: place if f == "two.safetensors" else f for n, f in weight_map.items()}
    edit(judge / "model.safetensors.index.json", weight_map=moved)
    with pytest.raises(JudgeError, match=r"index\.json, field 'weight_map': names '.*two\.safe"):
        model_folders(str(judge))


def test_a_hub_cache_of_links_is_read_and_hashed_by_content(judge: Path) -> None:
    whole, copied = scores(judge), fingerprint(judge)
    blobs = judge.parent / "blobs"
    blobs.mkdir()
    for file in list(judge.iterdir()):
        file.rename(blobs / f"{file.name}-blob")
        file.symlink_to(Path("../blobs") / f"{file.name}-blob")
    assert scores(judge) == whole and fingerprint(judge) == copied
    with (blobs / "config.json-blob").open("a") as stream:
        stream.write(" ")
    assert fingerprint(judge) != copied
    (blobs / "tokenizer.json-blob").unlink()
    with pytest.raises(JudgeError, match=r"tokenizer\.json is a broken link"):
        resolve_folder(str(judge))


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "weights elsewhere": ("config.json", {"transformers_weights": "../x/model.safetensors"},
                          "field 'transformers_weights': names"),
    "pickled weights": ("config.json", {"transformers_weights": "adapter_model.bin"},
                        "field 'transformers_weights': names"),
    "another config": ("config.json", {"configuration_files": ["../config.json"]},
                       "field 'configuration_files': names"),
    "hub code": ("config.json", {"attn_implementation": "owner/attention"},
                 "field 'attn_implementation': names code of"),
    "another model": ("config.json", {"speculators_config": {"verifier": {"name_or_path": "/x"}}},
                      "field 'speculators_config'"),
    "another tokenizer": ("tokenizer_config.json", {"fast_tokenizer_files": ["../tokenizer.json"]},
                          "field 'fast_tokenizer_files': names"),
    "a vocabulary elsewhere": ("tokenizer_config.json", {"vocab_file": str(Path(__file__))},
                               "field 'vocab_file': names"),
    "a GGUF elsewhere": ("tokenizer_config.json", {"gguf_file": str(Path(__file__))},
                         "field 'gguf_file': names"),
    "arguments": ("tokenizer_config.json", {"init_inputs": ["/etc/passwd"]}, "'init_inputs'"),
    "an adapter on top": ("adapter_config.json", {"peft_type": "LORA"}, "a model and an adapter"),
    "ten million layers": ("config.json", {"num_hidden_layers": 10_000_000},
                           "field 'num_hidden_layers': 10,000,000 is more than any model has"),
    "a thousand million classes": ("config.json", {"num_labels": 10**9}, "field 'num_labels'"),
    "more layers than tensors": ("config.json", {"num_hidden_layers": 400},
                                 "400 layers, but the weights beside it are"),
    "no object": ("config.json", {}, "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_read_from_elsewhere_is_refused(judge: Path, case: str) -> None:
    file, fields, message = REFUSED[case]
    edit(judge / file, **fields)
    if not fields:
        (judge / file).write_text("[" * 100_000)
    with pytest.raises(JudgeError, match=message) as refused:
        model_folders(str(judge))
    assert str(judge) in str(refused.value)


def test_leftover_paths_that_lead_nowhere_do_no_harm(judge: Path) -> None:
    edit(judge / "tokenizer_config.json", tokenizer_file="/home/author/tokenizer.json",
         special_tokens_map_file=None, name_or_path="/home/author")  # fmt: skip
    edit(judge / "config.json", _name_or_path="../author")
    assert scores(judge)[0] is not None


def test_code_of_another_repository_is_refused_where_code_is_run(judge: Path) -> None:
    code = {"AutoModelForCausalLM": "owner/name--modeling.Model"}
    edit(judge / "config.json", auto_map=code)
    assert resolve_folder(str(judge)) == judge
    with pytest.raises(JudgeError, match="field 'auto_map': names the code 'owner/name--mod"):
        resolve_folder(str(judge), code=True)


@pytest.mark.parametrize("kind", ["XLORA", "PROMPT_TUNING"])
def test_an_adapter_of_a_kind_that_reads_other_folders_is_refused(
    tmp_path: Path, kind: str
) -> None:
    edit(tmp_path / "adapter_config.json", peft_type=kind, adapters={"a": "owner/name"})
    with pytest.raises(JudgeError, match=f"field 'peft_type': '{kind}', expected 'LORA'"):
        model_folders("demo", str(tmp_path))


def test_templates_in_a_subfolder_and_vocabularies_count(judge: Path) -> None:
    before = fingerprint(judge)
    (judge / "additional_chat_templates").mkdir()
    (judge / "additional_chat_templates" / "tool.jinja").write_text("{{ messages }}")
    assert fingerprint(judge) != before
    shutil.rmtree(judge / "additional_chat_templates")
    (judge / "vocab.txt").write_text("a\nb\n")
    assert fingerprint(judge) == before  # tokenizer.json is what is read
    (judge / "tokenizer.json").unlink()
    before = fingerprint(judge)
    (judge / "vocab.txt").write_text("b\na\n")
    assert fingerprint(judge) != before


def pipe(path: Path) -> None:
    os.mkfifo(path)


def server(path: Path) -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short}/s")  # a socket's path is short
        Path(short, "s").rename(path)


def huge(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 34)


ODD: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "pipe": ("merges.txt", pipe, r"merges\.txt is a pipe"),
    "pipe of any name": ("vocab.bpe", pipe, r"vocab\.bpe is a pipe"),
    "socket": ("added_tokens.json", server, r"added_tokens\.json is a socket"),
    "device": ("special_tokens_map.json", lambda at: at.symlink_to("/dev/zero"), "is a device"),
    "folder": ("chat_template.jinja", Path.mkdir, r"chat_template\.jinja is a folder"),
    "link to itself": ("vocab.json", lambda at: at.symlink_to(at.name), "is a broken link"),
    "sixteen gigabytes": ("added_tokens.json", huge, "17,179,869,184 bytes, more than"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_files_are_refused_by_name(judge: Path, case: str) -> None:
    name, make, message = ODD[case]
    make(judge / name)
    with pytest.raises(JudgeError, match=message):
        JudgeTokenizer(str(judge))


def opened_by(judge: Path, tmp_path: Path, minilm: Path) -> dict[str, Callable[[], Any]]:
    """Everything that loads a model's folder."""
    from selfj_eval.engines.models.embedder import Embedder

    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"instruction": "a", "output": "b"}))
    ref, noref = tmp_path / "ref.jsonl", tmp_path / "noref.jsonl"
    write_pairs(ref, noref, [Pair("1", "Add 2 and 3.", "It is 5.", "5.", 9)])
    name, out = str(judge), str(tmp_path / "out")
    embedder = Path(shutil.copytree(minilm, tmp_path / "embedder"))
    os.mkfifo(embedder / "1_Pooling" / "merges.txt")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    edit(adapter / "adapter_config.json", peft_type="LORA", base_model_name_or_path="demo")
    os.mkfifo(adapter / "merges.txt")
    return {
        "judge": lambda: Judge.load(name),
        "tokenizer": lambda: JudgeTokenizer(name),
        "generator": lambda: TransformersGenerator(name),
        "reward": lambda: RewardRater(name),
        "perplexity": lambda: PerplexityRater(name),
        "embedder": lambda: Embedder(str(embedder)),
        "adapter": lambda: TransformersBackend("demo", adapter=str(adapter)),
        "merge": lambda: merge(adapter=adapter, output=tmp_path / "merged"),
        "training": lambda: train_judge(
            base=name, output=out, train_ref=str(ref), train_noref=str(noref)
        ),
        "tuning": lambda: train_sft(base=name, output=out, train=str(rows)),
    }


WAYS = ("judge", "tokenizer", "generator", "reward", "perplexity", "embedder", "adapter", "merge",
        "training", "tuning")  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_whatever_loads_a_folder_looks_at_it_first(
    judge: Path, tmp_path: Path, minilm: Path, way: str
) -> None:
    pipe(judge / "merges.txt")
    with pytest.raises(JudgeError, match=r"merges\.txt is a pipe"):
        opened_by(judge, tmp_path, minilm)[way]()


@pytest.mark.parametrize("field", ["hidden_size", "vocab_size", "intermediate_size"])
def test_a_model_far_larger_than_its_weights_is_not_made(judge: Path, field: str) -> None:
    edit(judge / "config.json", **{field: 2**30})
    with pytest.raises(JudgeError, match=r"config\.json is of a model with [\d,]+ weights, but"):
        TransformersBackend(str(judge), device="cpu")


LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def test_a_chat_template_that_never_ends_is_stopped(
    judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfj_eval.engines.models.text_encoder.RUNNING_SECONDS", 1.0)
    (judge / "chat_template.jinja").write_text(LOOPS)
    generator = TransformersGenerator(str(judge), prompt="chat", device="cpu")
    with pytest.raises(JudgeError, match="the chat template of the model has not ended after 1 se"):
        answers_to(generator, ["Hello."], Sampling())


def test_a_regular_expression_that_takes_too_long_is_an_error(
    tiny_judge: Path, tmp_path: Path
) -> None:
    judge = Path(shutil.copytree(tiny_judge, tmp_path / "judge"))
    tokenizer = json.loads((judge / "tokenizer.json").read_text())
    slow = {"Regex": r"((\w|\s)+)+\z"}
    split = {"type": "Split", "pattern": slow, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = split
    (judge / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(JudgeError, match="the tokenizer of .* fails: .*retry-limit"):
        JudgeTokenizer(str(judge))


def test_the_fingerprint_of_a_folder_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """Stores go by it: it must not change with the way it is taken."""
    files = {"config.json": "{}", "model.safetensors": "weights", "merges.txt": "a b\n",
             "tokenizer.json": "{}", "README.md": "x", "training.json": "{}"}  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    known = "7898472ff40ec1d359bcc7de681eefdc21eeed31670ffa9e62097efeaae717fd"
    assert fingerprint(tmp_path) == known
