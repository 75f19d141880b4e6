"""Whose answers lm-eval keeps in its ``use_cache`` file: it looks them up by the prompt alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import CachingLM

from selfj_eval.engines.models.weights import fingerprint
from selfj_eval.errors import JudgeError, shown
from selfj_eval.files.hashes import sha256_of
from selfj_eval.files.stamps import Stamp, stamp
from selfj_eval.jobs.callers import local_of
from selfj_eval.registry.gguf import is_gguf

if TYPE_CHECKING:
    from sqlitedict import SqliteDict

logger = logging.getLogger(__name__)

_KEY = "selfj_model"  # lm-eval's own keys are 64 hexadecimal digits
_NAMES = ("pretrained", "model", "peft", "adapter", "delta")
_SETTINGS = ("revision", "subfolder", "dtype", "gguf_file", "load_in_4bit", "load_in_8bit")


def claim(cache: SqliteDict, model: Mapping[str, Any]) -> None:
    """Write into a cache whose answers it holds; warn where that cannot be known any more.

    Args:
        cache: The cache.
        model: What decides the model's answers.

    Raises:
        JudgeError: If it holds the answers of another model.
    """
    holder, mine = cache.get(_KEY), dict(model)
    if holder is None and not len(cache):
        cache[_KEY] = mine
        cache.commit()
    elif holder is None:
        _warn_of(str(cache.filename))
    elif holder != mine:
        if not isinstance(holder, dict):
            holder = {}  # whoever wrote that
        changed = sorted(k for k in {*holder, *mine} if holder.get(k) != mine.get(k))
        told = "; ".join(f"{k}: {holder.get(k)!s:.80}, now {mine.get(k)!s:.80}" for k in changed)
        raise JudgeError(
            f"{cache.filename} has the answers of another model ({told}), which would be reported "
            "as this model's. Name another file for lm-eval's `use_cache`."
        )


@lru_cache(maxsize=1024)  # each task of a group asks
def _warn_of(filename: str) -> None:
    logger.warning(
        "%s does not say which model its answers are from. lm-eval looks answers up by the "
        "prompt alone: if they are from another model, so are the numbers of this run. Name "
        "another file for lm-eval's `use_cache`.",
        shown(filename),
    )


@lru_cache(maxsize=8)
def _fingerprint(path: Path, *_: Stamp) -> str:
    """What decides scores, once for all tasks of a group, as long as the files stay as they are."""
    return sha256_of(path) if path.is_file() else fingerprint(path)


def check_answer_cache(arguments: Mapping[str, Any]) -> None:
    """``claim`` the cache of the running evaluation, if it has one, for its model.

    Args:
        arguments: The model's, which lm-eval puts into a task's metadata.

    Raises:
        JudgeError: As for ``claim``.
    """
    cached = local_of("lm", CachingLM)
    if cached is not None and not getattr(cached.lm, "claims_answer_cache", False):
        claim(cached.dbdict, _described(cached.lm, arguments))


def _described(lm: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the answers of a model of lm-eval's, as far as it can be known."""
    found: dict[str, Any] = {"class": type(lm).__name__}
    found |= {name: str(arguments[name]) for name in (*_NAMES, *_SETTINGS) if name in arguments}
    if not any(name in found for name in _NAMES):  # a model that was loaded before
        found["pretrained"] = str(getattr(getattr(lm, "config", None), "_name_or_path", None))
    # A model here may be trained anew, or moved: its content counts, not its name.
    places = {name: Path(found[name]).expanduser() for name in _NAMES if name in found}
    return found | {
        name: _fingerprint(at, stamp(at))
        for name, at in places.items()
        if at.is_dir() or is_gguf(at)
    }
