"""An adapter put into its base: one folder that every engine loads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from selfj_eval.backends.adapters import tensor_shapes
from selfj_eval.backends.loading import load_model
from selfj_eval.backends.tokenizer import load_tokenizer
from selfj_eval.backends.weights import fingerprint, model_folders, resolve_folder
from selfj_eval.documents import read_json
from selfj_eval.errors import DataError, JudgeError, StoreError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NOTES = ("training.json",)


def merge(
    adapter: str,
    output: Path,
    *,
    base: str | None = None,
    dtype: str = "float32",
    finish: Callable[[Path, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Merge a LoRA adapter into its base and write the whole model.

    The base is loaded whole, in ``dtype``: merging into a quantised one would lose what the
    adapter learned. The folder appears when it is complete.

    Args:
        adapter: Its folder or hub id.
        output: Folder to make.
        base: The base model; by default the one that the adapter names.
        dtype: Number format of the result, ``float32``, ``bfloat16`` or ``float16``.
        finish: Called with the folder, before it appears, and with what is returned.

    Returns:
        ``base`` (as given or named by the adapter), ``base_fingerprint``,
        ``adapter_fingerprint``, ``fingerprint``, ``parameters``.

    Raises:
        StoreError: If the output exists.
        DataError: If no base is given or named.
        JudgeError: If base or adapter cannot be loaded, do not fit, or the adapter changes nothing.
    """
    if output.exists():
        raise StoreError(f"{output} exists; name a new folder, or remove it first.")
    if not output.parent.is_dir():
        raise StoreError(f"{output}: there is no folder {output.parent}; make it first.")
    adapter_folder = resolve_folder(adapter)
    base = base or _named_base(adapter_folder)
    folders = model_folders(base, adapter)
    _, tokenizer = load_tokenizer(folders.model, base, tokenizer=folders.tokenizer)
    model = load_model(folders.model, adapter_folder, dtype, "cpu", False)
    _untie(model)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as place:
        draft = Path(place) / "model"
        model.save_pretrained(draft)
        if not _changed(draft, folders.model):
            raise JudgeError(
                f"the adapter {adapter} changes nothing in {base}: merged in {dtype}, all weights "
                "are the base's. Was it trained (selfj train says how many steps), and for this "
                "base?"
            )
        tokenizer.save_pretrained(draft)
        for name in _NOTES:
            if (adapter_folder / name).is_file():
                shutil.copyfile(adapter_folder / name, draft / name)
        found = {
            "base": base,
            "base_fingerprint": fingerprint(folders.model),
            "adapter_fingerprint": fingerprint(adapter_folder),
            "fingerprint": fingerprint(draft),
            "parameters": sum(weight.numel() for weight in model.parameters()),
        }
        if finish is not None:
            finish(draft, found)
        draft.chmod(0o755)
        for file in draft.iterdir():
            file.chmod(0o644)
        draft.replace(output)
    return found


def _untie(model: PreTrainedModel) -> None:
    """Save embeddings and head apart where the adapter has made two of them."""
    head = model.get_output_embeddings()
    if head is not None and not head.weight.equal(model.get_input_embeddings().weight):
        model.config.tie_word_embeddings = False


def _changed(merged: Path, base: Path) -> bool:
    """Whether any weight differs from the base's, put into the merged one's number format.

    True also where they cannot be compared, because they are saved under other names.
    """
    files = {name: file for file in base.glob("*.safetensors") for name in tensor_shapes([file])}
    for file in merged.glob("*.safetensors"):
        with safe_open(file, "pt") as new:
            for name in sorted(new.keys()):
                if name not in files:
                    return True
                with safe_open(files[name], "pt") as before:
                    old, now = before.get_tensor(name), new.get_tensor(name)
                if old.shape != now.shape or not old.to(now.dtype).equal(now):
                    return True
    return False


def _named_base(adapter: Path) -> str:
    file = adapter / "adapter_config.json"
    if not file.is_file():
        raise DataError("is no adapter: it has no adapter_config.json.", path=adapter)
    try:
        named = read_json(file)["base_model_name_or_path"]
    except (DataError, KeyError, TypeError):
        named = None
    if not isinstance(named, str) or not named:
        raise DataError("names no base model; give it with --base.", path=file)
    return named
