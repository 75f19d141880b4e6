"""Folders that processes make one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfj_eval.files.locks import made_once


def test_a_folder_is_made_once_and_whole(tmp_path: Path) -> None:
    folder, places = tmp_path / "models" / "one", []

    def fails(place: Path) -> Path:
        (place / "half").mkdir()
        raise OSError("no space")

    def make(place: Path) -> Path:
        places.append(place)
        (place / "made").mkdir()
        return place / "made"

    with pytest.raises(OSError, match="no space"):
        made_once(folder, fails)
    killed = folder.with_name(".one.abc")  # what a killed process has left
    (killed / "half").mkdir(parents=True)
    assert made_once(folder, make) == made_once(folder, make) == folder
    assert len(places) == 1 and not killed.exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == [".one.lock", "one"]
