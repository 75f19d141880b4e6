"""What a user says of raters: on the command line, and in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.files.documents import read_yaml
from selfj_eval.jobs.options import Options
from selfj_eval.raters.options import (
    CosineOptions,
    GenerativeOptions,
    NoOptions,
    PerplexityOptions,
    RewardOptions,
    VroOptions,
)
from selfj_eval.registry.gguf import is_gguf
from selfj_eval.registry.judges import packaged_judge
from selfj_eval.registry.models import packaged_model


class Kind(NamedTuple):
    """A kind of rater.

    Attributes:
        modes: Whether it can be asked with the reference (True), and without (False).
        model: ``none`` it needs, ``its own`` has to be named, or the ``answering`` model is used
            where none is named.
        options: What may be said of it.
    """

    modes: tuple[bool, ...]
    model: str
    options: type[Options]


KINDS: Mapping[str, Kind] = {
    "length": Kind((False,), "none", NoOptions),
    "log-length": Kind((False,), "none", NoOptions),
    "tfidf": Kind((True,), "none", NoOptions),
    "trigrams": Kind((True,), "none", NoOptions),
    "cosine": Kind((True,), "embedder", CosineOptions),
    "ppl": Kind((False,), "answering", PerplexityOptions),
    "log-ppl": Kind((False,), "answering", PerplexityOptions),
    "vro": Kind((False,), "answering", VroOptions),
    "self-eval": Kind((True, False), "answering", JudgeOptions),
    "judge": Kind((True, False), "its own", JudgeOptions),
    "reward": Kind((False,), "its own", RewardOptions),
    "generative": Kind((True, False), "its own", GenerativeOptions),
}
"""Every kind of rater, by the name that users call it."""

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
        reference: False: it is never shown a reference.
    """

    name: str
    kind: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: bool = True

    @property
    def modes(self) -> tuple[bool, ...]:
        """With and without reference, as far as it can be asked so."""
        return KINDS[self.kind].modes if self.reference else (False,)

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
        fixed: Mean and standard deviation that count for each; None: those of the records.
    """

    name: str
    parts: tuple[tuple[float, RaterSpec], ...]
    fixed: tuple[tuple[float, float], ...] | None = None

    @property
    def modes(self) -> tuple[bool, ...]:
        """With reference where any rater can use it, without where all can do without."""
        own = [spec.modes for _, spec in self.parts]
        with_reference = any(True in modes for modes in own)
        without = all(False in modes for modes in own)
        return (True,) * with_reference + (False,) * without


Spec = RaterSpec | CombinedSpec

SUMS = {
    "small-ref": CombinedSpec(
        "small-ref",
        (
            (1.0, RaterSpec("small without reference", "judge", "small", reference=False)),
            (1.0, RaterSpec("trigrams", "trigrams")),
        ),
        ((4.229, 0.495), (0.423, 0.188)),
    )
}
"""Sums with a name of their own and fixed scales: mean and standard deviation within a set, as
``benchmarks/small_judge.py`` measured them on sets that no judge learned from."""


def parse_raters(text: str, defined: Mapping[str, RaterSpec]) -> list[Spec]:
    """Raters from a command line.

    Args:
        text: Comma between raters, + between what is added, ``2*`` for a weight: such as
            ``length,cosine,self-eval+cosine,0.5*demo+cosine``. A rater is a name of ``defined``, a
            kind (``length``), a kind with its model (``ppl:./my-model``), or a judge: ``demo``, a
            folder, a GGUF file, a hub id.
        defined: Raters of a YAML file, by name (``read_raters``).

    Raises:
        DataError: Naming the rater that is none, or is named twice.
    """
    found: list[Spec] = []
    items = [re.sub(r"\s*([+*])\s*", r"\1", item.strip()) for item in text.split(",")]
    for item in filter(None, items):
        if item in SUMS and item not in defined:
            found.append(SUMS[item])
            continue
        terms = [_term(part.strip(), item, defined) for part in item.split("+")]
        if len(terms) == 1 and terms[0][0] == 1:
            found.append(terms[0][1])
        elif len(terms) == 1:
            raise DataError(f"{item!r}: a weight makes sense in a sum only, such as 2*a+b.")
        else:
            found.append(CombinedSpec(item, tuple(terms)))
    if not found:
        raise DataError("no rater is named; give some as `judge`, such as length,demo.")
    by_name: dict[str, RaterSpec] = {}
    for spec in found:
        for _, own in spec.parts:
            if by_name.setdefault(own.name, own) != own:
                raise DataError(f"two different raters are called {own.name!r}; rename one.")
    names = [spec.name for spec in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"the rater {twice[0]!r} is named twice; name each once.")
    return found


def parse_rater(text: str) -> Spec:
    """The one rater that a text names.

    Args:
        text: As for ``parse_raters``, without a comma; or a YAML file that defines one rater.
            What is no kind and no sum is a Self-J judge, whose folder or name is looked up when
            it is loaded.

    Raises:
        DataError: If it names none, or several.
    """
    if Path(text).suffix.lower() in (".yaml", ".yml") and "+" not in text:
        return _defined_in(text)
    kind = text.partition(":")[0]
    known = kind in KINDS or text in SUMS or any(c in text for c in "+*,")
    if _is_here(text) or not (known or get_close_matches(text, KINDS, 1, 0.8)):
        return RaterSpec(text, "judge", text)
    specs = parse_raters(text, {})
    if len(specs) != 1:
        raise DataError(f"{text!r} names {len(specs)} raters; give one.")
    return specs[0]


def _defined_in(path: str) -> RaterSpec:
    """The one rater that a YAML file defines."""
    defined = list(read_raters(path).values())
    if len(defined) != 1:
        names = ", ".join(spec.name for spec in defined)
        raise DataError(f"defines {len(defined)} raters ({names}); give one.", path=path)
    return defined[0]


def short_name(judge: str) -> str:
    """A rater's name without the folders in which its models lie."""
    if "+" in judge and not _is_here(judge):
        return "+".join(short_name(part.strip()) for part in judge.split("+"))
    if Path(judge).suffix.lower() in (".yaml", ".yml"):
        return Path(judge).stem
    weight, star, own = judge.rpartition("*")
    kind, colon, model = own.partition(":")
    if colon and kind in KINDS:
        return f"{weight}{star}{kind}:{Path(model).name or model}"
    return Path(judge).name or judge


