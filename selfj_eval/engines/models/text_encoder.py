"""Encoding a text so that the special tokens it spells are text, not control tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.engines.models.deadlines import RUNNING_SECONDS, within
from selfj_eval.errors import JudgeError, brief
from selfj_eval.prompts.templates import Offsets

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerBase

_CUT = "\ufdd0"
"""Parts a special token that a text spells, and becomes no token itself. Unicode has it for a
program's own use; where a text has it all the same, it counts as an unreadable character."""
_UNREADABLE = "\ufffd"
_ROUNDS = 8  # the pieces of a parted token may spell another one


class Templated(str):
    """What a chat template has made of texts: its special tokens are control tokens.

    Those that the texts themselves spell are not, if ``TextEncoder.as_text`` has parted them.
    """

    __slots__ = ()


class Encoded(NamedTuple):
    """The tokens of a text, or of two.

    Attributes:
        ids: Their ids.
        offsets: Their places in the text; (0, 0) for those that the tokenizer adds.
        types: Which of the two texts each belongs to, as the model sees it.
    """

    ids: list[int]
    offsets: Offsets
    types: list[int]


class TextEncoder:
    """A tokenizer to which ``</s>`` in an answer is four characters, not the end of the text.

    A text without such tokens is encoded by the tokenizer as ever. With them it is what the
    tokenizer gives for ``split_special_tokens``; but that is a setting of the tokenizer's own,
    which threads share, and some vocabularies (Unigram) have the tokens among their words. Those
    are parted after their first character.

    Special are the tokens that the tokenizer marks so. It must be a fast one; of others,
    the texts alone are encoded so, and not what a chat template makes of them.

    Args:
        tokenizer: The tokenizer. It is not changed.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._special = {at for at, token in added if token.special}
        self._special.update(tokenizer.all_special_ids)
        empty = (tokenizer([""]), tokenizer([""], [""]))
        self._added = [sum(map(self._special.__contains__, e.input_ids[0])) for e in empty]

    def rows(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Token ids of each text.

        Args:
            texts: The texts.
            special: Whether the tokenizer adds its own special tokens.

        Raises:
            JudgeError: If the tokenizer gives up on a text.
        """
        if not texts:
            return []
        if not self.tokenizer.is_fast:
            return [self._without_offsets(text, special).ids for text in texts]
        batch = self._call(list(texts), special)
        rows: list[list[int]] = batch.input_ids
        for at, text in enumerate(texts):
            if self._may_spell([text], rows[at], special):
                rows[at] = self._careful([text], batch.encodings[at], special).ids
        return rows

    def encode(self, text: str, pair: str | None = None, *, special: bool = True) -> Encoded:
        """The tokens of a text, or of a pair of which none is empty. As for ``rows``."""
        if not self.tokenizer.is_fast:
            return self._without_offsets(text, special)
        texts = [text, pair] if pair else [text]
        encoding = self._call([(text, pair) if pair else text], special).encodings[0]
        if self._may_spell(texts, encoding.ids, special):
            return self._careful(texts, encoding, special)
        return Encoded(encoding.ids, encoding.offsets, encoding.type_ids)

    def as_text(self, text: str) -> str:
        """A text for a chat template, of which no special token will be a control token.

        Args:
            text: The text.

        Returns:
            The text itself, unless it spells a special token. Else one that has to be encoded here,
            as a ``Templated``.
        """
        text = text.replace(_CUT, _UNREADABLE)
        if not self.tokenizer.is_fast:
            return text
        (plain,) = self._call([text], special=False).encodings
        if not self._spelled([text], plain):
            return text
        return self._parted([text], self._as_written, special=False)[0][0]

    def as_spelled(self, text: str) -> str:
        """A text as it was before ``as_text``."""
        return text.replace(_CUT, "")

    def length(self, text: str) -> int:
        """How many characters of a ``Templated`` are text: what the places of tokens refer to."""
        return len(text) - text.count(_CUT)

    def _without_offsets(self, text: str, special: bool) -> Encoded:
        """The tokens that a slow tokenizer makes of a text."""
        split = not isinstance(text, Templated)
        found = self._call([text], special, split_special_tokens=split).input_ids
        return Encoded(found[0], [], [])

    def _may_spell(self, parts: Sequence[str], ids: Sequence[int], special: bool) -> bool:
        """Whether to look closer: there are more special tokens than the tokenizer adds."""
        if isinstance(parts[0], Templated):
            return _CUT in parts[0]
        added = self._added[len(parts) > 1] if special else 0
        return sum(map(self._special.__contains__, ids)) > added

    def _careful(self, parts: list[str], encoding: Encoding, special: bool) -> Encoded:
        """The tokens of texts that may spell special tokens, from what the tokenizer gives."""
        if isinstance(parts[0], Templated):
            encoding = self._as_written.encode(parts[0], add_special_tokens=special)
        elif not self._spelled(parts, encoding):
            return Encoded(encoding.ids, encoding.offsets, encoding.type_ids)
        else:
            parts = [part.replace(_CUT, _UNREADABLE) for part in parts]
            parts, encoding = self._parted(parts, self._split, special=special)
        return self._joined(parts, encoding)

    def _call(self, texts: list[Any], special: bool, **more: Any) -> Any:
        first: Any = texts
        second: Any = None
        if not isinstance(texts[0], str):
            first, second = map(list, zip(*texts, strict=True))
        try:
            return self.tokenizer(first, second, add_special_tokens=special, **more)
        except BaseException as error:
            if isinstance(error, Exception | KeyboardInterrupt | SystemExit):
                raise
            # A panic in the library, such as a regular expression that takes too many steps.
            raise JudgeError(f"the tokenizer gives up on a text: {brief(error)}") from error

    def _spelled(self, parts: Sequence[str], encoding: Encoding) -> list[tuple[int, int, int]]:
        """Which text, from where to where, is a special token that the text itself spells."""
        unknown = self.tokenizer.unk_token_id
        found = []
        for at, token in enumerate(encoding.ids):
            part = encoding.token_to_sequence(at) if token in self._special else None
            if part is None:  # added by the tokenizer
                continue
            start, end = encoding.offsets[at]
            word = parts[part][start:end].strip()
            # A character that is not in the vocabulary is unknown, too.
            if len(word) > 1 and (token != unknown or self.tokenizer.unk_token in word):
                found.append((part, start, end))
        return found

    def _parted(
        self, parts: list[str], tokenizer: Tokenizer, *, special: bool
    ) -> tuple[list[str], Encoding]:
        """Texts in which special tokens are parted until none is left, and their tokens."""
        for left in reversed(range(_ROUNDS)):
            first, second = parts[0], parts[1] if len(parts) > 1 else None
            encoding = tokenizer.encode(first, second, add_special_tokens=special)
            spelled = self._spelled(parts, encoding)
            if not spelled:
                return parts, encoding
            for part, start, end in sorted(spelled, reverse=True) if left else ():
                text = parts[part]
                at = start + len(text[start:end]) - len(text[start:end].lstrip()) + 1
                parts[part] = f"{text[:at]}{_CUT}{text[at:]}"
        raise JudgeError(
            f"the text contains special tokens of the model ({parts[part][start:end]!r:.60}) that "
            "its tokenizer cannot read as text."
        )

    def _joined(self, parts: Sequence[str], encoding: Encoding) -> Encoded:
        """Tokens without the cuts, with their places in the text without them."""
        ids, offsets, types = encoding.ids, encoding.offsets, encoding.type_ids
        before = [[0] for _ in parts]
        for count, part in zip(before, parts, strict=True):
            for character in part:
                count.append(count[-1] + (character == _CUT))
        cut, kept = self._split.token_to_id(_CUT), []
        for at, token in enumerate(ids):
            sequence, (start, end) = encoding.token_to_sequence(at), offsets[at]
            if token == cut:
                continue
            if sequence is not None:
                start, end = start - before[sequence][start], end - before[sequence][end]
            kept.append((token, (start, end), types[at]))
        return Encoded(*(list(column) for column in zip(*kept, strict=True)))

    @cached_property
    def _split(self) -> Tokenizer:
        """A tokenizer that reads special tokens as text, as far as its vocabulary lets it."""
        found = self._copy()
        found.encode_special_tokens = True
        return found

    @cached_property
    def _as_written(self) -> Tokenizer:
        """A tokenizer to which special tokens are what they are, unless they are parted."""
        return self._copy()

    def _copy(self) -> Tokenizer:
        from tokenizers import AddedToken, Tokenizer

        copy = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        copy.no_truncation()
        copy.no_padding()
        copy.add_tokens([AddedToken(_CUT, normalized=False)])
        return copy


