"""Named prompt templates, and trimming a prompt to a token budget.

The texts are Self-J's protocol (arXiv 2409.00935 and its released ``judge.py``): a judge
that was trained with them misbehaves when a single character differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from selfj_eval.errors import JudgeError
from selfj_eval.prompts.forging import Found, find, heading, section, sentence

_OPENING = (
    "Please act as a precise judge and evaluate the quality of the answer to question. "
    "Rate the answer from 0 to 9, where a higher value means a better answer. "
)
_WITH_REFERENCE = (
    _OPENING + "Please refer to the reference answer to make your judgement. "
    "Respond with an integer between 0 and 9. "
    "\n\n[Question]\n{instruction}\n\n[Reference]\n{reference}\n\n[Answer]\n{input}"
)
_WITHOUT_REFERENCE = (
    _OPENING + "Please respond with an integer between 0 and 9. "
    "\n\n[Question]\n{instruction}\n\n[Answer]\n{input}"
)
RESPONSE_WRAPPER = "\n\n### Response:"
"""Ends the prompts that Self-J's models and judges were trained with."""

_SECTIONS = ("[Question]", "[Reference]", "[Answer]")

_MARKS = (
    heading(RESPONSE_WRAPPER.strip()),
    sentence(_OPENING[: _OPENING.index(".") + 1]),
    *map(section, _SECTIONS),
)

CUT = " [...] "
"""Stands where the middle of a text was cut out."""

Offsets = Sequence[tuple[int, int]]
"""Per token: first character and one past the last character in the text."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A named pair of prompts, with and without reference.

    Attributes:
        name: What the user selects and what is recorded with every judgment.
        with_reference: Text with the fields ``{instruction}``, ``{reference}``, ``{input}``.
        without_reference: Text with the fields ``{instruction}``, ``{input}``.
    """

    name: str
    with_reference: str
    without_reference: str

    def render(self, instruction: str, response: str, reference: str | None = None) -> str:
        """The finished prompt; with reference when there is one."""
        text = self.without_reference if reference is None else self.with_reference
        values = {"instruction": instruction, "input": response, "reference": reference or ""}
        # One pass over the template only: braces and field names inside the texts stay as they are.
        rest, pieces = text, []
        while (start := rest.find("{")) >= 0:
            end = rest.index("}", start)
            pieces += [rest[:start], values[rest[start + 1 : end]]]
            rest = rest[end + 1 :]
        return "".join([*pieces, rest])

    def probe(self) -> str:
        """A short finished prompt, to see which token a digit becomes at its end."""
        return self.render("x", "x")

    def marker_in(self, response: str) -> Found | None:
        """The first piece of template text inside an answer, however it is spelled, or None.

        An answer that closes its own section and goes on with the template's words can
        dictate its score, so it is not judged unless asked for.
        """
        return find(_MARKS, response)


SECTIONS = "sections"
"""Self-J's prompts without the words before the question, which an encoder has no use for."""

TEMPLATES = {
    template.name: template
    for template in (
        PromptTemplate(
            "self-j", _WITH_REFERENCE + RESPONSE_WRAPPER, _WITHOUT_REFERENCE + RESPONSE_WRAPPER
        ),
        PromptTemplate("self-j-unwrapped", _WITH_REFERENCE, _WITHOUT_REFERENCE),
        PromptTemplate(
            SECTIONS,
            _WITH_REFERENCE.removeprefix(_WITH_REFERENCE.partition("[Question]")[0]),
            _WITHOUT_REFERENCE.removeprefix(_WITHOUT_REFERENCE.partition("[Question]")[0]),
        ),
    )
}
DEFAULT_TEMPLATE = "self-j"
"""Wrapped as in the judge's training (``{prompt}\\n\\n### Response:``). The released
``judge.py`` shows the prompt without the wrapper; that is ``self-j-unwrapped``."""


def get_template(name: str) -> PromptTemplate:
    """The template of that name.

    Raises:
        JudgeError: If there is none.
    """
    try:
        return TEMPLATES[name]
    except KeyError:
        known = ", ".join(TEMPLATES)
        raise JudgeError(f"no prompt template {name!r}; there are: {known}.") from None


class Prompt(NamedTuple):
    """A finished prompt.

    Attributes:
        text: The text for the judge; at most the budget's tokens.
        trimmed_tokens: Number of tokens cut out of the record's texts; 0 when it fitted.
    """

    text: str
    trimmed_tokens: int


def fit_prompt(
    template: PromptTemplate,
    instruction: str,
    response: str,
    reference: str | None,
    *,
    tokenize: Callable[[str], Offsets],
    max_tokens: int,
) -> Prompt:
    """Render a prompt of at most ``max_tokens`` tokens, cutting middles where it must.

    The template is never cut. The middle of the answer goes first, down to a quarter of
    the room beside the template; then the middle of the reference, down to a quarter; then
    that of the instruction. A cut is marked with ``CUT``. Beginning and end of every text
    stay, since a judge needs to see how an answer starts and whether it is finished.

    Args:
        template: The template.
        instruction, response, reference: The record's texts.
        tokenize: Text to the character offsets of its tokens, special tokens included.
        max_tokens: Budget, at least a few tokens more than the template itself has.

    Returns:
        The prompt. It is a deterministic function of its inputs.

    Raises:
        JudgeError: If the budget does not even hold the template.
    """
    text = template.render(instruction, response, reference)
    total = len(tokenize(text))
    if total <= max_tokens:
        return Prompt(text, 0)
    frame = len(tokenize(template.render("", "", None if reference is None else "")))
    room = max_tokens - frame
    if room < 16:
        raise JudgeError(
            f"a budget of {max_tokens} tokens is too small: the prompt template alone has "
            f"{frame}. Give at least {frame + 16}, better {frame + 500}."
        )
    texts = [response, reference or "", instruction]
    offsets = [[span for span in tokenize(part) if span[1] > span[0]] for part in texts]
    keep = [len(part) for part in offsets]
    # A cut costs the tokens of its mark, and pieces may join differently at the seams, so
    # the length is measured after each cut and the rest is cut again.
    while True:
        excess = total - max_tokens
        if excess <= 0:
            return Prompt(text, sum(map(len, offsets)) - sum(keep))
        for index in range(3):
            spare = keep[index] - room // 4
            if spare > 0:
                keep[index] -= min(spare, excess)
                break
        else:
            # Only the seams are left over; take them from the longest part.
            index = max(range(3), key=keep.__getitem__)
            if keep[index] == 0:
                raise JudgeError(f"no prompt of {max_tokens} tokens can be made; raise the budget.")
            keep[index] = max(0, keep[index] - excess)
        cut = [keep_ends(t, o, k) for t, o, k in zip(texts, offsets, keep, strict=True)]
        text = template.render(cut[2], cut[0], None if reference is None else cut[1])
        total = len(tokenize(text))


def keep_ends(text: str, offsets: Offsets, keep: int) -> str:
    """``text`` with only its first and last tokens, ``keep`` in all."""
    if keep >= len(offsets):
        return text
    head, tail = (keep + 1) // 2, keep // 2
    start = offsets[head - 1][1] if head else 0
    end = offsets[len(offsets) - tail][0] if tail else len(text)
    return text[:start] + CUT + text[max(end, start) :]
