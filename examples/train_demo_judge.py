"""Train the tiny judge of ``selfj_eval.demo`` from scratch, on a CPU.

Builds a tokenizer and a small Llama, trains it on the ladder's training split with and
without reference, measures it on the embedded benchmark, whose instructions it never saw,
and writes a Hugging Face folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
import transformers
from scipy.stats import pearsonr, spearmanr
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selfj_eval.demo import demo_records, ladder
from selfj_eval.prompts import TEMPLATES
from selfj_eval.records import Record
from selfj_eval.scale import digit_token_ids, expected_score

TEMPLATE = TEMPLATES["self-j"]
VOCABULARY = 2048
POSITIONS = 1024
LM_WEIGHT = float(os.environ.get("LM", 0))

EXAMPLES = """\
examples:
  python examples/train_demo_judge.py --output my-judge
      the judge that comes with the package, in about 15 minutes on two cores
  python examples/train_demo_judge.py --output quick --steps 300 --instructions 1000
      a worse one, in two minutes
"""


class Batch(NamedTuple):
    ids: torch.Tensor
    last: torch.Tensor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instructions", type=int, default=4000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    rng = Random(args.seed)
    t0 = time.time()
    records = ladder("train", instructions=args.instructions, seed=args.seed)
    free_t = [TEMPLATE.render(r.instruction, r.response) for r in records]
    ref_t = [TEMPLATE.render(r.instruction, r.response, r.reference) for r in records]
    tok = build_tokenizer(ref_t[: 10000])
    free = [e for e in tok(free_t).input_ids]
    ref = [e for e in tok(ref_t).input_ids]
    print("vocab", len(tok), "lengths", np.mean([len(x) for x in free]), np.mean([len(x) for x in ref]), np.max([len(x) for x in ref]), time.time() - t0)
    digits = digit_token_ids(lambda t: tok(t).input_ids, TEMPLATE.probe(), "demo")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tok), hidden_size=args.width, intermediate_size=args.width * 21 // 8 // 8 * 8,
        num_hidden_layers=args.layers, num_attention_heads=args.width // 32, num_key_value_heads=args.width // 32, head_dim=32,
        max_position_embeddings=POSITIONS, tie_word_embeddings=True, bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id, rms_norm_eps=1e-5))
    head = torch.nn.Linear(args.width, 2)
    n = sum(p.numel() for p in model.parameters())
    print("params", n, n * 4 / 1e6, "MB")
    opt = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min(1, (s + 1) / 100) * max(0.02, 1 - s / args.steps))
    labels = torch.tensor([int(r.rating) for r in records])
    dig = torch.tensor(digits)
    grid = torch.arange(10.0)
    order: list[list[int]] = []
    run = []
    t0 = time.time()
    for step in range(args.steps):
        if not order:
            idx = list(range(len(records))); rng.shuffle(idx)
            pool = 50 * args.batch
            for a in range(0, len(idx), pool):
                p = sorted(idx[a : a + pool], key=lambda i: len(ref[i]))
                b = [p[k : k + args.batch] for k in range(0, len(p), args.batch)]
                rng.shuffle(b); order += b
        pick = order.pop(0)
        y = labels[pick]
        soft = torch.softmax(-((grid - y[:, None]) ** 2) / (2 * 0.4**2), -1)
        target = torch.zeros(len(pick), len(tok)); target[:, dig] = soft
        total = 0
        losses = []
        for texts in (ref, free):
            ids, last = pad([texts[i] for i in pick], tok.pad_token_id)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
                logits = model.lm_head(hidden[torch.arange(len(pick)), last]).float()
                loss = functional.cross_entropy(logits, target)
                losses.append(loss.item())
                if LM_WEIGHT:
                    mask = torch.arange(ids.shape[1])[None] <= last[:, None]
                    aux = functional.binary_cross_entropy_with_logits(head(hidden).float()[mask], repeats(ids)[mask])
                    loss = loss + LM_WEIGHT * aux
                    losses.append(aux.item())
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step(); sched.step(); opt.zero_grad(set_to_none=True)
        run.append(losses)
        if (step + 1) % 50 == 0:
            print(step + 1, np.mean(run, 0).round(3), f"{time.time()-t0:.0f}s", flush=True); run = []
        if (step + 1) % 500 == 0 or step + 1 == args.steps:
            evaluate(model, tok, digits)
    args.output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(args.output); tok.save_pretrained(args.output)


def repeats(ids):
    """(b, n, 2): whether the pair / triple of tokens ending here has occurred before."""
    out = []
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)
    pair = same.clone(); pair[:, 1:, 1:] &= same[:, :-1, :-1]; pair[:, 0] = False; pair[:, :, 0] = False
    tri = pair.clone(); tri[:, 1:, 1:] &= pair[:, :-1, :-1]
    return torch.stack([pair.any(-1), tri.any(-1)], -1).float()


def pad(seqs, pad_id):
    last = torch.tensor([len(s) - 1 for s in seqs])
    ids = torch.full((len(seqs), int(last.max()) + 1), pad_id)
    for r, s in zip(ids, seqs): r[: len(s)] = torch.tensor(s)
    return ids, last


@torch.no_grad()
def evaluate(model, tok, digits):
    model.eval()
    recs = demo_records()
    y = np.array([r.rating for r in recs])
    for wref in (True, False):
        seqs = tok([TEMPLATE.render(r.instruction, r.response, r.reference if wref else None) for r in recs]).input_ids
        out = np.zeros((len(recs), 10))
        order = sorted(range(len(recs)), key=lambda i: len(seqs[i]))
        for k in range(0, len(order), 50):
            p = order[k : k + 50]
            ids, last = pad([seqs[i] for i in p], tok.pad_token_id)
            h = model.model(input_ids=ids, use_cache=False).last_hidden_state[torch.arange(len(p)), last]
            out[p] = torch.log_softmax(model.lm_head(h), -1)[:, digits].numpy()
        e = expected_score(out)
        kinds = {}
        for k in sorted({r.category for r in recs}):
            m = np.array([r.category == k for r in recs]); kinds[k] = round(float(spearmanr(e.score[m], y[m])[0]), 2)
        print("REF" if wref else "FREE", "spearman", round(spearmanr(e.score, y)[0], 3), "pearson", round(pearsonr(e.score, y)[0], 3), "mass", e.digit_mass.mean().round(4), kinds)
        print("   means", [round(float(e.score[y == k].mean()), 1) for k in range(10)], flush=True)
    model.train()


def build_tokenizer(texts):
    phrases = ["<pad>", "<s>", "</s>"]
    tk = Tokenizer(models.BPE())
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tk.decoder = decoders.ByteLevel()
    fixed = template_phrases()
    def body():
        for t in texts:
            for f in fixed: t = t.replace(f, "\n")
            yield t
    tk.train_from_iterator(body(), trainers.BpeTrainer(vocab_size=VOCABULARY - len(fixed), min_frequency=2, special_tokens=phrases, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tk.add_tokens([AddedToken(f, normalized=False, special=False) for f in fixed])
    tk.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tk, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=POSITIONS, clean_up_tokenization_spaces=False)


def template_phrases():
    a = TEMPLATE.render("\0", "\0", "\0").split("\0")
    b = TEMPLATE.render("\0", "\0").split("\0")
    return list(dict.fromkeys([*a, *b]))


main()
