"""What a user says of raters: on the command line, and in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.documents import read_yaml
from selfj_eval.errors import DataError

_MODEL = ("adapter", "revision", "dtype", "device", "trust_remote_code")
_JUDGE = (
    *_MODEL,
    *("template", "max_tokens", "allow_markers", "batch_tokens", "engine", "engine_args"),
)
_DRAWN = ("temperature", "top_p", "max_new_tokens", "seed")


class Kind(NamedTuple):
    """A kind of rater.

    Attributes:
        modes: Whether it can be asked with the reference (True), and without (False).
        model: ``none`` it needs, ``its own`` has to be named, or the ``answering`` model is used
            where none is named.
        options: What a YAML file may say of it.
    """

    modes: tuple[bool, ...]
    model: str
    options: Collection[str] = ()


KINDS: Mapping[str, Kind] = {
    "length": Kind((False,), "none"),
    "log-length": Kind((False,), "none"),
    "tfidf": Kind((True,), "none"),
    "cosine": Kind((True,), "embedder", ("device",)),
    "ppl": Kind((False,), "answering", (*_MODEL, "prompt", "batch_tokens")),
    "log-ppl": Kind((False,), "answering", (*_MODEL, "prompt", "batch_tokens")),
    "vro": Kind(
        (False,),
        "answering",
        (*_MODEL, *_DRAWN, "prompt", "n", "embedder", "engine", "batch_size"),
    ),
    "self-eval": Kind((True, False), "answering", _JUDGE),
    "judge": Kind((True, False), "its own", _JUDGE),
    "reward": Kind(
        (False,),
        "its own",
        (
            *("prompt", "max_tokens", "revision", "dtype", "device", "batch_tokens"),
            "trust_remote_code",
        ),
    ),
    "generative": Kind(
        (True, False),
        "its own",
        (
            *(*_MODEL, "format", "prompt_file", "prompt", "allow_markers", "max_new_tokens"),
            *("engine", "engine_args", "batch_size"),
        ),
    ),
}
"""Every kind of rater, by the name that users call it."""

_WHOLE = ("n", "max_new_tokens", "seed", "max_tokens", "batch_tokens", "batch_size")
_TYPES: Mapping[str, tuple[type[Any] | tuple[type[Any], ...], str]] = {
    **dict.fromkeys(_WHOLE, (int, "a whole number")),
    **dict.fromkeys(("temperature", "top_p"), ((int, float), "a number")),
    **dict.fromkeys(("trust_remote_code", "allow_markers"), (bool, "true or false")),
    "engine_args": (dict, "names with their values"),
}
"""What options hold that are no text."""

_LARGEST = 2**53  # beyond what any count or seed is; libraries fail at 2**63
_NAME = re.compile(r"[\w][\w .:/()-]*")
_WEIGHT = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class RaterSpec:
    """A rater as it was asked for.

    Attributes:
        name: What it is called in tables.
        kind: One of ``KINDS``.
        model: Folder, hub id, or name at a server; None where it needs none or is the answering
            model's own.
        options: What else was said of it.
    """

    name: str
    kind: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def modes(self) -> tuple[bool, ...]:
        """With and without reference, as far as its kind can be asked so."""
        return KINDS[self.kind].modes

    @property
    def parts(self) -> tuple[tuple[float, RaterSpec], ...]:
        """Itself, with the weight 1."""
        return ((1.0, self),)


@dataclass(frozen=True)
class CombinedSpec:
    """A weighted sum of raters.

    Attributes:
        name: What it is called in tables.
        parts: Weights and raters, at least two.
    """

    name: str
    parts: tuple[tuple[float, RaterSpec], ...]

    @property
    def modes(self) -> tuple[bool, ...]:
        """With reference where any rater can use it, without where all can do without."""
        own = [spec.modes for _, spec in self.parts]
        with_reference = any(True in modes for modes in own)
        without = all(False in modes for modes in own)
        return (True,) * with_reference + (False,) * without


Spec = RaterSpec | CombinedSpec


def parse_raters(text: str, defined: Mapping[str, RaterSpec]) -> list[Spec]:
    """Raters from a command line.

    Args:
        text: Comma between raters, + between what is added, ``2*`` for a weight: such as
            ``length,cosine,self-eval+cosine,0.5*demo+cosine``. A rater is a name of ``defined``, a
            kind (``length``), a kind with its model (``ppl:./my-model``), or a judge: ``demo``, a
            folder, a hub id.
        defined: Raters of a YAML file, by name (``read_raters``).

    Raises:
        DataError: Naming the rater that is none, or is named twice.
    """
    found: list[Spec] = []
    items = [re.sub(r"\s*([+*])\s*", r"\1", item.strip()) for item in text.split(",")]
    for item in filter(None, items):
        terms = [_term(part.strip(), item, defined) for part in item.split("+")]
        if len(terms) == 1 and terms[0][0] == 1:
            found.append(terms[0][1])
        elif len(terms) == 1:
            raise DataError(f"{item!r}: a weight makes sense in a sum only, such as 2*a+b.")
        else:
            found.append(CombinedSpec(item, tuple(terms)))
    if not found:
        raise DataError("no rater is named; give some with --judges, such as length,demo.")
    by_name: dict[str, RaterSpec] = {}
    for spec in found:
        for _, own in spec.parts:
            if by_name.setdefault(own.name, own) != own:
                raise DataError(f"two different raters are called {own.name!r}; rename one.")
    names = [spec.name for spec in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"the rater {twice[0]!r} is named twice; name each once.")
    return found


def read_raters(path: str | Path) -> dict[str, RaterSpec]:
    """Raters of a YAML file: a list of ``{name, rater, model, ...options}``.

    Raises:
        DataError: Naming file, entry and field.
    """
    entries = read_yaml(path)
    if not isinstance(entries, list) or not entries:
        message = "expected a list of raters, such as - {name: gpt-4, rater: generative, ...}."
        raise DataError(message, path=path)
    found: dict[str, RaterSpec] = {}
    for number, entry in enumerate(entries, 1):
        place = f"entry {number}"
        if not isinstance(entry, dict):
            message = f"expected name, rater and options, got {entry!r:.60}."
            raise DataError(message, path=path, place=place)
        if isinstance(file := entry.get("prompt_file"), str):
            entry["prompt_file"] = str(Path(path).parent / Path(file).expanduser())
        spec = _entry(dict(entry), path, place)
        if spec.name in found:
            message = f"{spec.name!r} is the name of an entry before, too; rename one."
            raise DataError(message, path=path, place=place, field="name")
        found[spec.name] = spec
    return found


def _entry(entry: dict[str, Any], path: str | Path, place: str) -> RaterSpec:
    def refuse(name: str, message: str) -> DataError:
        return DataError(message, path=path, place=place, field=name)

    name, kind, model = (entry.pop(key, None) for key in ("name", "rater", "model"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refuse("name", f"expected a name without , + and *, got {name!r}.")
    if not isinstance(kind, str) or kind not in KINDS:
        raise refuse("rater", f"expected one of {', '.join(KINDS)}, got {kind!r}.")
    needs, options = KINDS[kind].model, KINDS[kind].options
    if model is not None and (not isinstance(model, str) or needs == "none"):
        raise refuse("model", f"expected nothing, or the model's name, got {model!r}.")
    if model is None and needs == "its own":
        raise refuse("model", f"is missing; a rater of the kind {kind} needs one.")
    for key in entry:
        if key not in options:
            known = ", ".join(("name", "rater", "model", *sorted(options)))
            raise refuse(key, f"is no option of the rater {kind}; there are: {known}.")
        own, shown = _TYPES.get(key, (str, "text"))
        value = entry[key]
        if not isinstance(value, own) or (isinstance(value, bool) and own is not bool):
            raise refuse(key, f"expected {shown}, got {value!r}.")
        if own is int and value < (0 if key == "seed" else 1):
            raise refuse(key, f"must be at least {0 if key == 'seed' else 1}, got {value}.")
        if own is int and value > _LARGEST:
            raise refuse(key, f"must be at most {_LARGEST:,}, got {value}.")
    return RaterSpec(name, kind, model, entry)


def _term(text: str, item: str, defined: Mapping[str, RaterSpec]) -> tuple[float, RaterSpec]:
    weight, star, name = text.rpartition("*")
    if star and not _WEIGHT.fullmatch(weight):
        raise DataError(f"{item!r}: expected a number before the *, got {weight!r}.")
    if star and float(weight) == 0:
        raise DataError(f"{item!r}: a weight of 0 leaves {name!r} out; leave it out yourself.")
    return float(weight) if star else 1.0, _named(name.strip(), item, defined)


def _named(name: str, item: str, defined: Mapping[str, RaterSpec]) -> RaterSpec:
    if not name:
        raise DataError(f"{item!r}: there is no rater on one side of the + or *.")
    if name in defined:
        return defined[name]
    kind, colon, model = name.partition(":")
    if kind in KINDS and (colon or KINDS[kind].model != "its own"):
        if colon and (not model or KINDS[kind].model == "none"):
            raise DataError(f"{item!r}: the rater {kind} takes {'a' if not model else 'no'} model.")
        if kind == "generative":
            raise DataError(f"{item!r}: say more of it in a file (--raters): format, engine, ...")
        return RaterSpec(name, kind, model or None)
    if name == "demo" or Path(name).expanduser().is_dir() or name.count("/") == 1:
        return RaterSpec(name, "judge", name)
    known = ", ".join([*KINDS, *defined])
    close = get_close_matches(name, [*KINDS, *defined], 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise DataError(
        f"no rater {name!r}.{hint} There are: {known}; or a judge: demo, a folder, a hub id. A "
        "model follows a colon, such as ppl:./my-model."
    )


def answering_models(given: Sequence[str]) -> dict[str, str]:
    """Answering models from a command line: the name in the data, and what to load.

    Raises:
        DataError: If one is not of the form ``NAME=MODEL``, or named twice.
    """
    found: dict[str, str] = {}
    for item in given:
        name, equals, model = item.partition("=")
        if not (name and equals and model):
            raise DataError(f"--answering takes NAME=MODEL, got {item!r}.")
        if name in found:
            raise DataError(f"--answering names {name!r} twice.")
        found[name] = model
    return found
