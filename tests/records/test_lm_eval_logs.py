"""lm-eval's logs: several in one file, targets, documents, and prompts that are chat requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError
from selfj_eval.records.conversations import Turn, as_text, unrendered
from selfj_eval.records.record import NO_ANSWER


def sample(doc_id: int = 0, **fields: Any) -> dict[str, Any]:
    """A row of lm-eval's log of a generation task."""
    prompt = fields.pop("prompt", f"Question {doc_id}?")
    return {
        "doc_id": doc_id,
        "doc": {"question": "?"},
        "target": "right",
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n"]}}},
        "resps": [[f"answer {doc_id}"]],
        "filter": "none",
        "acc": 1.0,
    } | fields


def test_several_logs_in_one_file_lose_no_answer(tmp_path: Path, read: Any) -> None:
    one = [sample(k) for k in range(3)]
    other_task = [sample(k, prompt=f"Another question {k}?") for k in range(3)]
    other_model = [sample(k, resps=[["another answer"]]) for k in range(3)]
    strict = [row | {"filter": "strict"} for row in one]  # the same answers, filtered otherwise
    records, noted = read(tmp_path, *one, *other_task, *strict, *other_model)
    assert [r.id for r in records] == ["0", "1", "2", "0#2", "1#2", "2#2", "0#3", "1#3", "2#3"]
    assert {r.instruction for r in records[3:6]} == {f"Another question {k}?" for k in range(3)}
    assert [r.response for r in records[6:]] == ["another answer"] * 3
    assert "rows that repeat a question and its answers, dropped: 3" in noted
    assert "rows with the doc_id of another question or answer, made unique by #: 6" in noted


def test_an_answer_that_is_null_in_lm_evals_log(tmp_path: Path, read: Any) -> None:
    records, _ = read(
        tmp_path, sample(0), sample(1, resps=[[None]]), sample(2, resps=[["a", None]])
    )
    assert [(r.id, r.error) for r in records] == [
        ("0", None), ("1", NO_ANSWER), ("2-0", None), ("2-1", NO_ANSWER)
    ]  # fmt: skip


NUMBERS = "references that are numbers, read as text"


ALIASES = "references with several aliases; the first is used"


OTHERS = "references that are neither text nor number (dict), not used"


