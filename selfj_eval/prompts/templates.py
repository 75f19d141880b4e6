"""What the judge is asked: prompt templates, and trimming a prompt to a token budget.

Self-J's own texts (``shipped/self-j*.yaml``) are its protocol (arXiv 2409.00935 and its released
``judge.py``): a judge that was trained with them misbehaves when a single character differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from selfj_eval.errors import JudgeError
from selfj_eval.prompts.forging import Found, Mark, find
from selfj_eval.prompts.labels import DIGIT_LABELS, Labels

RESPONSE_WRAPPER = "\n\n### Response:"
"""Ends the prompts that Self-J's models and judges were trained with."""
DEFAULT_TEMPLATE = "self-j"
"""Wrapped as in the judge's training (``{prompt}\\n\\n### Response:``). The released
``judge.py`` shows the prompt without the wrapper; that is ``self-j-unwrapped``."""
SECTIONS = "sections"
"""Self-J's prompts without the words before the question, which an encoder has no use for."""
SELF_J = (DEFAULT_TEMPLATE, "self-j-unwrapped", SECTIONS)
"""Templates of Self-J's own protocol."""

CUT = " [...] "
"""Stands where the middle of a text was cut out."""

Offsets = Sequence[tuple[int, int]]
"""Per token: first character and one past the last character in the text."""
Turn = dict[str, str]
"""A chat message: ``role`` and ``content``."""

ANSWERS = ("response_a", "response_b")
"""What a template shows that compares two answers, in place of ``{response}``."""
FIELDS = (
    *("instruction", "conversation", "response", *ANSWERS, "reference", "rubric", "criterion"),
    "input",
)
"""What a template may show; ``{input}`` is Self-J's own name of ``{response}``."""
PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """What a judge is asked, and what it may answer.

    Attributes:
        name: What the user selects and what is recorded with every judgment.
        with_reference: Text with fields of ``FIELDS`` in braces. None: the reference is not shown.
        without_reference: The same without ``{reference}``. None: only records with a reference
            are judged.
        labels: The answers that are scored, and their values.
        chat: Put the text into the model's own chat template, as the user's turn.
        system: With ``chat``, the system turn before it; it may hold fields, too.
        prefill: With ``chat``, how the judge's turn begins; the label follows.
        rubric, criterion: Texts of the fields of that name.
        marks: Pieces of the prompt that an answer must not hold.
    """

    name: str
    with_reference: str | None
    without_reference: str | None
    labels: Labels = DIGIT_LABELS
    chat: bool = False
    system: str | None = None
    prefill: str = ""
    rubric: str | None = None
    criterion: str | None = None
    marks: tuple[Mark, ...] = field(default=(), compare=False, repr=False)

    @property
    def pairwise(self) -> bool:
        """Whether it compares two answers."""
        return self.shows(ANSWERS[0])

    def render(
        self, instruction: str, response: str, reference: str | None = None, other: str = ""
    ) -> str:
        """The finished prompt, in a chat the user's turn; with the reference when there is one.

        Args:
            instruction: What was asked: the instruction, or the conversation before the answer.
            response: The answer; of a pair the one that is shown first, as ``{response_a}``.
            reference: The record's, or None.
            other: Of a pair the answer that is shown second, as ``{response_b}``.

        Raises:
            JudgeError: If there is no reference, and no text without.
        """
        text = self.with_reference if reference is not None else None
        text = self.without_reference if text is None else text
        if text is None:
            raise JudgeError(f"the template {self.name} has no text without a reference.")
        return self._filled(text, instruction, response, reference, other)

    def turns(
        self, instruction: str, response: str, reference: str | None = None, other: str = ""
    ) -> list[Turn]:
        """The messages of a chat, the system's first if there is one. Arguments as above."""
        user = {"role": "user", "content": self.render(instruction, response, reference, other)}
        if self.system is None:
            return [user]
        content = self._filled(self.system, instruction, response, reference, other)
        return [{"role": "system", "content": content}, user]

    def probe(self) -> str:
        """A short finished prompt, to see which token a digit becomes at its end."""
        return self.render(*self.examples[0])

    @property
    def examples(self) -> list[tuple[str, str, str | None, str]]:
        """Short texts to render, for each of its prompts: without a reference and with one."""
        texts = ((self.without_reference, None), (self.with_reference, "x"))
        return [("x", "x", reference, "x") for text, reference in texts if text is not None]

    def check_filled(self) -> None:
        """Refuse a template that shows a text which it does not have.

        Raises:
            JudgeError: Naming the field.
        """
        for name in ("rubric", "criterion"):
            if self.shows(name) and getattr(self, name) is None:
                raise JudgeError(
                    f"the template {self.name} shows {{{name}}}, which has no text: name a file "
                    "with `rubric`, or write the text into the template."
                )

    def shows(self, name: str) -> bool:
        """Whether a field stands in any of its texts."""
        texts = (self.system, self.with_reference, self.without_reference)
        return any(f"{{{name}}}" in text for text in texts if text is not None)

    def marker_in(self, response: str) -> Found | None:
        """The first piece of template text inside an answer, however it is spelled, or None.

        An answer that closes its own section and goes on with the template's words can
        dictate its score, so it is not judged unless asked for.
        """
        return find(self.marks, response)

    def key(self) -> list[Any]:
        """What decides a judgment: part of the key it is stored under.

        The labels' values are not in it, since what is stored are the labels' probabilities.
        """
        key: list[Any] = [self.with_reference, self.without_reference]
        more = [self.labels.texts, self.chat, self.system, self.prefill]
        more += [self.rubric, self.criterion]
        plain = [DIGIT_LABELS.texts, False, None, "", None, None]
        return key if more == plain else [*key, more]  # the keys of version 0.1

    def _filled(
        self, text: str, instruction: str, response: str, reference: str | None, other: str
    ) -> str:
        values = {"instruction": instruction, "conversation": instruction}
        values |= {"response": response, "input": response, "reference": reference or ""}
        values |= {"response_a": response, "response_b": other}
        values |= {"rubric": self.rubric or "", "criterion": self.criterion or ""}
        # One pass over the template only: braces and field names inside the texts stay as they are.
        return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def with_marks(template: PromptTemplate, marks: Iterable[Mark]) -> PromptTemplate:
    """A template with more pieces that an answer must not hold."""
    return replace(template, marks=(*template.marks, *marks))


