"""Quality labels 0..9 from measures of quality: scaling, sum, bins, the split by instruction.

Self-J (arXiv 2409.00935) labels an answer by z = z1 + z2: what the model itself thinks of it,
given the reference, and its similarity to the reference. How the two come on one scale and into
ten bins is not published; here it is a ``LabelRule``, fitted once and stored with the data.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import DataError
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.training.settings import BINS, SCALES, SOURCES

Array = npt.NDArray[np.float64]

LABELS = len(DIGITS)
_GRID = 1001  # values kept of a fitted rank scale
_DECIMALS = 12  # of sums and edges: sums of ranks that are equal but for rounding are ties
_FORMAT = 1


class Labels(NamedTuple):
    """What a rule makes of measures.

    Attributes:
        label: Shape (n,), integers in 0..9.
        z: Shape (n,): the combined value in [0, sum of the weights].
    """

    label: npt.NDArray[np.int64]
    z: Array


@dataclass(frozen=True, slots=True)
class Scale:
    """A monotone map of one measure onto [0, 1], linear between its points, flat outside.

    Attributes:
        values: Values of the measure, strictly ascending, at least two.
        positions: Where each is put, in [0, 1], ascending.
    """

    values: tuple[float, ...]
    positions: tuple[float, ...]

    @classmethod
    def fit(cls, measure: npt.ArrayLike, kind: str = "rank", *, name: str = "z") -> Scale:
        """Fit to the training part.

        Args:
            measure: Shape (n,), finite.
            kind: ``min-max``: lowest to 0, highest to 1. ``rank``: (rank - 1) / (n - 1), equal
                values on the mean of their ranks; of more than 1,001 values, the 1,001 evenly
                spaced quantiles stand for all.
            name: Of the measure, for messages.

        Raises:
            DataError: If a value is not finite or all are equal.
        """
        _known("scale", kind, SCALES)
        z = _finite(measure, name)
        if not z.size or z.min() == z.max():
            what = f"is {z[0]:g} for all {z.size:,} answers" if z.size else "has no value"
            raise DataError(
                f"{name} {what} of the training part, so it says nothing about quality; label "
                "more or other answers, or take another `source`."
            )
        if kind == "min-max":
            return cls((float(z.min()), float(z.max())), (0.0, 1.0))
        steps = np.linspace(0.0, 1.0, min(z.size, _GRID))
        grid = np.sort(z) if z.size <= _GRID else np.quantile(z, steps)
        values, at = np.unique(grid, return_inverse=True)
        positions = np.bincount(at, weights=steps) / np.bincount(at)
        return cls(tuple(values.tolist()), tuple(positions.tolist()))

    def __call__(self, measure: Array) -> Array:
        """The measure on [0, 1]; shape (n,)."""
        return np.interp(measure, self.values, self.positions)


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How measures become labels: fitted on the training part, the same for every other answer.

    Each measure is put on [0, 1] by its scale, they are added with their weights, and the sum's
    label is the number of edges that are not above it (``numpy.searchsorted(edges, z,
    side="right")``): a value on an edge always goes into the upper bin, and equal values always
    get one label. Where many values tie, the bins cannot be equal in size, and with fewer than
    ten distinct values some labels are not used; both show in the counts.

    Attributes:
        source: One of ``SOURCES``.
        scale, bins: The kinds it was fitted with.
        weights: One for each measure of the source, in its order.
        scales: One for each measure.
        edges: The nine inner edges, ascending.
        fitted_on: Number of answers it was fitted on.
    """

    source: str
    scale: str
    bins: str
    weights: tuple[float, ...]
    scales: tuple[Scale, ...]
    edges: tuple[float, ...]
    fitted_on: int

    @classmethod
    def fit(
        cls,
        measures: Mapping[str, npt.ArrayLike],
        *,
        source: str = "self-j",
        weights: Sequence[float] | None = None,
        scale: str = "rank",
        bins: str = "equal-frequency",
    ) -> LabelRule:
        """Fit a rule to the training part.

        Args:
            measures: By name (``SOURCES``), each of shape (n,) and finite; others are ignored.
            source: Which measures make the label. The default is the paper's.
            weights: One for each measure of the source, above 0. By default 1.
            scale: How a measure comes onto [0, 1] (``Scale.fit``). The default does not depend
                on how the model spreads its scores.
            bins: ``equal-frequency``: the edges are the 10 %, 20 %, ..., 90 % quantiles of the
                combined value; ``equal-width``: they divide its range into ten equal parts.

        Raises:
            DataError: If an argument is not one of these, a value is not finite, or a measure
                or their sum is the same for all answers.
        """
        names = SOURCES[_known("source", source, tuple(SOURCES))]
        _known("bins", bins, BINS)
        chosen = tuple(1.0 for _ in names) if weights is None else tuple(map(float, weights))
        if len(chosen) != len(names) or not all(math.isfinite(w) and w > 0 for w in chosen):
            raise DataError(
                f"source {source!r} takes {len(names)} weight(s) above 0, for "
                f"{' and '.join(names)}; got {', '.join(map(str, weights or ())) or 'none'}."
            )
        columns = _columns(measures, names)
        scales = tuple(Scale.fit(z, scale, name=n) for n, z in zip(names, columns, strict=True))
        z = _combined(columns, scales, chosen)
        if z.min() == z.max():
            raise DataError(
                f"{' + '.join(names)} is the same for all {z.size:,} answers of the training "
                "part: they cancel each other; take other weights or another `source`."
            )
        shares = np.arange(1, LABELS) / LABELS
        low, high = float(z.min()), float(z.max())
        edges = np.quantile(z, shares) if bins == "equal-frequency" else low + shares * (high - low)
        edges = edges.round(_DECIMALS)
        return cls(source, scale, bins, chosen, scales, tuple(edges.tolist()), int(z.size))

    def apply(self, measures: Mapping[str, npt.ArrayLike]) -> Labels:
        """Label answers.

        Args:
            measures: By name, each of shape (n,) and finite; others are ignored.

        Raises:
            DataError: If a measure is missing or a value is not finite.
        """
        z = _combined(_columns(measures, SOURCES[self.source]), self.scales, self.weights)
        return Labels(np.searchsorted(self.edges, z, side="right").astype(np.int64), z)

    def to_dict(self) -> dict[str, Any]:
        """As JSON's types; ``from_dict`` gives an equal rule back."""
        return {"format": _FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Any, *, path: str | None = None) -> LabelRule:
        """The rule that ``to_dict`` wrote; other fields are ignored.

        Args:
            value: The JSON object.
            path: The file it stands in, for messages.

        Raises:
            DataError: If it is not such a rule.
        """
        try:
            if value["format"] != _FORMAT:
                raise ValueError(f"format {value['format']!r}, expected {_FORMAT}")
            kinds = (SOURCES, "source"), (SCALES, "scale"), (BINS, "bins")
            source, scale, bins = (_known(n, value[n], tuple(known)) for known, n in kinds)
            weights, edges = _numbers(value["weights"]), _numbers(value["edges"])
            scales = tuple(
                Scale(_numbers(item["values"]), _numbers(item["positions"]))
                for item in value["scales"]
            )
            sound = (
                len(weights) == len(scales) == len(SOURCES[source])
                and min(weights) > 0
                and len(edges) == LABELS - 1
                and bool(np.all(np.diff(edges) >= 0))
                and all(len(s.values) == len(s.positions) > 1 for s in scales)
                and all(bool(np.all(np.diff(s.values) > 0)) for s in scales)
                and all(bool(np.all(np.diff(s.positions) >= 0)) for s in scales)
            )
            if not sound:
                raise ValueError("numbers that are out of order, or too few of them")
            return cls(source, scale, bins, weights, scales, edges, int(value["fitted_on"]))
        except (KeyError, TypeError, ValueError, OverflowError, DataError) as error:
            message = f"is not a rule that selfj label wrote ({error}); name its OUTPUT.rule.json."
            raise DataError(message, path=path) from error


