"""The judges that come with the package: LoRA adapters on models that other packages carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from selfj_eval.registry.models import PackagedModel, packaged_model


@dataclass(frozen=True, slots=True)
class PackagedJudge:
    """An adapter in this package.

    Attributes:
        name: What it is called.
        summary: One sentence.
        licence: Of the adapter.
        base: Name of the model that it is put on.
    """

    name: str
    summary: str
    licence: str
    base: str

    @property
    def folder(self) -> Path:
        """The adapter's folder, with its model card."""
        return Path(__file__).parent / self.name

    @property
    def model(self) -> PackagedModel:
        """The model that it is put on."""
        found = packaged_model(self.base)
        assert found is not None, self.base
        return found


JUDGES = (
    PackagedJudge(
        name="small",
        summary="a judge of 135 million parameters, trained on GPT-4's ratings",
        licence="Apache-2.0",
        base="small-base",
    ),
)


def packaged_judge(name: str) -> PackagedJudge | None:
    """The judge of a name, or None."""
    return next((own for own in JUDGES if name == own.name), None)


def model_to_fetch(name: str) -> PackagedModel | None:
    """The packaged model of a name, or that a packaged judge of the name is put on; or None."""
    judge = packaged_judge(name)
    return packaged_model(name) if judge is None else judge.model
