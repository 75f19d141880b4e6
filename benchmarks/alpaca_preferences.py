"""Rank AlpacaEval's models by a scorer that learned GPT-4's stored preferences of other models.

A gradient boosting model predicts the preference for an answer (the probability that it beats
GPT-4 Turbo's) from what is cheap to see: its length, layout and vocabulary, those of the
baseline's answer, and their TF-IDF similarity. It knows nothing of what is true. An answer is
scored by learners that have seen neither its model nor its instruction. The data are
CC BY-NC 4.0, so no trained model is part of the package.

example: python benchmarks/alpaca_preferences.py
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer

from selfj_eval.registry.folder import data_file

Array = npt.NDArray[np.float64]

ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"
BASELINE = "output_gpt4_1106_preview"
LEADERBOARD = "leaderboards/v2_weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"
GOALS = {"V2 win rate": "win_rate", "length-controlled": "length_controlled_winrate"}
COUNTED = {
    "lines": r"\n",
    "items": r"(?m)^\s*(?:[-*]|\d+\.)\s",
    "bold": r"\*\*",
    "headings": r"(?m)^#+ ",
    "code": "```",
    "exclamations": "!",
}
REFUSED = r"(?i)\bsorry\b|\bas an ai\b|\bi (?:cannot|can't)\b"
FOLDS = 5


def main() -> None:
    """Train, rank, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap")
    options = parser.parse_args()
    instructions = pd.read_parquet(data_file("alpaca_eval", "instructions.parquet"))
    answers = read_answers()
    features = features_of(answers, instructions)
    answers["trained"] = predictions(answers, features)
    answers["length"], answers["tfidf"] = features["length"], features["similarity"]
    print(table(answers, options.resamples))


def read_answers() -> pd.DataFrame:
    """All models' answers, with GPT-4's preference where it is stored."""
    outputs = pd.read_parquet(data_file("alpaca_eval", "model_outputs"))
    stored = pd.read_parquet(data_file("alpaca_eval", "preferences.parquet"))
    for frame in (outputs, stored):
        frame["model"] = frame["model"].astype(str)
    stored = stored[stored.annotator.astype(str) == ANNOTATOR]
    columns = ["model", "instruction_id", "preference"]
    return outputs.merge(stored[columns], on=columns[:2], how="left").reset_index(drop=True)


def features_of(answers: pd.DataFrame, instructions: pd.DataFrame) -> pd.DataFrame:
    """One row per answer: its form, how it differs from the baseline's, and similarities."""
    baseline = instructions[BASELINE]
    of_instruction = answers.instruction_id.to_numpy()
    own, other = form(answers.output), form(baseline).iloc[of_instruction].reset_index(drop=True)
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    vectors = vectorizer.fit_transform(answers.output)
    found = {
        name: np.asarray(
            vectors.multiply(vectorizer.transform(texts)[of_instruction]).sum(axis=1)
        ).ravel()
        for name, texts in (("similarity", baseline), ("echo", instructions.instruction))
    }
    difference = (own - other).add_prefix("more ")
    return pd.concat([own, difference, other[["length"]].add_prefix("baseline "),
                      pd.DataFrame(found)], axis=1)  # fmt: skip


def form(texts: pd.Series) -> pd.DataFrame:
    """Length, layout and vocabulary of texts."""
    words = texts.str.lower().str.split()
    count = words.str.len().clip(lower=1)
    found = {name: np.log1p(texts.str.count(pattern)) for name, pattern in COUNTED.items()}
    return pd.DataFrame(
        {
            "length": np.log1p(texts.str.len()),
            **found,
            "refused": texts.str.contains(REFUSED).astype(float),
            "finished": texts.str.strip().str.endswith((".", "!", "?", "`", ")")).astype(float),
            "variety": words.map(lambda own: len(set(own))) / count,
            "word length": texts.str.len() / count,
        }
    )


def predictions(answers: pd.DataFrame, features: pd.DataFrame) -> Array:
    """For each answer, the prediction of learners that saw neither its model nor its instruction.

    A model without preferences is unseen by the learners of all folds of models: their mean.
    """
    random = np.random.default_rng(0)
    rated = sorted(answers.model[answers.preference.notna()].unique())
    models = np.array_split(random.permutation(rated), FOLDS)
    asked = np.array_split(random.permutation(answers.instruction_id.unique()), FOLDS)
    sums, counts = np.zeros(len(answers)), np.zeros(len(answers))
    for own_models, own_asked in product(models, asked):
        held_model, held_asked = (
            answers.model.isin(own_models),
            answers.instruction_id.isin(own_asked),
        )
        seen = answers.preference.notna() & ~held_model & ~held_asked
        learner = HistGradientBoostingRegressor(
            max_iter=150, learning_rate=0.05, min_samples_leaf=80, random_state=0
        ).fit(features[seen], answers.preference[seen])
        unseen = ((held_model | ~answers.model.isin(rated)) & held_asked).to_numpy()
        sums[unseen] += learner.predict(features[unseen])
        counts[unseen] += 1
    return sums / counts


def table(answers: pd.DataFrame, resamples: int) -> str:
    """Spearman with GPT-4's rankings, with intervals over instructions, as Markdown."""
    board = pd.read_csv(data_file("alpaca_eval", LEADERBOARD), index_col=0)
    rated = set(answers.model[answers.preference.notna()])
    by_model = {
        name: answers.pivot(index="model", columns="instruction_id", values=name)
        for name in ("trained", "length", "tfidf")
    }
    models = by_model["trained"].index.intersection(board.index)
    without = models[~models.isin(list(rated))]
    scores = {name: frame.loc[models].to_numpy() for name, frame in by_model.items()}
    raters = {**{name: [own] for name, own in scores.items()},
              "length + tfidf": [scores["length"], scores["tfidf"]],
              "trained + tfidf": [scores["trained"], scores["tfidf"]]}  # fmt: skip
    head = [f"{goal}, {len(own)} models" for goal in GOALS for own in (models, without)]
    lines = [f"| scorer | {' | '.join(head)} |", "| --- |" + " ---: |" * len(head)]
    for name, parts in raters.items():
        cells = []
        for column in GOALS.values():
            for own in (models, without):
                goal = board.loc[own, column].to_numpy()
                chosen = [part[models.isin(own)] for part in parts]
                cells.append(spearman(chosen, goal, resamples))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spearman(parts: list[Array], goal: Array, resamples: int) -> str:
    """Of models ranked by the sum of ranks; the interval is a bootstrap over instructions.

    Args:
        parts: Scores by model and instruction, one table per scorer.
        goal: One value per model.
        resamples: Of the bootstrap.
    """
    known = ~np.isnan(goal)
    wanted = rankdata(goal[known])
    random = np.random.default_rng(0)

    def value(columns: npt.NDArray[np.int64]) -> float:
        sums = sum(rankdata(np.nanmean(part[known][:, columns], axis=1)) for part in parts)
        return float(np.corrcoef(rankdata(sums), wanted)[0, 1])

    size = parts[0].shape[1]
    drawn = [value(random.integers(size, size=size)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{value(np.arange(size)):.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
