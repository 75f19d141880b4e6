"""The notebook runs, and shows to who only reads it what a run shows."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
SECONDS = re.compile(r"(?<=this run took )[\d.]+(?= s)")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return found


def outputs(notebook: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What each code cell shows, by the cell's id."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return {cell["id"]: cell["outputs"] for cell in cells}


def text_of(output: dict[str, Any]) -> str:
    """What a notebook shows of an output, without the duration; a figure has no text."""
    found = output.get("data", {"text/plain": output.get("text", "")})
    kind = next(k for k in ("image/png", "text/html", "text/plain") if k in found)
    return "" if kind == "image/png" else SECONDS.sub("0.0", "".join(found[kind]))


def shown(notebook: dict[str, Any], cell: str) -> str:
    return "".join(map(text_of, outputs(notebook)[cell]))


def test_every_cell_was_run_in_order_and_nothing_failed_or_was_warned_of() -> None:
    cells = [cell for cell in committed()["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {
        (output["output_type"], output.get("name"))
        for cell in outputs(committed()).values()
        for output in cell
    }
    assert kinds == {("execute_result", None), ("display_data", None), ("stream", "stdout")}


def test_the_file_is_small_and_says_nothing_of_the_machine_that_ran_it() -> None:
    assert NOTEBOOK.stat().st_size < 100_000
    notebook = committed()
    assert all(cell["metadata"] == {} for cell in notebook["cells"])  # times would stand there
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    texts = [str(out.get("text", "")) + str(out.get("data", {}).get(kind, ""))
             for cell in outputs(notebook).values() for out in cell
             for kind in ("text/plain", "text/html")]  # fmt: skip
    assert not re.search(r"/(home|root|tmp|usr|opt|work|Users)\b|site-packages", "".join(texts))


def test_its_links_lead_somewhere() -> None:
    text = "".join("".join(c["source"]) for c in committed()["cells"])
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 2
    assert [t for t in targets if not (NOTEBOOK.parent / t).is_file()] == []


def test_what_it_says_of_its_outputs_is_true() -> None:
    notebook = committed()
    true, found, low, high = map(float, NUMBER.findall(shown(notebook, "check-estimate")))
    assert true == 4.5  # ratings 0 to 9, equally often
    assert low <= true <= high and low < found < high
    assert "The scores agree clearly with the ratings" in shown(notebook, "make-evaluation")
    assert re.search(r"  Spearman +0\.\d+  0\.\d+ to 0\.\d+", shown(notebook, "make-evaluation"))
    assert "at most 30 % bad with confidence 0.95" in shown(notebook, "make-threshold")
    assert "NO THRESHOLD CAN BE CERTIFIED" in shown(notebook, "ask-too-much")
    kept = re.search(
        r"bad, ([\d.]+) % \(promised, .* at most 30 %\)", shown(notebook, "decide-many")
    )
    assert kept is not None and float(kept[1]) <= 30


@pytest.mark.long
def test_a_new_run_shows_the_same() -> None:
    """But for the duration, the pixels of the figure, and the last digit of a number."""
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    made = runpy.run_path(str(ROOT / "docs" / "make_notebook.py"))["executed"]()
    old, new = outputs(committed()), outputs(made)
    again = "if this is intended, run: python docs/make_notebook.py"
    assert new.keys() == old.keys()
    for cell, found in new.items():
        assert [o["output_type"] for o in found] == [o["output_type"] for o in old[cell]], cell
        for output, before in zip(found, old[cell], strict=True):
            texts = text_of(output), text_of(before)
            words = [NUMBER.sub("0", text) for text in texts]
            assert words[0] == words[1], f"{cell}: {again}"
            numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(t)] for t in texts]
            assert numbers[0] == pytest.approx(numbers[1], rel=0, abs=0.0015), f"{cell}: {again}"
