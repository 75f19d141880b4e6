"""How often the intervals of agreement between raters cover the truth, as Markdown.

Made ratings on a scale of 1 to 5: instructions and answers have normal qualities of equal variance,
each rater adds a bias and noise, and four thresholds make a rating of the sum. For kappa and alpha
the raters are the same in every draw, and the truth is that of a million answers. For the ICC the
raters are drawn, too, and the truth is that of 300 raters of 20,000 answers. ICC(2,k) is not shown:
its interval follows from that of ICC(2,1), and covers when that one does.

examples:
  python benchmarks/rater_intervals.py
  python benchmarks/rater_intervals.py --instructions 30 --draws 1000
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from selfj_eval.evaluation.agreement import Drawing
from selfj_eval.metrics import intraclass_correlation
from selfj_eval.metrics.pair_order import Counts
from selfj_eval.metrics.resampled_raters import ResampledRaters

Array = npt.NDArray[np.float64]
Random = np.random.Generator

BIASES = (0.0, 0.4, -0.3)  # of the raters that are the same in every draw
BIAS = 0.35  # standard deviation of the drawn ones
NOISE = 0.7
THRESHOLDS = (-1.5, -0.5, 0.5, 1.5)
NAMES = (
    "kappa, unweighted", "kappa, linear", "kappa, quadratic",
    "alpha, interval", "alpha, ordinal", "alpha, nominal",
    "ICC(2,1)",
)  # fmt: skip


def ratings(random: Random, instructions: int, answers: int, biases: Array) -> Array:
    """Shape (instructions x answers, raters)."""
    quality = random.normal(0, 0.5**0.5, (instructions, answers))
    quality += random.normal(0, 0.5**0.5, (instructions, 1))
    noise = random.normal(0, NOISE, (quality.size, len(biases)))
    return np.digitize(quality.reshape(-1, 1) + biases + noise, THRESHOLDS) + 1.0


def agreement(raters: ResampledRaters, drawn: Counts) -> Array:
    """Mean kappas and the alphas, shape (6,), as `selfj eval` shows them."""
    return np.concatenate([raters.kappas(drawn).mean(axis=0), raters.alphas(drawn)])


def truth(random: Random, biases: Array) -> list[float]:
    """Of each of ``NAMES``."""
    many = ratings(random, 1_000_000, 1, biases)
    found = agreement(ResampledRaters(many), np.ones(len(many), dtype=np.int64))
    drawn = ratings(random, 20_000, 1, random.normal(0, BIAS, 300))
    single = intraclass_correlation(drawn).single.value
    assert single is not None
    return [*found, single]


def main() -> None:
    """Draw, and print a row per design."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instructions", type=int, nargs="+", default=[30, 100, 300])
    parser.add_argument("--answers", type=int, nargs="+", default=[1, 3], help="per instruction")
    parser.add_argument("--raters", type=int, nargs="+", default=[2, 3], choices=(2, 3))
    parser.add_argument("--draws", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--resamples", type=int, default=1000, help="default: %(default)s")
    options = parser.parse_args()
    drawing = Drawing(options.resamples, 0.95, 0)
    random = np.random.default_rng(0)
    print(f"| raters | answers | instructions | {' | '.join(NAMES)} |")
    print("| --- | --- | --- |" + " ---: |" * len(NAMES))
    for k in options.raters:
        biases = np.array(BIASES[:k])
        true = truth(random, biases)
        print(f"| {k} | truth | | {' | '.join(f'{value:.3f}' for value in true)} |")
        for answers in options.answers:
            for n in options.instructions:
                covered = np.zeros(len(NAMES))
                for _ in range(options.draws):
                    raters = ResampledRaters(given := ratings(random, n, answers, biases))
                    found = drawing.intervals(
                        lambda drawn, own=raters: agreement(own, drawn),
                        len(given),
                        group=np.repeat(np.arange(n), answers),
                    )
                    icc = intraclass_correlation(
                        ratings(random, n, answers, random.normal(0, BIAS, k))
                    )
                    covered += [
                        i is not None and i.low <= t <= i.high
                        for i, t in zip((*found, icc.single.interval), true, strict=True)
                    ]
                shares = (f"{share:.0f}" for share in 100 * covered / options.draws)
                print(f"| {k} | {answers} | {n} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
