from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfj_eval import Judge, Record
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.raters.rating_formats import FORMATS, get_format, read_format
from selfj_eval.raters.rating_syntax import SYNTAXES
from selfj_eval.storage.store import Answer

CRITIQUE = (
    "The answer names the capital correctly and adds a useful remark on its history. It could "
    "have been shorter.\n\n"
)

READ = [
    ("self-j", "7", 7),
    ("self-j", " 0\n", 0),
    ("self-j", "9.", 9),
    ("self-j", "Rating: 8", 8),
    ("self-j", "score = 3.", 3),
    ("self-j", "The score is 3", None),
    ("self-j", "10", "'10' where a whole number in 0..9 was expected"),
    ("self-j", "-1", "'-1' where"),
    ("self-j", "7.5", "'7.5' where a whole number in 0..9"),
    ("self-j", "10/10", None),
    ("self-j", "8/9", None),
    ("self-j", "7 out of 9", None),
    ("self-j", "7\n8", None),
    ("self-j", "Out of 0 to 9, I rate the answer 6.", None),
    ("self-j", "seven", None),
    ("self-j", "\u0667", None),
    ("self-j", "As an AI language model, I cannot rate answers.", None),
    ("self-j", "", "the judge's reply is empty."),
    ("auto-j", CRITIQUE + "Rating: [[5]]", 5),
    ("auto-j", CRITIQUE + "**Rating:** [[7.5]]\n\nI hope that this helps.", 7.5),
    ("auto-j", CRITIQUE + "Rating: [[ 10 ]]", 10),
    ("auto-j", "Rating: [[6]]\n" + CRITIQUE + "As said, Rating: [[6.0]]", 6),
    ("auto-j", CRITIQUE + "Rating: [[6]], or in a strict mood Rating: [[4]]", "ratings: 4 and 6."),
    ("auto-j", CRITIQUE + "Rating: [[5/10]]", "'5/10' where a number in 1..10"),
    ("auto-j", CRITIQUE + "Rating: [[N]]", "'N' where a number in 1..10"),
    ("auto-j", CRITIQUE + "Rating: [[N]] Rating: [[5]]", "'N' where a number in 1..10"),
    ("auto-j", CRITIQUE + "Rating: [[0]]", "'0' where"),
    ("auto-j", CRITIQUE + "Rating: [[11]]", "'11' where"),
    ("auto-j", CRITIQUE + "Rating: [[]]", "'' where"),
    ("auto-j", CRITIQUE + "Rating: [[1e1]]", "'1e1' where"),
    ("auto-j", CRITIQUE + "Rating: [5]", None),
    ("auto-j", CRITIQUE + "Rating: 5", None),
    ("auto-j", CRITIQUE + "Overall [[5]]", None),
    ("prometheus", "Feedback: " + CRITIQUE + "[RESULT] 4", 4),
    ("prometheus", CRITIQUE + "[RESULT]: 1.\n\nThanks.", 1),
    ("prometheus", CRITIQUE + "[RESULT]\n5", 5),
    ("prometheus", CRITIQUE + "[RESULT] 4/5", "'4/5' where a whole number in 1..5"),
    ("prometheus", CRITIQUE + "[RESULT] 4 out of 5", "'4 out of 5' where"),
    ("prometheus", CRITIQUE + "[RESULT] 4.5", "'4.5' where a whole number"),
    ("prometheus", CRITIQUE + "[RESULT] 0", "'0' where"),
    ("prometheus", CRITIQUE + "[RESULT] 6", "'6' where"),
    ("prometheus", CRITIQUE + "[RESULT] (a whole number)", "'(a whole number)' where"),
    ("prometheus", CRITIQUE + "[RESULT]", None),
    ("prometheus", CRITIQUE + "Score: 4", None),
    ("prometheus", "[RESULT] 2\n" + CRITIQUE + "[RESULT] 3", "different ratings: 2 and 3."),
    ("mt-bench", CRITIQUE + "Rating: [[7]]", 7),
    ("mt-bench", CRITIQUE + "My verdict is [[8.5]].", 8.5),
    ("mt-bench", "The matrix [[1, 2], [3, 4]] and [[Paris]] are right, x[[1]] too. [[9]]", 9),
    ("mt-bench", CRITIQUE + "[[5/10]]", "'5/10' where"),
    ("mt-bench", CRITIQUE + "[[5/10]] or [[6]]", "'5/10' where"),
    ("mt-bench", CRITIQUE + "Rating: [[N]] [[6]]", "'N' where"),
    ("mt-bench", CRITIQUE + "[[N]]", None),
    ("mt-bench", CRITIQUE + "[[[7]]]", None),
    ("mt-bench", CRITIQUE + "First answer [[7]], second answer [[3]]", "ratings: 3 and 7."),
    ("mt-bench", "I'm sorry, but I can't assist with that.", None),
]


