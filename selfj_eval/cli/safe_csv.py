"""The option of commands that write what comes from the data into CSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from selfj_eval.errors import DataError


def add_safe_csv(parser: argparse.ArgumentParser) -> None:
    """Add it."""
    parser.add_argument(
        "--safe-csv",
        action="store_true",
        help="CSV for a spreadsheet: an apostrophe before texts that begin like a formula; selfj "
        "reads them as they were",
    )


def check_safe_csv(options: argparse.Namespace, output: Path) -> None:
    """Refuse it where it would do nothing.

    Raises:
        DataError: If the output is no CSV file.
    """
    if options.safe_csv and output.suffix.lower() != ".csv":
        raise DataError("--safe-csv is for an --output that ends in .csv; leave it out.")
