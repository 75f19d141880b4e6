"""What was made and from what: ``registry.json`` in a pack's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfj_eval import __version__
from selfj_eval.errors import DataError
from selfj_eval.files.atomic import write_json
from selfj_eval.files.documents import read_json
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet

_NAME = "registry.json"


def record_file(folder: Path, pack: str) -> Path:
    """Where a pack's record lies."""
    return inside(folder, f"{pack}/{_NAME}")


def records(folder: Path, pack: str) -> dict[str, Mapping[str, Any]]:
    """What stands in a pack's record, by set.

    Raises:
        DataError: If it is damaged.
    """
    path = record_file(folder, pack)
    if not path.exists():
        return {}
    try:
        sets = read_json(path)["sets"]
        for record in sets.values():
            sound = isinstance(record["sha256"], str) and isinstance(record["rows"], int)
            if not sound or not isinstance(record["definition"], str):
                raise TypeError
    except (DataError, KeyError, TypeError, AttributeError) as error:
        message = "is damaged; remove it and the files of the sets, and get them again."
        raise DataError(message, path=path) from error
    return dict(sets)


def remember(folder: Path, item: DataSet, sha256: str) -> None:
    """Write down that a set's file has this content."""
    sets = records(folder, item.pack)
    sets[item.name] = {
        "output": item.output,
        "rows": item.rows,
        "sha256": sha256,
        "definition": item.definition,
        "upstream": [
            {"repository": source.repository, "commit": source.commit, "licence": source.licence}
            for source in item.sources
        ],
        "selfj_eval": __version__,
    }
    write_json(record_file(folder, item.pack), {"sets": dict(sorted(sets.items()))})


def state(folder: Path, item: DataSet) -> str:
    """``got``, ``by hand`` (there, but not made here), ``outdated`` or ``missing``.

    Outdated is what another version of the registry has made.
    """
    if not inside(folder, item.output).is_file():
        return "missing"
    record = records(folder, item.pack).get(item.name)
    if record is None:
        return "by hand"
    return "got" if record["definition"] == item.definition else "outdated"
