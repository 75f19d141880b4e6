"""What other programs write: fields that change the question, several logs in one file, chats."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, Record, read_records
from selfj_eval.generation.instructions import read_instructions
from selfj_eval.records.conversations import Turn, as_text, unrendered
from selfj_eval.records.notices import Notices
from selfj_eval.records.pairs import read_pairs
from selfj_eval.records.record import NO_ANSWER

ROW = {"id": "1", "instruction": "Sort by size.", "response": "lake, sea"}


def read(
    tmp_path: Path, *rows: dict[str, Any], name: str = "x.jsonl", **how: Any
) -> tuple[list[Record], str]:
    """The records of rows in a file, and what was noted, on one line."""
    path, notices = tmp_path / name, Notices()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_records(path, notices=notices, **how)
    return found, "; ".join(notices.sentences())


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


QUESTIONS = {
    "input": ({"input": "sea, lake"}, "Sort by size.\n\nsea, lake"),
    "an empty input": ({"input": "", "history": [], "system": None}, "Sort by size."),
    "system": (
        {"system": "Be brief."},
        "System: Be brief.\n\nUser: Sort by size.",
    ),
    "history and input": (
        {"history": [["Name two waters.", "Sea, lake."]], "input": "again"},
        "User: Name two waters.\n\nAssistant: Sea, lake.\n\nUser: Sort by size.\n\nagain",
    ),
    "messages that say no more": (
        {"messages": [{"role": "user", "content": "Sort by size."},
                      {"role": "assistant", "content": "another model's answer"}]},
        "Sort by size.",
    ),
    "an input that is a number": ({"input": 5}, "Sort by size.\n\n5"),
    "Dolly's context": ({"context": "sea, lake"}, "Sort by size.\n\nsea, lake"),
    "passages": ({"context": ["sea", "lake"]}, "Sort by size.\n\nsea\n\nlake"),
    "no input in words": ({"input": "<noinput>"}, "Sort by size."),
    "a history that ends with the question": (
        {"history": [{"role": "user", "content": "Sort by size."}], "system_prompt": "Be brief.",
         "system": "Be brief."},
        "System: Be brief.\n\nUser: Sort by size.",
    ),
    "a chat in a table": (
        {"history": '[["Hi.", "Hello."]]', "messages": "[]"},
        "User: Hi.\n\nAssistant: Hello.\n\nUser: Sort by size.",
    ),
    "messages that go on after the answer": (
        {"messages": [{"role": "user", "content": "Sort by  size."},
                      {"role": "assistant", "content": "lake, sea"},
                      {"role": "user", "content": "And now by depth."},
                      {"role": "assistant", "content": "lake, sea"}]},
        "Sort by size.",
    ),
    "the same system prompt twice": (
        {"system": "Be brief.",
         "messages": [{"role": "system", "content": "Be brief."},
                      {"role": "user", "content": "Sort by size."},
                      {"role": "assistant", "content": "another model's answer"}]},
        "System: Be brief.\n\nUser: Sort by size.",
    ),
    "messages with more turns": (
        {"messages": [{"role": "system", "content": "Be brief."},
                      {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
                      {"role": "assistant", "content": "Hello."},
                      {"role": "user", "content": "Sort by size."}]},
        "System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Sort by size.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", QUESTIONS)
def test_fields_that_change_the_question_belong_to_it(tmp_path: Path, case: str) -> None:
    fields, instruction = QUESTIONS[case]
    (record,), noted = read(tmp_path, ROW | fields)
    assert record.question == instruction
    assert (record.id, record.response, record.error) == ("1", "lake, sea", None)
    if record.messages is not None:  # the last turn is the instruction, all of them are kept
        assert record.instruction == record.messages[-1].text != instruction
    for name, value in fields.items():
        changed = (
            value not in ("", [], None, "[]", "<noinput>") and instruction != ROW["instruction"]
        )
        assert (f"instructions joined with what stands in {name!r}: 1" in noted) == changed
    assert read_instructions(tmp_path / "x.jsonl")[0].text == instruction


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"context": [{"title": "x"}]}, "field 'context': belongs to the question; expected text"),
        ({"input": {"text": "x"}}, "field 'input': belongs to the question; expected text, got d"),
        (
            {
                "system": "Be brief.",
                "messages": [
                    {"role": "system", "content": "Be long."},
                    {"role": "user", "content": "Sort by size."},
                ],
            },
            "field 'messages': holds other turns than 'system' and 'history'",
        ),
        ({"history": "earlier"}, "field 'history': belongs to the question; expected pairs"),
        ({"messages": [1]}, "field 'messages': belongs to the question; expected chat messages"),
        (
            {"messages": [{"role": "user", "content": "Another?"}]},
            "field 'messages': does not hold the instruction as a question",
        ),
        (
            {"messages": [{"role": "user", "content": {"a": 1}}]},
            "holds dict where text is expected",
        ),
    ],
)
def test_a_question_that_cannot_be_told_is_refused(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, ROW | fields)


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv"])
def test_alpacas_own_layout(tmp_path: Path, name: str) -> None:
    rows = [
        {"instruction": "Sort by size.", "input": "sea, lake", "output": "lake, sea"},
        {"instruction": "Say hi.", "input": "", "output": ""},
    ]
    path = tmp_path / name
    if name == "x.csv":
        path.write_text('instruction,input,output\nSort by size.,"sea, lake","lake, sea"\n'
                        "Say hi.,,\n")  # fmt: skip
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_text(json.dumps(rows) if name == "x.json" else lines)
    assert read_records(path) == [
        Record("0", "Sort by size.\n\nsea, lake", "lake, sea"),
        Record("1", "Say hi.", ""),
    ]


def test_unknown_fields_are_named_once(tmp_path: Path) -> None:
    _, noted = read(tmp_path, ROW | {"date": 1}, ROW | {"id": "2", "embedding": [0.1], "date": 2})
    assert noted == "ignored: date, embedding"


def test_nothing_is_not_a_text(tmp_path: Path) -> None:
    rows = [
        ROW | {"response": None},
        ROW | {"id": "2", "response": float("nan"), "reference": float("nan")},
        ROW | {"id": "3", "response": 42, "reference": 4.5, "category": 3, "model": None},
    ]
    records, noted = read(tmp_path, *rows)
    assert [r.error for r in records] == [NO_ANSWER, NO_ANSWER, None]
    assert records[1].reference is None
    assert records[2] == Record("3", "Sort by size.", "42", "4.5", category="3")
    assert "null responses, which are no answers: 2" in noted
    assert "numbers taken as text in 'response': 1" in noted


def test_several_logs_in_one_file_lose_no_answer(tmp_path: Path) -> None:
    one = [sample(k) for k in range(3)]
    other_task = [sample(k, prompt=f"Another question {k}?") for k in range(3)]
    other_model = [sample(k, resps=[["another answer"]]) for k in range(3)]
    strict = [row | {"filter": "strict"} for row in one]  # the same answers, filtered otherwise
    records, noted = read(tmp_path, *one, *other_task, *strict, *other_model)
    assert [r.id for r in records] == ["0", "1", "2", "0#2", "1#2", "2#2", "0#3", "1#3", "2#3"]
    assert {r.instruction for r in records[3:6]} == {f"Another question {k}?" for k in range(3)}
    assert [r.response for r in records[6:]] == ["another answer"] * 3
    assert "rows with a question and answers that were there before, dropped: 3" in noted
    assert "rows with the doc_id of another question or answer, told apart by #: 6" in noted


def test_an_answer_that_is_null_in_lm_evals_log(tmp_path: Path) -> None:
    records, _ = read(
        tmp_path, sample(0), sample(1, resps=[[None]]), sample(2, resps=[["a", None]])
    )
    assert [(r.id, r.error) for r in records] == [
        ("0", None), ("1", NO_ANSWER), ("2-0", None), ("2-1", NO_ANSWER)
    ]  # fmt: skip


NUMBERS = "references that are numbers, taken as text"
ALIASES = "references with several aliases, the first taken"
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
def test_targets_of_lm_eval(tmp_path: Path, case: str) -> None:
    row, reference, sentence = TARGETS[case]
    (record,), noted = read(tmp_path, row)
    assert record.reference == reference
    read_as = "read as lm-eval's samples of a generation task, layout lm-eval"
    expected = "; ".join(filter(None, (read_as, sentence)))
    assert noted.startswith(expected) if sentence else noted == expected


def test_documents_of_lm_eval(tmp_path: Path) -> None:
    documents = [
        {"instruction": "Sort.", "input": "sea, lake", "category": 3},
        {"instruction": ["a", "b"], "category": ["x"]},
    ]
    records, noted = read(tmp_path, *(sample(k, doc=doc) for k, doc in enumerate(documents)))
    assert [r.instruction for r in records] == ["Sort.\n\nsea, lake", "Question 1?"]
    assert [r.category for r in records] == ["3", None]
    assert "documents with an instruction that is no text (list), the prompt taken: 1" in noted


def test_a_picture_beside_the_prompt_is_refused(tmp_path: Path) -> None:
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
def test_a_chat_request_is_taken_apart(tmp_path: Path, case: str) -> None:
    (record,), noted = read(tmp_path, sample(prompt=RENDERED[case]))
    assert record.instruction == (
        "System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Which sea is\nlargest?"
    )
    assert "prompts that are chat requests, taken apart: 1" in noted


def test_a_chat_of_one_question_is_that_question(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "row, layout",
    [
        ({"messages": []}, "field 'messages': expected chat messages, got an empty list"),
        ({"conversations": [{"from": "human", "value": "q"}]}, "left out, the last turn is the us"),
        ({"question_id": 1, "model_id": "m", "choices": [{"turns": ["a"]}]}, "not lie in model_a"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference pairs"),
        ({"custom_id": "1", "response": {"body": {}}}, "the batch's file of requests"),
        ({"instruction": [{"type": "text", "text": "q"}], "response": "a"}, "content parts"),
        ({"instruction": [{"role": "user", "content": "q"}], "response": "a"}, "chat messages"),
    ],
)
def test_a_foreign_layout_is_named(tmp_path: Path, row: dict[str, Any], layout: str) -> None:
    with pytest.raises(DataError, match=layout):
        read(tmp_path, {"id": "1", **row})


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="is not a regular file; write what it gives into a file"):
        read_records(tmp_path / "x.jsonl")


USER, OLD = {"role": "user", "content": "q"}, {"role": "assistant", "content": "old"}
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [USER, OLD, {"role": "user", "content": "And then?"}]


@pytest.mark.parametrize("name", ["answer", "output", "completion"])
def test_an_answer_beside_messages_is_the_one_that_is_judged(tmp_path: Path, name: str) -> None:
    (record,), notes = read(tmp_path, {"messages": [USER, OLD], name: "new"})
    assert (record.question, record.response) == ("q", "new")
    assert f"{name!r} is taken as the response" in notes
    assert "answers at the end of 'messages', not shown: 1" in notes


def test_pairs_may_have_messages(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    row = {"id": "1", "messages": TALK, "response_a": "a", "response_b": "b", "label": "B"}
    path.write_text(json.dumps(row))
    (pair,) = read_pairs(path)
    assert (pair.response_a, pair.response_b, pair.label) == ("a", "b", "B")
    assert pair.question == "User: q\n\nAssistant: old\n\nUser: And then?"


def test_a_system_prompt_beside_a_conversation_is_shown(tmp_path: Path) -> None:
    new = {"role": "assistant", "content": "new"}
    chat = {"system": "Be brief.", "messages": [*TALK, new], "source": "x"}
    trl = {"system": "Be brief.", "prompt": TALK, "completion": [new], "label": True, "source": "x"}
    for row in (chat, trl, chat | {"messages": [SYSTEM, *TALK, new]}):
        (record,), notes = read(tmp_path, row)
        shown = "System: Be brief.\n\nUser: q\n\nAssistant: old\n\nUser: And then?"
        assert (record.question, record.response) == (shown, "new")
        assert "ignored: source" in notes
    texts = {"system": "Be brief.", "prompt": "q", "completion": "new", "label": False}
    (record,), _ = read(tmp_path, texts)
    assert record.question == "System: Be brief.\n\nUser: q"
    (record,), notes = read(tmp_path, {"conversations": [USER, new], "source": "x"})
    assert "ignored: source" in notes


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [USER], "chosen": "a", "rejected": "b"},
        {
            "chosen": [USER, {"role": "assistant", "content": "a"}],
            "rejected": [USER, {"role": "assistant", "content": "b"}],
        },
    ],
)
def test_a_system_prompt_beside_a_preference_is_shown(tmp_path: Path, asked: Any) -> None:
    path, notices = tmp_path / "p.jsonl", Notices()
    path.write_text(json.dumps({"system": "Be brief.", "source": "x", **asked}))
    (pair,) = read_pairs(path, notices=notices)
    assert pair.question == "System: Be brief.\n\nUser: q"
    assert (pair.response_a, pair.response_b) == ("a", "b")
    assert "ignored: source" in notices.sentences()


def task(*annotations: dict[str, Any]) -> dict[str, Any]:
    """A task of Label Studio's; each annotation has the values of its controls by their names."""

    def result(name: str, value: Any) -> dict[str, Any]:
        kind = "choices" if isinstance(value, str) else "number"
        held = [value] if isinstance(value, str) else value
        return {"from_name": name, "type": kind, "value": {kind: held}}

    given = [
        {"completed_by": k, "result": [result(*control) for control in own.items()]}
        for k, own in enumerate(annotations)
    ]
    data = {"instruction": "q", "response": "a"}
    return {"id": 1, "data": data, "annotations": given}


