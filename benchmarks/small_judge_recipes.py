"""The recipes: what the labels are, and how the judge learns them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One way to train the judge.

    Attributes:
        name: Of its files.
        kl_weight: Weight of the distillation.
        reference_tokens: A longer reference loses its middle, so that the answer is kept whole.
        max_tokens: Longest prompt in training.
        rank: Of the adapter.
        freeze_layers: So many of the 30 layers get no adapter, and run once for all epochs.
        epochs: Passes over the data; one teaches a judge of this size little.
        learning_rate: Its highest value.
        changed: Share of the answers that are there a second time, spoiled and with a lower label.
        scale: So many times the answers per set that the run says.
    """

    name: str
    kl_weight: float = 1.0
    reference_tokens: int = 100
    max_tokens: int = 384
    rank: int = 16
    freeze_layers: int = 22
    epochs: int = 3
    learning_rate: float = 5e-4
    changed: float = 0.0
    scale: float = 1.0


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("small", changed=0.5),
        Recipe("unspoiled"),
        Recipe("no-distillation", kl_weight=0.0),
        Recipe("distillation-2", kl_weight=2.0),
        Recipe("longer", max_tokens=640, reference_tokens=200),
        Recipe("few", scale=0.375),
        Recipe("many", scale=4.8),
        Recipe("once", scale=4.8, epochs=1),
        Recipe("larger", changed=0.34, scale=3.6, epochs=1, max_tokens=640, reference_tokens=200),
    )
}
"""By name: the one that is shipped, and those that it is compared with."""
