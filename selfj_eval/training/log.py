"""The log of a training that may be interrupted."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl


class LogAtCheckpoints(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """A line of the log at each checkpoint.

    What has been summed up since the last line is in no checkpoint: without this, a training that
    goes on would log other means than one that was never interrupted.
    """

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        """Log wherever a checkpoint is to be saved, which is after that."""
        if control.should_save:
            control.should_log = True
