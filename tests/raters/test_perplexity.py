from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

from selfj_eval.demo import JUDGE_DIR
from selfj_eval.errors import JudgeError
from selfj_eval.raters.perplexity import PerplexityRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import MeasureStore

RECORDS = [
    Record("1", "Sort ascending: 7, 3, 9.", "3, 7, 9"),
    Record("2", "What is 2 + 3?", "5"),
    Record("3", "Say {instruction}.", " It starts with a space, \u00e9\U0001f600 and a line.\n"),
    Record("4", "Tell a story.", "Once upon a time there was a king. " * 6),
    Record("5", "Sort ascending: 7, 3, 9.", "I am sorry, I cannot help with that."),
]
TEMPLATE = (
    "<s>{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} [model]{% endif %}"
)
PROMPTS: dict[str, Callable[[str], str]] = {
    "wizardlm": lambda text: f"{text}\n\n### Response:",
    "plain": lambda text: text,
    "chat": lambda text: f"[user] {text} [model]",  # <s> comes from the tokenizer here
}


@pytest.fixture(scope="module")
def chatty(tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random Llama with a chat template."""
    folder = shutil.copytree(tiny_judge, tmp_path_factory.mktemp("chatty") / "model")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def gemma(tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Gemma 2: caps its logits behind the head, so strongly that it shows."""
    folder = tmp_path_factory.mktemp("gemma")
    tokenizer = AutoTokenizer.from_pretrained(tiny_judge)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=3, head_dim=16, max_position_embeddings=768,
        sliding_window=16, final_logit_softcapping=2.0, initializer_range=0.5,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    Gemma2ForCausalLM(config).save_pretrained(folder)
    return folder


@cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)


def one_by_one(folder: Path, prompt: str, answer: str) -> list[float]:
    """Negative log-probabilities of the answer's tokens, one forward pass for each."""
    tokenizer, model = loaded(folder)
    encoded = tokenizer(prompt + answer, return_offsets_mapping=True)
    losses = []
    with torch.inference_mode():
        for at, token in enumerate(encoded.input_ids):
            if encoded["offset_mapping"][at][1] > len(prompt):
                logits = model(torch.tensor([encoded.input_ids[:at]])).logits[0, -1]
                losses.append(-logits.double().log_softmax(-1)[token].item())
    return losses


def expected(folder: Path, prompt: str, answer: str) -> float:
    losses = one_by_one(folder, prompt, answer)
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    "name, prompt",
    [("chatty", "wizardlm"), ("chatty", "plain"), ("chatty", "chat"), ("gemma", "plain"),
     ("demo", "wizardlm")],
)  # fmt: skip
def test_equals_a_loop_over_the_tokens(
    name: str, prompt: str, request: pytest.FixtureRequest
) -> None:
    folder = JUDGE_DIR if name == "demo" else request.getfixturevalue(name)
    model = name if name == "demo" else str(folder)
    rater = PerplexityRater(model, prompt=prompt, device="cpu", log=True)
    wanted = [expected(folder, PROMPTS[prompt](r.instruction), r.response) for r in RECORDS]
    found = rater.judge(RECORDS)
    assert [-(judgment.score or 0) for judgment in found] == pytest.approx(wanted, rel=1e-4)
    assert all(j.error is None and not j.trimmed_tokens and not j.reference_used for j in found)


