"""What a model's folder may hold: plain files of bounded size that lead to no other place."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from selfj_eval.errors import JudgeError, brief
from selfj_eval.files.documents import parse_json

READ = (
    *("*.safetensors", "*.json", "*.model", "*.jinja", "*.py", "*.tiktoken"),
    *("merges.txt", "vocab*.txt"),
)
"""Files that the libraries read, if only in some folders."""
NOTES = ("trainer_state.json", "training.json", "merge.json")
"""Of these, files that no library reads with a model."""
SUBFOLDERS = ("additional_chat_templates", "chat_templates", "custom_generate")
"""Folders within a model's folder that the libraries read from."""

_LARGEST = (
    ("*.safetensors", None),
    ("*.jinja", 1 << 20),
    ("tokenizer*.json", 1 << 28),
    ("*.json", 1 << 26),
    ("*", 1 << 28),
)
"""Bytes by file name, the first that fits: several times what the largest known models have."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_LAYERS = re.compile(r"(^|[._])(num_(hidden_)?|n_|(num_)?(en|de)coder_)(layers?|blocks)$")
_COUNTED = re.compile(r"(^|[._])(layers?|blocks|groups|experts|labels|heads?)$")
_MOST = 1 << 14
"""Layers, experts, heads or classes of a model; each is an object that its library makes."""
_KERNEL = re.compile(r"[^/]+/[^/]+")


def check_folder(folder: Path, *, code: bool = False) -> None:
    """Refuse a folder in which a library would hang, or read something from elsewhere.

    A symbolic link to a file is as good as the file: hub caches are made of them, and what
    is read through one is hashed. What must not lead out of the folder is a name in a file.

    Args:
        folder: Of a model, an adapter or a tokenizer, or a part of an embedding model.
        code: Whether its Python code will be run.

    Raises:
        JudgeError: Naming the file, and the field or what the file is.
    """
    for place in (folder, *(folder / name for name in SUBFOLDERS)):
        if place.is_dir():
            _check_files(place)
    for index in folder.glob("*.safetensors.index.json"):
        shards(index)
    for pattern in ("config.json", "config.*.json", "config_sentence_transformers.json"):
        for file in folder.glob(pattern):
            _check_config(file, read_json(file))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            _check_tokenizer(folder / name, read_json(folder / name))
    if (folder / "adapter_config.json").is_file():
        _check_adapter(folder)
    if code:
        for file in folder.glob("*.json"):
            if fnmatch(file.name, "*config*.json"):
                _check_code(file, read_json(file))


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        JudgeError: If there is none.
    """
    try:
        found = parse_json(file.read_bytes(), strict=False)
    except (OSError, ValueError) as error:
        raise JudgeError(f"{file} is damaged ({brief(error)}). Fetch it again.") from error
    if not isinstance(found, dict):
        raise JudgeError(f"{file} is damaged: expected a JSON object. Fetch it again.")
    return found


