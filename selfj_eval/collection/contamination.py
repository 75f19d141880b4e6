"""Which collected texts hold an instruction of an evaluation set.

The rule follows GPT-3's (Brown et al., arXiv 2005.14165, appendix C): texts are compared as runs
of words, without case, punctuation and white space, and a run of n words in common is too much,
with 8 <= n <= 13 and the whole text where it is shorter. There one n holds for a whole data set
(the fifth percentile of its lengths, which is 6 words for AlpacaEval). Here it follows the length
of each evaluation text, so that a copy with one word changed is found among short ones, too:

    words of the evaluation text      what a collected text must not have
    12 and more                       a run of two thirds of them (8 to 13) in common with it
    8 to 11                           a run of 8 words in common with it
    5 to 7                            all of them, in a row
    1 to 4                            nothing but them
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from selfj_eval.errors import DataError
from selfj_eval.registry.folder import data_file

# The evaluation sets that have a name: pack and file, with the column ``instruction``.
EVALUATION_SETS = {
    "alpaca_eval": ("alpaca_eval", "instructions.parquet"),
    "mtbench": ("judge_bench", "pointwise_mtbench.parquet"),
    "vicuna": ("judge_bench", "pointwise_vicuna_blog.parquet"),
}

_FEWEST, _MOST = 8, 13  # GPT-3's bounds of n
_ANCHOR = 5  # words; shorter evaluation texts are common phrases
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHES = re.compile("['’ʼ`´]")  # noqa: RUF001
_RULE = f"words {_WORD.pattern}, two thirds from {_FEWEST} to {_MOST}, whole from {_ANCHOR}, 1"


class EvaluationTexts:
    """Texts of evaluation sets, indexed for the search in collected texts.

    Args:
        texts: Instructions of the evaluation sets; those without a word are of no account.

    Attributes:
        identity: A hash of the texts and of the rule: equal for equal answers.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        ordered = sorted(set(texts))
        digest = hashlib.sha256(_RULE.encode())
        self._whole: dict[tuple[str, ...], str] = {}
        self._runs: dict[tuple[str, ...], str] = {}
        # The first words of each run, to the lengths of the runs that begin so.
        self._anchors: dict[tuple[str, ...], tuple[int, ...]] = {}
        for text in ordered:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
            words = _words(text)
            if 0 < len(words) < _ANCHOR:
                self._whole.setdefault(tuple(words), text)
                continue
            n = _run_length(len(words))
            for start in range(len(words) - n + 1) if words else ():
                run = tuple(words[start : start + n])
                self._runs.setdefault(run, text)
                lengths = self._anchors.get(run[:_ANCHOR], ())
                if n not in lengths:
                    self._anchors[run[:_ANCHOR]] = (*lengths, n)
        self.identity = digest.hexdigest()

    def found_in(self, text: str) -> str | None:
        """The evaluation text that a collected text holds, in its own words, or None.

        Args:
            text: A collected text. Case, punctuation and white space make no difference.
        """
        words = _words(text)
        if len(words) < _ANCHOR:
            return self._whole.get(tuple(words))
        # Nearly all texts end here: no five words in a row begin a run.
        if self._anchors.keys().isdisjoint(_in_a_row(words)):
            return None
        for start, anchor in enumerate(_in_a_row(words)):
            for n in self._anchors.get(anchor, ()):
                found = self._runs.get(tuple(words[start : start + n]))
                if found is not None:
                    return found
        return None


def load_evaluation_texts(names: Sequence[str], selfj_data: str | None = None) -> EvaluationTexts:
    """The texts of evaluation sets.

    Args:
        names: Names of ``EVALUATION_SETS``, or files of records or instructions (JSONL, JSON, CSV
            or Parquet with a field ``instruction``).
        selfj_data: The folder with the data packs, as for ``data_file``.

    Raises:
        DataError: If a file is missing (for the sets that have a name with the command that
            gets it), or a row has no instruction.
    """
    texts: list[str] = []
    for name in names:
        texts.extend(_instructions(evaluation_file(name, selfj_data)))
    return EvaluationTexts(texts)


def evaluation_file(name: str, selfj_data: str | None = None) -> Path:
    """The file of an evaluation set. Arguments and errors as for ``load_evaluation_texts``."""
    if name in EVALUATION_SETS:
        return data_file(*EVALUATION_SETS[name], selfj_data)
    if not Path(name).exists():
        message = f"is neither a file nor one of {', '.join(EVALUATION_SETS)}."
        raise DataError(message, path=name)
    return Path(name)


def _instructions(path: Path) -> Iterator[str]:
    from selfj_eval.records.questions import QUESTION_FIELDS
    from selfj_eval.records.reading import iter_rows
    from selfj_eval.records.record import question_of

    place = None
    for place, row in iter_rows(path, fields=("instruction", *QUESTION_FIELDS)):
        yield question_of(row, path=path, place=place)
    if place is None:
        raise DataError("holds no instructions.", path=path)


def _words(text: str) -> list[str]:
    """Its words, lower case: runs of letters and digits, "don't" being one."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = _APOSTROPHES.sub("", text)
    elif "'" in text or "`" in text:
        text = text.replace("'", "").replace("`", "")
    return _WORD.findall(text.lower())


def _run_length(words: int) -> int:
    """How many words in a row are too much in common with a text of so many words."""
    if words < _FEWEST:
        return words
    return max(_FEWEST, min(_MOST, -(-2 * words // 3)))


def _in_a_row(words: list[str]) -> Iterator[tuple[str, ...]]:
    """All runs of ``_ANCHOR`` words."""
    return zip(*(words[start:] for start in range(_ANCHOR)), strict=False)
