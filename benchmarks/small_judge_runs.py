"""Trains the judges, and scores what they have not seen."""

from __future__ import annotations

import shutil
from pathlib import Path

from rated_sets import sample
from safetensors.torch import load_file, save_file
from small_judge_changes import changed_copies
from small_judge_data import Run, Sets, trainable, unseen
from small_judge_recipes import Recipe

from selfj_eval import Judge, Record
from selfj_eval.engines.models.text_encoder import TextEncoder
from selfj_eval.engines.models.tokenizer import load_tokenizer
from selfj_eval.engines.models.weights import resolve_folder
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.prompts.templates import keep_ends
from selfj_eval.records.writing import write_rows
from selfj_eval.training.judge import train_judge
from selfj_eval.training.labelling.rules import LabelRule
from selfj_eval.training.pairs import Pair, write_pairs

PROMPTS = {"with": True, "without": False}
SCORED_TOKENS = 768
WEIGHTS = "adapter_model.safetensors"


def train(base: str, work: Path, recipe: Recipe, run: Run, sets: Sets) -> Path:
    """The folder of a trained judge."""
    output = work / recipe.name / run.name
    output.parent.mkdir(parents=True, exist_ok=True)
    files = [output.with_name(f"{run.name}.{kind}.jsonl") for kind in ("ref", "noref")]
    write_pairs(files[0], files[1], pairs(base, recipe, run, sets))
    train_judge(
        base=base, train_ref=files[0], train_noref=files[1], output=output, allow_unpaired=True,
        lora_r=recipe.rank, lora_alpha=2.0 * recipe.rank, lora_dropout=0.0,
        lora_modules=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                      "down_proj"),
        freeze_layers=recipe.freeze_layers, max_tokens=recipe.max_tokens,
        kl_weight=recipe.kl_weight, student_weight=1.0, label_spread=1.0, dtype="bfloat16",
        epochs=recipe.epochs, learning_rate=recipe.learning_rate, warmup_ratio=0.05, batch_size=8,
        gradient_accumulation=2, logging_steps=5, save_steps=20, cache_frozen=True,
    )  # fmt: skip
    return output


def pairs(base: str, recipe: Recipe, run: Run, sets: Sets) -> list[Pair]:
    """Labelled answers; the ten labels are equally frequent in each set."""
    folder = resolve_folder(base, code=False)
    encoder = TextEncoder(load_tokenizer(folder, base, False)[1])

    def cut(text: str | None) -> str | None:
        if text is None:
            return None
        return keep_ends(text, encoder.encode(text).offsets, recipe.reference_tokens)

    found = []
    for records in trainable(sets, run).values():
        chosen = sample(records, round(recipe.scale * run.answers), seed=0)
        ratings = {"rating": [r.rating or 0.0 for r in chosen]}
        labels = LabelRule.fit(ratings, source="rating").apply(ratings).label
        labelled = [
            Pair(r.id, r.instruction, r.response, cut(r.reference), int(label))
            for r, label in zip(chosen, labels, strict=True)
        ]
        found += labelled + changed_copies(labelled, recipe.changed)
    return found


def ship(judge: Path) -> None:
    """Leave the adapter as it lies in the package: bfloat16, and notes without folders."""
    output = judge.with_name("shipped")
    output.mkdir(exist_ok=True)
    weights = load_file(judge / WEIGHTS)
    halved = {name: weight.bfloat16().contiguous() for name, weight in weights.items()}
    save_file(halved, output / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(judge / "adapter_config.json", output / "adapter_config.json")
    notes = read_json(judge / "training.json")
    notes["config"] |= {
        name: Path(value).name
        for name, value in notes["config"].items()
        if isinstance(value, str) and "/" in value
    }
    for file in notes["files"].values():
        file["name"] = Path(file["name"]).name
    del notes["data"]["train"]["longest"]
    write_json(output / "training.json", notes)


def score(judge: Path, base: str, run: Run, sets: Sets, most: int) -> None:
    """Score samples of the unseen sets, with reference and without."""
    for source, records in unseen(sets, run).items():
        chosen, referred = samples(records, most)
        for prompt, reference in PROMPTS.items():
            done = score_file(judge, source, prompt)
            if done.exists():
                continue
            asked = referred if reference else list({r.id: r for r in chosen + referred}.values())
            rows = _scores(judge, base, asked, reference) if asked else []
            done.parent.mkdir(exist_ok=True)
            write_rows(done, rows)
            print(f"{judge.parent.name} {run.name}: {source} {prompt} reference", flush=True)


def samples(records: list[Record], most: int) -> tuple[list[Record], list[Record]]:
    """Answers of a set, and answers that have a reference: the same ones where most do."""
    chosen = sample(records, most, seed=1)
    referred = [r for r in chosen if r.reference is not None]
    if len(referred) < len(chosen) / 2:
        referred = sample([r for r in records if r.reference is not None], most, seed=1)
    return chosen, referred


def score_file(judge: Path, source: str, prompt: str) -> Path:
    """Where the scores of a set are kept."""
    return judge.with_name(f"{judge.name}.scores") / f"{source}.{prompt}.jsonl"


def _scores(
    judge: Path, base: str, records: list[Record], reference: bool
) -> list[dict[str, object]]:
    loaded = Judge.load(
        base, adapter=str(judge), reference=reference, max_tokens=SCORED_TOKENS, dtype="bfloat16"
    )
    return [
        {"id": r.id, "score": j.score, "error": j.error}
        for r, j in zip(records, loaded.judge(records), strict=True)
    ]
