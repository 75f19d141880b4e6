"""Labels as a tokenizer spells them, and their probabilities from those of next tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from selfj_eval.errors import JudgeError
from selfj_eval.prompts.labels import DIGIT_LABELS, Labels, digit_token_ids

Branch = tuple[int, ...]
"""Tokens behind a prompt, which begin one of the labels; empty for the prompt itself."""


@dataclass(frozen=True)
class LabelTokens:
    """The tokens of each label, behind one prompt.

    The probability of a label is the product of its tokens' probabilities, each given the prompt
    and the tokens before it. A label that begins another one ("1" and "10") has to end there: its
    product is multiplied by the probability that the next token goes on with none of the longer
    labels. So the labels exclude each other, and their probabilities add up to at most 1.

    Attributes:
        texts: The labels.
        sequences: Token ids of each; all differ.
    """

    texts: tuple[str, ...]
    sequences: tuple[Branch, ...]

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """Behind which tokens the next one's probabilities are needed; the prompt itself first."""
        inner = {sequence[:at] for sequence in self.sequences for at in range(len(sequence))}
        ends = set(self.sequences) & inner
        return tuple(sorted(inner | ends, key=lambda branch: (len(branch), branch)))

    @cached_property
    def asked(self) -> tuple[int, ...]:
        """Ids of the tokens whose probabilities are needed, at any branch."""
        return tuple(dict.fromkeys(token for sequence in self.sequences for token in sequence))

    @property
    def single(self) -> tuple[int, ...]:
        """The label's ids where each is one token; else empty."""
        return self.asked if all(len(sequence) == 1 for sequence in self.sequences) else ()

    def single_only(self, what: str) -> tuple[int, ...]:
        """Ids of the labels for an engine that reads one token.

        Args:
            what: The engine, for the error.

        Raises:
            JudgeError: If a label has several tokens, naming those and the others.
        """
        if not self.single:
            pairs = list(zip(self.texts, self.sequences, strict=True))
            several = [repr(text) for text, ids in pairs if len(ids) > 1]
            others = [repr(text) for text, ids in pairs if len(ids) == 1]
            raise JudgeError(
                f"{what} reads one token a prompt, and of the labels {', '.join(several)} have "
                f"several with this tokenizer; it takes {', '.join(others) or 'none of them'}. "
                "Choose labels of one token each, such as digits or letters, or use `engine` "
                "transformers."
            )
        return self.single

    def log_probabilities(self, found: Mapping[Branch, npt.NDArray[np.float64]]) -> Any:
        """Log-probabilities of the labels.

        Args:
            found: At each branch, log-probabilities of ``asked`` as next tokens.

        Returns:
            Shape (k,), float64.
        """
        column = {token: at for at, token in enumerate(self.asked)}
        return np.array([self._label(own, found, column) for own in self.sequences])

    def gathered(
        self, found: Iterable[tuple[Sequence[int], npt.NDArray[np.float64]]]
    ) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        """The labels' log-probabilities of prompts, once all of a prompt's branches are known.

        Args:
            found: Positions of rows, and log-probabilities of ``asked`` behind them, shape (rows,
                asked); a prompt's rows follow each other in the order of ``branches``.

        Yields:
            Positions of m prompts, and their labels' log-probabilities, shape (m, k).
        """
        waiting: dict[int, dict[Branch, npt.NDArray[np.float64]]] = {}
        for places, rows in found:
            done = []
            for place, row in zip(places, rows, strict=True):
                prompt, branch = divmod(place, len(self.branches))
                own = waiting.setdefault(prompt, {})
                own[self.branches[branch]] = row
                if len(own) == len(self.branches):
                    done.append(prompt)
            if done:
                yield done, np.stack([self.log_probabilities(waiting.pop(at)) for at in done])

    def _label(
        self,
        own: Branch,
        found: Mapping[Branch, npt.NDArray[np.float64]],
        column: Mapping[int, int],
    ) -> float:
        total = sum(float(found[own[:at]][column[own[at]]]) for at in range(len(own)))
        longer = {s[len(own)] for s in self.sequences if len(s) > len(own) and s[: len(own)] == own}
        if longer:
            on = sum(float(np.exp(found[own][column[token]])) for token in longer)
            with np.errstate(divide="ignore"):
                total += float(np.log1p(-min(on, 1.0)))
        return total


def label_tokens(
    encode: Callable[[str], Sequence[int]], context: str, labels: Labels, name: str
) -> LabelTokens:
    """The labels' tokens as they follow ``context``.

    They are read off where the judge has to produce them: as what is added to the tokens of
    ``context`` when the label is appended.

    Args:
        encode: Text to token ids, special tokens included as for scoring.
        context: Text as it ends right before the label.
        labels: The labels. Self-J's ten digits must be single tokens, as in its training.
        name: Name of the tokenizer, for the error.

    Raises:
        JudgeError: If a label joins the end of the prompt, or two labels have the same tokens.
    """
    if labels.texts == DIGIT_LABELS.texts:
        return LabelTokens(
            labels.texts, tuple((i,) for i in digit_token_ids(encode, context, name))
        )
    base = list(encode(context))
    found: dict[Branch, str] = {}
    for text in labels.texts:
        whole = list(encode(context + text))
        own = tuple(whole[len(base) :])
        if whole[: len(base)] != base or not own:
            raise JudgeError(_joined(context, text, name))
        if own in found:
            raise JudgeError(
                f"to the tokenizer of {name} the labels {found[own]!r} and {text!r} are the same; "
                "is its vocabulary complete?"
            )
        found[own] = text
    return LabelTokens(labels.texts, tuple(found))


def _joined(context: str, text: str, name: str) -> str:
    end = context[-16:]
    advice = "end the prompt with another character, or choose another label"
    if context.endswith(" "):
        spaced = f" {text}"
        advice = f"let the prompt or its prefill end before the space, and write label {spaced!r}"
    return f"after {end!r} the tokenizer of {name} joins label {text!r} with the prompt: {advice}."
