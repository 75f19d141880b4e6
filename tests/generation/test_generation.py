from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from selfj_eval.errors import JudgeError, StoreError
from selfj_eval.generation.answering import AnswerOutcome, answers_to, key
from selfj_eval.generation.base import PromptTokenizer
from selfj_eval.generation.options import Sampling
from selfj_eval.generation.transformers import TransformersGenerator
from selfj_eval.storage.store import Answer, AnswerStore, JudgmentStore

TEXTS = [
    "Hi.",
    "Sort ascending: 7, 3, 9.",
    "Name three colours, {and} explain why you chose them and not others.",
    "What is 2 + 3?",
    "word " * 60,
    "Hi.",
]
CONTEXT = 768


def tiny(folder: Path, **settings: Any) -> TransformersGenerator:
    return TransformersGenerator(str(folder), device="cpu", **settings)


@pytest.fixture(scope="module")
def generator(tiny_judge: Path) -> TransformersGenerator:
    return tiny(tiny_judge, batch_size=3)


def texts_of(outcomes: list[AnswerOutcome]) -> list[list[str]]:
    return [[answer.text for answer in outcome.answers] for outcome in outcomes]


def one_by_one(folder: Path, text: str, limit: int) -> str:
    """The likeliest token each time, without padding, cache or ``generate``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(f"{text}\n\n### Response:").input_ids
    new: list[int] = []
    with torch.inference_mode():
        for _ in range(min(limit, CONTEXT - len(ids))):
            token = int(model(torch.tensor([ids + new])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            new.append(token)
    return str(tokenizer.decode(new, skip_special_tokens=True)).strip()


def filler(generator: TransformersGenerator, tokens: int) -> str:
    """An instruction whose prompt has so many tokens."""
    text = "7" * (tokens - len(generator.encode("")))
    assert len(generator.encode(text)) == tokens
    return text


def test_greedy_batches_equal_one_by_one(
    generator: TransformersGenerator, tiny_judge: Path
) -> None:
    texts = [*TEXTS, filler(generator, CONTEXT - 5), filler(generator, CONTEXT - 1)]
    outcomes = answers_to(generator, texts, Sampling(max_new_tokens=12))
    assert texts_of(outcomes) == [[one_by_one(tiny_judge, text, 12)] for text in texts]
    assert all(outcome.answers[0].finish == "length" for outcome in outcomes)
    assert len({outcome.answers[0].text for outcome in outcomes[:5]}) == 5


def test_answers_end_at_the_stop_tokens_of_the_generation_config(
    generator: TransformersGenerator, tiny_judge: Path, tmp_path: Path
) -> None:
    """And at nothing else in there: how answers are drawn is not the file's business."""
    [whole] = answers_to(generator, TEXTS[2:3], Sampling(max_new_tokens=20))
    tokenizer = generator._tokenizer.tokenizer
    drawn = tokenizer(whole.answers[0].text, add_special_tokens=False).input_ids
    folder = shutil.copytree(tiny_judge, tmp_path / "judge")
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [drawn[6], 1], "repetition_penalty": 9.0, "top_k": 1})
    )
    other = tiny(folder)
    assert other._tokenizer.stop_ids == sorted({drawn[6], 1})
    assert other.identity["model"] == generator.identity["model"]
    assert key(other, "x", Sampling()) != key(generator, "x", Sampling())
    [cut] = answers_to(other, TEXTS[2:3], Sampling(max_new_tokens=20))
    end = drawn.index(drawn[6])
    assert cut.answers == (Answer(tokenizer.decode(drawn[:end]).strip(), "stop"),)


def test_samples_differ_and_follow_the_seed(generator: TransformersGenerator) -> None:
    drawn = Sampling(n=4, temperature=1.0, max_new_tokens=10, seed=5)  # more than a batch holds
    before = torch.get_rng_state()
    first = answers_to(generator, TEXTS, drawn)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert answers_to(generator, TEXTS, drawn) == first
    assert all(len(set(answers)) == 4 for answers in texts_of(first))
    assert first[0] == first[5]  # the same instruction
    other = answers_to(generator, TEXTS, Sampling(n=4, temperature=1.0, max_new_tokens=10, seed=6))
    assert all(a != b for a, b in zip(texts_of(first), texts_of(other), strict=True))


