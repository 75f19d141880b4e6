"""The registry of public data sets: what ``selfj data`` gets, and how it is checked.

The sets are data, not code: ``sets/<pack>/<set>.yaml``. Their converters are functions in
``converters/``.
"""

from selfj_eval.registry.building import build, converter_of, is_finished
from selfj_eval.registry.cache import clear_left_over, opened, tidy
from selfj_eval.registry.downloading import CountedOnce, UnreachableError, origin_from
from selfj_eval.registry.made import state
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import DataSet, Source, SourceFile, load_sets, select
from selfj_eval.registry.verifying import Finding, is_known, own_files, verify, verify_own

__all__ = [
    "CountedOnce",
    "DataSet",
    "Finding",
    "Source",
    "SourceFile",
    "UnreachableError",
    "build",
    "clear_left_over",
    "converter_of",
    "inside",
    "is_finished",
    "is_known",
    "load_sets",
    "opened",
    "origin_from",
    "own_files",
    "select",
    "state",
    "tidy",
    "verify",
    "verify_own",
]
