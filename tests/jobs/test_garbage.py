"""When Python searches for garbage: not while a model is loaded, not when a command ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from selfj_eval.engines import open_engine
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.jobs.garbage import no_search


@pytest.fixture(autouse=True, scope="module")
def nothing_frozen() -> Iterator[None]:
    """Elsewhere ``conftest.py`` freezes what the tests import, and ``no_search`` does nothing."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


class Node:
    """A piece of garbage, once nothing else holds it."""

    def __init__(self) -> None:
        self.own = self


def test_nothing_is_searched_while_a_model_is_loaded() -> None:
    searches = []
    gc.callbacks.append(lambda phase, about: searches.append(phase))
    try:
        with pytest.raises(ZeroDivisionError), no_search():
            kept = [[at] for at in range(100_000)]  # at the usual threshold more than 100 searches
            lost = weakref.ref(Node())
            assert len(kept) / 0
        assert not searches
    finally:
        gc.callbacks.pop()
    assert gc.isenabled()
    assert not gc.get_freeze_count()
    assert lost() is not None
    gc.collect()
    assert lost() is None


def test_a_search_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with no_search(), no_search():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_frozen_objects_stay_frozen() -> None:
    mine = [Node()]
    gc.freeze()
    try:
        with no_search():
            assert gc.isenabled()
        # Not by the count: an old object, freed by chance meanwhile, would lower it.
        assert not any(found is mine for found in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(found is mine for found in gc.get_objects())


def test_a_command_searches_nothing_at_its_end() -> None:
    code = (
        "import atexit, gc\n"
        "from selfj_eval.cli import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count(), len(gc.get_objects())))\n"
        "main(['path', 'judge'])\n"
        "assert not gc.get_freeze_count()"  # what is garbage before the end is still found
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frozen, left = map(int, done.stdout.splitlines()[-1].split())
    assert frozen > 100 * left


def test_a_judge_is_loaded_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    during = []

    def load(*given: object) -> str:
        during.append(gc.isenabled())
        return "loaded"

    monkeypatch.setattr(open_engine, "_in_transformers", load)
    found: object = open_engine.open_backend("demo", JudgeOptions())
    assert found == "loaded"
    assert during == [False]
    assert gc.isenabled()