TARGETS = {
    "a number": (sample(target=42), "42", f"{NUMBERS}: 1"),
    "aliases": (sample(target=["forty-two", "42"]), "forty-two", f"{ALIASES}: 1"),
    "an empty alias": (sample(target=["", "42"]), "42", ""),
    "one alias": (sample(target=["42"]), "42", ""),
    "a number in the document": (sample(doc={"reference": 0.5}), "0.5", f"{NUMBERS}: 1"),
    "aliases in the document": (
        sample(doc={"reference": [None, 42, "x"]}), "42", f"{ALIASES}: 1"
    ),
    "an object": (sample(target={"a": 1}), None, f"{OTHERS}: 1"),
    "nothing": (sample(target=None), None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", TARGETS)
def test_targets_of_lm_eval(tmp_path: Path, case: str, read: Any) -> None:
    row, reference, sentence = TARGETS[case]
    (record,), noted = read(tmp_path, row)
    assert record.reference == reference
    read_as = "read as lm-eval's samples of a generation task, layout lm-eval"
    expected = "; ".join(filter(None, (read_as, sentence)))
    assert noted.startswith(expected) if sentence else noted == expected


def test_documents_of_lm_eval(tmp_path: Path, read: Any) -> None:
    documents = [
        {"instruction": "Sort.", "input": "sea, lake", "category": 3},
        {"instruction": ["a", "b"], "category": ["x"]},
    ]
    records, noted = read(tmp_path, *(sample(k, doc=doc) for k, doc in enumerate(documents)))
    assert [r.instruction for r in records] == ["Sort.\n\nsea, lake", "Question 1?"]
    assert [r.category for r in records] == ["3", None]
    assert "documents whose instruction is not text (list); the prompt is used: 1" in noted


def test_a_picture_beside_the_prompt_is_refused(tmp_path: Path, read: Any) -> None:
    request = {"gen_args_0": {"arg_0": "<image>What is it?", "arg_1": {}, "arg_2": {"visual": [1]}}}
    with pytest.raises(DataError, match="field 'arguments': the prompt comes with 'visual', which"):
        read(tmp_path, sample(arguments=request))


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Which sea is\nlargest?"},
]


RENDERED = {
    "JSON": json.dumps(MESSAGES),
    "ChatML": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n"
    "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhich sea is\nlargest?<|im_end|>\n"
    "<|im_start|>assistant\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi.<|eot_id|><|start_header_id|>assistant"
    "<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    "Which sea is\nlargest?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "Llama 2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi. [/INST] Hello. </s><s>[INST] "
    "Which sea is\nlargest? [/INST]",
    "Zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi.</s>\n<|assistant|>\nHello.</s>\n<|user|>\n"
    "Which sea is\nlargest?</s>\n<|assistant|>\n",
    "Command R": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
    "<|CHATBOT_TOKEN|>Hello.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>"
    "Which sea is\nlargest?<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    "DeepSeek": "<\uff5cbegin\u2581of\u2581sentence\uff5c>Be brief.<\uff5cUser\uff5c>Hi."
    "<\uff5cAssistant\uff5c>Hello.<\uff5cend\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>"
    "Which sea is\nlargest?<\uff5cAssistant\uff5c>",
    "Phi 4": "<|im_start|>system<|im_sep|>Be brief.<|im_end|>"
    "<|im_start|>user<|im_sep|>Hi.<|im_end|>"
    "<|im_start|>assistant<|im_sep|>Hello.<|im_end|><|im_start|>user<|im_sep|>Which sea is\n"
    "largest?<|im_end|><|im_start|>assistant<|im_sep|>",
    "GLM": "[gMASK]<sop><|system|>\nBe brief.<|user|>\nHi.<|assistant|>\nHello.<|user|>\n"
    "Which sea is\nlargest?<|assistant|>\n<think></think>\n",
    "Mistral": "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi.[/INST]Hello.</s>"
    "[INST]Which sea is\nlargest?[/INST]",
    "Harmony": "<|start|>system<|message|>Be brief.<|end|><|start|>user<|message|>Hi.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Hello.<|end|><|start|>user<|message|>"
    "Which sea is\nlargest?<|end|><|start|>assistant",
}


@pytest.mark.parametrize("case", RENDERED)
def test_a_chat_request_is_taken_apart(tmp_path: Path, case: str, read: Any) -> None:
    (record,), noted = read(tmp_path, sample(prompt=RENDERED[case]))
    assert record.instruction == (
        "System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Which sea is\nlargest?"
    )
    assert "prompts that are chat requests, read as messages: 1" in noted


def test_a_chat_of_one_question_is_that_question(tmp_path: Path, read: Any) -> None:
    for prompt in (json.dumps(MESSAGES[-1:]), MESSAGES[-1:], "<start_of_turn>user\nWhich sea is\n"
                   "largest?<end_of_turn>\n<start_of_turn>model\n"):  # fmt: skip
        (record,), _ = read(tmp_path, sample(prompt=prompt))
        assert record.instruction == "Which sea is\nlargest?"


@pytest.mark.parametrize(
    "prompt",
    [
        "What does <|im_start|>user\n do?",
        '["a", "list"]',
        "[1, 2] is a list.",
        "[INSTRUCTIONS] x",
        "[INST] never closed",
    ],
)
def test_a_prompt_about_markup_is_no_chat(prompt: str) -> None:
    assert unrendered(prompt) is None


def test_a_real_chat_template_comes_apart() -> None:
    """As transformers renders the demo tokenizer with a ChatML template."""
    from transformers import AutoTokenizer

    from selfj_eval.demo import JUDGE_DIR

    tokenizer = AutoTokenizer.from_pretrained(JUDGE_DIR)
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    text = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    turns = unrendered(text)
    assert turns is not None
    assert turns[:4] == [Turn(m["role"], m["content"]) for m in MESSAGES]
    assert as_text(turns) == as_text([Turn(m["role"], m["content"]) for m in MESSAGES])
