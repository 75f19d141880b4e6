"""What instructions ask for: their root verbs and the first noun of each.

The figure is that of Self-Instruct (Wang et al. 2023, arXiv 2212.10560, figure 3), which takes of
a parsed instruction the verb that is closest to the root and its first direct noun object.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selfj_eval.collection.counts import NounCount, RootVerbs, VerbCount
from selfj_eval.errors import DataError, brief

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

PARSER = "en_core_web_sm"
MOST_VERBS, MOST_NOUNS = 20, 4
MOST_CHARACTERS = 500
"""Of an instruction's first paragraph that are parsed: only its first sentence is looked at."""
_BATCH = 256
# Parts of a pipeline that tell nothing of verbs.
_UNUSED = {
    *("ner", "beam_ner", "entity_linker", "entity_ruler", "span_ruler", "span_finder"),
    *("spancat", "spancat_singlelabel", "textcat", "textcat_multilabel"),
}

Pair = tuple[str | None, str | None]


def open_parser(name: str = PARSER) -> Language:
    """Load a spaCy pipeline, without the parts that are not needed.

    Args:
        name: Of an installed pipeline, or its folder.

    Raises:
        DataError: If spaCy or the pipeline is missing, or it does not parse; with the way out.
    """
    try:
        import spacy
    except ImportError as error:
        raise DataError(
            f"root verbs need {error.name}: pip install 'selfj-eval[collect]', then "
            f"python -m spacy download {PARSER}."
        ) from error
    if not spacy.util.is_package(name) and not Path(name).exists():
        raise DataError(
            f"spaCy's pipeline {name!r} is neither installed nor a folder: python -m spacy "
            f"download {PARSER}, or name another one with `parser`."
        )
    try:
        parser = spacy.load(name)
        parts = {part: parser.get_pipe_meta(part).factory for part in parser.pipe_names}
        parser.select_pipes(disable=[part for part, kind in parts.items() if kind in _UNUSED])
        tried = parser("Write a story about a dragon.")
    except Exception as error:  # whatever its parts raise
        raise DataError(f"{name!r} is not a working spaCy pipeline ({brief(error)}).") from error
    if not tried.has_annotation("DEP") or not tried.has_annotation("POS"):
        raise DataError(
            f"spaCy's pipeline {name!r} gives no dependencies or no parts of speech (its parts: "
            f"{', '.join(parts) or 'none'}); name one with a parser, such as {PARSER}."
        )
    return parser


def root_verbs(
    texts: Sequence[str], parser: Language, progress: Callable[[int], None] = lambda _: None
) -> list[Pair]:
    """The root verb of each text and its noun, see ``root_verb``.

    Args:
        texts: Instructions; the first paragraph of each is parsed, at most ``MOST_CHARACTERS``.
        parser: Of ``open_parser``.
        progress: Called with the number of texts that have just been parsed.

    Returns:
        A pair a text, in their order.
    """
    pairs = []
    for document in parser.pipe(map(_beginning, texts), batch_size=_BATCH):
        pairs.append(root_verb(document))
        progress(1)
    return pairs


def root_verb(document: Doc) -> Pair:
    """The verb of the first sentence that is closest to its root, and that verb's first noun.

    The root itself where it is a verb (``VERB``; copulas and auxiliaries are none), else the one
    that is the fewest steps below it, of several the first in the text. Its noun is, of the words
    that depend on the verb itself, the first common noun (``NOUN``) that is its direct object,
    or, where none is, the first common noun at all. Both as lemmas in lower case.

    Returns:
        Verb and noun; the noun is None where the verb has none, both where there is no verb.
    """
    sentence = next(iter(document.sents), None)
    level = [] if sentence is None else [sentence.root]
    while level:
        for token in sorted(level, key=lambda token: token.i):
            if token.pos_ == "VERB":
                return _lemma(token), _noun(token)
        level = [child for token in level for child in token.children]
    return None, None


def tabulate(pairs: Iterable[Pair], *, parser: str, seed: int) -> RootVerbs:
    """The most frequent verbs that have a noun, with their most frequent nouns.

    Args:
        pairs: Of ``root_verbs``.
        parser: What parsed them.
        seed: Of the sample.

    Returns:
        The ``MOST_VERBS`` most frequent verbs among those with a noun, each with its
        ``MOST_NOUNS`` most frequent nouns; equal counts in the order of the alphabet.
    """
    counted = Counter(pairs)
    verbs: Counter[str] = Counter()
    nouns: dict[str, Counter[str]] = {}
    for (verb, noun), n in counted.items():
        if verb is not None and noun is not None:
            verbs[verb] += n
            nouns.setdefault(verb, Counter())[noun] += n
    chosen = tuple(
        VerbCount(verb, n, tuple(NounCount(*most) for most in _most(nouns[verb], MOST_NOUNS)))
        for verb, n in _most(verbs, MOST_VERBS)
    )
    return RootVerbs(
        parser=parser,
        sample=counted.total(),
        seed=seed,
        parsed=counted.total(),
        with_verb=sum(n for (verb, _), n in counted.items() if verb is not None),
        with_noun=verbs.total(),
        shown=sum(noun.count for verb in chosen for noun in verb.nouns),
        verbs=chosen,
    )


def _beginning(text: str) -> str:
    first = re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    return " ".join(first[:MOST_CHARACTERS].split())


def _noun(verb: Token) -> str | None:
    nouns = [child for child in verb.children if child.pos_ == "NOUN"]
    objects = [noun for noun in nouns if noun.dep_ in ("dobj", "obj")]
    return next((_lemma(noun) for noun in [*objects, *nouns]), None)


def _lemma(token: Token) -> str:
    return str(token.lemma_ or token.text).lower()


def _most(counts: Counter[str], limit: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
