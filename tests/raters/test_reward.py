from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    LlamaModel,
    PreTrainedModel,
)

from selfj_eval.errors import JudgeError
from selfj_eval.raters.reward import RewardRater
from selfj_eval.records.record import Record
from selfj_eval.storage.store import MeasureStore

RECORDS = [
    Record("1", "What is 2 + 3?", "5"),
    Record("2", "What is 2 + 3?", "It is 5, I am sure: 2 + 3 = 5.</s>"),  # ends with the padding
    Record("3", "Tell me a story.", "Once upon a time there was a king. " * 9),
    Record("4", "Say nothing.", ""),
]
TEMPLATE = (
    "<s>{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
LLAMA: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
BERT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.5,
    "num_labels": 1,
}


def llama(tokenizer: Path, folder: Path, **settings: Any) -> Path:
    """A random Llama with one output, in ``folder``."""
    own = AutoTokenizer.from_pretrained(tokenizer)
    own.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(own), **LLAMA | {"num_labels": 1} | settings)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def decoder(tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder without padding token in its configuration, nor chat template."""
    return llama(tiny_judge, tmp_path_factory.mktemp("decoder"))


def with_template(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    (to / "chat_template.jinja").write_text(TEMPLATE)
    return to


@pytest.fixture(scope="module", params=["bert", "deberta"])
def encoder(
    request: pytest.FixtureRequest, minilm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = BERT | {"vocab_size": len(tokenizer)}
    if request.param == "bert":
        BertForSequenceClassification(BertConfig(**shape)).save_pretrained(folder)
    else:
        config = DebertaV2Config(
            **shape, type_vocab_size=0, relative_attention=True, position_buckets=8,
            pos_att_type=["p2c", "c2p"], position_biased_input=False, pooler_hidden_size=32,
        )  # fmt: skip
        DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    return folder


def rated(folder: Path, records: list[Record] = RECORDS, **settings: Any) -> list[float]:
    rater = RewardRater(str(folder), device="cpu", **settings)
    judgments = rater.judge(records)
    assert [judgment.error for judgment in judgments] == [None] * len(records)
    return [judgment.score or 0.0 for judgment in judgments]


FORMS: dict[str, Callable[[Any, str, str], list[int]]] = {
    "human": lambda own, asked, answer: (
        own(f"Human: {asked}\nAssistant: {answer}", split_special_tokens=True).input_ids
    ),
    "pair": lambda own, asked, answer: own(asked, answer, split_special_tokens=True).input_ids,
    # What the template writes is a special token, what the answer spells is none.
    "chat": lambda own, asked, answer: [
        token
        for part in (
            f"<s>[user] {asked}</s>[assistant] {answer.replace('</s>', '<|/s>')}</s>"
        ).split("|")
        for token in own(part, add_special_tokens=False, split_special_tokens=False).input_ids
    ],
}


def heads_at(folder: Path, form: str, skipped: int | None) -> list[float]:
    """The bare model and head on single rows, read at the last token but those skipped."""
    own = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    found = []
    for record in RECORDS:
        ids = FORMS[form](own, record.instruction, record.response)
        at = max(place for place, token in enumerate(ids) if token != skipped)
        with torch.inference_mode():
            hidden = model.model(torch.tensor([ids])).last_hidden_state[0, at]
            found.append((hidden @ model.score.weight[0]).item())
    assert len({round(value, 3) for value in found}) == len(found)
    return found


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("padding", [None, 1, -1], ids=["none", "eos", "minus-one"])
def test_a_decoder_is_read_at_its_last_token(
    form: str, padding: int | None, tiny_judge: Path, tmp_path: Path
) -> None:
    """Alone and in a batch, also where the text ends with what the tokenizer pads with."""
    folder = with_template(llama(tiny_judge, tmp_path / "a", pad_token_id=padding), tmp_path / "b")
    wanted = heads_at(folder, form, skipped=padding)
    if form == "chat" and padding == 1:
        assert wanted != pytest.approx(heads_at(folder, form, skipped=None))
    together = rated(folder, prompt=form, batch_tokens=100_000)
    assert together == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert rated(folder, prompt=form, batch_tokens=1) == pytest.approx(together, rel=1e-5, abs=1e-5)


def test_an_encoder_reads_a_pair(encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForSequenceClassification.from_pretrained(encoder)
    wanted = []
    for record in RECORDS:
        inputs = tokenizer(record.instruction, record.response, return_tensors="pt")
        assert (1 in inputs.token_type_ids) == bool(record.response)
        with torch.inference_mode():
            wanted.append(model(**inputs).logits.item())
    together = rated(encoder, batch_tokens=100_000)
    assert together == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert rated(encoder, batch_tokens=1) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert len({round(score, 3) for score in wanted}) == len(wanted)


class LlamaRewardModel(PreTrainedModel):
    """The layout of UltraRM: a head with another name, read where the attention mask ends."""

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.regression_head = torch.nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()


@pytest.mark.parametrize("padding", [None, 1])
def test_the_layout_of_ultrarm_is_loaded_without_its_code(
    padding: int | None, tiny_judge: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_judge)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), **LLAMA, pad_token_id=padding)
    model = LlamaRewardModel(config)
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["architectures"] == ["LlamaRewardModel"] and "num_labels" not in written
    assert "regression_head.weight" in load_file(tmp_path / "model.safetensors")
    wanted = []
    for record in RECORDS:
        text = f"Human: {record.instruction}\nAssistant: {record.response}"
        with torch.inference_mode():
            ids = tokenizer(text, return_tensors="pt", split_special_tokens=True).input_ids
            hidden = model.model(ids).last_hidden_state
            wanted.append(model.regression_head(hidden[:, -1]).item())
    assert rated(tmp_path) == pytest.approx(wanted, rel=1e-4, abs=1e-4)

    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(JudgeError, match=r"1 tensors are missing .* is model\.norm\.weight"):
        RewardRater(str(tmp_path), device="cpu")
    save_file(weights | {"score.weight": weights.pop("regression_head.weight")},
              tmp_path / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(JudgeError, match=r"LlamaRewardModel\) is not a reward model"):
        RewardRater(str(tmp_path), device="cpu")


def test_the_form_follows_the_model(decoder: Path, minilm: Path, tmp_path: Path) -> None:
    assert RewardRater(str(decoder), device="cpu").prompt == "human"
    chatty = with_template(decoder, tmp_path / "chat")
    assert RewardRater(str(chatty), device="cpu").prompt == "chat"
    assert (
        rated(chatty)
        == rated(chatty, prompt="chat")
        != pytest.approx(rated(chatty, prompt="human"))
    )
    with pytest.raises(JudgeError, match="no input form 'x'; there are: chat, human, pair"):
        RewardRater(str(decoder), device="cpu", prompt="x")
    with pytest.raises(JudgeError, match="has no chat template; use the prompt human or pair"):
        RewardRater(str(decoder), device="cpu", prompt="chat")
    (chatty / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    with pytest.raises(JudgeError, match="the chat template of the model cannot be filled in: no"):
        RewardRater(str(chatty), device="cpu")


def test_an_answer_that_the_template_refuses_is_unscored(decoder: Path, tmp_path: Path) -> None:
    folder = with_template(decoder, tmp_path / "chat")
    refusing = "{% if not messages[1].content %}{{ raise_exception('empty') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(refusing + TEMPLATE)
    done: list[int] = []
    *good, bad = RewardRater(str(folder), device="cpu").judge(RECORDS, progress=done.append)
    assert all(judgment.score is not None for judgment in good) and sum(done) == len(RECORDS)
    assert bad.score is None and "cannot be filled in: empty" in (bad.error or "")


@pytest.mark.parametrize("form", list(FORMS))
def test_what_is_too_long_loses_its_middle(form: str, decoder: Path, tmp_path: Path) -> None:
    folder = with_template(decoder, tmp_path / "chat")
    rater = RewardRater(str(folder), device="cpu", prompt=form)
    assert rater.max_tokens == 256
    numbers = " ".join(map(str, range(200)))
    wordy = Record("a", "Count.", f"Begin {numbers} end")
    both = Record("b", f"Count these: {numbers} thanks", f"Begin {numbers} end")
    own = AutoTokenizer.from_pretrained(folder)
    lengths = []
    for record in (wordy, both):
        row, trimmed = rater.row(record)
        text = own.decode(row.ids)
        whole = len(FORMS[form](own, record.instruction, record.response))
        assert 230 < len(row) <= 256 and trimmed >= whole - 256
        assert "Begin" in text and "end" in text and "[...]" in text
        assert rater.judge([record])[0].trimmed_tokens == trimmed
        lengths.append(len(text[text.index("Begin") : text.index("end")]))
    assert "Count these:" in text and "thanks" in text
    assert lengths[0] > 2 * lengths[1] > 0  # an instruction that is long has room, too
    short = RewardRater(str(folder), device="cpu", prompt=form, max_tokens=128)
    assert len(short.row(both)[0]) <= 128
    assert short.key(both) != rater.key(both)
    with pytest.raises(JudgeError, match=r"max_tokens must be in 16\.\.256"):
        RewardRater(str(folder), device="cpu", max_tokens=257)


def test_stored_rewards_are_not_computed_again(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MeasureStore(tmp_path / "store") as store:
        first = rated(decoder, store=store)
        rater = RewardRater(str(decoder), device="cpu", store=store)
        monkeypatch.setattr(rater, "_model", None)
        assert [judgment.score for judgment in rater.judge(RECORDS[::-1])] == first[::-1]
        assert rater.from_store == len(store) == len(RECORDS)
        assert rated(decoder, prompt="pair", store=store) != pytest.approx(first)


def test_a_reward_that_is_not_finite_is_none(decoder: Path, tmp_path: Path) -> None:
    with MeasureStore(tmp_path / "store") as store:
        rater = RewardRater(str(decoder), device="cpu", store=store)
        with torch.no_grad():
            rater._model.score.weight.fill_(float("nan"))
        judgments = rater.judge(RECORDS)
        assert len(store) == 0 and rater.failed == len(RECORDS)
    assert all(judgment.score is None for judgment in judgments)
    assert "no finite reward in float32" in (judgments[0].error or "")


def test_what_is_no_reward_model_is_refused(
    decoder: Path, tiny_judge: Path, tmp_path: Path
) -> None:
    with pytest.raises(JudgeError, match=r"LlamaForCausalLM\) is not a reward model"):
        RewardRater(str(tiny_judge), device="cpu")
    digits = {"id2label": dict(enumerate("0123456789"))}
    ten = llama(tiny_judge, tmp_path / "ten", num_labels=10, **digits)
    with pytest.raises(JudgeError, match="is a judge .ten classes, the digits.*`judge`"):
        RewardRater(str(ten), device="cpu")
    three = llama(tiny_judge, tmp_path / "three", num_labels=3)
    with pytest.raises(JudgeError, match="classifier with 3 outputs .LABEL_0, LABEL_1, LABEL_2"):
        RewardRater(str(three), device="cpu")
    headless = shutil.copytree(decoder, tmp_path / "headless")
    weights = load_file(decoder / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, headless / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(JudgeError, match=r"missing or have another shape, .* score\.weight"):
        RewardRater(str(headless), device="cpu")
    (headless / "model.safetensors").rename(headless / "pytorch_model.bin")
    with pytest.raises(JudgeError, match="only as pickles"):
        RewardRater(str(headless), device="cpu")
