"""Whether a text is in another language than the wanted one.

Most English texts are known by their function words in a few microseconds. What has too few of
them (keywords, titles, code, formulas, other languages) is asked of ``py3langid``, a naive Bayes
classifier over byte n-grams (Lui and Baldwin, "langid.py", ACL 2012).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from selfj_eval.errors import DataError, brief

_PREFIX = 300  # characters; what a text asks, and in which language, shows at its beginning
# Below this probability of the wanted language a text is another's. Keywords and names are
# near 0.02 to 0.5 for English, sentences of other languages near 0.0001 (measured:
# docs/collection-filters.md).
_UNLIKELY = 0.005
# A text is English, or an English question on something else, where one word in four is a function
# word of English, in its beginning or in its first twelve words, and one of them is of no other
# language ("is", "to" and "of" are of several).
_ONE_IN, _FIRST = 4, 12
_ENGLISH_ALONE = """
    the and what how which who why when where whose that this these those with from without into
    about between your you does did would could should been being there their they because
    can't don't doesn't i'm it's what's isn't using not
"""
_ENGLISH_TOO = "a an as at be by can for has have i if in is it me my of on or to do are we than"
_ALONE = frozenset(_ENGLISH_ALONE.split())
_FUNCTION_WORDS = _ALONE.union(_ENGLISH_TOO.split())


def other_language(wanted: str) -> Callable[[str], bool]:
    """Drops texts in another language than the wanted one.

    Args:
        wanted: ISO 639-1 code.

    Raises:
        DataError: If the language is unknown, or ``py3langid`` is not installed.
    """
    classifier = _classifier()
    if wanted not in classifier.labels:
        known = ", ".join(sorted(classifier.labels))
        message = f"the language {wanted!r} is unknown; there are: {known}."
        raise DataError(message, field="language")
    known_at_sight = _english if wanted == "en" else None

    def dropped(text: str) -> bool:
        beginning = text[:_PREFIX]
        if known_at_sight is not None and known_at_sight(beginning):
            return False
        likeliest, _ = classifier.classify(beginning)
        if likeliest == wanted:
            return False
        probability: float = dict(classifier.rank(beginning))[wanted]
        return probability < _UNLIKELY

    return dropped


def _english(text: str) -> bool:
    """Whether its first words, or all of them, have the function words of English."""
    words = text.lower().split()
    return _enough(words[:_FIRST]) or (len(words) > _FIRST and _enough(words))


def _enough(words: list[str]) -> bool:
    found = sum(map(_FUNCTION_WORDS.__contains__, words))
    return _ONE_IN * found >= len(words) and not _ALONE.isdisjoint(words)


@cache
def _classifier() -> Any:
    """The classifier, with probabilities; loading takes half a second and 100 MB."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise DataError(
            f"telling languages apart needs py3langid ({brief(error)}); install it with: "
            'pip install "selfj-eval[collect]"'
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