def get_template(template: str | PromptTemplate) -> PromptTemplate:
    """A template by its name, or that of a file (.yaml); one that is made is returned as it is.

    Raises:
        JudgeError: If there is none of that name.
        DataError: If the file is no template.
    """
    from selfj_eval.prompts.template_files import SHIPPED, read_template, shipped

    if isinstance(template, PromptTemplate):
        return template
    if template.lower().endswith((".yaml", ".yml")):
        return read_template(template)
    if template not in SHIPPED:
        raise JudgeError(
            f"no prompt template {template!r}; there are: {', '.join(SHIPPED)}, or a file of your "
            "own that ends in .yaml (docs/templates.md)."
        )
    return shipped(template)


class Prompt(NamedTuple):
    """A finished prompt.

    Attributes:
        text: The text for the judge; at most the budget's tokens.
        trimmed_tokens: Number of tokens cut out of the record's texts; 0 when it fitted.
        tokens: How many the text has; 0 where they were not counted.
    """

    text: str
    trimmed_tokens: int
    tokens: int = 0


def fit_prompt(
    template: PromptTemplate,
    instruction: str,
    response: str,
    reference: str | None,
    other: str = "",
    *,
    tokenize: Callable[[str], Offsets],
    max_tokens: int,
    chat: Callable[[Sequence[Turn]], str] | None = None,
) -> Prompt:
    """Render a prompt of at most ``max_tokens`` tokens, cutting middles where it must.

    The template is never cut. The middle of the answer goes first, down to a quarter of
    the room beside the template; then the middle of the reference, down to a quarter; then
    that of the instruction. Of two answers the longer one is cut down to the other, then both
    alike; here the least that stays of each text is a fifth. A cut is marked with ``CUT``.
    Beginning and end of every text stay, since a judge needs to see how an answer starts and
    whether it is finished.

    Args:
        template: The template.
        instruction, response, reference, other: The record's texts, as for ``render``.
        tokenize: Text to the character offsets of its tokens, special tokens included.
        max_tokens: Budget, at least a few tokens more than the template itself has.
        chat: Messages to the text of the model's chat template, for a template that is a chat.

    Returns:
        The prompt. It is a deterministic function of its inputs.

    Raises:
        JudgeError: If the budget does not even hold the template.
    """
    finish = _finisher(template, chat)
    text = finish(instruction, response, reference, other)
    total = len(tokenize(text))
    if total <= max_tokens:
        return Prompt(text, 0, total)
    empty = finish("", "", None if reference is None else "", "")
    room = _room(len(tokenize(empty)), max_tokens)
    texts = [response, reference or "", instruction, *([other] if template.pairwise else [])]
    answers = [0, *range(3, len(texts))]
    least = room // (len(texts) + 1)
    offsets = [[span for span in tokenize(part) if span[1] > span[0]] for part in texts]
    keep = [len(part) for part in offsets]
    # A cut costs the tokens of its mark, and pieces may join differently at the seams, so
    # the length is measured after each cut and the rest is cut again.
    while True:
        excess = total - max_tokens
        if excess <= 0:
            return Prompt(text, sum(map(len, offsets)) - sum(keep), total)
        for own in (answers, [1], [2]):
            if any(keep[index] > least for index in own):
                _shorten(keep, own, excess, least)
                break
        else:
            # Only the seams are left over; take them from the longest part.
            index = max(range(len(texts)), key=keep.__getitem__)
            if keep[index] == 0:
                raise JudgeError(f"no prompt of {max_tokens} tokens can be made; raise the budget.")
            keep[index] = max(0, keep[index] - excess)
        cut = [keep_ends(t, o, k) for t, o, k in zip(texts, offsets, keep, strict=True)]
        second = cut[3] if template.pairwise else ""
        text = finish(cut[2], cut[0], None if reference is None else cut[1], second)
        total = len(tokenize(text))