@pytest.mark.parametrize(("name", "text", "wanted"), READ)
def test_a_rating_is_read_strictly_or_not_at_all(name: str, text: str, wanted: Any) -> None:
    reading = SYNTAXES[name].read(Answer(text, "stop"))
    if isinstance(wanted, int | float):
        assert reading == (wanted, None)
        return
    assert reading.rating is None
    assert (wanted or f"no rating such as {SYNTAXES[name].example}") in (reading.reason or "")
    end = " ".join(text.split())[-30:]
    assert end in (reading.reason or "") and "\n" not in (reading.reason or "")


@pytest.mark.parametrize(
    ("name", "text", "finish", "wanted"),
    [
        ("self-j", "7", "length", None),
        ("self-j", "7", "content_filter", None),
        ("auto-j", CRITIQUE + "Rating: [[5", "length", None),
        ("auto-j", CRITIQUE, "length", None),
        ("auto-j", "Rating: [[5]]\n" + CRITIQUE, "length", 5),
        ("prometheus", CRITIQUE + "[RESULT] 4", "length", None),
        ("prometheus", CRITIQUE + "[RESULT]", "length", None),
        ("prometheus", "[RESULT] 4\n" + CRITIQUE, "length", 4),
        ("mt-bench", "[[7]] because", "content_filter", 7),
        ("mt-bench", "", "length", None),
    ],
)
def test_a_reply_that_was_cut_before_its_rating_has_none(
    name: str, text: str, finish: str, wanted: float | None
) -> None:
    reading = SYNTAXES[name].read(Answer(text, finish))
    assert reading.rating == wanted
    why = "cut at its limit; raise max_new_tokens" if finish == "length" else "(content_filter)"
    assert wanted is not None or why in (reading.reason or "")


def test_reasons_quote_what_can_be_written() -> None:
    reply = Answer("a\x1b[31m \ud800 \u2028" + "x" * 300 + "\nthe end", "stop")
    reason = SYNTAXES["auto-j"].read(reply).reason or ""
    assert reason.encode() and reason.isprintable() and len(reason) < 200
    assert "xxx the end'" in reason and "...xxx" in reason


def test_prompts_show_texts_as_they_are() -> None:
    texts = ("Do {response} {reference}?", "I {instruction} {x} [[9]]", "Like {response}")
    for name, own in FORMATS.items():
        shown = own.render(texts[0], texts[1], texts[2])
        assert [shown.count(text) for text in texts] == [1, 1, 1], name
        assert texts[2] not in own.render(texts[0], texts[1])
    plain = Judge.load("demo", template="self-j-unwrapped")
    for record in (Record("1", "a", "b", "c"), Record("2", "a", "b")):
        shown = get_format("self-j").render(record.instruction, record.response, record.reference)
        assert shown == plain.prompt(record).text
    with pytest.raises(JudgeError, match="no rating format 'x'; there are: self-j, auto-j"):
        get_format("x")


OWN = """\
format: prometheus
with_reference: |
  Compare {"json": {response}} with {reference}, given {instruction}.
without_reference: |
  Grade {response} for {instruction}.
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + "system: x\n", "field 'system': is unknown; there are: format, with_reference"),
        (OWN.replace("prometheus", "x"), "field 'format': expected one of self-j, .*, got 'x'"),
        (OWN.replace("format: prometheus", ""), "field 'format': expected one of .* got None"),
        ("format: self-j\n", "field 'without_reference': is missing, and so is with_reference"),
        (OWN.replace("{reference}", "{rubric}"), r"'with_reference': \{rubric\} is no placeholder"),
        (
            OWN.replace("{reference}", "it"),
            r"'with_reference': lacks the placeholder \{reference\}",
        ),
        (OWN + "  {reference}\n", r"'without_reference': \{reference\} is no placeholder here"),
        ("format: self-j\nwithout_reference: 3\n", "'without_reference': expected text, got int"),
        ("- x\n", "expected the keys format, with_reference, without_reference"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_faulty_prompt_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=f"judge.yaml.*{message}"):
        read_format(path)


def test_a_prompt_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.yaml: cannot be read: No such file"):
        read_format(tmp_path / "none.yaml")
