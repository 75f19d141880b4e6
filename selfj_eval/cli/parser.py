"""The parser of the command line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from selfj_eval.errors import shown


class Parser(argparse.ArgumentParser):
    """As argparse's; what its errors quote of the command line does nothing to a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))
