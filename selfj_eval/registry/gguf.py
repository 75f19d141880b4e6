"""GGUF files, the format of llama.cpp: each is converted once, into a folder of safetensors."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import JudgeError, StoreError, brief, loading
from selfj_eval.files.hashes import sha256_of
from selfj_eval.files.locks import made_once
from selfj_eval.files.stamps import Stamp, stamp
from selfj_eval.registry.folder import models_folder

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Those that transformers makes of a GGUF file what they were; of others it guesses settings."""
_SETTINGS = {
    *("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size"),
    *("attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"),
    *("attention.key_length", "attention.value_length", "rope.dimension_count", "rope.freq_base"),
}
"""The settings of an architecture that are read. To ignore any other one would change scores."""
_FACTORS = "rope_freqs.weight"
"""What Llama 3.1 and later divide their rotary frequencies by; the file names no settings."""
_LLAMA_3 = ("llama3", "llama-v3", "llama-bpe")
"""What the tokenizer of Llama 3 is called."""
_INSTEAD = "give the model as safetensors, or judge with llama.cpp's server and `engine` openai"


def is_gguf(path: Path) -> bool:
    """Whether a path is that of a file with the ending ``.gguf``."""
    return path.suffix.lower() == ".gguf" and path.is_file()


def gguf_folder(file: Path) -> Path:
    """The folder that a GGUF file was converted into; if it was not yet, it is now.

    Folders lie with the packaged models, each under the digest of its file. All weights get one
    number format: float32 if a matrix in the file has it, bfloat16 if all have that, else float16,
    which is finer than the steps of quantised ones.

    Raises:
        JudgeError: If the file is damaged, or not of a kind that is read as it is meant.
        StoreError: If the folder cannot be written.
    """
    folder = models_folder() / "gguf" / _digest(file, stamp(file))

    def make(place: Path) -> Path:
        logger.info("converting %s to safetensors, once, in %s", file, folder)
        reader = open_gguf(file)
        _note_tokenizer(file, reader)
        convert(file, reader, place / "made", _dtype(reader))
        return place / "made"

    return made_once(folder, make)


@lru_cache(maxsize=64)
def _digest(file: Path, _: Stamp) -> str:
    """A file's digest, computed once as long as the file stays as it is."""
    try:
        return sha256_of(file)
    except OSError as error:
        raise JudgeError(f"{file} cannot be read: {error.strerror or error}.") from error


def open_gguf(file: Path) -> GGUFReader:
    """A GGUF file, checked but for its weights.

    Raises:
        JudgeError: If it is damaged, or not of a kind that is read as it is meant.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        architecture = _value(reader, "general.architecture")
        kind = _value(reader, "general.type")
        parts = _value(reader, "split.count")
        layers = _value(reader, f"{architecture}.block_count")
        scaling = _value(reader, f"{architecture}.rope.scaling.type")
    except Exception as error:  # whatever a damaged file makes the library raise
        raise JudgeError(
            f"{file} is not a complete GGUF file ({brief(error).rstrip('.')}). Fetch it again."
        ) from error
    if kind == "adapter":
        raise JudgeError(f"{file} is a LoRA adapter in GGUF; give it as safetensors (peft).")
    if architecture not in ARCHITECTURES:
        raise JudgeError(
            f"{file} has the architecture {architecture!r:.80}; those that can be read from GGUF "
            f"files are {', '.join(ARCHITECTURES)} (docs/engines.md). Otherwise {_INSTEAD}."
        )
    if isinstance(parts, int) and parts > 1:
        raise JudgeError(
            f"{file} is one of {parts} parts; put them together with llama-gguf-split, and "
            "give that file."
        )
    if not isinstance(layers, int) or not 0 < layers <= len(reader.tensors):
        raise JudgeError(
            f"{file}, field '{architecture}.block_count': {layers!r:.40} layers, but the file "
            f"holds {len(reader.tensors):,} tensors. Fetch it again."
        )
    for field in reader.fields:
        name = field.removeprefix(f"{architecture}.")
        unscaled = name.startswith("rope.scaling.") and scaling == "none"
        if name != field and name not in _SETTINGS and not unscaled:
            raise JudgeError(
                f"{file}, field {field!r:.200}: cannot be read, and without it the scores "
                f"would differ from the model's; {_INSTEAD}."
            )
    return reader


def convert(file: Path, reader: GGUFReader, folder: Path, dtype: str) -> None:
    """Write a model's weights in a number format, with tokenizer, chat template and settings.

    Args:
        file: The GGUF file.
        reader: The same, open.
        folder: Where to; it is made.
        dtype: The number format.

    Raises:
        JudgeError: If it cannot be converted whole.
        StoreError: If the folder cannot be written.
    """
    from safetensors import SafetensorError
    from transformers import PreTrainedTokenizerFast

    with (
        loading(str(file), f"Fetch it again, or {_INSTEAD}."),
        TemporaryDirectory(prefix="selfj-gguf-") as alone,
        _quiet(),
    ):
        # By an absolute path: a bare name transformers would take from the working directory. And
        # in a folder of its own: an adapter beside the file would be put on the model.
        link = Path(alone) / file.name
        link.symlink_to(file.absolute())
        source: dict[str, Any] = {
            "pretrained_model_name_or_path": link.parent,
            "gguf_file": str(link),
        }
        model = _model(source, file, reader, dtype)
        # Not the architecture's own class, which would split text in its own way.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(**source)
        _complete_tokenizer(tokenizer, file, reader)
    try:
        with _quiet():
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for made in folder.iterdir():
            made.chmod(0o644)  # perhaps for several users; transformers keeps weights private
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{folder.parent} cannot be written: {brief(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers says nothing, and shows no bars but the one of dequantising."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    progress_was_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if progress_was_on:
            transformers_logging.enable_progress_bar()


def _model(source: dict[str, Any], file: Path, reader: GGUFReader, dtype: str) -> PreTrainedModel:
    """The model, whole, as one that can be saved."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(**source)
    # What transformers takes for granted: 128 for Qwen 3, and a window for what is named mistral.
    architecture = _value(reader, "general.architecture")
    if (size := _value(reader, f"{architecture}.attention.key_length")) is not None:
        config.head_dim = size
    rotated = _value(reader, f"{architecture}.rope.dimension_count")
    if rotated is not None and rotated != config.head_dim:
        raise JudgeError(
            f"{file}, field '{architecture}.rope.dimension_count': {rotated} of {config.head_dim} "
            f"numbers of a head are rotated, and here all would be; {_INSTEAD}."
        )
    if getattr(config, "sliding_window", None) is not None:
        config.sliding_window = None
    factors = next((t for t in reader.tensors if t.name == _FACTORS), None)
    if factors is not None:
        _scale_as_llama_3(config, file, factors.data)
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(config)
    wanted = sum(part.numel() for part in whole.parameters())
    there = sum(math.prod(map(int, t.shape)) for t in reader.tensors if t is not factors)
    # Before anything is loaded: missing weights would be made up, surplus ones ignored.
    if wanted != there:
        raise JudgeError(
            f"{file} holds {there:,} weights, but its settings are of a {config.model_type} with "
            f"{wanted:,}. Fetch it again; if it is whole, {_INSTEAD}."
        )
    loaded, info = AutoModelForCausalLM.from_pretrained(
        **source, config=deepcopy(config), dtype=getattr(torch, dtype), output_loading_info=True
    )
    if lost := sorted({*info["missing_keys"], *(str(k[0]) for k in info["mismatched_keys"])}):
        raise JudgeError(f"{file} lacks weights, the first is {lost[0]}. Fetch it again.")
    if not all(bool(part.isfinite().all()) for part in loaded.parameters()):
        raise JudgeError(f"{file} holds weights that are not finite numbers. Fetch it again.")
    # The loaded one refuses to be saved.
    whole.load_state_dict(loaded.state_dict(), assign=True)
    whole.tie_weights()
    whole.config.dtype = loaded.dtype
    whole.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    return whole


