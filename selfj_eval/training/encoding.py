"""From pairs to token ids and padded batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from selfj_eval.engines.models.text_encoder import TextEncoder
from selfj_eval.errors import DataError, JudgeError
from selfj_eval.prompts.labels import digit_token_ids
from selfj_eval.prompts.templates import PromptTemplate, fit_prompt
from selfj_eval.training.pairs import Pair
from selfj_eval.training.results import LongPrompt

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from selfj_eval.training.frozen import FrozenOutput


_NAMED = 3


class Label(NamedTuple):
    """How a label is written in tokens.

    Attributes:
        digits: Ids of "0".."9" after the prompt; for an encoder its classes 0..9.
        end: The token that follows the digit; None for an encoder.
    """

    digits: list[int]
    end: int | None


class Encoded(NamedTuple):
    """Token ids of the pairs.

    Attributes:
        dataset: Columns ``ref`` and ``free`` (lists of ids; ``ref`` empty without reference),
            ``label`` (0..9) and ``length`` (tokens of both together).
        prompts: How many prompts there are.
        trimmed: How many of them were too long.
        trimmed_tokens: What these lost in all.
        longest: The prompts that lost most.
    """

    dataset: Dataset
    prompts: int
    trimmed: int
    trimmed_tokens: int
    longest: list[LongPrompt]


def label_tokens(tokenizer: PreTrainedTokenizerBase, template: PromptTemplate, name: str) -> Label:
    """The label's tokens for a decoder, checked against the template.

    Raises:
        JudgeError: If a digit is not one token after the template, or there is no end token.
    """
    digits = digit_token_ids(lambda text: tokenizer(text).input_ids, template.probe(), name)
    if tokenizer.eos_token_id is None:
        raise JudgeError(f"the tokenizer of {name} has no end token (eos), which ends a label.")
    return Label(digits, int(tokenizer.eos_token_id))


def encode_pairs(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    template: PromptTemplate,
    label: Label,
    max_tokens: int,
) -> Encoded:
    """Token ids of all pairs, prompts of which are trimmed in the middle where they are too long.

    For a decoder the digit follows the prompt; its end token is only predicted. The label is
    never cut: the prompt is held to ``max_tokens`` less the label's tokens, by the function that
    also trims when judging.

    Raises:
        DataError: If ``max_tokens`` has no room even for the template.
    """
    from datasets import Dataset

    encoder = TextEncoder(tokenizer)  # as judging reads them
    budget = max_tokens - (2 if label.end is not None else 0)
    counts = {"prompts": 0, "trimmed": 0, "trimmed_tokens": 0}
    lost: dict[str, int] = {}

    def tokens(chunk: Sequence[Pair], reference: bool) -> list[list[int]]:
        texts = [
            template.render(p.instruction, p.response, p.reference if reference else None)
            for p in chunk
        ]
        rows = encoder.rows(texts)
        counts["prompts"] += len(rows)
        for at, (pair, row) in enumerate(zip(chunk, rows, strict=True)):
            if len(row) > budget:
                try:
                    prompt = fit_prompt(
                        template,
                        pair.instruction,
                        pair.response,
                        pair.reference if reference else None,
                        tokenize=lambda text: encoder.encode(text).offsets,
                        max_tokens=budget,
                    )
                except JudgeError as error:
                    message = f"{max_tokens} leaves no room for the texts in the prompt; give more."
                    raise DataError(message, path=pair.where, field="max_tokens") from error
                where = pair.where or pair.id
                lost[where] = max(lost.get(where, 0), prompt.trimmed_tokens)
                counts["trimmed"] += 1
                counts["trimmed_tokens"] += prompt.trimmed_tokens
                rows[at] = encoder.encode(prompt.text).ids
        if label.end is None:
            return rows
        return [row + [label.digits[p.label]] for p, row in zip(chunk, rows, strict=True)]

    free = tokens(pairs, False)
    having = [index for index, pair in enumerate(pairs) if pair.reference is not None]
    found = tokens([pairs[index] for index in having], True)
    referred = dict(zip(having, found, strict=True))
    ref = [referred.get(index, []) for index in range(len(pairs))]
    columns = {
        "ref": ref,
        "free": free,
        "label": [pair.label for pair in pairs],
        "length": [len(a) + len(b) for a, b in zip(ref, free, strict=True)],
    }
    worst = sorted(lost, key=lost.__getitem__, reverse=True)[:_NAMED]
    longest = [LongPrompt(where, lost[where]) for where in worst]
    return Encoded(Dataset.from_dict(columns), **counts, longest=longest)


@dataclass(frozen=True, slots=True)
class PairCollator:
    """Pads encoded pairs to a batch of b answers, r of which have a reference.

    The result has ``labels`` (b,), ``referred`` (r,), and for ``ref`` (r rows) and ``free`` (b
    rows) each ``*_input_ids``, ``*_attention_mask`` and, for a decoder, ``*_position_ids``. A
    decoder's rows are padded on the left, so that all labels stand at the end: teacher and
    student are aligned whatever their lengths.

    Of rows that have a ``row``, hidden states of shape (rows, width, hidden size) take the place of
    the token ids, as ``*_inputs_embeds``.

    Attributes:
        pad: Id of the padding token.
        left: Whether to pad on the left (decoders).
        frozen: What the frozen layers give: of the answer ``row`` with reference at 2 * ``row``,
            without at 2 * ``row`` + 1.
    """

    pad: int
    left: bool
    frozen: FrozenOutput | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch."""
        import torch

        referred = [at for at, row in enumerate(rows) if row["ref"]]
        # Without any reference the teacher gets a stand-in that does not count, since all
        # processes of a sharded model must run it equally often.
        teachers = [(rows[at], "ref") for at in referred] or [(rows[0], "free")]
        batch = {
            "labels": torch.tensor([row["label"] for row in rows]),
            "referred": torch.tensor(referred, dtype=torch.long),
        }
        for name, prompts in (("ref", teachers), ("free", [(row, "free") for row in rows])):
            kind, values = self._values(prompts)
            width = max(map(len, values))
            padded = values[0].new_full((len(values), width, *values[0].shape[1:]), self.pad)
            mask = torch.zeros(len(values), width, dtype=torch.long)
            for at, own in enumerate(values):
                place = slice(width - len(own), None) if self.left else slice(len(own))
                padded[at, place] = own
                mask[at, place] = 1
            batch |= {f"{name}_{kind}": padded, f"{name}_attention_mask": mask}
            if self.left:
                batch[f"{name}_position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        return batch

    def _values(
        self, prompts: Sequence[tuple[Mapping[str, Any], str]]
    ) -> tuple[str, list[torch.Tensor]]:
        """What the model is given for each prompt, and what it is called."""
        import torch

        if self.frozen is None or "row" not in prompts[0][0]:
            return "input_ids", [torch.tensor(row[name]) for row, name in prompts]
        places = [2 * row["row"] + (name == "free") for row, name in prompts]
        return "inputs_embeds", [self.frozen[place] for place in places]