def test_what_stands_for_no_rating_is_in_no_mean(tmp_path: Path) -> None:
    (record,), notes = read(tmp_path, task({"q": -1}, {"q": 4}), missing_rating="-1")
    assert record.rating == 4 and record.raters is not None and len(record.raters) == 1
    assert "ratings of -1, taken as no rating: 1" in notes
    responses = {"q": [{"user_id": "u", "value": -1}, {"user_id": "v", "value": 4}]}
    argilla = {"id": "1", "fields": {"instruction": "q", "response": "a"}, "suggestions": {}}
    (record,), _ = read(tmp_path, argilla | {"responses": responses}, missing_rating=-1.0)
    assert record.rating == 4


def test_a_score_is_the_only_one_only_if_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the rating may be 'q' or 'f'; name one with `fields`"):
        read(tmp_path, task({"q": 2}, {"q": 5, "f": 1}))
    (record,), _ = read(tmp_path, task({"q": 2}, {"q": 5, "f": 1}), names={"rating": "q"})
    assert record.rating == 3.5


def test_a_single_score_that_is_no_number_is_counted(tmp_path: Path) -> None:
    others = "scores that are no numbers, not used: 1"
    (record,), notes = read(tmp_path, task({"mood": "Good"}))
    assert record.rating is None and others in notes
    with pytest.raises(DataError, match="expected a number as rating"):
        read(tmp_path, task({"mood": "Good"}), names={"rating": "mood"})
    log = {
        "id": "1", "eval": {"model": "m"}, "epoch": 1, "input": "q",
        "output": {"completion": "a", "choices": [{}]},
    }  # fmt: skip
    (record,), notes = read(tmp_path, log | {"scores": {"said": {"value": "a longer text"}}})
    assert record.rating is None and others in notes
    (record,), notes = read(tmp_path, log | {"scores": {"said": {"value": "C"}}})
    assert (record.rating, record.rating_max) == (1, 1) and "the only one" in notes
    flat = {"_server_id": "1", "status": "completed", "id": "1", "instruction": "q"}
    flat |= {"response": "a", "why.responses": ["short"], "why.responses.users": ["u"]}
    (record,), notes = read(tmp_path, flat | {"why.responses.status": ["submitted"]})
    assert record.rating is None and others in notes


def test_each_end_of_the_scale_is_filled_by_itself(tmp_path: Path) -> None:
    row = {"id": "1", "instruction": "q", "response": "a", "rating": 2, "rating_min": 0}
    (record,), _ = read(tmp_path, row, scale=(1, 5))
    assert (record.rating_min, record.rating_max) == (0, 5)
