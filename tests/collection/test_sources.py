"""The 37 sources: as published, and a row of each one's schema through its converter."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.collection.categories import PARTS
from selfj_eval.collection.converters import instructions
from selfj_eval.collection.sources import Source, load_sources
from selfj_eval.errors import DataError

SOURCES = {source.name: source for source in load_sources()}
_BEST = "flax-sentence-embeddings_stackexchange_titlebody_best_and_down_voted_answer"
_YAHOO = {"id": 7, "best_answer": "Boil it."}
_OA = {"RESPONSE": "Try it.", "SOURCE": "forum", "METADATA": "{}"}
_SE = {"upvoted_answer": "Yes.", "downvoted_answer": "No."}
_CHOICES = {"text": ["ice", "fog"], "label": ["A", "B"]}

# Made-up texts in rows of the real schemas, and what comes out of them.
ROWS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "embedding-data_PAQ_pairs": (
        {"set": ["who dug the Ems canal", "It was dug by monks."]},
        ["who dug the Ems canal"],
    ),
    "embedding-data_WikiAnswers_train": (
        {"set": ["how long do bees live", "what is the age of a bee", "bees life span"]},
        ["how long do bees live"],
    ),
    "BeIR_cqadupstack-generated-queries": (
        {"_id": "9", "title": "Cheat", "text": "In chess", "query": "is it a cheat?"}
        | {"subset": "gaming"},
        ["is it a cheat?"],
    ),
    "ms_marco": (
        {"answers": ["12"], "query": "how many eggs in a dozen", "query_id": 3}
        | {"passages": {"is_selected": [1], "passage_text": ["A dozen."], "url": ["u"]}}
        | {"query_type": "NUMERIC", "wellFormedAnswers": []},
        ["how many eggs in a dozen"],
    ),
    "koutch_yahoo_answers_topics": (
        _YAHOO | {"topic": 2, "question_title": " Sore knee? ", "question_content": "It\nhurts."},
        [" Sore knee? \n\nIt\nhurts."],
    ),
    "totuta_youtube_subs_howto100M": (
        {"instruction": "How to plant leeks?", "response": "First...", "source": "v"},
        ["How to plant leeks?"],
    ),
    "quora": (
        {"sentence1": "Why is tea green?", "sentence2": "Why is some tea green?", "label": 1},
        ["Why is tea green?", "Why is some tea green?"],
    ),
    _BEST: (
        _SE | {"title_body": "Wet bread <p>Why?</p>", "subset": "cooking"},
        ["Wet bread <p>Why?</p>"],
    ),
    "LLukas22_lfqa_preprocessed": (
        {"question": "Why do cats purr?", "answer": "They...", "context": ["Cats."]},
        ["Why do cats purr?"],
    ),
    "koutch_yahoo_answers_qa": (
        {"id": "1", "question": "How to iron silk?", "answer": "Cool.", "nbestanswers": ["Cool."]}
        | {"main_category": "Home"},
        ["How to iron silk?"],
    ),
    "AmazonScience_mintaka": (
        {"id": "a", "lang": "en", "question": "Who won twice?", "answerText": "Ann"}
        | {"category": "sports", "complexityType": "count"},
        ["Who won twice?"],
    ),
    "common_questions_piqa": (
        {"goal": "dry wet shoes", "sol1": "Stuff them.", "sol2": "Freeze them.", "label": 0},
        ["dry wet shoes"],
    ),
    "b-mc2_wikihow_lists": (
        {"pageId": 5, "title": "How to Fold a Map", "result": "1. Lay it flat."},
        ["How to Fold a Map"],
    ),
    "launch_open_question_type": (
        {"id": "1", "question": "Do fish sleep?", "annotator1": ["verification", None]}
        | {"annotator2": ["concept", None], "resolve_type": "verification"},
        ["Do fish sleep?"],
    ),
    "pacovaldez_stackoverflow": (
        {"title": "Loop ends early", "body": "```\nfor x in y:\n```\nWhy?", "label": 2},
        ["Loop ends early\n\n```\nfor x in y:\n```\nWhy?"],
    ),
    "koutch_stackoverflow_python": (
        {"title": "Sort a dict", "question_id": 1, "question_body": "<p>How &amp; why?</p>"}
        | {"answer_id": 2, "answer_body": "<p>sorted</p>", "tags": ["python"]},
        ["Sort a dict\n\n<p>How &amp; why?</p>"],
    ),
    "koutch_staqc": (
        {"id": 0, "question_id": 4, "question": "Join two tables?", "snippet": ["SELECT 1"]},
        ["Join two tables?"],
    ),
    "neulab_conala": (
        {"question_id": 1, "intent": "reverse a list", "rewritten_intent": None}
        | {"snippet": "x[::-1]"},
        ["reverse a list"],
    ),
    "sedthh_ubuntu_dialogue_qa": (_OA | {"INSTRUCTION": "no sound?"}, ["no sound?"]),
    "BeIR_cqadupstack-generated-queries_coding": (
        {"_id": "9", "title": "MVC", "text": "Is it", "query": "what is mvc"}
        | {"subset": "programmers"},
        ["what is mvc"],
    ),
    "neulab_tldr": (
        {"question_id": "1", "nl": "list all files", "cmd": "ls -a", "oracle_man": ["ls_1"]}
        | {"cmd_name": "ls", "tldr_cmd_name": "ls", "manual_exist": True},
        ["list all files"],
    ),
    f"{_BEST}_coding": (
        _SE | {"title_body": "Is this clean? if (a) b;", "subset": "codereview"},
        ["Is this clean? if (a) b;"],
    ),
    "koutch_yahoo_answers_topics_coding": (
        _YAHOO | {"topic": 4, "question_title": "Arrays in Java?", "question_content": ""},
        ["Arrays in Java?"],
    ),
    "quora_coding": (
        {"sentence1": "Is C++ hard?", "sentence2": "Is it hard?", "label": 0},
        ["Is C++ hard?"],
    ),
    "mbpp": (
        {"task_id": 1, "text": "Write a function to add.", "code": "def f(): 0"}
        | {"test_list": ["assert f"], "test_setup_code": "", "challenge_test_list": []},
        ["Write a function to add."],
    ),
    "pubmed_qa": (
        {"pubid": 1, "question": "Does rest help?", "long_answer": "Yes.", "final_decision": "yes"}
        | {"context": {"contexts": ["We..."], "labels": ["AIM"], "meshes": ["Rest"]}},
        ["Does rest help?"],
    ),
    "medical_dialog": (
        {"src": "Patient: My arm hurts. What is it? Doctor: Hi. Rest it.", "tgt": "Arm?"},
        ["My arm hurts. What is it?"],
    ),
    "medmcqa": (
        {"id": "a", "question": "Longest bone?", "opa": "femur", "opb": "ulna", "opc": "rib"}
        | {"opd": "tibia", "cop": 0, "choice_type": "single", "exp": None},
        ["Longest bone?"],
    ),
    "flax-sentence-embeddings_stackexchange_math": (
        {"title_body": "Is $x$ odd? Let $x=3$.", "upvoted_answer": "Yes."},
        ["Is $x$ odd? Let $x=3$."],
    ),
    "medalpaca_medical_meadow_medical_flashcards": (
        {"input": "What is gout?", "output": "Crystals.", "instruction": "Answer this."},
        ["What is gout?"],
    ),
    "danielpark_MQuAD-v1": (
        {"question": "Is a rash bad?", "answer": "See...", "Q_FFNN_embeds": "[0.1]"}
        | {"A_FFNN_embeds": "[0.2]"},
        ["Is a rash bad?"],
    ),
    "qasc": (
        {"id": "3", "question": "What is cold?", "choices": _CHOICES, "answerKey": "A"}
        | {"fact1": "a", "fact2": "b", "combinedfact": "c", "formatted_question": "What (A)"},
        ["What is cold?"],
    ),
    "sciq": (
        {"question": "What do roots take up?", "distractor1": "air", "distractor2": "oil"}
        | {"distractor3": "ink", "correct_answer": "water", "support": "Roots..."},
        ["What do roots take up?"],
    ),
    f"{_BEST}_academic": (
        _SE | {"title_body": "Why is the sky dark?", "subset": "astronomy"},
        ["Why is the sky dark?"],
    ),
    "cannin_biostars_qa": (_OA | {"INSTRUCTION": "Convert BAM?"}, ["Convert BAM?"]),
    "covid_qa_deepset": (
        {"document_id": 1, "context": "Masks...", "question": "Do masks help?", "id": 2}
        | {"is_impossible": False, "answers": {"text": ["yes"], "answer_start": [0]}},
        ["Do masks help?"],
    ),
    "medical_questions_pairs": (
        {"dr_id": 1, "question_1": "Can I fly?", "question_2": "May I fly?", "label": 1},
        ["Can I fly?"],
    ),
}


def test_the_sources_are_those_of_the_paper() -> None:
    counts: Counter[str] = Counter()
    for source in SOURCES.values():
        counts[source.category] += source.expected
    assert len(SOURCES) == 37
    assert sum(counts.values()) == 5_754_412
    shares = {name: round(100 * count / 5_754_412, 1) for name, count in counts.items()}
    assert shares == {"Common": 54.1, "Coding": 31.5, "Academic": 14.4}
    assert set(ROWS) == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_row_of_its_schema(name: str) -> None:
    row, expected = ROWS[name]
    assert instructions(SOURCES[name], "row 1", row) == expected


@pytest.mark.parametrize("name", SOURCES)
def test_a_changed_schema_is_named(name: str) -> None:
    source, (row, _) = SOURCES[name], ROWS[name]
    for field in source.fields:
        with pytest.raises(DataError, match="schema has changed") as caught:
            instructions(source, "row 8", {k: v for k, v in row.items() if k != field})
        assert (caught.value.path, caught.value.place) == (name, "row 8")
        assert caught.value.field == field
        with pytest.raises(DataError, match=r"expected .* got .*schema has changed") as caught:
            instructions(source, "row 8", row | {field: {"value": 1.5}})
        assert (caught.value.path, caught.value.field) == (name, field)


@pytest.mark.parametrize("name", SOURCES)
def test_a_row_without_text_gives_no_instruction(name: str) -> None:
    source, (row, _) = SOURCES[name], ROWS[name]
    empty = {field: type(row[field])() for field in source.fields}
    assert instructions(source, "row 1", row | empty) == []
    nulls = {field: None for field in source.fields if isinstance(row[field], str)}
    assert instructions(source, "row 1", row | empty | nulls) == []


@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        ("Doctor: How are you? Patient: Ill.", []),
        ("no turns at all", []),
        ("Patient: Only me, twice. Patient: Me.", ["Only me, twice. Patient: Me."]),
    ],
)
def test_only_a_patient_who_begins_asks(dialogue: str, expected: list[str]) -> None:
    assert instructions(SOURCES["medical_dialog"], "row 1", {"src": dialogue}) == expected


def _kept(source: Source, row: dict[str, Any]) -> list[str]:
    return instructions(source, "row 1", row)


def test_parts_of_a_data_set_are_disjoint_and_cover_it() -> None:
    """Each text of each row goes to exactly one source of its data set."""
    texts = ["Is SQL hard?", "My api.", "a rapid JSONP", "Who is Java's king?", "Tea?", "C++ or C#"]
    texts += ["sqlite", "Programmers' diet", "debugged", "Coding"]
    sites = ("cooking", "programmers", "codereview", "math", "stats", "unix", "ru", "physics")
    rows = [
        {"query": text, "title_body": text, "sentence1": text, "sentence2": text[::-1]}
        | {"question_title": text, "question_content": text, "topic": topic, "subset": site}
        for text in texts
        for site in sites
        for topic in range(10)
    ]
    families: dict[str, list[Source]] = {}
    for source in SOURCES.values():
        if source.part is not None:
            families.setdefault(source.part.partition(".")[0], []).append(source)
    assert sorted(map(len, families.values())) == [2, 2, 2, 3]
    assert {source.part for family in families.values() for source in family} == set(PARTS)
    for family in families.values():
        assert len({(source.hub, source.config, source.files) for source in family}) == 1
        met = set()
        for row in rows:
            whole = Counter(_kept(replace(family[0], part=None), row))
            parts = [Counter(_kept(source, row)) for source in family]
            assert sum(parts, Counter()) == whole
            met |= {at for at, part in enumerate(parts) if part}
        assert met == set(range(len(family))), "made rows reach every part"


@pytest.mark.parametrize(
    ("text", "coding"),
    [
        ("How do I learn Python?", True),
        ("what's C++?", True),
        ("Is c# dead", True),
        ("What is an algorithm?", True),
        ("How can I go to Java, the island?", True),  # a known miss of a rule of words
        ("Is happiness learned?", False),
        ("Who owns the pythons of Florida?", False),
        ("Should I sell my cppi?", False),
        ("What is a C major scale?", False),
    ],
)
def test_words_of_programming(text: str, coding: bool) -> None:
    row = {"sentence1": text, "sentence2": "", "label": 0}
    assert _kept(SOURCES["quora_coding"], row) == ([text] if coding else [])
    assert _kept(SOURCES["quora"], row) == ([] if coding else [text])


def test_computer_trouble_is_not_coding() -> None:
    row = ROWS["koutch_yahoo_answers_topics_coding"][0]
    virus = row | {"question_title": "I have a virus on my PC"}
    topic = row | {"topic": 5}
    coding = SOURCES["koutch_yahoo_answers_topics_coding"]
    assert (_kept(coding, virus), _kept(coding, topic)) == ([], [])


def test_a_source_of_ones_own_with_a_wrong_name_is_refused() -> None:
    source = replace(SOURCES["mbpp"], converter="first")
    with pytest.raises(DataError, match="there is no 'first'; there are: single"):
        _kept(source, {"text": "a"})
    source = replace(SOURCES["mbpp"], part="quora.other")
    with pytest.raises(DataError, match="field 'part': there is no 'quora.other'"):
        _kept(source, {"text": "a"})


def test_documentation_lists_the_sources() -> None:
    text = (Path(__file__).parents[2] / "docs" / "collection-sources.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    told = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in rows]
    told = [cells for cells in told if len(cells) == 6]
    assert len(told) == 37
    for source, cells in zip(SOURCES.values(), told, strict=True):
        name, hub, fields, licence, count, note = cells
        assert name == f"`{source.name}`"
        where = (source.config, source.revision, source.files)
        tail = [f"`{part}`" for part in where if part]
        assert hub == ", ".join([f"`{source.hub}`", *tail, source.split])
        assert fields == ", ".join(f"`{field}`" for field in source.fields)
        assert (licence, count) == (source.licence, f"{source.expected:,}")
        assert note == (source.note or "")
