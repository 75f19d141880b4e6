"""Train the tiny judge of ``selfj_eval.demo`` from scratch, on a CPU.

Builds a tokenizer and a small Llama, trains it on the ladder's training split with and
without reference, measures it on the embedded benchmark, whose instructions it never saw,
and writes a Hugging Face folder. The same command gives the same judge on one machine.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selfj_eval.demo import TEST_INSTRUCTIONS, demo_records, ladder
from selfj_eval.prompts import TEMPLATES
from selfj_eval.records import Record
from selfj_eval.scale import DIGITS, digit_token_ids, expected_score

EXAMPLES = """\
examples:
  python examples/train_demo_judge.py --output my-judge
      the judge that comes with the package
  python examples/train_demo_judge.py --output quick --steps 300 --instructions 1000
      a much worse one, in two minutes
"""

TEMPLATE = TEMPLATES["self-j"]
VOCABULARY = 2048
POSITIONS = 1024
WIDTH = 128
LAYERS = 4
HEAD = 32
LABEL_SPREAD = 0.4
"""Width, in points, of the normal curve put around each label: 5 is nearly right for 6."""
LONG_EVERY, LONG_BATCH, LONG_CHARACTERS = 50, 8, 2500
"""Every so many steps, a few long prompts, so that the model has seen late positions."""


def main() -> None:
    """Parse arguments, train, measure, write."""
    args = parse_args()
    if args.output.exists():
        sys.exit(f"error: {args.output} exists; name a new folder, or remove it first.")
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    started = time.monotonic()
    records = ladder("train", instructions=args.instructions, seed=args.seed)
    tokenizer = build_tokenizer(records[:10_000])
    model = build_model(tokenizer)
    size = sum(weight.numel() for weight in model.parameters())
    print(f"{len(records)} answers, {len(tokenizer)} tokens, {size:,} parameters", flush=True)
    train(model, tokenizer, records, args)
    minutes = (time.monotonic() - started) / 60
    report = measure(model, tokenizer)
    print(report)
    write_folder(args.output, model, tokenizer, model_card(report, size, minutes))
    print(f"wrote {args.output} after {minutes:.0f} minutes of training")


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


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    records: Sequence[Record],
    args: argparse.Namespace,
) -> None:
    """Cross-entropy of the digit after the prompt, with and without reference."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.rate, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, max(0.02, 1 - step / args.steps))
    )
    spread = -((torch.arange(10.0)[:, None] - torch.arange(10.0)) ** 2) / (2 * LABEL_SPREAD**2)
    labels = torch.zeros(10, len(tokenizer))
    labels[:, _digits(tokenizer)] = spread.softmax(-1)
    rng = Random(args.seed)
    batches = _batches(records, args.batch, rng)
    losses, started = [], time.monotonic()
    for step in range(1, args.steps + 1):
        batch = _lengthen(records, rng) if step % LONG_EVERY == 0 else next(batches)
        target = labels[[int(record.rating or 0) for record in batch]]
        both = []
        for with_reference in (True, False):
            ids, last = _pad(_encode(tokenizer, batch, with_reference), tokenizer.pad_token_id)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
                logits = model.lm_head(hidden[torch.arange(len(batch)), last])
            loss = functional.cross_entropy(logits.float(), target)
            loss.backward()
            both.append(loss.item())
        losses.append(both)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == args.steps:
            with_it, without = np.mean(losses, axis=0)
            losses.clear()
            print(
                f"step {step}/{args.steps}  loss {with_it:.3f} with, {without:.3f} without "
                f"reference  {time.monotonic() - started:.0f} s",
                flush=True,
            )
    model.eval()


def _batches(records: Sequence[Record], size: int, rng: Random) -> Iterator[list[Record]]:
    """Batches of about equal length in random order, for ever."""
    while True:
        mixed = rng.sample(records, len(records))
        for start in range(0, len(mixed), 50 * size):
            pool = sorted(
                mixed[start : start + 50 * size],
                key=lambda r: len(r.instruction) + len(r.response) + len(r.reference or ""),
            )
            batches = [pool[at : at + size] for at in range(0, len(pool), size)]
            rng.shuffle(batches)
            yield from batches


def _lengthen(records: Sequence[Record], rng: Random) -> list[Record]:
    """A few records with other texts before their instructions."""
    batch = []
    for record in rng.sample(records, LONG_BATCH):
        room, others = rng.randrange(LONG_CHARACTERS), [record.instruction]
        while sum(map(len, others)) < room:
            other = rng.choice(records)
            others.insert(0, f"{other.instruction}\n{other.reference}")
        long = "\n\n".join(others)
        batch.append(Record("", long, record.response, record.reference, record.rating))
    return batch


def _encode(
    tokenizer: PreTrainedTokenizerFast, records: Sequence[Record], with_reference: bool
) -> list[list[int]]:
    prompts = [
        TEMPLATE.render(r.instruction, r.response, r.reference if with_reference else None)
        for r in records
    ]
    ids: list[list[int]] = tokenizer(prompts, verbose=False).input_ids
    half = POSITIONS // 2
    return [row if len(row) <= POSITIONS else row[:half] + row[-half:] for row in ids]


def _pad(sequences: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of shape (b, n), padded on the right, and each row's last real place (b,).

    A causal model needs no mask then: what comes later is never looked at.
    """
    last = torch.tensor([len(sequence) - 1 for sequence in sequences])
    ids = torch.full((len(sequences), int(last.max()) + 1), pad)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return ids, last


def _digits(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    return digit_token_ids(lambda text: tokenizer(text).input_ids, TEMPLATE.probe(), "demo")


@torch.no_grad()
def measure(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> str:
    """Agreement with the ratings of the embedded benchmark, as Markdown tables."""
    records = demo_records()
    ratings = np.array([record.rating for record in records])
    kinds = np.array([record.category for record in records])
    whole, table = [], {kind: [kind] for kind in sorted(set(kinds))}
    for with_reference in (True, False):
        log_probabilities = np.empty((len(records), len(DIGITS)))
        sequences = _encode(tokenizer, records, with_reference)
        order = sorted(range(len(records)), key=lambda index: len(sequences[index]))
        for start in range(0, len(order), 50):
            pick = order[start : start + 50]
            ids, last = _pad([sequences[index] for index in pick], tokenizer.pad_token_id)
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[torch.arange(len(pick)), last]).double()
            log_probabilities[pick] = logits.log_softmax(-1)[:, _digits(tokenizer)].numpy()
        score, _, mass = expected_score(log_probabilities)
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
    command = shlex.join(["python", *sys.argv])
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

    {command}
"""


def write_folder(
    folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, card: str
) -> None:
    """Write a Hugging Face folder; it appears complete or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        draft = Path(place) / "judge"
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        settings = draft / "tokenizer_config.json"
        config = json.loads(settings.read_text(encoding="utf-8"))
        # The name that every version of transformers since 4 knows.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config.pop("backend", None)
        settings.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (draft / "README.md").write_text(card, encoding="utf-8")
        for file in draft.iterdir():
            file.chmod(0o644)
        draft.replace(folder)


if __name__ == "__main__":
    main()