def _shorten(keep: list[int], own: Sequence[int], excess: int, least: int) -> None:
    """Take tokens off some texts, always off the longest, none below ``least`` or what it has."""
    low, high = least, max(keep[index] for index in own)
    while low < high:  # the highest level at which they are short enough
        level = (low + high + 1) // 2
        off = sum(max(0, keep[index] - level) for index in own)
        low, high = (level, high) if off >= excess else (low, level - 1)
    for index in own:
        keep[index] = min(keep[index], low)


def check_budget(
    template: PromptTemplate,
    *,
    tokenize: Callable[[str], Offsets],
    max_tokens: int,
    chat: Callable[[Sequence[Turn]], str] | None = None,
) -> None:
    """See whether a budget holds the template and more. Arguments and errors as ``fit_prompt``."""
    reference = None if template.with_reference is None else ""
    _room(len(tokenize(_finisher(template, chat)("", "", reference, ""))), max_tokens)


def _finisher(
    template: PromptTemplate, chat: Callable[[Sequence[Turn]], str] | None
) -> Callable[[str, str, str | None, str], str]:
    if chat is None:
        return template.render
    return lambda *texts: chat(template.turns(*texts))


def _room(frame: int, max_tokens: int) -> int:
    """Tokens that a budget leaves beside the template itself."""
    room = max_tokens - frame
    if room < 16:
        raise JudgeError(
            f"a budget of {max_tokens} tokens is too small: the prompt template alone has "
            f"{frame}. Give at least {frame + 16}, better {frame + 500}."
        )
    return room


def keep_ends(text: str, offsets: Offsets, keep: int) -> str:
    """``text`` with only its first and last tokens, ``keep`` in all."""
    if keep >= len(offsets):
        return text
    head, tail = (keep + 1) // 2, keep // 2
    start = offsets[head - 1][1] if head else 0
    end = offsets[len(offsets) - tail][0] if tail else len(text)
    return text[:start] + CUT + text[max(end, start) :]
