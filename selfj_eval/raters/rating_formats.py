"""What a judge that writes is asked: prompts, each with the way its rating is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, JudgeError
from selfj_eval.files.documents import mapping, read_yaml
from selfj_eval.prompts.forging import Found, find, heading, line
from selfj_eval.prompts.templates import RESPONSE_WRAPPER, get_template
from selfj_eval.raters.rating_syntax import SYNTAXES, Syntax
from selfj_eval.records.texts import is_unicode

_FIELDS = ("instruction", "reference", "response")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_KEYS = ("format", "with_reference", "without_reference")


@dataclass(frozen=True, slots=True)
class RatingFormat:
    """Prompts for a judge, and how it writes its rating.

    Attributes:
        name: What it is called: a name of ``FORMATS``, or of a user's file without its folder.
        syntax: How the rating is written.
        with_reference: Text with ``{instruction}``, ``{reference}``, ``{response}``. None: the
            judge is never shown a reference.
        without_reference: Text with ``{instruction}``, ``{response}``. None: it needs one.
    """

    name: str
    syntax: Syntax
    with_reference: str | None
    without_reference: str | None

    def render(self, instruction: str, response: str, reference: str | None = None) -> str:
        """The finished prompt; with the reference, if there is one and a prompt that shows it.

        Raises:
            JudgeError: If there is no reference, and no prompt without.
        """
        text = self.with_reference if reference is not None else None
        text = self.without_reference if text is None else text
        if text is None:
            raise JudgeError(f"the prompts {self.name} have none without a reference.")
        values = {"instruction": instruction, "reference": reference or "", "response": response}
        # One pass over the prompt only: braces and placeholders inside the texts stay as they are.
        return _PLACEHOLDER.sub(lambda found: values[found[1]], text)

    def marker_in(self, response: str) -> Found | None:
        """A line of the prompt's own inside an answer, or None.

        With such a line, a heading for instance, an answer can close its own section and go on as
        if it were the prompt. How a rating is written does not count: only replies are read.
        """
        own = dict[str, None]()
        for text in (self.with_reference, self.without_reference):
            own |= dict.fromkeys(part.strip() for part in (text or "").splitlines())
        shown = self.syntax.marker
        lines = [
            part for part in own
            if any(c.isalpha() for c in part) and not (shown and shown in part)
        ]  # fmt: skip
        return find([heading(RESPONSE_WRAPPER.strip()), *map(line, lines)], response)


def read_format(path: str | Path) -> RatingFormat:
    """Prompts of a user's own, for a judge that was trained with them.

    A YAML file with ``format``, a name of ``rating_syntax.SYNTAXES``, and one or both of
    ``with_reference`` and ``without_reference``, texts with the placeholders {instruction},
    {response} and, with the reference, {reference}. Other braces stay as they are.

    Raises:
        DataError: Naming file and field.
    """
    path = Path(path)
    values = mapping(read_yaml(path), _KEYS, path)
    syntax = values.get("format")
    if not isinstance(syntax, str) or syntax not in SYNTAXES:
        message = f"expected one of {', '.join(SYNTAXES)}, got {syntax!r}."
        raise DataError(message, path=path, field="format")
    if values.get("with_reference") is None and values.get("without_reference") is None:
        message = "is missing, and so is with_reference; give one of them, or both."
        raise DataError(message, path=path, field="without_reference")
    texts = [_prompt(values.get(key), path, key) for key in _KEYS[1:]]
    return RatingFormat(path.name, SYNTAXES[syntax], texts[0], texts[1])


def _prompt(text: Any, path: Path, key: str) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or not is_unicode(text):
        kind = "invalid Unicode" if isinstance(text, str) else type(text).__name__
        raise DataError(f"expected text, got {kind}.", path=path, field=key)
    known = [name for name in _FIELDS if name != "reference" or key == "with_reference"]
    shown = ", ".join(f"{{{name}}}" for name in known)
    found = _PLACEHOLDER.findall(text)
    for name in found:
        if name not in known:
            message = f"{{{name}}} is no placeholder here; there are: {shown}."
            raise DataError(message, path=path, field=key)
    for name in known:
        if name not in found:
            message = f"lacks the placeholder {{{name}}}; it needs: {shown}."
            raise DataError(message, path=path, field=key)
    return text


_QUESTION = "[Question]\n{instruction}\n\n"
_REFERENCE = "[Reference]\n{reference}\n\n"
_ANSWER = "[Answer]\n{response}"


def _own(name: str, task: str, rating: str) -> RatingFormat:
    """Prompts in our own words; only the way a rating is written is the judge's makers'."""
    free = f"{task} {rating}\n\n{_QUESTION}{_ANSWER}"
    hint = (
        "The reference is an answer that is known to be good: hold the answer against it, but do "
        "not mark down what is merely said in another way."
    )
    compared = f"{task} {hint} {rating}\n\n{_QUESTION}{_REFERENCE}{_ANSWER}"
    return RatingFormat(name, SYNTAXES[name], compared, free)


def _self_j() -> RatingFormat:
    template = get_template("self-j-unwrapped")
    both = (template.with_reference, template.without_reference)
    texts = [str(text).replace("{input}", "{response}") for text in both]
    return RatingFormat("self-j", SYNTAXES["self-j"], texts[0], texts[1])


FORMATS = {
    own.name: own
    for own in (
        _self_j(),
        _own(
            "auto-j",
            "Below are a question and an answer that an assistant gave to it. Write a critique of "
            "the answer: what it does well, what it gets wrong or leaves out, and what would make "
            "it more useful to the person who asked.",
            "When the critique is done, say how good the answer is as a number from 1 (of no use) "
            "to 10 (could not be better), once, on a line of its own and in exactly this form, "
            "with the number for N: Rating: [[N]]",
        ),
        _own(
            "prometheus",
            "Below are a question and an answer to it. Give feedback on the answer: judge in a few "
            "sentences whether it is correct, complete, and does what the question asks for.",
            "End with the word [RESULT] and then the grade that follows from your feedback, a "
            "whole number: 1 for a bad answer, 2 for a weak, 3 for a fair, 4 for a good and 5 for "
            "an excellent one. Write nothing after the number.",
        ),
        _own(
            "mt-bench",
            "You are to judge, without bias, how well an assistant has answered the question "
            "below. Explain briefly what you think of the answer: is it helpful, to the point, "
            "correct, and thorough enough?",
            "After the explanation, give your verdict as a number from 1 to 10, where 10 is best, "
            "inside double square brackets and nowhere else: [[N]], with the number for N.",
        ),
    )
}
"""Prompts by name; ``self-j`` has Self-J's (arXiv 2409.00935, section 3)."""


def get_format(name: str) -> RatingFormat:
    """The format of that name.

    Raises:
        JudgeError: If there is none.
    """
    if name not in FORMATS:
        raise JudgeError(f"no rating format {name!r}; there are: {', '.join(FORMATS)}.")
    return FORMATS[name]
