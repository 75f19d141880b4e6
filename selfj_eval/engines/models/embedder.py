"""Semantic similarity of texts: the cosine of their sentence embeddings."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.engines.local.cpu_linear import speed_up_checked
from selfj_eval.engines.models.folders import check_folder
from selfj_eval.engines.models.loading import choose_device
from selfj_eval.engines.models.weights import check_weights, fingerprint, resolve_folder
from selfj_eval.errors import DataError, JudgeError, brief
from selfj_eval.files.documents import read_json

_WINDOW = 1024  # texts that are sorted by length and embedded together
_REMEMBERED = 30_000  # embeddings that are kept: 92 MB of 384 numbers each
_OWN = "sentence_transformers."


class Similarities(NamedTuple):
    """Similarities of pairs of texts.

    Attributes:
        cosine: Shape (n,), in [-1, 1]; 0 where one of the two texts is empty.
        texts: How many distinct texts were embedded.
        cut: How many of them were longer than the model reads: their ends were not seen.
        trimmed: Shape (n,): how many tokens of each pair were not seen.
    """

    cosine: npt.NDArray[np.float64]
    texts: int
    cut: int
    trimmed: npt.NDArray[np.int64]


class Embedder:
    """A sentence-transformers model.

    Its weights must be safetensors and its modules the library's own: no code and no pickle that
    comes with a model is run. Several threads may use it; it embeds for one at a time.

    Args:
        model: Its folder, or hub id.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Texts that are embedded together.

    Attributes:
        identity: Content hash of weights and configuration, of all its modules.
        max_tokens: Longest text that it reads whole, in tokens; None without a limit.

    Raises:
        JudgeError: If sentence-transformers is not installed, or the model cannot be loaded
            whole and safely.
    """

    def __init__(self, model: str, *, device: str = "auto", batch_size: int = 32) -> None:
        try:
            library: Any = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise JudgeError(
                "cosine similarity needs sentence-transformers, which is not installed "
                f'({brief(error)}): pip install "selfj-eval[train]".'
            ) from error
        folder = resolve_folder(model)
        self.identity = _checked(model, folder)
        device = choose_device(device)
        self._batch_size = batch_size
        self._lock = Lock()  # the model's tokenizer is set anew for each use
        self._known: dict[str, npt.NDArray[np.float64]] = {}
        self._model = self._load(library, model, folder, device)
        if device.startswith("cpu") and not self._speed_up():
            del self._model  # or both would be in memory
            self._model = self._load(library, model, folder, device)
        length = getattr(self._model, "max_seq_length", None)
        self.max_tokens = int(length) if length and math.isfinite(length) else None

    @staticmethod
    def _load(library: Any, model: str, folder: Path, device: str) -> Any:
        from transformers.utils import logging as transformers_logging

        progress_was_on = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()
        try:
            loaded = library.SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
            # "[SEP]" in an answer is text. The library tokenizes itself.
            loaded.tokenizer.split_special_tokens = True
            return loaded
        except Exception as error:  # whatever a damaged file makes the library raise
            raise JudgeError(f"{model} cannot be loaded: {brief(error)}") from error
        finally:
            if progress_was_on:
                transformers_logging.enable_progress_bar()

    def _speed_up(self) -> bool:
        """Prepare the model for the CPU; whether it still says the same."""
        transformer = getattr(self._model[0], "auto_model", None)
        if transformer is None or transformer.dtype.itemsize != 4:
            return True
        texts = ["Rate this from 0 to 9, please.", "five, seven"]
        return speed_up_checked(transformer, lambda: self._embed(texts), 1e-4)

    def similarity(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> Similarities:
        """Cosine similarity of the two texts of each pair.

        Each distinct text is embedded once. The embedding of an empty text (or of white space)
        means nothing, so its similarity to anything is defined as 0. The same pairs give the
        same numbers; among other texts they are batched otherwise, and the last bits (of
        float32) differ.

        Args:
            pairs: Such as answers with their references.
            progress: Called with the number of texts that have just been embedded.

        Raises:
            JudgeError: If an embedding is not finite.
        """
        pairs = list(pairs)
        texts = list(dict.fromkeys(text for pair in pairs for text in pair if text.strip()))
        rows, unseen = [], dict[str, int]()
        for start in range(0, len(texts), _WINDOW):
            window = texts[start : start + _WINDOW]
            with self._lock:
                rows.append(self._remembered(window))
                unseen |= self._unseen(window)
            if progress is not None:
                progress(len(window))
        at = {text: index for index, text in enumerate(texts)}
        cosine = np.zeros(len(pairs))
        whole = [i for i, pair in enumerate(pairs) if pair[0] in at and pair[1] in at]
        if whole:
            embedded = np.concatenate(rows)
            left, right = (embedded[[at[pairs[i][side]] for i in whole]] for side in (0, 1))
            cosine[whole] = np.clip(np.einsum("nd,nd->n", left, right), -1.0, 1.0)
        trimmed = [unseen.get(one, 0) + unseen.get(other, 0) for one, other in pairs]
        return Similarities(cosine, len(texts), len(unseen), np.array(trimmed, dtype=np.int64))

    def _remembered(self, texts: list[str]) -> npt.NDArray[np.float64]:
        """Unit vectors, shape (n, d); of texts that were embedded lately, the same again."""
        new = [text for text in texts if text not in self._known]
        known = {text: self._known[text] for text in texts if text in self._known}
        if new:
            if len(self._known) + len(new) > _REMEMBERED:
                self._known.clear()
            found = dict(zip(new, self._embed(new), strict=True))
            self._known |= found
            known |= found
        return np.stack([known[text] for text in texts])

    def _embed(self, texts: list[str]) -> npt.NDArray[np.float64]:
        """Unit vectors, shape (n, d)."""
        found = self._model.encode(
            texts, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True
        )
        vectors = np.asarray(found, dtype=np.float64)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        wrong = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
        if wrong.size:
            raise JudgeError(
                f"the embedding of {texts[wrong[0]][:60]!r} has length {norms[wrong[0], 0]}: it "
                "has no direction. Are the embedder's weights sound?"
            )
        unit: npt.NDArray[np.float64] = vectors / norms
        return unit

    def _unseen(self, texts: list[str]) -> dict[str, int]:
        """How many tokens are not read of those that are too long."""
        limit = self.max_tokens
        if limit is None:
            return {}
        # No token is shorter than a character.
        long = [text for text in texts if len(text) > limit - 8]
        if not long:
            return {}
        ids = self._model.tokenizer(long, truncation=False, padding=False, verbose=False).input_ids
        rows = zip(long, ids, strict=True)
        return {text: len(row) - limit for text, row in rows if len(row) > limit}


def _checked(model: str, folder: Path) -> str:
    """Check that a folder can be loaded safely; returns the content hash of all its modules."""
    index = folder / "modules.json"
    try:
        listed = [(str(m["path"]), str(m["type"])) for m in read_json(index)]
        first = listed[0]
    except (DataError, LookupError, TypeError) as error:
        raise JudgeError(
            f"{model} is not a sentence-transformers model: it has no sound modules.json "
            f"({brief(error)}). Give an embedding model, such as "
            "sentence-transformers/all-MiniLM-L6-v2 or its folder."
        ) from error
    paths = [path for path, _ in listed if path]
    for path, kind in listed:
        if not kind.startswith(_OWN) or Path(path).is_absolute() or ".." in Path(path).parts:
            raise JudgeError(
                f"{index} names the module {kind} in {path!r}, which is not sentence-transformers' "
                "own; code that comes with a model is not run. Take another embedder."
            )
    if not Path(model).expanduser().is_dir():  # from the hub: the modules' own folders too
        from huggingface_hub import snapshot_download

        kinds = ("*.json", "*.safetensors")
        wanted = [f"{path}/{kind}" for path in paths for kind in kinds] + ["vocab.txt"]
        try:
            snapshot_download(model, revision=folder.name, allow_patterns=wanted)
        except Exception as error:  # the hub's many errors
            raise JudgeError(f"parts of {model} cannot be fetched: {brief(error)}") from error
    total = hashlib.sha256()
    for number, path in enumerate(dict.fromkeys(["", *paths])):
        part = folder / path
        check_folder(part)
        pickles = any(part.glob("*.bin"))
        transformer = path == first[0] and first[1].endswith("Transformer")
        if transformer or (pickles and not any(part.glob("*.safetensors"))):
            check_weights(part)
        total.update(f"{number} {fingerprint(part)}\n".encode())
    return total.hexdigest()
