"""Conversations: their turns, and the one text that a judge is shown of them.

A judge is shown one instruction. Where what was asked is more than one question, every turn is
shown, the system prompt included: the last question alone may mean something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from selfj_eval.files.documents import parse_json
from selfj_eval.jobs.arguments import is_missing


class Turn(NamedTuple):
    """One message of a chat.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or another that the chat names.
        text: What it says.
    """

    role: str
    text: str


_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "chatbot": "assistant"}


class NotTextError(ValueError):
    """A message holds something that a judge of text cannot read, such as an image."""


def as_text(turns: Sequence[Turn]) -> str:
    """A conversation as every judge and rater is shown it.

    A single question is shown as it is. Otherwise each turn stands under its role, ``System: ...``,
    ``User: ...``, ``Assistant: ...``, with an empty line between them; empty turns are left out.
    """
    filled = [turn for turn in turns if turn.text.strip()]
    if is_one_question(filled):
        return filled[0].text
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.text}" for turn in filled)


def is_one_question(turns: Sequence[Turn]) -> bool:
    """Whether a conversation is nothing but one user turn; empty turns do not count."""
    return [turn.role for turn in turns if turn.text.strip()] == ["user"]


def last_question(turns: Sequence[Turn]) -> int | None:
    """Where the last user turn with a text stands; None if there is none."""
    places = [at for at, turn in enumerate(turns) if turn.role == "user" and turn.text.strip()]
    return places[-1] if places else None


def conversation(messages: Any, instruction: Any) -> tuple[Any, tuple[Turn, ...] | None]:
    """Instruction and turns of a conversation in memory.

    Args:
        messages: As for ``turns_of``.
        instruction: The last user turn, or nothing.

    Returns:
        The last user turn, and the turns; None where the conversation is that turn alone.

    Raises:
        ValueError: If these are no messages, or the instruction is not their last user turn.
    """
    turns = [] if messages in ([], ()) else turns_of(messages)
    if turns is None:
        raise ValueError("expected chat messages, with role and content")
    if not turns:
        return instruction, None
    at = last_question(turns)
    if at is None:
        raise ValueError("holds no user turn with a text")
    if is_missing(instruction) or instruction == "":
        instruction = turns[at].text
    elif not isinstance(instruction, str) or instruction.split() != turns[at].text.split():
        raise ValueError("its last user turn is not the instruction; leave the instruction empty")
    return instruction, None if is_one_question(turns) else tuple(turns)


def messages_of(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as chat messages, as they stand in a file."""
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def turns_of(messages: Any) -> list[Turn] | None:
    """The turns of a list of chat messages; None if it is no such list.

    Args:
        messages: ``Turn``s, or objects with ``role`` and ``content``, which is a text, null, or a
            list of parts. The calls of tools in a message belong to its text.

    Raises:
        NotTextError: If a message holds something else than text, such as an image.
        ValueError: If its content is none.
    """
    if not isinstance(messages, list | tuple) or not messages:
        return None
    turns = []
    for message in messages:
        if isinstance(message, Turn):
            turns.append(message)
            continue
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            return None
        if other := next(
            (name for name in ("images", "audio", "videos") if message.get(name)), None
        ):
            raise NotTextError(f"a message holds {other!r}, which is not text")
        texts = [content_text(message.get("content")), *_calls(message.get("tool_calls"))]
        turns.append(Turn(role_of(message["role"]), "\n".join(text for text in texts if text)))
    return turns


def role_of(name: str) -> str:
    """The usual name of a role: ``user`` for ShareGPT's ``human``, and so on."""
    return _ROLES.get(name.lower(), name.lower())


def _calls(calls: Any) -> list[str]:
    """The calls of tools in a message, each as ``name(arguments)``."""
    found = []
    for call in calls if isinstance(calls, list | tuple) else ():
        own = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(own, Mapping):
            raise ValueError("a message holds invalid 'tool_calls'")
        arguments = own.get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        found.append(f"{own.get('name')}({arguments})")
    return found


def content_text(content: Any) -> str:
    """The text of a message's content: a text, null, or a list of parts.

    Raises:
        NotTextError: If a part is no text.
        ValueError: If it is something else.
    """
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
            raise NotTextError(f"a message holds a part of type {kind!r}, which is not text")
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
            turns.append(Turn(role_of(role), text))
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