def test_every_batch_has_random_numbers_of_its_own(
    generator: TransformersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    for seed in (0, 0, 1):
        answers_to(generator, TEXTS, Sampling(temperature=1.0, max_new_tokens=2, seed=seed))
    assert seeds[:2] == seeds[2:4]  # five instructions, three a batch
    assert (len(seeds), len(set(seeds))) == (6, 4)


def test_top_p_and_temperature_reach_the_model(generator: TransformersGenerator) -> None:
    greedy = texts_of(answers_to(generator, TEXTS, Sampling(max_new_tokens=10)))
    for settings in ({"temperature": 1.0, "top_p": 1e-6}, {"temperature": 1e-4}):
        drawn = answers_to(generator, TEXTS, Sampling(max_new_tokens=10, seed=1, **settings))
        assert texts_of(drawn) == greedy
    many = answers_to(generator, TEXTS[:1], Sampling(n=150, temperature=100.0, max_new_tokens=1))
    assert len(set(texts_of(many)[0])) > 50, "only the likeliest tokens were drawn from"


def test_a_run_that_stopped_goes_on_as_if_it_had_not(
    generator: TransformersGenerator, tmp_path: Path
) -> None:
    texts = [f"Add {number} and {number * 7}." for number in range(12)]
    sampling = Sampling(temperature=1.0, max_new_tokens=8, seed=3)
    wanted = answers_to(generator, texts, sampling)

    class Stopping(AnswerStore):
        def put(self, values: Mapping[bytes, tuple[Answer, ...]]) -> None:
            super().put(values)
            if len(self) == 6:
                raise KeyboardInterrupt

    with Stopping(tmp_path / "s") as store, pytest.raises(KeyboardInterrupt):
        answers_to(generator, texts, sampling, store=store)
    finished: list[int] = []
    with AnswerStore(tmp_path / "s") as store:
        assert len(store) == 6
        found = answers_to(generator, texts, sampling, store=store, progress=finished.append)
    assert texts_of(found) == texts_of(wanted)
    assert sum(outcome.stored for outcome in found) == 6
    assert finished == [6, 3, 3]


def test_stored_answers_are_not_generated_again(
    generator: TransformersGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AnswerStore(tmp_path / "s") as store:
        first = answers_to(generator, TEXTS, Sampling(max_new_tokens=4), store=store)
        monkeypatch.setattr(generator, "run", None)
        again = answers_to(generator, TEXTS[::-1], Sampling(max_new_tokens=4), store=store)
        assert texts_of(again) == texts_of(first)[::-1]
        for other in ({"seed": 1}, {"max_new_tokens": 5}, {"temperature": 0.5}, {"top_p": 0.5}):
            with pytest.raises(TypeError):
                settings = {"max_new_tokens": 4, **other}
                answers_to(generator, TEXTS, Sampling(**settings), store=store)


def test_a_prompt_without_room_gets_an_error(generator: TransformersGenerator) -> None:
    texts = [filler(generator, CONTEXT), "Hi.", filler(generator, CONTEXT - 1)]
    finished: list[int] = []
    found = answers_to(generator, texts, Sampling(max_new_tokens=3), progress=finished.append)
    assert found[0].answers == ()
    assert "its prompt of 768 tokens leaves no room for an answer" in (found[0].error or "")
    assert [len(outcome.answers) for outcome in found[1:]] == [1, 1]
    assert sum(finished) == 3


def test_a_model_that_computes_nothing_but_nan_is_refused(tiny_judge: Path) -> None:
    broken = tiny(tiny_judge)
    with torch.no_grad():
        broken._model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(JudgeError, match="no finite probabilities in float32"):
        answers_to(broken, TEXTS, Sampling(max_new_tokens=3))


def test_prompt_forms(tiny_judge: Path, tmp_path: Path) -> None:
    text = "Say {instruction} and <b>."
    tokenizer = PromptTokenizer(tiny_judge, "wizardlm").tokenizer
    for form, wanted in (("wizardlm", f"{text}\n\n### Response:"), ("plain", text)):
        ids = PromptTokenizer(tiny_judge, form).encode(text)
        assert ids == tokenizer(wanted).input_ids
        assert ids[0] == tokenizer.bos_token_id
    with pytest.raises(JudgeError, match="has no chat template; use `prompt` wizardlm or plain"):
        PromptTokenizer(tiny_judge, "chat")
    with pytest.raises(JudgeError, match="no prompt form 'x'; there are: auto, wizardlm, chat"):
        PromptTokenizer(tiny_judge, "x")
    folder = shutil.copytree(tiny_judge, tmp_path / "chat")
    (folder / "chat_template.jinja").write_text(
        "<s>{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %} [model]{% endif %}"
    )
    ids = PromptTokenizer(folder, "chat").encode(text)
    assert ids == tokenizer(f"[user] {text} [model]").input_ids
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    with pytest.raises(JudgeError, match="the chat template of the model cannot be filled in: no"):
        PromptTokenizer(folder, "chat").encode(text)


def test_the_form_is_what_tuning_noted_then_the_chat_template(
    tiny_judge: Path, tmp_path: Path
) -> None:
    assert PromptTokenizer(tiny_judge, "auto").prompt == "wizardlm"
    folder = shutil.copytree(tiny_judge, tmp_path / "chat")
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert PromptTokenizer(folder, "auto").prompt == "chat"
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for kind, noted, form in (
        ("sft", "plain", "plain"), ("sft", "auto", "chat"), ("judge", "plain", "chat"),
    ):  # fmt: skip
        notes = json.dumps({"kind": kind, "config": {"prompt": noted}})
        (adapter / "training.json").write_text(notes)
        assert PromptTokenizer(folder, "auto", adapter=adapter).prompt == form
    assert PromptTokenizer(folder, "wizardlm", adapter=adapter).prompt == "wizardlm"


def test_stores_of_one_kind_are_not_taken_for_the_other(tmp_path: Path) -> None:
    answers = {b"k": (Answer("caf\u00e9\n\x00\u2028", "stop"), Answer("", "length")), b"l": ()}
    with AnswerStore(tmp_path / "answers") as store:
        store.put(answers)
        store.put({b"k": ()})
    JudgmentStore(tmp_path / "judgments").close()
    with AnswerStore(tmp_path / "answers") as store:
        assert store.get([b"k", b"l", b"m"]) == answers
    with pytest.raises(StoreError, match="is a database, but not a judgment store"):
        JudgmentStore(tmp_path / "answers")
    with pytest.raises(StoreError, match="is a database, but not an answer store"):
        AnswerStore(tmp_path / "judgments")
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 40)
    with pytest.raises(StoreError, match="answer store .*text: it is not an answer store, or is"):
        AnswerStore(tmp_path / "text")


class FakeLLM:
    """Speaks vLLM's interface: what it was asked stands in its answers."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        config = SimpleNamespace(max_model_len=500, dtype=torch.bfloat16)
        self.llm_engine = SimpleNamespace(model_config=config)
        self.asked: list[Any] = []

    def generate(self, prompts: list[Any], params: list[Any], **_: Any) -> list[Any]:
        self.asked += params
        return [
            SimpleNamespace(
                outputs=[
                    SimpleNamespace(index=k, text=f" {len(prompt['prompt_token_ids'])} {k}\n",
                                    finish_reason="length" if k else "stop")
                    for k in reversed(range(param.n))
                ]
            )
            for prompt, param in zip(prompts, params, strict=True)
        ]  # fmt: skip


def test_what_vllm_is_asked(
    tiny_judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules: dict[str, Any] = {name: ModuleType(name) for name in ("vllm", "vllm.lora")}
    request = ModuleType("vllm.lora.request")
    modules["vllm"].LLM = FakeLLM
    modules["vllm"].SamplingParams = lambda **k: SimpleNamespace(**k)
    modules["vllm"].TokensPrompt = dict
    request.LoRARequest = lambda *a: a  # type: ignore[attr-defined]
    for name, module in (modules | {"vllm.lora.request": request}).items():
        monkeypatch.setitem(sys.modules, name, module)
    from selfj_eval.generation import vllm

    monkeypatch.setattr(vllm, "CHUNK", 2)
    settings = LoraConfig(r=9, rank_pattern={"q_proj": 17}, target_modules=["q_proj", "v_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_judge), settings).save_pretrained(
        tmp_path
    )
    engine = vllm.VllmGenerator(str(tiny_judge), adapter=str(tmp_path))
    assert engine._llm.settings["max_lora_rank"] == 32
    assert engine._llm.settings["load_format"] == "safetensors"
    assert (engine.context, engine.identity["dtype"]) == (500, "bfloat16")
    sampling = Sampling(n=2, temperature=0.7, top_p=0.9, max_new_tokens=450)
    with AnswerStore(tmp_path / "s") as store:
        found = answers_to(engine, [*TEXTS, "7" * 500], sampling, store=store)
    lengths = [len(engine.encode(text)) for text in TEXTS]
    wanted = [(Answer(f"{m} 0", "stop"), Answer(f"{m} 1", "length")) for m in lengths]
    assert [outcome.answers for outcome in found] == [*wanted, ()]
    asked = engine._llm.asked
    assert [p.max_tokens for p in asked] == [min(450, 500 - m) for m in lengths[:-1]]
    assert len({p.seed for p in asked}) == 5
    assert {(p.n, p.temperature, p.top_p, *p.stop_token_ids) for p in asked} == {(2, 0.7, 0.9, 1)}


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_way_out_is_named(tiny_judge: Path) -> None:
    from selfj_eval.generation.vllm import VllmGenerator

    with pytest.raises(JudgeError, match=r"environment of its own \(docs/install.md\)"):
        VllmGenerator(str(tiny_judge))


def test_vllm_answers_like_transformers() -> None:
    pytest.importorskip("vllm")
    from selfj_eval.generation.vllm import VllmGenerator

    greedy = Sampling(max_new_tokens=4)  # the demo judge: vLLM on a CPU knows no smaller heads
    ours = answers_to(TransformersGenerator("demo", dtype="float32"), TEXTS, greedy)
    theirs = answers_to(VllmGenerator("demo", dtype="float32"), TEXTS, greedy)
    same = [a == b for a, b in zip(texts_of(ours), texts_of(theirs), strict=True)]
    assert sum(same) >= 5  # other sums may turn a near tie
