"""From a model's name to a checked local folder: safetensors only, whole, and fingerprinted."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from selfj_eval.engines.models.adapters import tensor_shapes, tokenizer_folder
from selfj_eval.engines.models.folders import (
    SUBFOLDERS,
    check_folder,
    most_layers,
    read_json,
    shards,
)
from selfj_eval.errors import JudgeError, brief, some
from selfj_eval.files.hashes import sha256_of
from selfj_eval.registry.gguf import gguf_folder, is_gguf
from selfj_eval.registry.judges import packaged_judge
from selfj_eval.registry.models import fetch_model, packaged_model

_DECIDES_SCORES = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.py", "merges.txt")
_IN_SUBFOLDERS = tuple(f"{name}/{p}" for name in SUBFOLDERS for p in ("*.jinja", "*.py"))
_WITHOUT_TOKENIZER_JSON = ("vocab*.txt", "*.tiktoken")
"""What a tokenizer is made of where there is no tokenizer.json."""
_IRRELEVANT = {"generation_config.json", "trainer_state.json", "training.json", "merge.json"}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def resolve_folder(
    model: str, *, revision: str | None = None, code: bool = False, weights: bool = True
) -> Path:
    """The local folder of a model, adapter or tokenizer, checked; fetched from the hub if need be.

    Only files that are needed are fetched, never pickles. ``check_folder`` looks at what is there.

    Args:
        model: ``demo`` for the embedded judge, a packaged model such as ``small-base``, a folder,
            a GGUF file or a folder that holds one in place of safetensors, or a hub id such as
            ``owner/name``; or a packaged judge such as ``small``, whose weights are an adapter,
            while tokenizer and configuration are its base's.
        revision: Branch, tag or commit on the hub.
        code: Also fetch Python files (for ``trust_remote_code``).
        weights: Also fetch the weights; without them it is the tokenizer and configuration.

    Returns:
        The folder; of a GGUF file the one that it was converted into (``registry.gguf``).

    Raises:
        JudgeError: If there is no such folder and no such model on the hub or in its cache, the
            model on the hub has its weights only as pickles, or a file in the folder is refused.
    """
    folder = _found(model, revision, code, weights)
    check_folder(folder, code=code)
    return folder


def _found(model: str, revision: str | None, code: bool, weights: bool) -> Path:
    """The folder as it is, unchecked. Arguments and errors as for ``resolve_folder``."""
    if model == "demo":
        from selfj_eval.demo import JUDGE_DIR

        return JUDGE_DIR
    if (packaged := packaged_model(model)) is not None:
        return fetch_model(packaged)
    if (judge := packaged_judge(model)) is not None:
        return judge.folder if weights else fetch_model(judge.model)
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        file = _gguf_in(folder)
        return folder if file is None else gguf_folder(file)
    if model and is_gguf(folder):
        return gguf_folder(folder)
    if model and folder.exists():
        raise JudgeError(f"{model} is a file; give the model's folder, or a file named .gguf.")
    path = folder.is_absolute() or model.startswith((".", "~")) or model.lower().endswith(".gguf")
    if not model or path or model.count("/") != 1:
        raise JudgeError(
            f"no folder {model!r}; give a model folder or .gguf file, a hub id such as "
            "oceanpty/Self-J, 'small', or 'demo' for the toy judge."
        )
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    left_out = {"*.safetensors": not weights, "*.py": not code}
    wanted = (*_DECIDES_SCORES, *_WITHOUT_TOKENIZER_JSON)
    patterns = [p for p in wanted if not left_out.get(p)]
    try:
        fetched = snapshot_download(
            model, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]
        )
        folder = Path(fetched)
        if weights and not any(folder.glob("*.safetensors")):
            files = list_repo_files(model, revision=revision)
            if pickles := [f for f in files if any(fnmatch(f, p) for p in PICKLES)]:
                raise _only_pickles(model, pickles)
        return folder
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise JudgeError(
            f"{model} is neither a folder here nor can it be fetched from the model hub "
            f"({brief(error).rstrip('.')}). Check the name and the connection (HF_HUB_OFFLINE, a "
            "login for gated models), or give the folder of a downloaded copy."
        ) from error


def _gguf_in(folder: Path) -> Path | None:
    """The GGUF file that a folder holds in place of safetensors, or None."""
    found = sorted(file for file in folder.iterdir() if is_gguf(file))
    if not found or any(folder.glob("*.safetensors")):
        return None
    if len(found) > 1:
        names = some([file.name for file in found], 3)
        raise JudgeError(f"{folder} holds {len(found)} GGUF files ({names}); give one of them.")
    return found[0]


class ModelFolders(NamedTuple):
    """A checked model folder, and that of the LoRA adapter to put on it.

    Attributes:
        model: The model's folder.
        adapter: The adapter's, or None.
        tokenizer: The tokenizer's: one of the two.
    """

    model: Path
    adapter: Path | None
    tokenizer: Path

    def identity(self) -> dict[str, str]:
        """Content hashes of both, ``model`` and ``adapter``; empty without an adapter."""
        adapter = "" if self.adapter is None else fingerprint(self.adapter)
        return {"model": fingerprint(self.model), "adapter": adapter}


def model_folders(
    model: str, adapter: str | None = None, *, revision: str | None = None, code: bool = False
) -> ModelFolders:
    """Find model and adapter, and check that both can be loaded whole and safely.

    Args:
        model, revision, code: As for ``resolve_folder``. A packaged judge is its base with its
            adapter.
        adapter: Folder or hub id of the adapter, or None.

    Raises:
        JudgeError: As for ``resolve_folder`` and ``check_weights``, or if the adapter has more
            or fewer token embeddings than the model and no tokenizer that explains them.
    """
    refuse_second_adapter(model, adapter)
    if (judge := packaged_judge(model)) is not None:
        model, adapter = judge.base, judge.name
    folder = resolve_folder(model, revision=revision, code=code)
    check_weights(folder)
    adapter_folder = None if adapter is None else resolve_folder(adapter, code=code)
    if adapter_folder is None:
        return ModelFolders(folder, None, folder)
    check_weights(adapter_folder, adapter=True)
    return ModelFolders(folder, adapter_folder, tokenizer_folder(adapter_folder, folder, code))


def refuse_second_adapter(model: str, adapter: str | None) -> None:
    """Refuse an adapter on a packaged judge, before the judge's base is fetched.

    Raises:
        JudgeError: If there are two.
    """
    if adapter is not None and (judge := packaged_judge(model)) is not None:
        raise JudgeError(f"{model} is an adapter on {judge.base} itself; leave out `adapter`.")


def check_weights(folder: Path, *, adapter: bool = False) -> None:
    """Refuse a folder that cannot be loaded whole and safely.

    Raises:
        JudgeError: Naming the folder and what to do, if the configuration or weights are
            missing, the weights are pickles, a shard is missing, or the configuration speaks of
            more layers than there are tensors.
    """
    config = "adapter_config.json" if adapter else "config.json"
    kind = "LoRA adapter" if adapter else "model"
    if not (folder / config).is_file():
        hint = ""
        if not adapter and (folder / "adapter_config.json").is_file():
            hint = " It is a LoRA adapter: give its base model as `judge` and it as `adapter`."
        raise JudgeError(f"{folder} is not a {kind} folder: it has no {config}.{hint}")
    pattern = "adapter_model.safetensors" if adapter else "*.safetensors"
    if not any(folder.glob(pattern)):
        if pickles := sorted(f.name for p in PICKLES for f in folder.glob(p)):
            raise _only_pickles(str(folder), pickles)
        raise JudgeError(
            f"{folder} holds no weights: expected {pattern} beside {config}. Is the download or "
            "the Git LFS checkout complete?"
        )
    index = folder / "model.safetensors.index.json"
    # Beside whole weights an index is not used; nor are those of other names, such as Mistral's.
    if index.is_file() and not adapter and not (folder / "model.safetensors").is_file():
        listed = shards(index)
        missing = [name for name in listed if not (folder / name).is_file()]
        if missing:
            raise JudgeError(
                f"{folder} lacks {len(missing)} of {len(listed)} weight files, the first is "
                f"{missing[0]}. Fetch it again."
            )
    if not adapter:
        _check_layers(folder)


def _check_layers(folder: Path) -> None:
    """Refuse a configuration for a model that would take long to make, and has no weights here."""
    field, layers = most_layers(read_json(folder / "config.json"))
    tensors = len(tensor_shapes(folder.glob("*.safetensors")))
    if layers > tensors:
        raise JudgeError(
            f"{folder}/config.json, field {field!r}: {layers:,} layers, but the weights beside it "
            f"are {tensors:,} tensors. Fetch or save both together."
        )


def _only_pickles(model: str, pickles: list[str]) -> JudgeError:
    return JudgeError(
        f"{model} has its weights only as pickles ({', '.join(pickles[:3])}), which can run code "
        "when they are loaded. Convert them to safetensors where you trust their source (load "
        "there, then save_pretrained; docs/scoring.md), and give that folder."
    )


def fingerprint(folder: Path) -> str:
    """Content hash of the files that decide a model's scores.

    The whole content is read: a fine-tuned copy differs from its base nowhere but in the
    weights. Reading costs about as much as loading the model does anyway.

    Returns:
        64 hexadecimal digits (SHA-256); independent of where the folder lies.
    """
    total = hashlib.sha256()
    patterns = (*_DECIDES_SCORES, *_IN_SUBFOLDERS)
    if not (folder / "tokenizer.json").is_file():
        patterns += _WITHOUT_TOKENIZER_JSON
    if not any(folder.glob("*.safetensors")):
        patterns += ("*.gguf",)  # beside others they are not read
    files = {f.relative_to(folder).as_posix(): f for p in patterns for f in folder.glob(p)}
    for name, file in sorted(files.items()):
        if name in _IRRELEVANT or not file.is_file():  # a pipe would be waited for
            continue
        total.update(f"{name} {sha256_of(file)}\n".encode())
    return total.hexdigest()
