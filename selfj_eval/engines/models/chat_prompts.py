"""A judge's prompts in its model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence

from selfj_eval.engines.models.text_encoder import Templated, TextEncoder, fill_chat_template
from selfj_eval.errors import JudgeError
from selfj_eval.prompts.forging import Mark, marks_of
from selfj_eval.prompts.templates import PLACEHOLDER, Turn

_SYSTEM, _USER = "selfjsystemtext", "selfjusertext"
_SETTINGS = {"enable_thinking": False, "date_string": "26 Jul 2024"}
"""What some templates ask for: the answer at once, without thoughts before it (Qwen3), and a date
that is the same every day (Llama-3), so that the same prompt has the same score."""


class ChatPrompts:
    """Messages to the text of a model's chat template, up to where the judge's answer begins.

    The prefill is put behind the template's own beginning of the answer, not given to it as a
    message: several templates would trim its last space. A system turn that the template does
    not take, or leaves out, stands before the user's text.

    Args:
        encoder: Of the model's tokenizer.
        name: What the user calls the model, for errors.
        prefill: How the judge's turn begins.

    Raises:
        JudgeError: If the tokenizer has no chat template, or one that does not show the message.
    """

    def __init__(self, encoder: TextEncoder, name: str, prefill: str) -> None:
        if not encoder.tokenizer.chat_template:
            raise JudgeError(
                f"{name} has no chat template, and the prompt template asks for one "
                "(`chat: true`); use an instruction-tuned model, or a template that is not a chat."
            )
        self._encoder = encoder
        self._prefill = encoder.as_text(prefill)
        frame = self._filled([_turn("user", _USER)])
        if _USER not in frame:
            raise JudgeError(f"the chat template of {name} does not show the user's message.")
        self._frames = [frame, *self._with_system()]
        self._takes_system = len(self._frames) > 1

    def __call__(self, turns: Sequence[Turn]) -> Templated:
        """The text that a judge is given: control tokens are the template's, others are text."""
        if len(turns) > 1 and not self._takes_system:
            turns = [_turn("user", "\n\n".join(turn["content"] for turn in turns))]
        return Templated(self._filled(turns) + self._prefill)

    def at_server(self, text: str) -> str:
        """A prompt for a server, which tokenizes it and puts the first token before it itself.

        Raises:
            JudgeError: If a text in it spells special tokens, which a server reads as such.
        """
        if self._encoder.as_spelled(text) != text:
            raise JudgeError(
                "a text contains special tokens of the model, which a server takes for its own and "
                "not for text; remove them, or use another `engine`."
            )
        tokenizer = self._encoder.tokenizer
        bos = tokenizer.bos_token
        if bos and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]:
            return text.removeprefix(bos)
        return text

    def marks(self) -> list[Mark]:
        """Pieces of the chat template that are plain text, which an answer must not hold."""
        tokenizer = self._encoder.tokenizer
        added = tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        text = "\n".join(self._frames)
        for own in (_USER, _SYSTEM):
            text = text.replace(own, "{response}")
        for token in special.union(map(str, tokenizer.all_special_tokens)):
            text = text.replace(token, "{response}")  # in an answer it is text already
        return list(marks_of(text, PLACEHOLDER).values())

    def _filled(self, turns: Sequence[Turn]) -> str:
        return fill_chat_template(self._encoder, turns, add_generation_prompt=True, **_SETTINGS)

    def _with_system(self) -> list[str]:
        """The text with a system turn; empty where the template takes none."""
        try:
            text = self._filled([_turn("system", _SYSTEM), _turn("user", _USER)])
        except JudgeError:  # as Gemma-2's says
            return []
        return [text] if _SYSTEM in text and _USER in text else []


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}
