"""Run examples/quickstart.ipynb anew and keep its outputs: python docs/make_notebook.py."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "quickstart.ipynb"


def executed() -> nbformat.NotebookNode:
    """The notebook with the outputs of a run without network, in an empty folder.

    The time of the run and the versions are not saved.

    Raises:
        CellExecutionError: If a cell does.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with TemporaryDirectory() as folder:
        own = {
            "HF_HUB_OFFLINE": "1",
            "IPYTHONDIR": folder,  # a developer's start-up files are not run
            # tqdm misses ipywidgets, and its warning would name a folder of this machine.
            "PYTHONWARNINGS": "ignore:IProgress not found",
        }
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # else it warns of a socket that is local
            resources={"metadata": {"path": folder}},
            timeout=300,
        )
        client.execute(env=os.environ | own)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
