"""What more ratings would give a small judge: a learning curve on frozen hidden states.

A ridge regression from the hidden states of `small-base` (mean and last token of five layers, no
reference in the prompt) to the ratings, ranked within each set. It learns from 300, 1,000 and 3,000
answers of the first fold's sets, and is tested on the sets that the fold has not seen
(small_judge_data.py). It takes minutes where trained judges take hours, and its curve says what
they can expect: a trained judge of the same fold has about its agreement (docs/small.md).

The states are kept in the work folder. About 20 minutes on two CPU cores.

example:
  python benchmarks/small_judge_curve.py --work curve
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
from rated_sets import sample
from scipy.stats import pearsonr, rankdata, zscore
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_judge_data import RUNS, read_sets, trainable, unseen
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval import Record
from selfj_eval.engines.models.text_encoder import TextEncoder
from selfj_eval.engines.models.weights import resolve_folder
from selfj_eval.prompts.templates import fit_prompt, get_template

LAYERS = (16, 20, 24, 27, 30)
MAX_TOKENS = 384
PENALTIES = (1e4, 3e4, 1e5, 3e5)
FOLD = RUNS["fold1"]


def main() -> None:
    """Encode, fit, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="small-base", help="a folder works too")
    parser.add_argument("--work", type=Path, required=True, help="folder for hidden states")
    parser.add_argument("--sizes", nargs="+", type=int, default=[300, 1000, 3000])
    parser.add_argument("--tested", type=int, default=150, help="answers of a set, at most")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    sets = read_sets()
    most = max(options.sizes)
    learned = {
        name: sample(records, most, seed=0) for name, records in trainable(sets, FOLD).items()
    }
    chosen = shares(learned, most)
    tested = {
        name: sample(records, options.tested, seed=1)
        for name, records in unseen(sets, FOLD).items()
    }
    encode = Encoder(options.base, options.work)
    states = {name: encode(f"learned.{name}", records) for name, records in chosen.items()}
    unseen_states = {name: encode(f"tested.{name}", records) for name, records in tested.items()}
    print("| answers | penalty | mean Pearson |\n| ---: | ---: | ---: |")
    for size in options.sizes:
        counts = {name: len(part) for name, part in shares(learned, size).items()}
        x = np.concatenate([states[name][:count] for name, count in counts.items()])
        y = np.concatenate([labels(chosen[name][:count]) for name, count in counts.items()])
        for penalty in PENALTIES:
            fitted = make_pipeline(StandardScaler(), Ridge(alpha=penalty)).fit(x, y)
            found = [
                pearsonr(fitted.predict(unseen_states[name]), [r.rating for r in records]).statistic
                for name, records in tested.items()
            ]
            print(f"| {len(y):,} | {penalty:,.0f} | {np.mean(found):.3f} |", flush=True)


def shares(records: dict[str, list[Record]], total: int) -> dict[str, list[Record]]:
    """So many answers in all, as evenly from the sets as they allow."""
    counts: dict[str, int] = {}
    left = total
    for position, name in enumerate(sorted(records, key=lambda name: len(records[name]))):
        counts[name] = min(len(records[name]), left // (len(records) - position))
        left -= counts[name]
    return {name: records[name][: counts[name]] for name in records}


def labels(records: list[Record]) -> np.ndarray:
    """Standardised ranks of the ratings of one set."""
    return zscore(rankdata([r.rating or 0.0 for r in records]))


class Encoder:
    """Hidden states of the frozen base, kept in files.

    Args:
        base: The model.
        work: Folder of the files.
    """

    def __init__(self, base: str, work: Path) -> None:
        self.work = work
        folder = resolve_folder(base, code=False)
        self.text = TextEncoder(AutoTokenizer.from_pretrained(folder))
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def __call__(self, name: str, records: list[Record]) -> np.ndarray:
        """Mean and last state of each prompt: (answers, layers x 2 x width)."""
        kept = self.work / f"{name}.{len(records)}.npy"
        if not kept.exists():
            tokens = [self.prompt(r) for r in records]
            states: dict[int, np.ndarray] = {}
            with torch.no_grad(), tqdm(total=len(tokens), desc=name) as bar:
                for batch in batches(tokens):
                    states |= dict(zip(batch, self.states([tokens[i] for i in batch]), strict=True))
                    bar.update(len(batch))
            np.save(kept, np.stack([states[i] for i in range(len(tokens))]))
        return np.load(kept)

    def prompt(self, record: Record) -> list[int]:
        """Self-J's prompt without a reference."""
        prompt = fit_prompt(
            get_template("self-j"), record.instruction, record.response, None,
            tokenize=lambda text: self.text.encode(text).offsets, max_tokens=MAX_TOKENS,
        )  # fmt: skip
        return list(self.text.encode(prompt.text).ids)

    def states(self, prompts: list[list[int]]) -> Iterator[np.ndarray]:
        """Of prompts that run together; behind their ends is padding, which no token sees."""
        width = max(map(len, prompts))
        ids = torch.tensor([p + [0] * (width - len(p)) for p in prompts])
        layers = self.model.model(ids, output_hidden_states=True, use_cache=False).hidden_states
        for row, prompt in enumerate(prompts):
            parts = [layers[k][row, : len(prompt)].float() for k in LAYERS]
            yield torch.cat([torch.cat([p.mean(0), p[-1]]) for p in parts]).numpy()


def batches(tokens: list[list[int]], most: int = 6000) -> Iterator[list[int]]:
    """Positions of prompts of like lengths, at most so many tokens together; in no order."""
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
    found = []
    while order:
        count = max(1, most // len(tokens[order[0]]))
        found.append(order[:count])
        order = order[count:]
    Random(0).shuffle(found)
    yield from found


if __name__ == "__main__":
    main()
