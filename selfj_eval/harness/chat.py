"""Prompts that may stand in a chat template: as a backend takes them, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from selfj_eval.engines.models.text_encoder import Templated, TextEncoder
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import digit_token_ids
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, RESPONSE_WRAPPER, get_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAIL = 16  # last characters of a prompt, which decide the token that a digit becomes


_PROMPT = "a prompt"


def frame_of(apply: Callable[[list[dict[str, str]]], str]) -> tuple[str, str] | None:
    """What a chat template puts before and after a prompt; None if it does not take it as it is.

    Args:
        apply: Messages to their text.
    """
    try:
        before, found, after = apply([{"role": "user", "content": _PROMPT}]).partition(_PROMPT)
    except JudgeError:
        return None
    return (before, after) if found else None


def framed(encoder: TextEncoder, frame: tuple[str, str] | None, text: str) -> str:
    """A prompt for a backend: special tokens that the template wrote are such, others are text.

    Args:
        encoder: Of the judge's tokenizer.
        frame: ``frame_of`` its template.
        text: The prompt as lm-eval has it.
    """
    before, after = frame or ("", "")
    own = text[len(before) : len(text) - len(after)]
    if frame not in (None, ("", "")) and text == before + own + after:
        return Templated(before + encoder.as_text(own) + after)
    # Several turns, or a template that writes the date: what begins with a special token has been
    # in a template all the same, and is read as lm-eval's own models read it.
    tokens = tuple(str(token) for token in encoder.tokenizer.all_special_tokens if token)
    return Templated(text) if text.startswith(tokens) else text


def without_bos(tokenizer: PreTrainedTokenizerBase, prompt: str, name: str) -> str:
    """The prompt for a backend, which adds special tokens itself.

    A chat template may write the token that begins a text; lm-eval's own models do not add it
    a second time then.

    Args:
        tokenizer: The judge's.
        prompt: The prompt as lm-eval has it.
        name: The judge's name, for the error.

    Raises:
        JudgeError: If no text gives the tokens of the prompt.
    """
    bos = tokenizer.bos_token
    if not bos or not prompt.startswith(bos):
        return prompt
    wanted = tokenizer(prompt, add_special_tokens=False).input_ids
    kind = type(prompt)  # it may be a Templated
    for text in (prompt, kind(prompt.removeprefix(bos))):
        if tokenizer(text).input_ids == wanted:
            return text
    raise JudgeError(
        f"the tokenizer of {name} splits a prompt that begins with {bos!r} in another way than "
        "one to which it adds that token itself; use lm-eval's model hf."
    )


def check_digits(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], name: str) -> None:
    """Refuse prompts after which a digit is another token than after the judge's own prompt.

    Args:
        tokenizer: The judge's.
        prompts: Prompts as the backend takes them.
        name: The judge's name, for the error.

    Raises:
        JudgeError: If there is one.
    """

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text).input_ids
        return ids

    # After the judge's own prompt the backend has looked itself.
    ends = {text[-_TAIL:]: text for text in prompts if not text.endswith(RESPONSE_WRAPPER)}
    known = digit_token_ids(encode, get_template(DEFAULT_TEMPLATE).probe(), name) if ends else []
    for end, text in ends.items():
        if digit_token_ids(encode, text, name) != known:
            raise JudgeError(
                f"after {end!r} the digits are other tokens than after {RESPONSE_WRAPPER!r}, "
                f"and {name} is read at the latter; use lm-eval's model hf."
            )