def shards(index: Path) -> list[str]:
    """The names of the weight files that an index of safetensors lists.

    Raises:
        JudgeError: If it is damaged, or one is not a file of the index's own folder: its weights
            would be loaded without being checked or hashed.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise JudgeError(f"{index} is damaged: it has no weight_map. Fetch it again.")
    names = {str(name) for name in weight_map.values()}
    for name in sorted(names):
        _check_name(index, "weight_map", name, "*.safetensors")
    return sorted(names)


def most_layers(config: dict[str, Any]) -> tuple[str, int]:
    """The largest number of layers that a configuration speaks of, and its field."""
    counts = [(path, n) for path, n in _integers(config) if _LAYERS.search(path)]
    return max(counts, key=lambda item: item[1], default=("", 0))


def _check_files(place: Path) -> None:
    """Refuse what is no plain file, and files that are too large."""
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        wanted = any(fnmatch(entry.name, pattern) for pattern in READ) and entry.name not in NOTES
        try:
            state = entry.stat()  # of what a link leads to
        except OSError as error:
            if not wanted:
                continue
            raise JudgeError(
                f"{entry.path} is a broken link ({brief(error)}): its model is not complete. "
                "Fetch it again."
            ) from error
        if stat.S_ISREG(state.st_mode):
            limit = next(most for pattern, most in _LARGEST if fnmatch(entry.name, pattern))
            if wanted and limit is not None and state.st_size > limit:
                raise JudgeError(
                    f"{entry.path} has {state.st_size:,} bytes, more than the {limit:,} that such "
                    "a file can need. Is it the right file? Fetch it again."
                )
        elif wanted or not stat.S_ISDIR(state.st_mode):
            kind = _KINDS.get(stat.S_IFMT(state.st_mode), "something else")
            raise JudgeError(
                f"{entry.path} is {kind}, expected a plain file. Remove it, or fetch the model "
                "again."
            )


def _check_name(file: Path, field: str, name: Any, pattern: str) -> None:
    """Refuse a name in a file that is not that of a file beside it."""
    plain = isinstance(name, str) and name == Path(name).name and "\\" not in name
    if not plain or not fnmatch(name, pattern):
        raise JudgeError(
            f"{file}, field {field!r}: names {name!r:.200}, expected a file in the same folder "
            f"({pattern}). Only files in that folder are checked and are part of the fingerprint: "
            "put the file there, and its name here."
        )


def _check_config(file: Path, config: dict[str, Any]) -> None:
    weights = config.get("transformers_weights")
    if weights is not None:
        index = str(weights).endswith(".json")
        pattern = "*.safetensors.index.json" if index else "*.safetensors"
        _check_name(file, "transformers_weights", weights, pattern)
    for name in _listed(config.get("configuration_files")):
        _check_name(file, "configuration_files", name, "config.*json")
    if "speculators_config" in config:
        raise JudgeError(
            f"{file}, field 'speculators_config': the model is a helper of another one, which "
            "would be loaded instead. Give that one."
        )
    for field in ("attn_implementation", "_attn_implementation"):
        if _KERNEL.search(str(config.get(field) or "")):
            raise JudgeError(
                f"{file}, field {field!r}: names code of {config[field]!r:.200}, which is not run. "
                "Remove the field."
            )
    for path, count in _integers(config):
        if _COUNTED.search(path) and count > _MOST:
            raise JudgeError(
                f"{file}, field {path!r}: {count:,} is more than any model has; expected at most "
                f"{_MOST:,}. Fetch the file again."
            )
    labels = config.get("id2label")
    if isinstance(labels, dict) and len(labels) > _MOST:
        raise JudgeError(f"{file}, field 'id2label': {len(labels):,} classes; at most {_MOST:,}.")


def _check_tokenizer(file: Path, config: dict[str, Any]) -> None:
    for name in _listed(config.get("fast_tokenizer_files")):
        _check_name(file, "fast_tokenizer_files", name, "tokenizer*.json")
    if config.get("init_inputs"):
        raise JudgeError(
            f"{file}, field 'init_inputs': expected none; they may name files elsewhere. Load the "
            "tokenizer where you trust its source, save it (save_pretrained), and give that folder."
        )
    for field, value in config.items():
        # Old versions wrote where their files were; on another machine that leads nowhere.
        if not isinstance(value, str) or not (
            field.endswith("_file") or field in ("vocab", "merges", "source_spm", "target_spm")
        ):
            continue
        # A file of that name beside it is the one that is read.
        if Path(value).name == value or (file.parent / Path(value).name).is_file():
            continue
        if _exists(file.parent / value):
            raise JudgeError(
                f"{file}, field {field!r}: names {value!r:.200}, expected a file of the same "
                "folder. Remove the field, and put the file beside it."
            )


def _check_adapter(folder: Path) -> None:
    file = folder / "adapter_config.json"
    if (folder / "config.json").is_file() and any(folder.glob("model*.safetensors")):
        raise JudgeError(
            f"{folder} contains both a model and an adapter, which would be applied to the model "
            "without being asked for. Move adapter_config.json with its "
            "adapter_model.safetensors into its own folder, and give that as `adapter`."
        )
    kind = read_json(file).get("peft_type")
    if kind not in (None, "LORA"):
        raise JudgeError(
            f"{file}, field 'peft_type': {kind!r:.80}, expected 'LORA'. Other adapters cannot be "
            "checked: merge it where you trust its source, and give the merged model."
        )


def _check_code(file: Path, config: dict[str, Any]) -> None:
    """Refuse code that is not in the folder: it would be run without counting for anything."""
    for reference in _strings(config.get("auto_map")):
        module, _, name = reference.partition(".")
        if not (module.isidentifier() and name.isidentifier()):
            raise JudgeError(
                f"{file}, field 'auto_map': names the code {reference!r:.200}, expected that of a "
                "Python file in the same folder, such as 'modeling.Model'. Put the file there, "
                "and its name here."
            )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else () if value is None else (value,)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _integers(config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Fields with whole numbers, those of configurations within it too."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", count) for inner, count in _integers(value))
        elif type(value) is int:
            yield name, value
