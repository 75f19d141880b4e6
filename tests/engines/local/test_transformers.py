from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    BloomConfig,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    T5Config,
)

from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.engines.models.weights import fingerprint
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.templates import get_template


def prompts(n: int = 24) -> list[str]:
    """Prompts of very different lengths."""
    return [
        get_template("self-j").render(f"Add {i} and {i * i}.", f"It is {i + i * i}. " * (i % 9 + 1))
        for i in range(n)
    ]


def score(backend: TransformersBackend, texts: list[str]) -> np.ndarray:
    result = np.full((len(texts), 10), np.nan)
    for batch in backend.score(texts):
        result[batch.indices] = batch.log_probabilities
    return result


def direct(folder: Path, texts: list[str], model: PreTrainedModel | None = None) -> np.ndarray:
    """One prompt at a time, whole logits, float32: what the backend must equal."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = model or AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = []
    for text in texts:
        digits = [tokenizer(text + d).input_ids[-1] for d in "0123456789"]
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text).input_ids])).logits[0, -1]
        rows.append(logits.log_softmax(-1)[digits].numpy())
    return np.array(rows)


@pytest.mark.parametrize("batch_tokens", [1, 700, 100_000], ids=["single", "some", "all"])
def test_equals_a_plain_forward_for_any_batch_size(tiny_judge: Path, batch_tokens: int) -> None:
    backend = TransformersBackend(str(tiny_judge), device="cpu", batch_tokens=batch_tokens)
    texts = prompts()
    np.testing.assert_allclose(score(backend, texts), direct(tiny_judge, texts), atol=5e-5)


@pytest.mark.parametrize("rows", [[[5], [7]], [[5, 6, 7]] * 3, [[5], [5, 9], [6] * 40]])
def test_rows_of_one_token_and_equal_rows(tiny_judge: Path, rows: list[list[int]]) -> None:
    backend = TransformersBackend(str(tiny_judge), device="cpu")
    found = backend._forward_tree(rows)
    assert found.std() > 0.01
    np.testing.assert_allclose(found, backend._forward(rows), atol=1e-5)


def test_no_prompts(tiny_judge: Path) -> None:
    assert list(TransformersBackend(str(tiny_judge), device="cpu").score([])) == []


@pytest.mark.parametrize("kind", ["learned positions", "soft-capped logits"])
def test_other_architectures(tiny_judge: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    size = len(AutoTokenizer.from_pretrained(folder))
    torch.manual_seed(1)
    model: PreTrainedModel
    if kind == "learned positions":
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=size, n_positions=512, n_embd=32, n_layer=2, n_head=2,
                       bos_token_id=0, eos_token_id=1, initializer_range=0.5)
        )  # fmt: skip
    else:
        model = Gemma2ForCausalLM(
            Gemma2Config(vocab_size=size, hidden_size=32, intermediate_size=64, head_dim=16,
                         num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                         final_logit_softcapping=2.0, initializer_range=0.5, pad_token_id=1)
        )  # fmt: skip
    model.save_pretrained(folder)
    backend = TransformersBackend(str(folder), device="cpu", batch_tokens=2000)
    np.testing.assert_allclose(score(backend, prompts()), direct(folder, prompts()), atol=5e-5)


def test_lora_adapter(tiny_judge: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    base = AutoModelForCausalLM.from_pretrained(tiny_judge, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    tuned = get_peft_model(base, LoraConfig(r=4, lora_alpha=16, target_modules=targets))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    tuned.save_pretrained(tmp_path / "adapter")
    backend = TransformersBackend(
        str(tiny_judge), adapter=str(tmp_path / "adapter"), device="cpu", batch_tokens=1000
    )
    fresh = AutoModelForCausalLM.from_pretrained(tiny_judge, dtype=torch.float32)
    wanted = direct(tiny_judge, prompts(), PeftModel.from_pretrained(fresh, tmp_path / "adapter"))
    got = score(backend, prompts())
    np.testing.assert_allclose(got, wanted, atol=2e-4)
    plain = TransformersBackend(str(tiny_judge), device="cpu")
    assert np.abs(got - score(plain, prompts())).max() > 0.1
    assert backend.identity != plain.identity


def test_low_precision_is_close_and_told_apart(tiny_judge: Path) -> None:
    exact = TransformersBackend(str(tiny_judge), device="cpu")
    rough = TransformersBackend(str(tiny_judge), device="cpu", dtype="bfloat16")
    difference = np.abs(score(exact, prompts()) - score(rough, prompts())).max()
    assert 0 < difference < 3
    assert exact.identity != rough.identity


def test_the_fingerprint_is_the_content_not_the_place(tiny_judge: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_judge, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == fingerprint(tiny_judge)
    weights = load_file(tmp_path / "copy" / "model.safetensors")
    weights["model.norm.weight"][3] += 1e-3
    save_file(weights, tmp_path / "copy" / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(tmp_path / "copy") != fingerprint(tiny_judge)


def test_the_context_is_the_models(tiny_judge: Path, tmp_path: Path) -> None:
    assert JudgeTokenizer(str(tiny_judge)).max_tokens == 768
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 131072}))
    assert JudgeTokenizer(str(folder)).max_tokens == 131072


def damaged(tiny_judge: Path, folder: Path, damage: str) -> Path:
    shutil.copytree(tiny_judge, folder)
    weights = folder / "model.safetensors"
    match damage:
        case "no weights":
            weights.unlink()
        case "pickle only":
            weights.unlink()
            (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "exploded")))
        case "no config":
            (folder / "config.json").unlink()
        case "adapter":
            (folder / "config.json").unlink()
            (folder / "adapter_config.json").write_text("{}")
        case "no tokenizer":
            for file in folder.glob("tokenizer*"):
                file.unlink()
        case "missing shard":
            index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
            weights.rename(folder / "model-1.safetensors")
        case "missing tensor":
            tensors = load_file(weights)
            del tensors["model.layers.1.mlp.up_proj.weight"]
            save_file(tensors, weights, metadata={"format": "pt"})
        case "broken index":
            (folder / "model.safetensors.index.json").write_text("{}")
        case "broken config":
            (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": "big"}')
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:5000])
        case "git lfs pointer":
            weights.write_text("version 1\noid sha256:00\nsize 12345\n")
    return folder


class Bomb:
    """A pickle that runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no weights", r"holds no weights: expected \*\.safetensors beside config\.json"),
        ("pickle only", r"weights only as pickles \(pytorch_model\.bin\).* Convert them to safe"),
        ("no config", r"is not a model folder: it has no config\.json\."),
        ("adapter", "It is a LoRA adapter: give its base model as `judge` and it as `adapter`"),
        ("no tokenizer", "the tokenizer of .* cannot be loaded"),
        ("missing shard", r"lacks 1 of 2 weight files, the first is model-2\.safetensors"),
        ("missing tensor", r"1 tensors are missing .* model\.layers\.1\.mlp\.up_proj\.weight"),
        ("broken index", r"model\.safetensors\.index\.json is damaged"),
        ("broken config", "the tokenizer of .* cannot be loaded"),
        ("truncated", "are damaged"),
        ("git lfs pointer", "are damaged .* Git LFS checkout complete"),
    ],
)
def test_a_damaged_judge_is_refused(
    tiny_judge: Path, tmp_path: Path, damage: str, message: str
) -> None:
    folder = damaged(tiny_judge, tmp_path / "judge", damage)
    with pytest.raises(JudgeError, match=message):
        TransformersBackend(str(folder), device="cpu")
    assert not (folder / "exploded").exists()


