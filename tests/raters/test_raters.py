"""Length, similarity to the reference, and sums: against computations of the tests' own."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from selfj_eval.errors import DataError
from selfj_eval.raters.combined import combine
from selfj_eval.raters.cosine import CosineRater, TfidfRater
from selfj_eval.raters.length import LengthRater
from selfj_eval.raters.specs import CombinedSpec, parse_raters, read_raters
from selfj_eval.raters.trigrams import TrigramRater
from selfj_eval.records.reading import read_records
from selfj_eval.records.record import Judgment, Record
from selfj_eval.storage.store import MeasureStore

TEXTS = [
    ("The capital is Paris.", "Paris is the capital of France."),
    ("I do not know.", "Paris is the capital of France."),
    ("4", "4"),
    ("The answer is 5, because 2 + 3 = 5.", "5"),
    ("", "5"),
    ("paris PARIS Paris", "Paris"),
    ("!?", "5"),
]


def records(texts: list[tuple[str, str]] = TEXTS) -> list[Record]:
    return [Record(str(k), "What?", a, reference=b) for k, (a, b) in enumerate(texts)]


def scores(judgments: list[Judgment]) -> list[float | None]:
    return [judgment.score for judgment in judgments]


def test_length_counts_characters() -> None:
    given = [Record("a", "x", "héé"), Record("b", "x", ""), Record("c", "x", "🙂 ok\n")]
    assert scores(LengthRater().judge(given)) == [3, 0, 5]
    assert scores(LengthRater(log=True).judge(given)) == [math.log(4), 0, math.log(6)]


def test_length_reproduces_the_baselines_of_the_data(data: Path) -> None:
    """The data's README states them over all rows, of which three quarters are here."""
    stated = {"arena_bench": 0.10, "llmbar_gpt4": -0.26, "qlora_vicuna": 0.45, "cje_arena": -0.23}
    for name, expected in stated.items():
        rows = read_records(data / "judge_bench" / f"pointwise_{name}.parquet")
        found = np.corrcoef(scores(LengthRater().judge(rows)), [r.rating for r in rows])[0, 1]
        assert found == pytest.approx(expected, abs=0.03), name


def test_tfidf_against_a_computation_by_hand() -> None:
    texts = list(dict.fromkeys(text for pair in TEXTS for text in pair))
    words = {text: Counter(re.findall(r"\w+", text.lower())) for text in texts}
    number = Counter(word for counts in words.values() for word in counts)

    def vector(text: str) -> dict[str, float]:
        n = len(texts)
        found = {w: c * (math.log((1 + n) / (1 + number[w])) + 1) for w, c in words[text].items()}
        norm = math.sqrt(sum(v * v for v in found.values())) or 1.0
        return {w: v / norm for w, v in found.items()}

    expected = []
    for a, b in TEXTS:
        left, right = vector(a), vector(b)
        expected.append(sum(value * right.get(word, 0.0) for word, value in left.items()))
    assert scores(TfidfRater().judge(records())) == pytest.approx(expected, abs=1e-12)
    assert expected[2] == pytest.approx(1)
    assert expected[4] == expected[6] == 0


def test_trigrams_against_a_computation_by_hand() -> None:
    def vector(text: str) -> dict[str, float]:
        small = text.lower()
        counts = Counter(small[at : at + 3] for at in range(len(small) - 2))
        found = {gram: math.log1p(n) for gram, n in counts.items()}
        norm = math.sqrt(sum(v * v for v in found.values())) or 1.0
        return {gram: v / norm for gram, v in found.items()}

    pairs = [*TEXTS, ("The cat sat.", "the CAT sat."), ("ab", "abc"), ("hahaha", "ha haha")]
    expected = []
    for a, b in pairs:
        left, right = vector(a), vector(b)
        expected.append(sum(value * right.get(gram, 0.0) for gram, value in left.items()))
    together = TrigramRater().judge(records(pairs))
    assert scores(together) == pytest.approx(expected, abs=1e-9)
    assert expected[-3] == pytest.approx(1) and expected[-2] == 0 and expected[-1] > 0.3
    for record, judgment in zip(records(pairs), together, strict=True):  # nothing is fitted
        assert TrigramRater().judge([record])[0].score == pytest.approx(judgment.score)
    without = TrigramRater().judge([Record("1", "What?", "This.")])[0]
    assert without.score is None and "has no reference" in str(without.error)


