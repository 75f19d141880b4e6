"""The loss of paired self-distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Targets(NamedTuple):
    """What a batch of b answers should get.

    Attributes:
        scores: Shape (b,). Labels 0..9.
        digits: Shape (10,). Vocabulary ids (or class numbers) of the digits.
        end: Vocabulary id that ends the label, or None where only the digit is predicted.
        spread: Width, in points, of the normal curve around a label; 0 for the label alone.
    """

    scores: torch.Tensor
    digits: torch.Tensor
    end: int | None
    spread: float = 0.0


class PairLoss(NamedTuple):
    """Parts of the loss, each a scalar.

    Attributes:
        total: What is minimised.
        ce_ref: Cross-entropy of the teacher's label tokens (prompt with reference).
        ce_free: The same of the student (prompt without).
        kl: KL divergence of the student's prediction from the teacher's, at the digit.
    """

    total: torch.Tensor
    ce_ref: torch.Tensor
    ce_free: torch.Tensor
    kl: torch.Tensor


def pair_loss(
    teacher: torch.Tensor,
    student: torch.Tensor,
    targets: Targets,
    referred: torch.Tensor,
    *,
    student_weight: float,
    kl_weight: float,
) -> PairLoss:
    """``CE_ref + student_weight * CE_free + kl_weight * KL(p_ref (detached) || p_free)``.

    Self-J (arXiv 2409.00935, section 3), there with 0.3 and 2. Cross-entropies are means over the
    label tokens, digit and end; the KL divergence is over the whole vocabulary, at the digit, a
    mean over answers. The terms of the teacher count by the share of the batch that has a
    reference, r / b, so that an answer weighs the same in whichever batch it is.

    Args:
        teacher: Shape (r, t, v). Logits at the t label positions of the r answers that have a
            reference; one arbitrary row where none has.
        student: Shape (b, t, v). The same for all b answers without reference.
        targets: The labels of the b answers.
        referred: Shape (r,). Which of the b answers the teacher's rows are; empty where none is.
        student_weight, kl_weight: See above.

    Returns:
        The loss and its parts, means over the answers that have them. Without any reference the
        teacher's parts are 0.
    """
    import torch

    log_ref, log_free = _log_softmax(teacher), _log_softmax(student)
    ce_free = _cross_entropy(log_free, targets).mean()
    if len(referred):
        ce_ref = _cross_entropy(log_ref, targets._replace(scores=targets.scores[referred])).mean()
        goal = log_ref[:, 0].detach()
        kl = torch.nn.functional.kl_div(
            log_free[referred, 0], goal, reduction="batchmean", log_target=True
        )
    else:
        ce_ref = kl = log_ref.sum() * 0  # every process of a sharded model has the same graph
    share = len(referred) / len(student)
    total = share * (ce_ref + kl_weight * kl) + student_weight * ce_free
    return PairLoss(total, ce_ref, ce_free, kl)


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    import torch

    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def _cross_entropy(log_probabilities: torch.Tensor, targets: Targets) -> torch.Tensor:
    """Of digit and end token, for (b, t, v) log-probabilities; shape (b, t)."""
    import torch

    of_digits = log_probabilities[:, 0, targets.digits]
    if targets.spread > 0:
        distance = torch.arange(10.0, device=of_digits.device) - targets.scores[:, None]
        goal = (-(distance**2) / (2 * targets.spread**2)).softmax(-1)
        parts = [-(goal.to(of_digits.dtype) * of_digits).sum(-1)]
    else:
        parts = [-of_digits.gather(1, targets.scores[:, None])[:, 0]]
    if targets.end is not None:
        parts.append(-log_probabilities[:, 1, targets.end])
    return torch.stack(parts, 1)