def test_an_adapter_that_does_not_fit_is_refused(tiny_judge: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_judge)
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    renamed = {name.replace(".layers.", ".blocks."): t for name, t in weights.items()}
    save_file(renamed, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(JudgeError, match=r"does not fit .*: 12 tensors have no counterpart"):
        TransformersBackend(str(tiny_judge), adapter=str(tmp_path), device="cpu")


def test_a_model_that_looks_ahead_is_refused(tiny_judge: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(tiny_judge, folder)
    size = len(AutoTokenizer.from_pretrained(folder))
    config = BertConfig(vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=64, initializer_range=0.5)  # fmt: skip
    BertLMHeadModel(config).save_pretrained(folder)
    with pytest.raises(JudgeError, match="it is not a causal .* language model"):
        TransformersBackend(str(folder), device="cpu")


def test_a_translation_model_is_refused_in_one_line(tiny_judge: Path, tmp_path: Path) -> None:
    folder = tmp_path / "t5"
    shutil.copytree(tiny_judge, folder)
    T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2).save_pretrained(folder)
    with pytest.raises(JudgeError, match="cannot be loaded") as caught:
        TransformersBackend(str(folder), device="cpu")
    assert len(str(caught.value)) < 500


def test_a_hub_model_with_only_pickles_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}

    def download(model: str, **options: object) -> str:
        asked.update(options)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    files = ["config.json", "pytorch_model-00001-of-00003.bin"]
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda *_, **__: files)
    with pytest.raises(JudgeError, match="owner/judge has its weights only as pickles"):
        TransformersBackend("owner/judge")
    assert "*.safetensors" in str(asked["allow_patterns"])
    assert "*.bin" not in str(asked["allow_patterns"])
    assert "*.py" not in str(asked["allow_patterns"])
    with pytest.raises(JudgeError, match="tokenizer of owner/judge cannot be loaded"):
        JudgeTokenizer("owner/judge")
    assert "*.safetensors" not in str(asked["allow_patterns"])


