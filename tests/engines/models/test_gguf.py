"""GGUF files: the scores of the model that they were made of, or a refusal by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Format
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from selfj_eval import Judge, Record
from selfj_eval.demo import ladder
from selfj_eval.engines.models.weights import fingerprint, model_folders, resolve_folder
from selfj_eval.errors import JudgeError
from selfj_eval.raters.perplexity import PerplexityRater
from selfj_eval.raters.specs import parse_rater
from selfj_eval.training.judge import train_judge
from selfj_eval.training.pairs import Pair, write_pairs

Write = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
SHAPE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048,
    "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None,
}  # fmt: skip
LLAMA_3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 32.0, "low_freq_factor": 1.0,
           "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are kept, empty."""
    monkeypatch.setenv("SELFJ_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [*ladder("test", instructions=3), Record("n", "Say  2024.", "In  2024, €5 — naïve.")]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """A byte-level BPE that splits as GPT-2 does, and puts a token in front."""
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f"{r.instruction} {r.response}" for r in ladder("train", instructions=30)]
    own.train_from_iterator(texts, trainer)
    own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<s>", eos_token="</s>")


def random_model(config: Any, size: int, **more: Any) -> Any:
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config(vocab_size=size, **SHAPE | more))
    with torch.no_grad():  # norms and biases are ones and noughts otherwise
        for part in model.parameters():
            if part.ndim == 1:
                part.add_(torch.randn_like(part) / 4)
    return model.eval()


def saved(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def judged(model: Path, records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and the probability of each digit."""
    found = Judge.load(str(model), device="cpu").judge(records)
    assert all(j.score is not None for j in found)
    return np.array([j.score for j in found]), np.array([j.probabilities for j in found])


WITH_BOS = {"tokenizer.ggml.add_bos_token": True}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "tied": (LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (Qwen2Config, {"rms_norm_eps": 1e-5, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1e6}}),
    "qwen3": (Qwen3Config, {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_it_scores_exactly_as_the_model_it_was_made_of(
    kind: str,
    tmp_path: Path,
    write_gguf: Write,
    tokenizer: PreTrainedTokenizerBase,
    records: list[Record],
) -> None:
    config, more = KINDS[kind]
    model = random_model(config, len(tokenizer), **more)
    source = saved(model, tokenizer, tmp_path / "source")
    file = write_gguf(tmp_path / "judge.gguf", model, tokenizer, fields=WITH_BOS)
    for ours, theirs in zip(judged(file, records), judged(source, records), strict=True):
        np.testing.assert_array_equal(ours, theirs)


FORMATS = {"F16": 0, "BF16": 0, "Q8_0": 2e-2, "Q4_0": 2e-2, "Q4_1": 2e-2}
"""Format, and by how much scores (0 to 9) may differ from those of the numbers in the file."""


@pytest.mark.parametrize("name", FORMATS)
def test_quantised_it_scores_as_the_numbers_that_it_holds(
    name: str,
    tmp_path: Path,
    write_gguf: Write,
    tokenizer: PreTrainedTokenizerBase,
    records: list[Record],
) -> None:
    """The library's own dequantised numbers in the source's model, in float32."""
    form = Format[name]
    model = random_model(LlamaConfig, len(tokenizer))
    before = judged(saved(model, tokenizer, tmp_path / "source"), records)[0]
    with torch.no_grad():
        for part in model.parameters():
            if part.ndim > 1:
                rounded = gguf.dequantize(gguf.quantize(part.numpy(), form), form)
                part.copy_(torch.from_numpy(rounded))
            else:  # as it is kept; in other files than these they come from such formats
                part.copy_(part.to(torch.bfloat16 if name == "BF16" else torch.float16))
    file = write_gguf(tmp_path / "judge.gguf", model, tokenizer, form, fields=WITH_BOS)
    expected = judged(saved(model, tokenizer, tmp_path / "rounded"), records)[0]
    ours = judged(file, records)[0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=FORMATS[name])
    assert name.endswith("16") or np.abs(ours - before).max() > 5e-2  # it makes a difference
    dtype = {"BF16": torch.bfloat16}.get(name, torch.float16)
    weights = load_file(resolve_folder(str(file)) / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {dtype}


def scaled_as_llama_3(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With the factors that llama.cpp's converter computes of the settings."""
    inverse = 10000.0 ** (-np.arange(0, 16, 2) / 16)
    share = (8192 * inverse / (2 * np.pi) - 1) / 3
    factors = np.where(share > 1, 1, 1 / np.clip((1 - share) / 32 + share, 1 / 32, 1))
    return tensors | {"rope_freqs.weight": factors.astype(np.float32)}


def test_llama_3s_positions_and_tokens_are_its_own(
    tmp_path: Path,
    write_gguf: Write,
    tokenizer: PreTrainedTokenizerBase,
    records: list[Record],
) -> None:
    model = random_model(LlamaConfig, len(tokenizer), rope_parameters=LLAMA_3)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    split = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    whole = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" + split + r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": whole}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]}  # fmt: skip
    state["model"]["ignore_merges"] = True
    own = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), bos_token="<s>", eos_token="</s>"
    )
    source = saved(model, own, tmp_path / "source")
    file = write_gguf(  # which says nothing of the token in front, as many of its files
        tmp_path / "judge.gguf", model, own, tensors=scaled_as_llama_3, pre="llama-bpe"
    )
    ours, theirs = judged(file, records)[0], judged(source, records)[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
    unscaled = judged(saved(model, own, tmp_path / "unscaled"), records)[0]
    assert np.abs(ours - unscaled).max() > 1e-2


def test_sentencepiece_begins_with_its_token_though_the_file_does_not_say_so(
    tmp_path: Path, write_gguf: Write, records: list[Record]
) -> None:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{code:02X}>" for code in range(256))]
    letters = [*map(chr, range(33, 127)), "\u2581"]
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("i", "n"), ("\u2581", "a"), ("o", "n")]
    tokens = [*pieces, *letters, *("".join(pair) for pair in merges)]
    vocab = {token: number for number, token in enumerate(tokens)}
    own = LlamaTokenizer(vocab=vocab, merges=merges, add_bos_token=True)
    model = random_model(LlamaConfig, len(own), bos_token_id=1, eos_token_id=2)
    source = saved(model, own, tmp_path / "source")
    scores = [0.0] * len(pieces) + [-1e3 - n for n in range(len(letters))]
    scores += [-1.0 - n for n in range(len(merges))]
    file = write_gguf(tmp_path / "judge.gguf", model, own, pre=None, scores=scores)
    there = AutoTokenizer.from_pretrained(resolve_folder(str(file)))
    text = "then, in the 2024  sand \u00e9"
    assert there(text).input_ids == AutoTokenizer.from_pretrained(source)(text).input_ids
    assert there(text).input_ids[0] == 1
    np.testing.assert_array_equal(judged(file, records)[0], judged(source, records)[0])


