"""The paired self-distillation as a ``transformers.Trainer``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices

from selfj_eval.training.encoding import Label
from selfj_eval.training.frozen import FrozenLayers
from selfj_eval.training.loss import PairLoss, Targets, pair_loss
from selfj_eval.training.settings import JudgeConfig

if TYPE_CHECKING:
    from transformers import EvalPrediction

_PARTS = {"ce_ref": 0, "ce_free": 1, "kl": 0}
"""Parts of the loss; 0: means over the answers with a reference, 1: over all answers."""


class JudgeTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed
    """Trains teacher and student in one model, batches as ``PairCollator`` makes them.

    Args:
        config: Weights of the loss.
        label: How labels are written.
        frozen: The layers that a batch of hidden states has been through already.
        **rest: As for ``transformers.Trainer``.
    """

    # Each step's loss is a mean already; without this, accumulation would add them up.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        config: JudgeConfig,
        label: Label,
        frozen: FrozenLayers | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(compute_metrics=agreement, **rest)
        self.config, self.label, self.frozen = config, label, frozen
        self.model_accepts_loss_kwargs = False
        self._sums = torch.zeros(len(_PARTS) + 2, dtype=torch.float64)
        head = self.model.get_output_embeddings()
        if head is not None:
            head.register_forward_pre_hook(_contiguous)

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Any:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        if not self.config.group_by_length:
            return super()._get_train_sampler(rows)
        own = self.args
        return LengthBatches(
            rows["length"],
            own.train_batch_size * own.gradient_accumulation_steps * own.world_size,
            seed=own.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a batch; sums its parts for the log."""
        loss, _ = self._step(model, inputs)
        if model.training:
            rows = [len(inputs["referred"]), len(inputs["labels"])]
            parts = [getattr(loss, name).item() * rows[of] for name, of in _PARTS.items()]
            self._sums += torch.tensor([*parts, *rows], dtype=torch.float64)
        return (loss.total, {}) if return_outputs else loss.total

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Loss; both expected scores and whether there is a reference (b, 3); labels (b,)."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, scores = self._step(model, inputs)
        return loss.total.detach(), scores, inputs["labels"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means of the loss's parts since the last line."""
        if "loss" in logs:
            sums = self.accelerator.reduce(self._sums.to(self.args.device, torch.float32), "sum")
            rows = sums[len(_PARTS) :].clamp(min=1)
            logs |= {
                name: (total / rows[of]).item()
                for (name, of), total in zip(_PARTS.items(), sums[: len(_PARTS)], strict=True)
            }
            self._sums.zero_()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the estimate knows one input only."""
        return 0

    def _step(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]
    ) -> tuple[PairLoss, torch.Tensor]:
        teacher, student = (self._logits(model, inputs, name) for name in ("ref", "free"))
        digits = torch.tensor(self.label.digits, device=student.device)
        labels, referred = inputs["labels"], inputs["referred"]
        warm = min(1.0, (self.state.global_step + 1) / max(1, self.config.kl_warmup_steps))
        loss = pair_loss(
            teacher,
            student,
            Targets(labels, digits, self.label.end, self.config.label_spread),
            referred,
            student_weight=self.config.student_weight,
            kl_weight=self.config.kl_weight * warm,
        )
        scores = torch.zeros((len(labels), 3), device=student.device)
        grades = torch.arange(10.0, device=student.device)
        with torch.no_grad():
            scores[:, 1] = student[:, 0, digits].float().softmax(-1) @ grades
            if len(referred):
                scores[referred, 0] = teacher[:, 0, digits].float().softmax(-1) @ grades
                scores[referred, 2] = 1
        return loss, scores

    def _logits(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], name: str
    ) -> torch.Tensor:
        """At the label positions only: (rows, 2, vocabulary), or (rows, 1, 10) of an encoder."""
        own = {
            key.removeprefix(f"{name}_"): value
            for key, value in inputs.items()
            if key.startswith(f"{name}_")
        }
        logits: torch.Tensor
        if self.label.end is None:
            logits = model(**own).logits
            return logits[:, None]
        skipped = self.frozen.skipped() if "inputs_embeds" in own and self.frozen else nullcontext()
        with skipped:
            logits = model(**own, use_cache=False, logits_to_keep=2).logits
        return logits


def _contiguous(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """One product for all rows: a slice of the positions would copy the head once per row."""
    return (inputs[0].contiguous(),)


class LengthBatches(Sampler[int]):
    """Batches of about equal lengths, in random order.

    Grouping alone goes from long to short again and again, and a model that is trained so forgets
    the one over the other. The first batch stays first, since it has the longest rows and shows
    at once whether memory suffices; an incomplete one stays last. The order is decided by seed
    and epoch alone, so that it is the same in all processes, and after an interruption.

    Args:
        lengths: Of all rows.
        batch: Rows of a step, over all processes.
        seed: Start of the random numbers.
        epoch: Tells the pass over the data that begins, from 0.
    """

    def __init__(
        self, lengths: Sequence[int], batch: int, *, seed: int, epoch: Callable[[], int]
    ) -> None:
        self.lengths, self.batch, self.seed, self.epoch = list(lengths), batch, seed, epoch

    def __len__(self) -> int:
        """Rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """All indices, once."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch())
        indices = get_length_grouped_indices(self.lengths, self.batch, generator=random)
        batches = [indices[at : at + self.batch] for at in range(0, len(indices), self.batch)]
        last = len(batches) - (len(indices) % self.batch > 0)
        order = [
            0,
            *(torch.randperm(max(0, last - 1), generator=random) + 1).tolist(),
            *range(max(1, last), len(batches)),
        ]
        return (index for at in order for index in batches[at])


def agreement(prediction: EvalPrediction) -> dict[str, float]:
    """Agreement of the scores with the labels.

    Returns:
        ``teacher_*`` (with reference) and ``student_*`` of ``pearson``, ``spearman`` and ``mae``
        (mean absolute error, in points); undefined ones are left out. ``*_unscored`` counts
        answers that got no finite score, where there are any: the others are about the rest.
    """
    from scipy.stats import pearsonr, spearmanr

    scores, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    found: dict[str, float] = {}
    for column, name in enumerate(("teacher", "student")):
        asked = scores[:, 2] > 0 if name == "teacher" else np.ones(len(scores), dtype=bool)
        own = asked & np.isfinite(scores[:, column])
        x, y = scores[own, column], labels[own]
        if lost := int(asked.sum() - own.sum()):
            found[f"{name}_unscored"] = float(lost)
        if len(x) == 0:
            continue
        found[f"{name}_mae"] = float(np.abs(x - y).mean())
        if len(x) > 2 and x.std() > 0 and y.std() > 0:
            found[f"{name}_pearson"] = float(pearsonr(x, y)[0])
            found[f"{name}_spearman"] = float(spearmanr(x, y)[0])
    return found