def fill_template(
    tokenizer: PreTrainedTokenizerBase, turns: Iterable[Mapping[str, str]], **how: Any
) -> str:
    """Chat messages in a tokenizer's chat template.

    Args:
        tokenizer: The tokenizer.
        turns: Messages with ``role`` and ``content``.
        **how: As for ``apply_chat_template``.

    Raises:
        JudgeError: If the template, a program of the model's author, fails, does not end, or makes
            no text of them.
    """

    def fill() -> object:
        return tokenizer.apply_chat_template([*turns], tokenize=False, **how)

    try:
        text = within(RUNNING_SECONDS, fill, "the chat template of the model")
    except JudgeError:
        raise
    except Exception as error:
        raise JudgeError(
            f"the chat template of the model cannot be filled in: {brief(error)}"
        ) from error
    if not isinstance(text, str) or not text.strip():
        raise JudgeError(
            "the chat template of the model cannot be used: it makes no text of a message. "
            "Correct chat_template in its tokenizer_config.json or chat_template.jinja, or use "
            "another prompt form."
        )
    return text


def fill_chat_template(
    encoder: TextEncoder, turns: Iterable[Mapping[str, str]], **how: Any
) -> Templated:
    """As ``fill_template``; special tokens that the turns spell stay text.

    Args:
        encoder: Of the model's tokenizer; it is the one to encode the result with.
    """
    given = [{**turn, "content": encoder.as_text(turn["content"])} for turn in turns]
    return Templated(fill_template(encoder.tokenizer, given, **how))