def read_raters(path: str | Path) -> dict[str, RaterSpec]:
    """Raters of a YAML file: a list of ``{name, rater, model, ...options}``.

    ``reference: false`` asks a judge without references, in sums too.

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
            message = f"{spec.name!r} is also the name of an earlier entry; rename one."
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
    reference = entry.pop("reference", True)
    if not isinstance(reference, bool):
        raise refuse("reference", f"expected true or false, got {reference!r}.")
    if not reference and len(KINDS[kind].modes) < 2:
        raise refuse("reference", f"the rater {kind} can be asked in one way only; leave it out.")
    checked = options.of(entry, path=path, place=place)
    return RaterSpec(
        name, kind, model, {key: getattr(checked, key) for key in entry}, reference=reference
    )


def _term(text: str, item: str, defined: Mapping[str, RaterSpec]) -> tuple[float, RaterSpec]:
    weight, star, name = text.rpartition("*")
    if star and not _WEIGHT.fullmatch(weight):
        raise DataError(f"{item!r}: expected a number before the *, got {weight!r}.")
    if star and float(weight) == 0:
        raise DataError(f"{item!r}: the weight of {name!r} is 0; remove {name!r} instead.")
    return float(weight) if star else 1.0, _named(name.strip(), item, defined)


def _named(name: str, item: str, defined: Mapping[str, RaterSpec]) -> RaterSpec:
    if not name:
        raise DataError(f"{item!r}: there is no rater on one side of the + or *.")
    if name in defined:
        return defined[name]
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        return _defined_in(name)
    kind, colon, model = name.partition(":")
    if kind in KINDS and (colon or KINDS[kind].model != "its own"):
        if colon and (not model or KINDS[kind].model == "none"):
            raise DataError(f"{item!r}: the rater {kind} takes {'a' if not model else 'no'} model.")
        return RaterSpec(name, kind, model or None)
    named = name == "demo" or packaged_judge(name) or packaged_model(name)
    if named or _is_here(name) or name.count("/") == 1:
        return RaterSpec(name, "judge", name)
    if name in SUMS:
        raise DataError(f"{item!r}: {name} is a sum itself; add its parts.")
    if name in KINDS:
        raise DataError(f"the rater {name} needs a model: {name}:MODEL.")
    known = ", ".join([*KINDS, *SUMS, *defined])
    close = get_close_matches(name, [*KINDS, *SUMS, *defined], 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise DataError(
        f"no rater {name!r}.{hint} There are: {known}; or a judge: small, demo, a folder, a .gguf "
        "file, a hub id. A model follows a colon, such as ppl:./my-model."
    )


def _is_here(name: str) -> bool:
    """Whether it is a model's folder or GGUF file."""
    path = Path(name).expanduser()
    return path.is_dir() or is_gguf(path)