def test_no_context_length_means_what_it_means_to_lm_eval(tiny_judge: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bloom"
    shutil.copytree(tiny_judge, folder)
    BloomConfig(hidden_size=32, n_layer=1, n_head=2).save_pretrained(folder)
    assert JudgeTokenizer(str(folder)).max_tokens == 2048


def test_an_adapter_with_pickle_weights_is_refused(tiny_judge: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model_old.safetensors").write_bytes(b"")  # not what peft would load
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(JudgeError, match=r"only as pickles \(adapter_model\.bin\)"):
        TransformersBackend(str(tiny_judge), adapter=str(tmp_path), device="cpu")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "./no/such/folder"},
            "no folder './no/such/folder'; give a model folder or .gguf file, a hub",
        ),
        (
            {"model": "owner/not-cached"},
            "neither a folder here nor can it be fetched from the model",
        ),
        ({"model": __file__}, "is a file; give the model's folder"),
        ({"model": "demo", "device": "warp"}, "unknown device 'warp'"),
        ({"model": ""}, "no folder ''; give a model folder"),
        ({"model": "demo", "device": "meta"}, "unknown device 'meta'"),
        ({"model": "demo", "dtype": "int3"}, "unknown dtype 'int3'; use auto, float32"),
    ],
)
def test_wrong_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(JudgeError, match=message):
        TransformersBackend(**options)


def test_code_that_comes_with_a_model_does_not_run(tiny_judge: Path, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(folder / 'exploded')!r}, 'w')\nclass Config: ...\n")
    with pytest.raises(JudgeError, match="cannot be loaded"):
        TransformersBackend(str(folder), device="cpu")
    assert not (folder / "exploded").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("auto", 0.5)])
def test_gpu_agrees_with_cpu(tiny_judge: Path, dtype: str, tolerance: float) -> None:
    gpu = TransformersBackend(str(tiny_judge), device="cuda", dtype=dtype)
    cpu = TransformersBackend(str(tiny_judge), device="cpu")
    assert np.abs(score(gpu, prompts()) - score(cpu, prompts())).max() < tolerance