def test_tfidf_of_texts_without_words() -> None:
    assert scores(TfidfRater().judge(records([("!", "?"), ("", "...")]))) == [0, 0]


def test_cosine_against_the_library(minilm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from selfj_eval.engines.models.embedder import Embedder

    with MeasureStore(tmp_path / "store") as store:
        rater = CosineRater(Embedder(str(minilm)), store=store)
        found = rater.judge(records())
    model = SentenceTransformer(str(minilm), local_files_only=True)
    for judgment, (a, b) in zip(found, TEXTS, strict=True):
        left, right = model.encode([a, b]).astype(float)
        expected = left @ right / math.sqrt((left @ left) * (right @ right)) if a else 0.0
        assert judgment.score == pytest.approx(expected, abs=1e-5)
        assert judgment.reference_used
    long = Record("long", "What?", "word " * 1000, reference="word")
    assert rater.key(long) != rater.key(records()[0])


def test_cosine_counts_what_it_did_not_read(minilm: Path) -> None:
    from selfj_eval.engines.models.embedder import Embedder

    embedder = Embedder(str(minilm))
    long = Record("long", "What?", "word " * 1000, reference="word")
    (judgment,) = CosineRater(embedder).judge([long])
    assert embedder.max_tokens is not None
    assert judgment.trimmed_tokens == 1002 - embedder.max_tokens  # with the two special tokens


@pytest.mark.parametrize("rater", [TfidfRater(), "cosine"])
def test_a_record_without_reference_is_unscored(rater: object, minilm: Path) -> None:
    from selfj_eval.engines.models.embedder import Embedder

    used = CosineRater(Embedder(str(minilm))) if rater == "cosine" else rater
    assert isinstance(used, CosineRater | TfidfRater)
    given = [Record("a", "x", "y", where="file, line 7"), Record("b", "x", "y", reference="y")]
    first, second = used.judge(given)
    assert first.score is None and "file, line 7: has no reference" in str(first.error)
    assert second.score == pytest.approx(1)


def test_stored_similarities_are_not_computed_again(minilm: Path, tmp_path: Path) -> None:
    from selfj_eval.engines.models.embedder import Embedder

    embedder = Embedder(str(minilm))
    given = [*records(), Record("again", "What?", TEXTS[0][0], reference=TEXTS[0][1])]
    with MeasureStore(tmp_path / "store") as store:
        first = CosineRater(embedder, store=store).judge(given)
    with MeasureStore(tmp_path / "store") as store:
        rater = CosineRater(embedder, store=store)
        rater._embedder = None  # nothing is left to be embedded
        told: list[int] = []
        assert rater.judge(given, progress=told.append) == first
        assert rater.from_store == len(given) == sum(told)


def judged(*values: float | None) -> list[Judgment]:
    errors = [None if value is not None else "it failed." for value in values]
    pairs = enumerate(zip(values, errors, strict=True))
    return [Judgment(str(k), v, None, None, e) for k, (v, e) in pairs]


def test_sums_of_standardised_scores() -> None:
    a, b = judged(1, 2, 3, None, 4), judged(10, 0, 5, 7, 5)
    found = scores(combine(["a", "b"], [a, b], [1, 0.5]))
    x, y = np.array([1.0, 2, 3, 4]), np.array([10.0, 0, 5, 5])
    expected = (x - x.mean()) / x.std() + 0.5 * (y - y.mean()) / y.std()
    assert found[3] is None
    assert [f for f in found if f is not None] == pytest.approx(expected.tolist())


def test_sums_of_ranks() -> None:
    found = scores(combine(["a", "b"], [judged(1, 2, 3), judged(5, 5, 0)], [1, 2], scale="rank"))
    assert found == pytest.approx([(1 + 2 * 2.5) / 3, (2 + 2 * 2.5) / 3, (3 + 2) / 3])


def test_a_sum_names_the_rater_that_failed() -> None:
    found = combine(["a", "b"], [judged(1, 2, 3), judged(None, 5, 6)], [1, 1])
    assert (found[0].score, found[0].error) == (None, "b: it failed.")


def test_a_sum_with_a_constant_rater_is_unscored() -> None:
    found = combine(["a", "b"], [judged(1, 2, 3), judged(4, 4, 4)], [1, 1])
    assert scores(found) == [None] * 3
    assert "b gives no ranking: all 3 scores are equal (4)" in str(found[0].error)


def test_raters_from_a_command_line() -> None:
    length, total, judge = parse_raters("length, 0.5*cosine + demo,demo", {})
    assert (length.name, length.modes) == ("length", (False,))
    assert isinstance(total, CombinedSpec)
    assert [(w, s.name, s.kind) for w, s in total.parts] == [
        (0.5, "cosine", "cosine"),
        (1.0, "demo", "judge"),
    ]
    assert total.modes == (True,)  # cosine cannot do without a reference
    assert judge.modes == (True, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenght", "no rater 'lenght'. Did you mean length? There are: length, log-length,"),
        ("length,length", "the rater 'length' is named twice"),
        ("2*length", "a weight makes sense in a sum only"),
        ("x*length+cosine", "expected a number before the *, got 'x'"),
        ("0*length+cosine", "the weight of 'length' is 0"),
        ("length:model", "the rater length takes no model"),
        ("ppl:", "the rater ppl takes a model"),
        ("length+", "there is no rater on one side of the +"),
    ],
)
def test_wrong_raters_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        parse_raters(text, {})


