"""The loss of paired training equals Self-J's formula, written naively here."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainingArguments,
)

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.prompts.templates import fit_prompt, get_template
from selfj_eval.training.encoding import PairCollator, encode_pairs, label_tokens
from selfj_eval.training.loss import Targets, pair_loss
from selfj_eval.training.pairs import Pair
from selfj_eval.training.settings import JudgeConfig
from selfj_eval.training.trainer import JudgeTrainer

TEMPLATE = get_template("self-j")
PAIRS = [
    Pair("a", "Name a colour.", "Blue.", "Red, blue or green.", 7),
    Pair("b", "What is 2 + 3?", "It is " + "certainly " * 40 + "6.", "2 + 3 = 5", 0),
    Pair("c", "Greet me.", "Hello! \u00e9\u4e2d", "Good morning", 9),
    Pair("d", "No reference here: say yes.", "yes", None, 3),
]


def demo_tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(JUDGE_DIR)


def trained_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """``metaspace``: as Llama-2's, with byte fallback; ``unigram``: as T5's and XLNet's."""
    texts = [TEMPLATE.render(p.instruction, p.response, p.reference) for p in PAIRS] * 3
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    parts = [
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        pre_tokenizers.Digits(individual_digits=True),
    ]
    if kind == "metaspace":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special,
                                      initial_alphabet=list("0123456789"))  # fmt: skip
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=special[:3],
                                          unk_token="<unk>",
                                          initial_alphabet=list("0123456789"))  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def llama(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).double()


def room(tokenizer: PreTrainedTokenizerFast) -> int:
    """A cut-off that only the long answer exceeds."""
    whole = (TEMPLATE.render(p.instruction, p.response, p.reference) for p in PAIRS)
    return sorted(len(tokenizer(text).input_ids) for text in whole)[-2] + 6


def naive_loss(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[Pair],
    max_tokens: int,
) -> torch.Tensor:
    """One row at a time, no padding, the whole vocabulary at every position."""
    losses = []
    for pair in pairs:
        ce, at_digit = {}, {}
        for with_reference in (True, False):
            if with_reference and pair.reference is None:
                continue
            prompt = fit_prompt(
                TEMPLATE, pair.instruction, pair.response,
                pair.reference if with_reference else None,
                tokenize=lambda t: tokenizer(t, return_offsets_mapping=True).offset_mapping,
                max_tokens=max_tokens - 2,
            ).text  # fmt: skip
            length = len(tokenizer(prompt).input_ids)
            ids = [*tokenizer(prompt + str(pair.label)).input_ids, tokenizer.eos_token_id]
            assert len(ids) == length + 2 <= max_tokens
            logp = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            ce[with_reference] = -(logp[length - 1, ids[length]] + logp[length, ids[-1]]) / 2
            at_digit[with_reference] = logp[length - 1]
        losses.append(0.3 * ce[False])
        if pair.reference is not None:
            p = at_digit[True].detach()
            losses[-1] += ce[True] + 2 * (p.exp() * (p - at_digit[False])).sum()
    return torch.stack(losses).mean()


@pytest.mark.parametrize("kind", ["demo", "metaspace", "unigram"])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [1], [3]], ids=["mixed", "long", "unpaired"])
def test_loss_and_gradients_are_the_formula(kind: str, rows: list[int], tmp_path: object) -> None:
    tokenizer = demo_tokenizer() if kind == "demo" else trained_tokenizer(kind)
    pairs = [PAIRS[row] for row in rows]
    label = label_tokens(tokenizer, TEMPLATE, kind)
    encoded = encode_pairs(pairs, tokenizer, TEMPLATE, label, room(tokenizer))
    assert encoded.trimmed == 2 * (1 in rows)
    model = llama(len(tokenizer))
    naive = naive_loss(model, tokenizer, pairs, room(tokenizer))
    naive.backward()
    gradients = {name: w.grad.clone() for name, w in model.named_parameters()}
    model.zero_grad()
    trainer = JudgeTrainer(
        config=JudgeConfig(base="", train_ref="", train_noref="", output=""), label=label,
        model=model, args=TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"),
    )  # fmt: skip
    batch = PairCollator(0, left=True)(list(encoded.dataset))
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    assert loss.item() == pytest.approx(naive.item(), abs=1e-6)
    for name, weight in model.named_parameters():
        assert torch.allclose(weight.grad, gradients[name], atol=1e-6, rtol=0), name


def test_a_spread_label_is_a_normal_curve_around_it() -> None:
    logits = torch.zeros(1, 1, 10, dtype=torch.float64)
    targets = Targets(torch.tensor([0]), torch.arange(10), None, spread=1.0)
    goal = (-(torch.arange(10.0) ** 2) / 2).softmax(-1).double()
    logits[0, 0] = goal.log()
    loss = pair_loss(logits, logits, targets, torch.tensor([0]), student_weight=1, kl_weight=1)
    entropy = -(goal * goal.log()).sum()
    assert loss.ce_ref.item() == pytest.approx(entropy.item(), rel=1e-6)
    assert loss.kl.item() == pytest.approx(0, abs=1e-9)


def test_the_student_does_not_pull_the_teacher() -> None:
    torch.manual_seed(0)
    teacher, student = (torch.randn(2, 1, 10, requires_grad=True) for _ in range(2))
    targets = Targets(torch.tensor([4, 5]), torch.arange(10), None)
    pair_loss(
        teacher, student, targets, torch.tensor([0, 1]), student_weight=0, kl_weight=1
    ).kl.backward()
    assert teacher.grad is None or not teacher.grad.any()
    assert student.grad is not None and student.grad.any()