def test_the_perplexity_is_the_exponential_and_shares_what_is_stored(
    tiny_judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MeasureStore(tmp_path / "store") as store:
        first = PerplexityRater(str(tiny_judge), device="cpu", store=store)
        scores = [judgment.score or 0 for judgment in first.judge(RECORDS)]
        assert len(store) == len(RECORDS) and first.from_store == 0
        prompt = PROMPTS["wizardlm"](RECORDS[0].instruction)
        perplexity = math.exp(expected(tiny_judge, prompt, RECORDS[0].response))
        assert scores[0] == pytest.approx(-perplexity, rel=1e-4) and scores[0] < -1

        rater = PerplexityRater(str(tiny_judge), device="cpu", log=True, store=store)
        monkeypatch.setattr(rater, "_model", None)
        logs = [judgment.score or 0 for judgment in rater.judge(RECORDS)]
        assert logs == pytest.approx([-math.log(-score) for score in scores])
        assert rater.from_store == len(RECORDS)
        assert rater.description == first.description | {"log": True}

        other = PerplexityRater(str(tiny_judge), device="cpu", prompt="plain", store=store)
        other.judge(RECORDS)
        assert other.from_store == 0 and len(store) == 2 * len(RECORDS)


@pytest.mark.parametrize("name", ["tiny_judge", "gemma"])
def test_the_batch_changes_nothing(name: str, request: pytest.FixtureRequest) -> None:
    folder = str(request.getfixturevalue(name))
    found = []
    for tokens in (1, 300, 100_000):
        rater = PerplexityRater(folder, device="cpu", log=True, batch_tokens=tokens)
        found.append([judgment.score for judgment in rater.judge(RECORDS)])
        found.append([judgment.score for judgment in rater.judge(RECORDS[::-1])][::-1])
    assert all(scores == pytest.approx(found[0], rel=1e-5) for scores in found[1:])


def test_vocabularies_are_computed_piece_by_piece_and_for_answers_only(
    tiny_judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval.raters import perplexity

    rater = PerplexityRater(str(tiny_judge), device="cpu", batch_tokens=100_000)
    wanted = [judgment.score for judgment in rater.judge(RECORDS)]
    rows: list[int] = []
    head = rater._model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, out: rows.append(out.shape[:-1].numel()))
    monkeypatch.setattr(perplexity, "_PIECE", 7 * rater._vocabulary)
    assert [j.score for j in rater.judge(RECORDS)] == pytest.approx(wanted, rel=1e-5)
    prompts = [PROMPTS["wizardlm"](r.instruction) for r in RECORDS]
    texts = zip(prompts, RECORDS, strict=True)
    own = [len(one_by_one(tiny_judge, prompt, r.response)) for prompt, r in texts]
    assert rows == [sum(own)] and sum(own) > 7
    # However large a batch may be, the vocabularies of its tokens are held in bounds.
    monkeypatch.setattr(perplexity, "_LOGITS", 50 * rater._vocabulary)
    assert PerplexityRater(str(tiny_judge), device="cpu")._batcher.tokens == 50


def test_a_batch_that_does_not_fit_into_memory_is_halved(
    tiny_judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater = PerplexityRater(str(tiny_judge), device="cpu", batch_tokens=100_000)
    wanted = [judgment.score for judgment in rater.judge(RECORDS)]
    forward = rater._model.forward

    def small(input_ids: torch.Tensor, **inputs: object) -> object:
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return forward(input_ids=input_ids, **inputs)

    monkeypatch.setattr(rater._model, "forward", small)
    assert [j.score for j in rater.judge(RECORDS)] == pytest.approx(wanted, rel=1e-5)


def test_the_end_of_what_is_too_long_is_cut_and_counted(tiny_judge: Path) -> None:
    long = Record("long", "Count.", "one two three four five six seven " * 150)
    full = Record("full", "7" * 800, "8")
    rater = PerplexityRater(str(tiny_judge), device="cpu", log=True)
    tokenizer, model = loaded(tiny_judge)
    prompt = PROMPTS["wizardlm"](long.instruction)
    tokens = len(tokenizer(prompt + long.response).input_ids)
    cut, none = rater.judge([long, full])
    assert cut.trimmed_tokens == tokens - 768 > 0
    ids = torch.tensor([tokenizer(prompt + long.response).input_ids[:768]])
    start = len(tokenizer(prompt).input_ids)
    with torch.inference_mode():
        logits = model(ids).logits[0, start - 1 : -1]
    wanted = torch.nn.functional.cross_entropy(logits, ids[0, start:]).item()
    assert cut.score == pytest.approx(-wanted, rel=1e-4)
    assert none.score is None
    assert "leaves no room for an answer in the model's context of 768" in (none.error or "")
    assert rater.failed == 1


def test_an_answer_without_a_token_is_unscored(tiny_judge: Path, tmp_path: Path) -> None:
    empty = Record("empty", "Say nothing.", "", where="answers.jsonl, line 3")
    done: list[int] = []
    with MeasureStore(tmp_path / "store") as store:
        rater = PerplexityRater(str(tiny_judge), device="cpu", store=store)
        good, bad = rater.judge([RECORDS[1], empty], progress=done.append)
        assert len(store) == 1
    assert good.error is None and bad.score is None and sum(done) == 2
    assert (bad.error or "").startswith("answers.jsonl, line 3: the answer is empty")


def test_a_token_across_the_border_is_the_answers(chatty: Path) -> None:
    """Without a space between them, the prompt's last word and the answer are one token."""
    tokenizer = AutoTokenizer.from_pretrained(chatty)
    word = next(t[1:] for t in tokenizer.get_vocab() if len(t) > 5 and t[0] == "\u0120")
    record = Record("1", f"Say it: {word[:2]}", word[2:])
    whole = tokenizer(f"Say it: {word}").input_ids
    assert len(whole) == len(tokenizer("Say it:").input_ids) + 1
    rater = PerplexityRater(str(chatty), device="cpu", prompt="plain", log=True)
    wanted = one_by_one(chatty, record.instruction, record.response)
    assert len(wanted) == 1
    assert rater.judge([record])[0].score == pytest.approx(-wanted[0], rel=1e-4)


def test_the_end_token_that_a_tokenizer_adds_is_not_the_answers(
    tiny_judge: Path, tmp_path: Path
) -> None:
    from tokenizers import processors

    folder = shutil.copytree(tiny_judge, tmp_path / "ending")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("x").input_ids[-1] == 1
    plain, ending = (PerplexityRater(str(f), device="cpu") for f in (tiny_judge, folder))
    wanted = [judgment.score for judgment in plain.judge(RECORDS)]
    assert [judgment.score for judgment in ending.judge(RECORDS)] == pytest.approx(wanted)


def test_a_model_that_gives_nan_leaves_the_answer_unscored(
    tiny_judge: Path, tmp_path: Path
) -> None:
    with MeasureStore(tmp_path / "store") as store:
        rater = PerplexityRater(str(tiny_judge), device="cpu", store=store)
        with torch.no_grad():
            rater._model.get_output_embeddings().weight.fill_(float("nan"))
        judgments = rater.judge(RECORDS)
        assert len(store) == 0
    assert all(judgment.score is None for judgment in judgments)
    assert "no probability above 0 in float32" in (judgments[0].error or "")


def test_what_is_no_causal_model_is_refused(tiny_judge: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_judge)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, initializer_range=0.5,
    )  # fmt: skip
    BertLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match="what follows a token changes its probability"):
        PerplexityRater(str(tmp_path), device="cpu")
    with pytest.raises(JudgeError, match="no prompt form 'x'"):
        PerplexityRater(str(tiny_judge), device="cpu", prompt="x")
