"""An adapter put into its base: one folder that every engine loads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from selfj_eval.engines.models.adapters import tensor_shapes
from selfj_eval.engines.models.loading import load_model
from selfj_eval.engines.models.tokenizer import load_tokenizer
from selfj_eval.engines.models.weights import fingerprint, model_folders, resolve_folder
from selfj_eval.errors import DataError, JudgeError, StoreError, printable
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.jobs.options import keywords
from selfj_eval.jobs.provenance import provenance
from selfj_eval.jobs.results import Result, plain
from selfj_eval.training.card import write_card
from selfj_eval.training.settings import MergeOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NOTES = ("training.json",)


@dataclass(frozen=True)
class MergeRun(Result):
    """A merged model: ``merge.json`` in its folder, typed.

    Attributes:
        kind: ``merge``.
        dtype: Number format of the weights.
        command: The command line, or None where a program called the library.
        made: When it was started.
        versions: Of the packages that decide the result.
        base: The base as given, or as the adapter names it.
        base_fingerprint, adapter_fingerprint, fingerprint: Hashes of weights and configuration,
            the last of the merged model.
        parameters: How many numbers the model has.
        output: Its folder.
    """

    kind: str
    dtype: str
    command: str | None
    made: str
    versions: Mapping[str, str]
    base: str
    base_fingerprint: str
    adapter_fingerprint: str
    fingerprint: str
    parameters: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        """What stands in ``merge.json``."""
        found = {name: plain(value) for name, value in vars(self).items()}
        del found["output"]
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict() | {"output": self.output}]

    def __str__(self) -> str:
        return f"{self.output}: {self.parameters:,} parameters in {self.dtype}, README.md"


def merge_adapter(options: MergeOptions) -> MergeRun:
    """Merge a LoRA adapter into its base and write the whole model with notes and card.

    The base is loaded unquantised, in ``dtype``: merging into a quantised one would lose what the
    adapter learned. The folder appears when it is complete.

    Raises:
        StoreError: If the output exists.
        DataError: If no base is given or named.
        JudgeError: If base or adapter cannot be loaded, do not fit, or the adapter changes nothing.
    """
    output, adapter = Path(options.output), str(options.adapter)
    if output.exists():
        raise StoreError(f"{output} exists; name a new folder, or remove it first.")
    if not output.parent.is_dir():
        raise StoreError(f"{output}: there is no folder {output.parent}; make it first.")
    adapter_folder = resolve_folder(adapter)
    base = str(options.base or _named_base(adapter_folder))
    made = provenance("torch", "transformers", "peft")
    folders = model_folders(base, adapter)
    _, tokenizer = load_tokenizer(folders.model, base, tokenizer=folders.tokenizer)
    model = load_model(folders.model, adapter_folder, options.dtype, "cpu", False)
    _untie(model)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as place:
        draft = Path(place) / "model"
        model.save_pretrained(draft)
        if not _changed(draft, folders.model):
            raise JudgeError(
                f"the adapter {adapter} changes nothing in {base}: merged in {options.dtype}, all "
                "weights are the base's. Was it trained (its training.json says how many steps), "
                "and for this base?"
            )
        tokenizer.save_pretrained(draft)
        for name in _NOTES:
            if (adapter_folder / name).is_file():
                shutil.copyfile(adapter_folder / name, draft / name)
        result = MergeRun(
            kind="merge",
            dtype=options.dtype,
            command=made["command"],
            made=made["made"],
            versions=made["versions"],
            base=base,
            base_fingerprint=fingerprint(folders.model),
            adapter_fingerprint=fingerprint(adapter_folder),
            fingerprint=fingerprint(draft),
            parameters=sum(weight.numel() for weight in model.parameters()),
            output=printable(output),
        )
        write_json(draft / "merge.json", result.to_dict())
        write_card(draft, output.name)
        draft.chmod(0o755)
        for file in draft.iterdir():
            file.chmod(0o644)
        draft.replace(output)
    return result


merge = keywords(merge_adapter, MergeOptions)


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
        raise DataError("is not an adapter: it has no adapter_config.json.", path=adapter)
    try:
        named = read_json(file)["base_model_name_or_path"]
    except (DataError, KeyError, TypeError):
        named = None
    if not isinstance(named, str) or not named:
        raise DataError("names no base model; give it as `base`.", path=file)
    return named
