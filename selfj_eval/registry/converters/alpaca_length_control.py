"""What AlpacaEval's length-controlled win rate is regularised with, worked out from its results.

Length control (Dubois et al. 2024, arXiv:2404.04475) fits a logistic regression for each model m,

    P(m preferred) = sigmoid(a tanh(length difference) + b difficulty + c),

to m's preferences and, with a weight of 0.1 each and without c, to those of two models that are
AlpacaEval 2's baseline told to be concise and to be verbose. These two sets of preferences are
``df_gamed.csv``, which the repository does not have. What it has gives all that the fit depends on:

* the difficulties, from the fitted probabilities of one model and its stored a, b and c;
* the lengths, from the stored outputs;
* of the preferences y only the sums of y tanh(length difference) and of y difficulty count in the
  fit. They follow from the condition for a minimum at any model's stored a, b and c.

The preferences yielded are not real ones: they are smooth, and have these two sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from selfj_eval.registry.converters.alpaca_eval import positions, preference, table, texts
from selfj_eval.registry.converters.fields import field, listed
from selfj_eval.registry.converters.finishing import SetRow
from selfj_eval.registry.upstream import UpstreamFile

_COEFFICIENTS = (
    "np.tanh(std_delta_len)",
    "instruction_difficulty",
    "not_gamed_baseline.astype(float)",
)
_GAMED = ("gpt4_1106_preview_concise", "gpt4_1106_preview_verbose")
_WEIGHT = 0.1  # of a gamed row: upstream's 0.2, for two models

Array = npt.NDArray[np.float64]


def gamed(files: Sequence[UpstreamFile]) -> Iterator[SetRow]:
    """The two gamed models' rows in the columns of ``df_gamed.csv``.

    Args:
        files: Stored coefficients of the length control; stored outputs of the baseline, of the
            concise and of the verbose model; annotations of a model with all preferences, with
            the fitted probabilities as ``glm_preference``.
    """
    stored, baseline, concise, verbose, annotations = files
    coefficients = _coefficients(stored)
    order = positions(baseline)
    first = texts(baseline, "output")
    model, fitted, preferred, lengths = _annotations(annotations, order)
    for name in (*_GAMED, model):
        if name not in coefficients:
            raise stored.error(f"has no row for {name}")
    own = coefficients[model]
    difficulty = (np.log(fitted / (1 - fitted)) - own[2]) / own[1]
    deltas = []
    for file in (concise, verbose):
        outputs = texts(file, "output")
        if outputs.keys() != order.keys():
            raise file.error(f"has other instructions than {baseline}")
        deltas.append(_standardised([len(first[k]) - len(outputs[k]) for k in order]))

    rows = [np.column_stack([np.tanh(d), difficulty, np.ones(len(order))]) for d in deltas]
    pairs = zip(rows, _GAMED, strict=True)
    fit = np.concatenate([part @ coefficients[name] for part, name in pairs])
    features = np.concatenate(rows)[:, :2]
    sums = _sums(features, np.tanh(lengths), difficulty, preferred, own)
    tilted = _tilted(fit, features, sums)
    if not np.allclose(features.T @ tilted, sums, atol=1e-6):
        raise annotations.error(f"does not agree with the coefficients of {stored}")
    values = iter(tilted)
    for name, delta in zip(_GAMED, deltas, strict=True):
        for index in range(len(order)):
            yield {
                "model": name,
                "preference": float(next(values)),
                "index": index,
                "std_delta_len": float(delta[index]),
                "instruction_difficulty": float(difficulty[index]),
                "not_gamed_baseline": False,
            }


def _sums(
    gamed: Array, tanh_length: Array, difficulty: Array, preferred: Array, own: Array
) -> Array:
    """What the gamed preferences times each feature add up to.

    At the minimum of |w| + C (loss), the derivative of the loss by each coefficient is
    -sign(w) / C. The coefficient c has no part in the gamed rows, and so gives 1 / C, which
    upstream chose by cross-validation and did not store.
    """
    rows = np.column_stack([tanh_length, difficulty, np.ones(len(difficulty))])
    missing = rows.T @ (preferred - _sigmoid(rows @ own))
    penalty = missing[2] * np.sign(own[2])
    left: Array = (penalty * np.sign(own[:2]) - missing[:2]) / _WEIGHT
    return gamed.T @ _sigmoid(gamed @ own[:2]) + left


def _tilted(fit: Array, features: Array, sums: Array) -> Array:
    """The models' own fitted probabilities, moved along the features until the sums are right."""
    tilt = np.zeros(features.shape[1])
    for _ in range(50):  # Newton's method; the sums are a gradient of a convex function
        values = _sigmoid(fit + features @ tilt)
        slope = features.T @ (features * (values * (1 - values))[:, None])
        step = np.linalg.solve(slope, sums - features.T @ values)
        tilt += step
        if np.abs(step).max() < 1e-12:
            break
    return _sigmoid(fit + features @ tilt)


def _annotations(file: UpstreamFile, order: Mapping[str, int]) -> tuple[str, Array, Array, Array]:
    """Model, fitted probabilities, preferences (0 to 1) and standardised length differences."""
    fitted, preferred = np.full(len(order), np.nan), np.full(len(order), np.nan)
    lengths = [0] * len(order)
    model = file.path.split("/")[1]
    for place, row in listed(file):
        instruction = field(file, place, row, "instruction", str)
        if instruction not in order:
            raise file.error("not an instruction of the evaluation set", place, "instruction")
        position = order[instruction]
        value = preference(file, place, row)
        probability = field(file, place, row, "glm_preference")
        if value is None:
            raise file.error("expected a number", place, "preference")
        if not isinstance(probability, float) or not 0 < probability < 1:
            raise file.error("expected a number between 0 and 1", place, "glm_preference")
        preferred[position], fitted[position] = value - 1, probability
        first, second = (field(file, place, row, name, str) for name in ("output_1", "output_2"))
        lengths[position] = len(first) - len(second)
    if np.isnan(preferred).any():
        raise file.error(f"lacks {np.isnan(preferred).sum()} of {len(order)} instructions")
    return model, fitted, preferred, _standardised(lengths)


def _coefficients(file: UpstreamFile) -> dict[str, Array]:
    found = {}
    for number, row in enumerate(table(file, *_COEFFICIENTS), 2):
        for name in _COEFFICIENTS:
            try:
                float(row[name])
            except ValueError as error:
                raise file.error("expected a number", f"line {number}", name) from error
        found[row[""]] = np.array([float(row[name]) for name in _COEFFICIENTS])
    return found


def _standardised(differences: Sequence[int]) -> Array:
    values = np.array(differences, dtype=np.float64)
    scaled: Array = values / values.std(ddof=1)
    return scaled


def _sigmoid(values: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-values))
    return result
