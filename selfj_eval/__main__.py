"""``python -m selfj_eval``: the ``selfj`` command, for launchers that start a module."""

from __future__ import annotations

import sys

from selfj_eval.cli import main

if __name__ == "__main__":
    sys.exit(main())