def test_the_sum_with_a_name_is_of_small_without_the_reference() -> None:
    (spec,) = parse_raters("small-ref", {})
    assert isinstance(spec, CombinedSpec) and spec.modes == (True,)
    (_, small), (_, trigrams) = spec.parts
    assert (small.model, small.modes, trigrams.kind) == ("small", (False,), "trigrams")
    assert spec.fixed is not None
    (middle, deviation), (share, spread) = spec.fixed
    assert 0 < middle < 9 and 0 < share < 1 and deviation > spread > 0  # not in the other order


def test_raters_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "raters.yaml"
    file.write_text("- {name: rm, rater: reward, model: ./rm, prompt: human}\n")
    defined = read_raters(file)
    (spec,) = parse_raters("rm", defined)
    assert (spec.name, spec.parts[0][1].model) == ("rm", "./rm")
    assert spec.parts[0][1].options == {"prompt": "human"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x", "expected a list of raters"),
        ("- x", "entry 1: expected name, rater and options"),
        ("- {name: x, rater: y}", "entry 1, field 'rater': expected one of length,"),
        ("- {name: a+b, rater: length}", "field 'name': expected a name without"),
        ("- {name: x, rater: reward}", "field 'model': is missing"),
        ("- {name: x, rater: length, model: y}", "field 'model': expected nothing"),
        ("- {name: x, rater: reward, model: y, n: 3}", "field 'n': no such option"),
        (
            "- {name: x, rater: tfidf, reference: false}",
            "the rater tfidf can be asked in one way only",
        ),
        ("- {name: x, rater: judge, model: y, reference: 0}", "expected true or false, got 0"),
        ("- {name: x, rater: length}\n- {name: x, rater: tfidf}", "entry 2, field 'name'"),
        ("- {name: [", "is not YAML"),
    ],
)
def test_wrong_files_of_raters_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "raters.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        read_raters(file)
