"""Train the tiny judge of ``selfj_eval.demo`` from scratch, on a CPU.

Builds a tokenizer and a small Llama with random weights, writes the ladder's training split as
paired labels, trains with ``train_judge``, measures the judge on the embedded benchmark,
whose instructions it never saw, and writes a Hugging Face folder. The same command gives the same
judge on one machine, also when it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selfj_eval import Judge
from selfj_eval.demo import TEST_INSTRUCTIONS, demo_records, ladder
from selfj_eval.prompts.templates import get_template
from selfj_eval.records.record import Record
from selfj_eval.training.judge import train_judge
from selfj_eval.training.pairs import Pair, write_pairs

EXAMPLES = """\
examples:
  python examples/train_demo_judge.py --output my-judge
      a judge like the one that comes with the package
  python examples/train_demo_judge.py --output quick --steps 300 --instructions 1000
      a much worse one, in a few minutes
"""

TEMPLATE = get_template("self-j")
VOCABULARY = 2048
POSITIONS = 1024
WIDTH = 128
LAYERS = 4
HEAD = 32
LONG_EVERY, LONG_CHARACTERS = 200, 2500
"""One answer in so many gets a long prompt, so that the model has seen late positions."""
SETTINGS: dict[str, Any] = {
    # Both prompts count alike, and nothing is distilled: from scratch the distillation pulls the
    # teacher towards ignoring the reference.
    "student_weight": 1, "kl_weight": 0, "label_spread": 0.4, "lora_r": 0, "max_tokens": 1024,
    "gradient_accumulation": 1, "warmup_steps": 100, "adam_beta2": 0.98, "weight_decay": 0.05,
    "dtype": "bfloat16", "logging_steps": 50,
}  # fmt: skip


def main() -> None:
    """Parse arguments, train, measure, write."""
    args = parse_args()
    work = Path(f"{args.output}.work")
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    records = ladder("train", instructions=args.instructions, seed=args.seed)
    tokenizer = build_tokenizer(records[:10_000])
    model = build_model(tokenizer)
    tokenizer.save_pretrained(work / "base")
    model.save_pretrained(work / "base")
    write_pairs(work / "ref.jsonl", work / "noref.jsonl", pairs(records, Random(args.seed)))
    trained = train_judge(
        base=work / "base",
        train_ref=work / "ref.jsonl",
        train_noref=work / "noref.jsonl",
        output=args.output,
        max_steps=args.steps,
        batch_size=args.batch,
        learning_rate=args.rate,
        seed=args.seed,
        **SETTINGS,
    )
    print(trained)
    report = measure(args.output)
    print(report)
    size, minutes = trained.parameters.all, trained.seconds / 60
    (args.output / "README.md").write_text(model_card(report, size, minutes), encoding="utf-8")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--steps", type=int, default=1600, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="answers a step; %(default)s")
    parser.add_argument("--instructions", type=int, default=4000, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate; %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser.parse_args()


def build_tokenizer(records: Sequence[Record]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, trained on instructions and answers.

    The fixed phrases of the prompt template are one token each: that halves the prompts and
    so the time of training.
    """
    filled = TEMPLATE.render("\0", "\0", "\0"), TEMPLATE.render("\0", "\0")
    phrases = list(dict.fromkeys(part for text in filled for part in text.split("\0")))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    # The words of the template belong in the vocabulary too, for other templates.
    texts = [text for r in records for text in (r.instruction, r.response, r.reference or "")]
    bpe.train_from_iterator(
        [*texts, *phrases * 10],
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - len(phrases),
            min_frequency=2,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    bpe.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bpe.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A small Llama with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH * 21 // 8,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // HEAD,
        num_key_value_heads=WIDTH // HEAD,
        head_dim=HEAD,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def pairs(records: Sequence[Record], rng: Random) -> list[Pair]:
    """The training data, in an order that is not the ladder's; a few with long instructions."""
    found = []
    for number, record in enumerate(rng.sample(records, len(records))):
        instruction = record.instruction
        if number % LONG_EVERY == 0:
            room, others = rng.randrange(LONG_CHARACTERS), [instruction]
            while sum(map(len, others)) < room:
                other = rng.choice(records)
                others.insert(0, f"{other.instruction}\n{other.reference}")
            instruction = "\n\n".join(others)
        if record.response.strip():
            label = int(record.rating or 0)
            found.append(Pair(record.id, instruction, record.response, record.reference, label))
    return found


def measure(folder: Path) -> str:
    """Agreement with the ratings of the embedded benchmark, as Markdown tables."""
    records = demo_records()
    ratings = np.array([record.rating for record in records])
    kinds = np.array([record.category for record in records])
    whole, table = [], {kind: [kind] for kind in sorted(set(kinds))}
    for with_reference in (True, False):
        judgments = Judge.load(str(folder), reference=with_reference).judge(records)
        score = np.array([judgment.score for judgment in judgments], dtype=float)
        mass = np.array([judgment.digit_mass for judgment in judgments], dtype=float)
        name = "with reference" if with_reference else "without"
        numbers = spearmanr(score, ratings)[0], pearsonr(score, ratings)[0], mass.mean()
        whole.append(f"| {name} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
        for kind, row in table.items():
            row.append(f"{spearmanr(score[kinds == kind], ratings[kinds == kind])[0]:.2f}")
    lines = ["| prompt | Spearman | Pearson | digit mass |", "| --- | --- | --- | --- |", *whole]
    lines += ["", "| Spearman by kind | with reference | without |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table.values())])


def model_card(report: str, size: int, minutes: float) -> str:
    """The text of the folder's README.md."""
    return f"""\
---
license: apache-2.0
library_name: transformers
tags: [selfj-eval, toy]
---
# Demo judge of selfj-eval

A toy: do not use it to judge real answers. It is a Llama of {size:,} parameters that was
trained from scratch on the quality ladder of `selfj_eval.demo`, made-up instructions with ten
answers each that are rated 0 to 9 by construction. It has seen nothing else. It is there to
try out and to test selfj-eval without a download, and it speaks the protocol of Self-J
(arXiv 2409.00935): prompt template `self-j`, score = expected digit. It is not Self-J.

Measured in float32 on the embedded benchmark ({TEST_INSTRUCTIONS} instructions with ten answers
each; none of the instructions is in the training split):

{report}

Made in {minutes:.0f} minutes on two CPU cores with

    python examples/train_demo_judge.py --output my-judge
"""


if __name__ == "__main__":
    main()
