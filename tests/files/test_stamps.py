"""Whether a file or folder has changed."""

from __future__ import annotations

import threading
from pathlib import Path

from selfj_eval.files.stamps import stamp


def test_files_that_vanish_while_they_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "stays").touch()
    (tmp_path / "gone").symlink_to("nothing")  # listed, and not there
    for _ in range(60):
        brief = [tmp_path / f"brief{i:03}" for i in range(300)]
        for file in brief:
            file.touch()
        # From the end, so that each time one vanishes just when it is looked at.
        thread = threading.Thread(target=lambda: [file.unlink() for file in reversed(brief)])  # noqa: B023
        thread.start()
        found = stamp(tmp_path)
        thread.join()
        assert found[-1][0] == str(tmp_path / "stays")
    assert [place for place, *_ in stamp(tmp_path)] == [str(tmp_path / "stays")]
