"""selfj-eval: judge language-model answers with Self-J (arXiv 2409.00935).

``import selfj_eval`` is light: what needs numpy or torch is loaded at its first use.
"""

from __future__ import annotations

# Type checkers take it for true. The real one needs typing, which takes three times as long as all
# else here, and while this is imported Ctrl-C cannot be caught.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from selfj_eval.errors import DataError, JudgeError, SelfJError, StoreError
    from selfj_eval.judge import Judge
    from selfj_eval.policy import Policy
    from selfj_eval.reading import read_records
    from selfj_eval.records import Judgment, Record
    from selfj_eval.store import JudgmentStore
    from selfj_eval.writing import write_judgments, write_records

__version__ = "0.1.0"

_HOMES = {
    "DataError": "errors",
    "Judge": "judge",
    "JudgeError": "errors",
    "Judgment": "records",
    "JudgmentStore": "store",
    "Policy": "policy",
    "Record": "records",
    "SelfJError": "errors",
    "StoreError": "errors",
    "read_records": "reading",
    "write_judgments": "writing",
    "write_records": "writing",
}

__all__ = [
    "DataError",
    "Judge",
    "JudgeError",
    "Judgment",
    "JudgmentStore",
    "Policy",
    "Record",
    "SelfJError",
    "StoreError",
    "read_records",
    "write_judgments",
    "write_records",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