def in_validation(instruction: str, share: float, seed: int = 0) -> bool:
    """Whether an instruction belongs to the validation part.

    Decided by a hash of its text and the seed alone, so that all answers to an instruction are
    in one part, and stay there when the data grows. Case and white space do not count.

    Args:
        instruction: Its text.
        share: Expected share of the instructions in validation, in [0, 1).
        seed: Another seed splits otherwise.
    """
    text = f"{seed}\n{' '.join(instruction.casefold().split())}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number < share * 2**64


def _combined(columns: Sequence[Array], scales: Sequence[Scale], weights: Sequence[float]) -> Array:
    parts = zip(columns, scales, weights, strict=True)
    total: Array = np.sum([w * scale(z) for z, scale, w in parts], axis=0)
    return total.round(_DECIMALS)


def _columns(measures: Mapping[str, npt.ArrayLike], names: Sequence[str]) -> list[Array]:
    """The named measures, checked."""
    if missing := [name for name in names if name not in measures]:
        raise DataError(f"the measure {missing[0]} is missing; it needs {' and '.join(names)}.")
    columns = [_finite(measures[name], name) for name in names]
    if len({len(column) for column in columns}) > 1:
        sizes = ", ".join(f"{n} has {len(c)}" for n, c in zip(names, columns, strict=True))
        raise DataError(f"the measures must be about the same answers, but {sizes} values.")
    return columns


def _finite(measure: npt.ArrayLike, name: str) -> Array:
    z = np.asarray(measure, dtype=np.float64)
    if z.ndim != 1:
        raise DataError(f"{name} must have shape (n,), got {z.shape}.")
    wrong = np.flatnonzero(~np.isfinite(z))
    if wrong.size:
        raise DataError(
            f"{name} is {z[wrong[0]]} at position {wrong[0]} ({wrong.size:,} of {z.size:,} values "
            "are not finite); leave answers without a measure out, they have no label."
        )
    return z


def _numbers(values: Any) -> tuple[float, ...]:
    found = tuple(map(float, values))
    if not all(map(math.isfinite, found)):
        raise ValueError("a number that is not finite")
    return found


def _known(what: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise DataError(f"no {what} {value!r}; there are: {', '.join(known)}.")
    return value