def _scale_as_llama_3(config: Any, file: Path, factors: Any) -> None:
    """Find the settings that a file's factors were computed from, and see that they give them."""
    import numpy as np
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    base, size = config.rope_parameters["rope_theta"], config.head_dim
    config.rope_parameters = {
        "rope_type": "llama3",
        "rope_theta": base,
        "factor": float(np.max(factors)),
        # The same in all models of this kind.
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = base ** (-np.arange(0, size, 2) / size)
    if factors.shape != plain.shape or not np.allclose(plain / factors, scaled.numpy(), rtol=1e-3):
        raise JudgeError(
            f"{file}, tensor {_FACTORS!r}: these are not Llama 3's factors, and others are not "
            f"read; {_INSTEAD}."
        )


def _complete_tokenizer(tokenizer: PreTrainedTokenizerBase, file: Path, reader: GGUFReader) -> None:
    """Do what llama.cpp does and not each version of transformers."""
    wanted = _value(reader, "tokenizer.ggml.add_bos_token")
    llama_3 = _value(reader, "tokenizer.ggml.pre") in _LLAMA_3
    if wanted is None:
        wanted = llama_3 or _value(reader, "tokenizer.ggml.model") == "llama"
    tokenizer.init_kwargs["local_files_only"] = False  # it is saved, and here by chance
    if llama_3:
        tokenizer.backend_tokenizer.model.ignore_merges = True
    if tokenizer.add_bos_token is not wanted:
        tokenizer.add_bos_token = wanted
    if tokenizer("").input_ids != [tokenizer.bos_token_id] * wanted:
        raise JudgeError(
            f"{file}: transformers would put other special tokens before or behind a text than the "
            f"file says; {_INSTEAD}."
        )


def _note_tokenizer(file: Path, reader: GGUFReader) -> None:
    """Say it where transformers splits text in another way than the tokenizer of the model."""
    known = {"gpt-2", "qwen2"}
    with suppress(ImportError, AttributeError):  # older ones know no others
        from transformers.integrations.gguf import gguf_tokenizer_mapping

        known.update(gguf_tokenizer_mapping.GGUF_PRE_TOKENIZER_SPLITS)
    own = _value(reader, "tokenizer.ggml.pre")
    if _value(reader, "tokenizer.ggml.model") == "gpt2" and own not in known:
        logger.warning(
            "note: transformers does not know how %s splits text (%s) and splits it as GPT-2 does: "
            "some tokens, mostly at digits and blanks, differ from the model's", file,
            own or "the file does not say",
        )  # fmt: skip


def _dtype(reader: GGUFReader) -> str:
    """The number format that a file's matrices can be kept in."""
    kinds = {tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1}
    if "F32" in kinds:
        return "float32"
    return "bfloat16" if kinds == {"BF16"} else "float16"


def _value(reader: GGUFReader, name: str) -> Any:
    """The value of a field, or None."""
    field = reader.get_field(name)
    return None if field is None else field.contents()
