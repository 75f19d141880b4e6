"""Labels such as "10", token by token and packed: in a random Llama, and in a real model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from selfj_eval import Judge, Record
from selfj_eval.engines.local.transformers import TransformersBackend
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import Labels
from selfj_eval.prompts.templates import PromptTemplate

ONE_TO_TEN = Labels(tuple(map(str, range(1, 11))), tuple(map(float, range(1, 11))))
RECORDS = [
    Record("1", "Name a colour.", "Blue."),
    Record("2", "Name a colour.", "Tuesday, I would say. " * 9),
    Record("3", "Add 2 and 3.", "The sum of 2 and 3 is 5."),
]


def plain(labels: Labels) -> PromptTemplate:
    text = "Rate the answer.\nQuestion: {instruction}\nAnswer: {response}\nRating:"
    return PromptTemplate("plain", None, text, labels=labels)


def token_by_token(folder: Path, prompt: str, labels: Sequence[str]) -> list[float]:
    """Probabilities of the labels, each written out with a forward pass a token, unpacked.

    A label that begins another one is what is left when all that goes on to one is taken away.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    base = tokenizer(prompt).input_ids
    texts = {label: tokenizer(prompt + label).input_ids[len(base) :] for label in labels}

    def following(ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            return model(torch.tensor([base + ids])).logits[0, -1].double().softmax(-1)

    found = []
    for label in labels:
        own = texts[label]
        p = 1.0
        for at, token in enumerate(own):
            p *= float(following(own[:at])[token])
        longer = {t[len(own)] for t in texts.values() if t[: len(own)] == own and t != own}
        if longer:
            p *= 1 - float(following(own)[sorted(longer)].sum())
        found.append(p)
    return found


@pytest.fixture(scope="module")
def llama(
    tmp_path_factory: pytest.TempPathFactory, llama_2_tokenizer: PreTrainedTokenizerFast
) -> Path:
    """A random Llama with a tokenizer like Llama-2's: "10" is two tokens."""
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = llama_2_tokenizer
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
        initializer_range=0.4, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


LABELS = {
    "1-10": ONE_TO_TEN,
    "words": Labels(("agree", "agree fully", "disagree", "no"), (3.0, 4.0, 1.0, 0.0)),
    "nested": Labels(("1", "10", "100", "12"), (1.0, 10.0, 100.0, 12.0)),
}


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("name", LABELS)
def test_equal_to_token_by_token(llama: Path, name: str, packs: bool) -> None:
    labels = LABELS[name]
    backend = TransformersBackend(str(llama), template=plain(labels), device="cpu")
    backend._packs = packs
    judge = Judge(backend)
    judgments = judge.judge(RECORDS)
    for record, judgment in zip(RECORDS, judgments, strict=True):
        expected = token_by_token(llama, judge.prompt(record).text, labels.texts)
        assert judgment.probabilities is not None and judgment.digit_mass is not None
        got = np.array(judgment.probabilities) * judgment.digit_mass
        np.testing.assert_allclose(np.log(got), np.log(expected), atol=1e-4)
        mean = float(np.dot(expected, labels.values)) / sum(expected)
        assert judgment.score == pytest.approx(mean, abs=1e-4)
        assert min(labels.values) <= judgment.score <= max(labels.values)


def test_labels_exclude_each_other(llama: Path) -> None:
    """With every number that can be written, nothing is counted twice."""
    texts = tuple(str(n) for n in range(100))
    labels = Labels(texts, tuple(map(float, range(100))))
    judge = Judge(TransformersBackend(str(llama), template=plain(labels), device="cpu"))
    ten = Judge(TransformersBackend(str(llama), template=plain(ONE_TO_TEN), device="cpu"))
    digits = Judge(TransformersBackend(str(llama), device="cpu"), template="self-j")
    assert digits.template.labels.texts == tuple("0123456789")
    for record in RECORDS:
        (all_,), (some,) = judge.judge([record]), ten.judge([record])
        assert all_.digit_mass is not None and some.digit_mass is not None
        assert some.digit_mass <= all_.digit_mass <= 1


def test_small_batches_and_the_store_change_nothing(llama: Path) -> None:
    whole = Judge(TransformersBackend(str(llama), template=plain(ONE_TO_TEN), device="cpu"))
    parts = Judge(
        TransformersBackend(str(llama), template=plain(ONE_TO_TEN), device="cpu", batch_tokens=1)
    )
    for one, other in zip(whole.judge(RECORDS), parts.judge(RECORDS), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_values_decide_the_score_and_rescale_puts_it_on_nine(llama: Path) -> None:
    def score(labels: Labels) -> float:
        judge = Judge(TransformersBackend(str(llama), template=plain(labels), device="cpu"))
        (judgment,) = judge.judge(RECORDS[:1])
        assert judgment.score is not None
        return judgment.score

    usual = score(ONE_TO_TEN)
    assert score(Labels(ONE_TO_TEN.texts, tuple(-v for v in ONE_TO_TEN.values))) == -usual
    rescaled = score(Labels(ONE_TO_TEN.texts, ONE_TO_TEN.values, rescale=True))
    assert rescaled == pytest.approx(usual - 1)


def test_a_label_that_joins_the_prompt_is_refused(llama: Path) -> None:
    """To this tokenizer " 5" is one piece, as " Yes" is to most."""
    template = PromptTemplate("t", None, "{response}\nRating: ", labels=LABELS["1-10"])
    with pytest.raises(JudgeError, match="joins label '1' with the prompt.*write label ' 1'"):
        TransformersBackend(str(llama), template=template, device="cpu")


@pytest.mark.long
def test_one_to_ten_with_a_real_model(small_base: Path) -> None:
    """Digits are single tokens there, and "10" is two."""
    backend = TransformersBackend(
        str(small_base), template=plain(ONE_TO_TEN), device="cpu", dtype="float32"
    )
    assert [len(ids) for ids in backend._tokenizer.labels.sequences] == [1] * 9 + [2]
    judge = Judge(backend)
    for record, judgment in zip(RECORDS, judge.judge(RECORDS), strict=True):
        expected = token_by_token(small_base, judge.prompt(record).text, ONE_TO_TEN.texts)
        assert judgment.probabilities is not None and judgment.digit_mass is not None
        got = np.array(judgment.probabilities) * judgment.digit_mass
        np.testing.assert_allclose(got, expected, atol=1e-4)
        np.testing.assert_allclose(np.log(got), np.log(expected), atol=1e-3)
        assert expected[0] != pytest.approx(expected[0] + expected[9], rel=1e-3)


def test_both_texts_of_a_template_are_tried(tmp_path: Path) -> None:
    """Labels are read behind with_reference, too: it may end otherwise."""
    words = Labels(("yes", "no"), (1.0, 0.0))
    end = "{response} Answer:"
    spaced = PromptTemplate("t", "{reference} {response} Answer: ", end, labels=words)
    with pytest.raises(JudgeError, match="joins label 'yes' with the prompt: let the prompt"):
        JudgeTokenizer("demo", template=spaced)
    vocab = {w: at for at, w in enumerate(("[UNK]", "x", ":", "yes", "no", "##yes", "##no"))}
    pieces = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]").save_pretrained(tmp_path)
    LlamaConfig(vocab_size=7).save_pretrained(tmp_path)
    for ends, same in (("{response} x:", True), ("{response} x", False)):
        template = PromptTemplate("t", "{reference} " + ends, "{response} x:", labels=words)
        if same:
            JudgeTokenizer(str(tmp_path), template=template)
            continue
        with pytest.raises(JudgeError, match="other tokens after with_reference than after"):
            JudgeTokenizer(str(tmp_path), template=template)


def test_a_loaded_judge_takes_no_template_that_ends_otherwise() -> None:
    loaded = TransformersBackend("demo", template=plain(ONE_TO_TEN), device="cpu")
    spaced = replace(plain(ONE_TO_TEN), without_reference="{instruction} {response} Grade: ")
    with pytest.raises(JudgeError, match=r"labels, chat or end are not those of plain"):
        Judge(loaded, template=spaced)
    assert Judge(loaded, template=replace(spaced, without_reference="{response} Grade:"))


def test_the_labels_fit_into_the_context_with_the_prompt(llama: Path) -> None:
    backend = TransformersBackend(str(llama), template=plain(ONE_TO_TEN), device="cpu")
    assert backend.max_tokens == 511  # "1" stands behind the prompt where "10" is asked for
    with_digits = Labels(tuple("12345"), (1.0, 2.0, 3.0, 4.0, 5.0))
    alone = TransformersBackend(str(llama), template=plain(with_digits), device="cpu")
    assert alone.max_tokens == 512
