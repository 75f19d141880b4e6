"""How much a device is given at once: as memory allows, and less when it did not suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from selfj_eval.engines.base import Batch
from selfj_eval.errors import JudgeError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Rows = Sequence[Sequence[int]]
Scores = np.ndarray[Any, np.dtype[np.float64]]
Row = TypeVar("Row", bound=Sized)
"""What is run for one text; its length is that in tokens."""
Split = Callable[[Sequence[Any], int], Iterator[list[int]]]
"""Rows and a number of tokens to batches: positions of the rows."""

CPU_BATCH_TOKENS = 4096
"""Small: on a CPU large batches gain nothing, and more of them is lost when a run is killed."""
FEWEST, MOST = 2048, 65536
"""Tokens a batch on an accelerator."""
_SHARE = 0.5  # of the free memory that a batch may take


class Batcher:
    """Runs rows in batches of so many tokens; halves that number when memory does not suffice.

    Several threads may use one: there is one forward pass at a time, since a model holds what
    belongs to it (hooks, positions) while it runs.

    Args:
        split: Forms the batches.
        tokens: Tokens a batch.
        device: For messages.

    Attributes:
        tokens: As given, or fewer by now.
    """

    def __init__(self, split: Split, tokens: int, device: str) -> None:
        self._split, self.tokens, self._device = split, tokens, device
        self._lock = Lock()

    def run(self, rows: Sequence[Row], forward: Callable[[list[Row]], Scores]) -> Iterator[Batch]:
        """Score all rows.

        Args:
            rows: Rows of tokens; none is empty.
            forward: Rows to their numbers, shape (rows, k): a judge's log-probabilities of the
                ten digits, one number of another rater.

        Raises:
            JudgeError: If not even one row fits into memory.
        """
        waiting = list(range(len(rows)))
        while waiting:
            left = set(waiting)
            for places in self._split([rows[at] for at in waiting], self.tokens):
                batch = [waiting[place] for place in places]
                taken = [rows[at] for at in batch]
                try:
                    with self._lock:
                        scores = forward(taken)
                except (RuntimeError, MemoryError) as error:
                    if not is_memory(error):
                        raise
                    if len(taken) == 1:
                        raise JudgeError(
                            f"out of memory with one prompt of {len(taken[0])} tokens on "
                            f"{self._device}; lower `max_tokens`, or use a smaller `dtype`. What "
                            "was finished is kept."
                        ) from error
                    # Not by the budget alone: one that is larger than the batch changes nothing.
                    self.tokens = max(1, min(self.tokens, sum(map(len, taken))) // 2)
                    break
                yield Batch(batch, scores)
                left -= set(batch)
            waiting = [at for at in waiting if at in left]


def batch_tokens(config: PretrainedConfig, device: str, bytes_a_number: int) -> int:
    """Tokens a batch that fit into the free memory of a device, roughly.

    Without gradients one layer's activations are alive at a time: some ten vectors of the hidden
    width and three of the inner one a token.

    Args:
        config: The model's.
        device: The device's name; the model is on it already.
        bytes_a_number: 4 in float32, 2 in bfloat16.
    """
    import torch

    if not device.startswith("cuda"):
        return CPU_BATCH_TOKENS if device.startswith("cpu") else 8 * CPU_BATCH_TOKENS
    text = getattr(config, "text_config", None) or config
    hidden = int(getattr(text, "hidden_size", 4096))
    inner = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int(_SHARE * free / (bytes_a_number * (10 * hidden + 3 * inner)))
    return min(max(fitting, FEWEST), MOST)


def is_memory(error: BaseException) -> bool:
    import torch

    # On a CPU, from its libraries, and on other devices torch raises a plain RuntimeError.
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    texts = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
    return known or any(text in str(error) for text in texts)
