"""Whether a LoRA adapter fits its base, read from their files before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from selfj_eval.engines.models.deadlines import LOADING_SECONDS, within
from selfj_eval.errors import JudgeError, brief, loading

_WRAPPERS = re.compile(r"\.(base_layer|modules_to_save|original_module)$")  # peft's own
Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(files: Iterable[Path]) -> Shapes:
    """Names and shapes of the tensors in safetensors files, of which only the headers are read.

    Raises:
        JudgeError: If a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: Shapes = {}
    for file in files:
        try:
            with safe_open(file, "np") as tensors:
                found |= {n: tuple(tensors.get_slice(n).get_shape()) for n in set(tensors.keys())}
        except (SafetensorError, OSError) as error:
            raise JudgeError(
                f"the weights {file} are damaged ({brief(error)}). Is the download or the Git LFS "
                "checkout complete? Fetch it again."
            ) from error
    return found


def resized_to(adapter: Path, model: Path) -> int | None:
    """How many token embeddings an adapter brings, where its base has another number of them.

    So does an adapter that was trained with tokens that its base does not know.

    Args:
        adapter: A checked folder (``weights.check_weights``).
        model: The folder of its base, checked too.

    Returns:
        The number, or None where the base stays as it is.

    Raises:
        JudgeError: If the embeddings of input and output do not have one number, or one is
            missing: the new rows would be random.
    """
    size = _vocabulary(model)
    base = _by_layer(tensor_shapes(model.glob("*.safetensors")))
    tables = {n: s for n, s in base.items() if len(s) == 2 and s[0] == size}
    own = _by_layer(_adapter_shapes(adapter))
    brought = {n: own[n][0] for n, s in tables.items() if n in own and own[n][1:] == s[1:]}
    if size is None or set(brought.values()) <= {size}:
        return None
    if len(set(brought.values())) > 1 or brought.keys() != tables.keys():
        has = ", ".join(f"{rows:,} for {name}" for name, rows in sorted(brought.items()))
        raise JudgeError(
            f"the adapter {adapter} does not fit {model}, which has {size:,} token embeddings: it "
            f"brings {has}, and for {', '.join(sorted(tables.keys() - brought.keys())) or 'none'} "
            "nothing. Save it again where it was trained, with save_embedding_layers=True."
        )
    return next(iter(brought.values()))


def tokenizer_folder(adapter: Path, model: Path, trust_remote_code: bool) -> Path:
    """The folder of the tokenizer to use: the adapter's own where it has resized embeddings.

    Raises:
        JudgeError: If it has none, or one with more tokens than it has embeddings.
    """
    rows = resized_to(adapter, model)
    if rows is None:
        return model  # training an adapter leaves its base's tokenizer as it is
    tokens = None
    if any((adapter / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        from transformers import AutoTokenizer

        advice = "Put the one that the adapter was trained with there."
        with loading(f"the tokenizer of {adapter}", advice):
            tokens = within(
                LOADING_SECONDS,
                lambda: len(
                    AutoTokenizer.from_pretrained(adapter, trust_remote_code=trust_remote_code)
                ),
                f"the tokenizer of {adapter}",
            )
    if tokens is None or tokens > rows:
        has = "no tokenizer" if tokens is None else f"a tokenizer of {tokens:,} tokens"
        raise JudgeError(
            f"the adapter {adapter} brings {rows:,} token embeddings, {model} has "
            f"{_vocabulary(model):,}, and there is {has} beside the adapter that says what the "
            "other ones mean. Put the tokenizer that it was trained with into the adapter's "
            "folder (tokenizer.save_pretrained), or give the base that it was trained on."
        )
    return adapter


def check_adapter_for_vllm(adapter: Path, model: Path) -> None:
    """Refuse an adapter that vLLM would put on in part only.

    It leaves out tensors for layers that the model does not have without a word, and judges with
    the rest or the model alone; and it has no place for weights that replace the model's.

    Raises:
        JudgeError: If it does not fit, or one of the files is damaged.
    """
    layers = _by_layer(tensor_shapes(model.glob("*.safetensors")))
    given = _adapter_shapes(adapter)
    wanted = {
        name: _layer(name.partition(".lora_")[0])
        for name in given
        if ".lora_" in name and ".experts" not in name  # which files hold apart, models together
    }
    whole = sorted(n for n in given if ".lora_" not in n and ".base_layer." not in n)
    if whole or resized_to(adapter, model) is not None:
        named = f"whole weights ({whole[0]})" if whole else "other token embeddings"
        raise JudgeError(
            f"the adapter {adapter} brings {named}, which vLLM does not support. Merge it into "
            "the model with selfj merge and give the merged folder, or use `engine` transformers."
        )
    refuse_strangers(adapter, model, [n for n, layer in wanted.items() if layer not in layers])


def refuse_strangers(adapter: Path, model: Path, strangers: Iterable[str]) -> None:
    """Refuse an adapter with tensors that have no counterpart; none: it fits.

    Raises:
        JudgeError: Naming the first, and the base that the adapter names.
    """
    names = sorted(strangers)
    if names:
        raise JudgeError(
            f"the adapter {adapter} does not fit {model}: {len(names)} tensors have no "
            f"counterpart, the first is {names[0]}.{named_base(adapter)}"
        )


def named_base(adapter: Path) -> str:
    """A sentence on which base an adapter was trained; empty where it does not say."""
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        name = settings["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    return f" It says that it was trained on {name}: give that base." if name else ""


def _adapter_shapes(adapter: Path) -> Shapes:
    return tensor_shapes([adapter / "adapter_model.safetensors"])


def _vocabulary(model: Path) -> int | None:
    """How many tokens a model knows by its configuration."""
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        size = config.get("vocab_size") or config["text_config"]["vocab_size"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # the loader says what is wrong
    return size if isinstance(size, int) else None


def _by_layer(shapes: Shapes) -> Shapes:
    """Whole weights (not those of LoRA) by their layers' names."""
    found = {}
    for name, shape in shapes.items():
        layer, _, kind = name.removeprefix("base_model.model.").rpartition(".")
        if ".lora_" not in name and kind == "weight":
            found[_layer(_WRAPPERS.sub("", layer))] = shape
    return found


def _layer(name: str) -> str:
    """A layer's name without the prefixes that differ between files: from its number on."""
    parts = name.split(".")
    number = next((at for at, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[max(number - 1, 0) :])
