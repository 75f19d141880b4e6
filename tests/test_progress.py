"""What people see of long work."""

from __future__ import annotations

import io

import pytest

from selfj_eval.cli.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_bytes_are_shown_in_units_that_can_be_read(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressLine(723_469_398, "fetching", "byte", seconds=0) as progress:
        progress(361_734_699)
    shown = stream.getvalue()
    expected = "362M/723M" if stream.isatty() else "fetching 361.7 MB of 723.5 MB, "
    assert expected in shown
    assert "361" not in shown.replace("361.7 MB", "")


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_records_are_shown_to_the_last_one(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressLine(4_001, "judged", seconds=0) as progress:
        progress(1_234)
    expected = "1234/4001" if stream.isatty() else "judged 1,234 of 4,001 records, "
    assert expected in stream.getvalue()