@pytest.fixture
def file(tmp_path: Path, write_gguf: Write, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A folder with a judge as GGUF alone, in 16 bits."""
    (tmp_path / "as-gguf").mkdir()
    model = random_model(LlamaConfig, len(tokenizer), tie_word_embeddings=True)
    path = tmp_path / "as-gguf" / "judge.gguf"
    return write_gguf(path, model, tokenizer, Format.F16, fields=WITH_BOS)


def test_a_folder_with_one_is_named_as_any_and_its_content_is_the_judges_identity(
    file: Path, tmp_path: Path, in_process: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": str(n), "instruction": "Add.", "response": f"It is {n}."} for n in range(4)]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # A bare name transformers would look up in the working directory.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "judge.gguf").write_bytes(b"another model")
    monkeypatch.chdir(tmp_path / "elsewhere")

    def score(judge: Path) -> tuple[str, dict[str, Any], list[Any]]:
        output = tmp_path / "scores.jsonl"
        done = in_process(
            *("selfj", "score", answers, "--judge", judge, "--output", output, "--device", "cpu"),
            SELFJ_MODELS=str(home),
        )
        assert done.returncode == 0, done.stderr
        run = json.loads(Path(f"{output}.run.json").read_text())
        scored = [json.loads(line)["score"] for line in output.read_text().splitlines()]
        return done.stdout + done.stderr, run, scored

    said, run, scores = score(file.parent)
    assert f"converting {file} to safetensors, once" in said
    moved = Path(shutil.move(file, tmp_path / "moved.gguf"))
    again, same, equal = score(moved)
    assert "converting" not in again and "4 of them from the store" in again, again
    assert equal == scores
    assert same["judge"]["identity"] == run["judge"]["identity"]
    assert [p.name for p in (home / "gguf").iterdir() if not p.name.startswith(".")] == [
        resolve_folder(str(moved)).name
    ]
    with moved.open("r+b") as stream:  # the last of its weights
        stream.seek(-2000, os.SEEK_END)
        stream.write(np.full(1000, 0.5, np.float16).tobytes())
    changed, other, others = score(moved)
    assert "converting" in changed and "from the store" not in changed
    assert other["judge"]["identity"] != run["judge"]["identity"] and others != scores


def test_it_can_be_trained_and_asked_for_perplexities(
    file: Path, tmp_path: Path, in_process: Run, home: Path
) -> None:
    record = Record("1", "Add 2 and 3.", "It is 5.")
    (plain,) = PerplexityRater(str(file), device="cpu").judge([record])
    (of_folder,) = PerplexityRater(str(resolve_folder(str(file))), device="cpu").judge([record])
    assert plain.score == of_folder.score is not None
    ref, noref = tmp_path / "ref.jsonl", tmp_path / "noref.jsonl"
    write_pairs(ref, noref, [Pair(str(n), "Add 2 and 3.", f"{n}.", "5.", n) for n in range(4)])
    trained = tmp_path / "trained"
    train_judge(base=str(file), output=str(trained), train_ref=str(ref), train_noref=str(noref),
                epochs=1)  # fmt: skip
    settings = json.loads((trained / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(file)
    with_adapter = Judge.load(str(file), adapter=str(trained), device="cpu").judge([record])
    assert with_adapter[0].score is not None
    asked = tmp_path / "asked.jsonl"
    asked.write_text(json.dumps({"instruction": "Add 2 and 3."}) + "\n")
    done = in_process(
        *("selfj", "generate", asked, "--model", file, "--max-new-tokens", 4),
        *("--output", tmp_path / "written.jsonl"),
        SELFJ_MODELS=str(home),
    )
    assert done.returncode == 0, done.stderr
    assert "response" in json.loads((tmp_path / "written.jsonl").read_text())


def without(name: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda tensors: {own: array for own, array in tensors.items() if own != name}


def with_bias(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return tensors | {"blk.0.attn_q.bias": np.ones(64, np.float32)}


def other_factors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return tensors | {"rope_freqs.weight": np.linspace(1, 8, 8, dtype=np.float32)}


def not_finite(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors["blk.1.ffn_up.weight"][0, 0] = np.nan
    return tensors


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another architecture": (
        {"fields": {"general.architecture": "gemma2"}},
        "has the architecture 'gemma2'; those that can be read from GGUF files are llama, qwen2",
    ),
    "an adapter": ({"fields": {"general.type": "adapter"}}, "is a LoRA adapter in GGUF"),
    "a part": ({"fields": {"split.count": 3}}, "is one of 3 parts; put them together"),
    "a longer context by YaRN": (
        {"fields": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}},
        "field 'llama.rope.scaling.type': cannot be read, and without it the scores",
    ),
    "a longer context by a factor": (
        {"fields": {"llama.rope.scaling.factor": 4.0}},
        "field 'llama.rope.scaling.factor': cannot be read",
    ),
    "heads rotated in part": (
        {"fields": {"llama.rope.dimension_count": 4}},
        "field 'llama.rope.dimension_count': 4 of 16 numbers of a head are rotated",
    ),
    "experts": (
        {"fields": {"llama.expert_count": 8}},
        "field 'llama.expert_count': cannot be read",
    ),
    "a billion layers": (
        {"fields": {"llama.block_count": 10**9}},
        "field 'llama.block_count': 1000000000 layers, but the file holds 21 tensors",
    ),
    "a giant": ({"fields": {"llama.feed_forward_length": 10**9}}, r"holds 125,760 weights, but"),
    "a missing tensor": ({"tensors": without("blk.1.ffn_up.weight")}, "holds 119,616 weights, but"),
    "a bias that is not read": ({"tensors": with_bias}, "holds 125,824 weights, but"),
    "other factors": ({"tensors": other_factors}, "these are not Llama 3's factors"),
    "no numbers": ({"tensors": not_finite}, "holds weights that are not finite numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_be_the_model_is_refused_and_nothing_stays(
    case: str, tmp_path: Path, write_gguf: Write, tokenizer: PreTrainedTokenizerBase, home: Path
) -> None:
    more, message = REFUSED[case]
    fields = WITH_BOS | more.pop("fields", {})
    model = random_model(LlamaConfig, len(tokenizer))
    file = write_gguf(tmp_path / "judge.gguf", model, tokenizer, fields=fields, **more)
    with pytest.raises(JudgeError, match=message) as refused:
        model_folders(str(file))
    assert str(file) in str(refused.value)
    assert all(path.name.endswith(".lock") for path in (home / "gguf").iterdir())


def test_an_adapter_beside_a_file_is_not_put_on_it(file: Path) -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": "somewhere/else"}
    file.with_name("adapter_config.json").write_text(json.dumps(config))
    assert not (resolve_folder(str(file)) / "adapter_config.json").exists()


def test_truncated_several_and_missing_files_are_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for length in (0, 3, 30, 5_000, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / f"{length}.gguf"
        cut.write_bytes(whole[:length])
        with pytest.raises(
            JudgeError, match=rf"{length}\.gguf is not a complete GGUF file \(.*Fetch it"
        ):
            resolve_folder(str(cut))
    summed = parse_rater(f"2*{file}+length")
    assert [own.model for _, own in summed.parts] == [str(file), None]
    shutil.copy(file, file.with_name("judge.Q4.gguf"))
    with pytest.raises(JudgeError, match=r"holds 2 GGUF files \(judge\.Q4\.gguf, judge\.gguf\)"):
        resolve_folder(str(file.parent))
    before = fingerprint(file.parent)
    file.write_bytes(whole[:-1] + b"\x01")
    assert fingerprint(file.parent) != before  # for libraries that read it themselves
    with pytest.raises(JudgeError, match="no folder 'here/judge.gguf'; give a model folder or .g"):
        resolve_folder("here/judge.gguf")
    with pytest.raises(JudgeError, match="is a file; give the model's folder, or a file named .gg"):
        resolve_folder(__file__)
