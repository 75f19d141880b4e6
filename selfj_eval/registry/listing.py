"""Which sets there are, and where the files of each lie or would lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.jobs.progress import size
from selfj_eval.jobs.results import Result, table
from selfj_eval.registry.folder import data_folder
from selfj_eval.registry.judges import JUDGES, packaged_judge
from selfj_eval.registry.made import state
from selfj_eval.registry.models import MODELS, PackagedModel, model_folder, packaged_model
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import load_sets, select
from selfj_eval.registry.verifying import own_files


@dataclass(frozen=True)
class ListedSet:
    """A set of the registry.

    Attributes:
        pack, set: Its names.
        summary: One sentence.
        rows: Of its file.
        upstream_bytes: Size of what is fetched for it.
        licences: As its repositories state them.
        state: ``got``, ``by hand``, ``outdated`` or ``missing``.
        path: Its file, which need not be there.
    """

    pack: str
    set: str
    summary: str
    rows: int
    upstream_bytes: int
    licences: tuple[str, ...]
    state: str
    path: str


@dataclass(frozen=True)
class ListedModel:
    """A model that a package carries.

    Attributes:
        name, aliases, summary, licence, bytes: As for ``models.PackagedModel``.
        here: Whether it has been fetched.
        path: Its folder, which need not be there.
    """

    name: str
    aliases: tuple[str, ...]
    summary: str
    licence: str
    bytes: int
    here: bool
    path: str


@dataclass(frozen=True)
class ListedJudge:
    """A judge that comes with this package.

    Attributes:
        name, summary, licence, base: As for ``judges.PackagedJudge``.
        path: The folder of its adapter.
    """

    name: str
    summary: str
    licence: str
    base: str
    path: str


@dataclass(frozen=True)
class DataList(Result):
    """The sets of the registry, the packaged models and judges, and which of them are here.

    Attributes:
        folder: The data folder.
        sets: All of the registry.
        own: Files of the user's own beside them.
        models: All packaged models.
        judges: The judges that come with this package.
    """

    folder: str
    sets: tuple[ListedSet, ...]
    own: tuple[str, ...]
    models: tuple[ListedModel, ...] = ()
    judges: tuple[ListedJudge, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row per set."""
        return [vars(item) | {"licences": ", ".join(item.licences)} for item in self.sets]

    def __str__(self) -> str:
        lines = [("set", "rows", "upstream", "here", "licence")]
        for item in self.sets:
            counts = (f"{item.rows:,}", size(item.upstream_bytes))
            name = f"{item.pack}/{item.set}"
            lines.append((name, *counts, item.state, ", ".join(item.licences)))
        for model in self.models:
            here = "got" if model.here else "missing"
            lines.append((model.name, "model", size(model.bytes), here, model.licence))
        for judge in self.judges:
            lines.append((judge.name, "judge", f"on {judge.base}", "got", judge.licence))
        own = [f"{path}: not in the registry" for path in self.own]
        return "\n".join([self.folder, table(lines), *own])


def list_data() -> DataList:
    """The public data sets, their licences, and which are here.

    Raises:
        DataError: If the record of a pack is damaged.
    """
    folder, registry = data_folder(), load_sets()
    listed = tuple(
        ListedSet(
            pack=item.pack,
            set=item.name,
            summary=item.summary,
            rows=item.rows,
            upstream_bytes=item.bytes,
            licences=item.licences,
            state=state(folder, item),
            path=str(inside(folder, item.output)),
        )
        for item in registry
    )
    own = tuple(map(str, own_files(folder, registry)))
    judges = tuple(ListedJudge(j.name, j.summary, j.licence, j.base, str(j.folder)) for j in JUDGES)
    return DataList(str(folder), listed, own, tuple(map(_listed_model, MODELS)), judges)


def _listed_model(model: PackagedModel) -> ListedModel:
    folder = model_folder(model)
    facts = (model.name, model.aliases, model.summary, model.licence, model.bytes)
    return ListedModel(*facts, folder.is_dir(), str(folder))


def data_path(name: str | None = None) -> Path:
    """The path of the data folder, a pack, the file of a set or a model; it need not exist.

    Args:
        name: A pack, a set, a packaged model, or a packaged judge (its adapter); by default the
            data folder.

    Raises:
        DataError: If there is no pack or set of that name.
    """
    folder = data_folder()
    if name is None:
        return folder
    if (model := packaged_model(name)) is not None:
        return model_folder(model)
    if (judge := packaged_judge(name)) is not None:
        return judge.folder
    chosen = select(load_sets(), [name])
    pack = name in {item.pack for item in chosen}
    return inside(folder, chosen[0].pack if pack else chosen[0].output)
