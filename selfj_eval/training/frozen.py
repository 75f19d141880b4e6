"""What frozen layers give is the same in every epoch: it is computed once, and kept in a file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import torch
from transformers import PreTrainedModel

from selfj_eval.errors import JudgeError, StoreError

_TOKENS = 4096  # of a batch
_TOLERANCE = 1e-2  # of logits that the same operations compute


class FrozenOutput:
    """The hidden states that the frozen layers give for each prompt.

    Args:
        states: Shape (tokens of all prompts, hidden size).
        lengths: Tokens of each prompt.
    """

    def __init__(self, states: torch.Tensor, lengths: Sequence[int]) -> None:
        self._states = states
        self._starts = [0, *accumulate(lengths)]

    def __getitem__(self, prompt: int) -> torch.Tensor:
        """Shape (tokens of the prompt, hidden size)."""
        return self._states[self._starts[prompt] : self._starts[prompt + 1]]


class FrozenLayers:
    """The first layers of a decoder, whose weights no training changes.

    Args:
        model: The model, or what peft has made of it.
        layers: How many they are.
    """

    def __init__(self, model: PreTrainedModel, layers: int) -> None:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._model, self._layers = model, layers
        self._decoder = base.get_decoder()

    def output(self, rows: Sequence[Sequence[int]], folder: Path, base: str) -> FrozenOutput:
        """What they give for prompts; read from the folder where it has been computed before.

        Args:
            rows: The token ids of each prompt; an empty one has no states.
            folder: Where the file is kept.
            base: Fingerprint of the model.

        Raises:
            JudgeError: If the layers of this architecture cannot be run apart.
            StoreError: If the disk has no room for the file.
        """
        dtype = next(self._decoder.parameters()).dtype
        content = hashlib.sha256(json.dumps([base, self._layers, str(dtype), rows]).encode())
        file = folder / f"frozen-{content.hexdigest()[:16]}.bin"
        lengths = [len(row) for row in rows]
        shape = (sum(lengths), int(self._decoder.config.hidden_size))
        size = shape[0] * shape[1]
        if not file.is_file():
            self._check(next(row for row in rows if row))
            folder.mkdir(exist_ok=True)
            needed, free = size * dtype.itemsize, shutil.disk_usage(folder).free
            if needed > free:  # a mapped file that finds the disk full ends the process
                raise StoreError(
                    f"{folder} has {free:,} bytes free, and the output of the frozen layers takes "
                    f"{needed:,}; free some space, lower `max_tokens`, or leave out `cache_frozen`."
                )
            draft = file.with_suffix(".draft")
            states = torch.from_file(str(draft), True, size, dtype=dtype).view(shape)
            self._compute(rows, FrozenOutput(states, lengths))
            del states  # written and closed
            draft.replace(file)
        states = torch.from_file(str(file), False, size, dtype=dtype).view(shape)
        return FrozenOutput(states, lengths)

    @contextmanager
    def skipped(self) -> Iterator[None]:
        """In here the model begins after them: it takes their output as ``inputs_embeds``."""
        with self._only(slice(self._layers, None)):
            yield

    @contextmanager
    def _only(self, part: slice, norm: torch.nn.Module | None = None) -> Iterator[None]:
        layers, own = self._decoder.layers, self._decoder.norm
        try:
            self._decoder.layers = layers[part]
            self._decoder.norm = own if norm is None else norm
            yield
        finally:
            self._decoder.layers, self._decoder.norm = layers, own

    def _compute(self, rows: Sequence[Sequence[int]], to: FrozenOutput) -> None:
        order = sorted((at for at, row in enumerate(rows) if row), key=lambda at: -len(rows[at]))
        training = self._model.training
        self._model.eval()
        with torch.no_grad(), self._only(slice(self._layers), torch.nn.Identity()):
            while order:
                width = len(rows[order[0]])
                size = max(1, _TOKENS // width)
                batch, order = order[:size], order[size:]
                # Padding on the right, which a causal model does not see.
                ids = torch.tensor([[*rows[at], *[0] * (width - len(rows[at]))] for at in batch])
                device = self._decoder.get_input_embeddings().weight.device
                found = self._decoder(input_ids=ids.to(device), use_cache=False).last_hidden_state
                for at, states in zip(batch, found.cpu(), strict=True):
                    to[at].copy_(states[: len(rows[at])])
        self._model.train(training)

    def _check(self, row: Sequence[int]) -> None:
        """Refuse an architecture that does more with its layers than run one after the other."""
        device = self._decoder.get_input_embeddings().weight.device
        ids = torch.tensor([list(row)]).to(device)
        training = self._model.training
        self._model.eval()
        with torch.no_grad():
            whole = self._model(input_ids=ids, use_cache=False).logits
            with self._only(slice(self._layers), torch.nn.Identity()):
                states = self._decoder(input_ids=ids, use_cache=False).last_hidden_state
            with self.skipped():
                parts = self._model(inputs_embeds=states, use_cache=False).logits
        self._model.train(training)
        if not torch.allclose(whole, parts, atol=_TOLERANCE, rtol=0):
            raise JudgeError(
                f"the layers of {type(self._decoder).__name__} cannot be run apart; leave out "
                "`cache_frozen`."
            )
