"""Chats as one text: what was asked, with all that stood before it.

A judge is shown one instruction. A chat request is taken apart, and where it is more than one
question, every turn is shown: the last question alone may mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from selfj_eval.files.documents import parse_json


class Turn(NamedTuple):
    """One message of a chat.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or another that the chat names.
        text: What it says.
    """

    role: str
    text: str


_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "chatbot": "assistant"}


def as_text(turns: Sequence[Turn]) -> str:
    """A chat as one text: a single question as it is, else each turn under its role."""
    filled = [turn for turn in turns if turn.text.strip()]
    if [turn.role for turn in filled] == ["user"]:
        return filled[0].text
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.text}" for turn in filled)


def turns_of(messages: Any) -> list[Turn] | None:
    """The turns of a list of chat messages; None if it is no such list.

    Args:
        messages: Objects with ``role`` and ``content``, which is a text, null, or a list of parts.

    Raises:
        ValueError: If a message holds something else than text, such as an image.
    """
    if not isinstance(messages, list | tuple) or not messages:
        return None
    turns = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            return None
        if other := next(
            (name for name in ("images", "audio", "videos") if message.get(name)), None
        ):
            raise ValueError(f"a message holds {other!r}, which is not text")
        role = message["role"].lower()
        turns.append(Turn(_ROLES.get(role, role), _content(message.get("content"))))
    return turns


def _content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise ValueError(f"a message holds {type(content).__name__} where text is expected")
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise ValueError(f"a message holds a part of type {kind!r}, which is not text")
    return "\n".join(texts)


def history_turns(history: Any) -> list[Turn] | None:
    """Earlier turns in a field ``history``: pairs of question and answer, or chat messages.

    Returns:
        The turns; None if it is neither.

    Raises:
        ValueError: As for ``turns_of``.
    """
    if not isinstance(history, list | tuple):
        return None
    turns: list[Turn] = []
    for pair in history:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return turns_of(history)
        if not all(isinstance(text, str) for text in pair):
            return None
        turns += Turn("user", pair[0]), Turn("assistant", pair[1])
    return turns


def unrendered(prompt: str) -> list[Turn] | None:
    """The turns of a chat request that was written as one text, or None if it is none.

    Args:
        prompt: A list of messages as JSON, or what a chat template has made of one (ChatML,
            Llama 2 to 4, Mistral, Gemma, Zephyr, Phi, OLMo, GLM, Granite, Command R, DeepSeek,
            Harmony).

    Raises:
        ValueError: As for ``turns_of``.
    """
    if prompt.lstrip().startswith("["):
        try:
            messages = parse_json(prompt, strict=False)
        except ValueError:
            messages = None
        if (turns := turns_of(messages)) is not None:
            return turns
    return _marked_turns(prompt)


_START = re.compile(
    r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<\|startoftext\|>|<\|endoftext\|>|\[gMASK\]|<sop>|<\uff5cbegin\u2581of\u2581sentence\uff5c>|<BOS_TOKEN>)*"
)
_HEADERS = [
    re.compile(pattern)
    for pattern in (
        r"<\|im_start\|>(system|developer|user|assistant|tool)(?:\n|<\|im_sep\|>)",
        r"<\|start_header_id\|>(\w+)<\|end_header_id\|>",
        r"<\|header_start\|>(\w+)<\|header_end\|>",
        r"<start_of_turn>(user|model)\n",
        r"<\|start_of_role\|>(\w+)<\|end_of_role\|>",
        r"<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>",
        r"<\|start\|>(system|developer|user|assistant)(?:<\|channel\|>\w+)?(?:<\|message\|>|$)",
        r"<\|(system|user|assistant)\|>",
    )
]
_DEEPSEEK = re.compile(r"<\uff5c(User|Assistant)\uff5c>")
_ENDS = re.compile(
    r"\s*(?:<\|im_end\|>|<\|eot_id\|>|<\|eot\|>|<end_of_turn>|<\|end_of_text\|>|"
    r"<\|END_OF_TURN_TOKEN\|>|<\|end\|>|<\|endoftext\|>|</s>|<\uff5cend\u2581of\u2581sentence\uff5c>)\s*$"
)
_THOUGHT = re.compile(r"<think>\s*(?:</think>)?")
_LLAMA_2 = re.compile(r"(?:<s>)?\s*\[INST\](.*?)\[/INST\]((?:(?!(?:<s>)?\s*\[INST\]).)*)", re.S)
_MISTRAL_SYSTEM = re.compile(r"\[SYSTEM_PROMPT\](.*?)\[/SYSTEM_PROMPT\]", re.S)
_LLAMA_2_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>(.*)", re.S)


def _marked_turns(prompt: str) -> list[Turn] | None:
    start = _START.match(prompt)
    body = prompt[start.end() :] if start else prompt
    if body.startswith(("[INST]", "[SYSTEM_PROMPT]")):
        return _llama_2(body)
    for header in (*_HEADERS, _DEEPSEEK):
        first = header.search(body)
        # DeepSeek's template puts the system prompt before the first mark.
        if first is None or (first.start() and header is not _DEEPSEEK):
            continue
        parts = header.split(body)
        turns = [Turn("system", parts[0])] if parts[0].strip() else []
        for role, text in zip(parts[1::2], parts[2::2], strict=True):
            turns.append(Turn(_ROLES.get(role.lower(), role.lower()), text))
        turns = [Turn(role, _ENDS.sub("", text).strip()) for role, text in turns]
        if turns[-1].role == "assistant" and _THOUGHT.fullmatch(turns[-1].text):
            turns.pop()  # how the answer begins, not a turn before it
        return turns
    return None


def _llama_2(body: str) -> list[Turn] | None:
    """Turns in the marks of Llama 2 and Mistral; None if there is no whole one."""
    own = _MISTRAL_SYSTEM.match(body)
    turns = [Turn("system", own[1].strip())] if own else []
    found = _LLAMA_2.findall(body)
    for asked, answered in found:
        system = _LLAMA_2_SYSTEM.fullmatch(asked)
        if system:
            turns.append(Turn("system", system[1].strip()))
        turns.append(Turn("user", (system[2] if system else asked).strip()))
        turns.append(Turn("assistant", _ENDS.sub("", answered).strip()))
    return turns if found else None
