"""``selfj data``: public data sets, from where they are published into the data folder."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfj_eval.errors import SelfJError, StoreError
from selfj_eval.terminal import say

if TYPE_CHECKING:
    from selfj_eval.registry import DataSet, Finding
    from selfj_eval.registry.downloading import Origin

_EPILOG = """examples:
  selfj data list
  selfj data get judge_bench                  # a pack
  selfj data get mtbench llmbar --to data     # sets; then: export SELFJ_DATA=data
  selfj data get all --from /media/checkouts  # without a network
  selfj score "$(selfj data path mtbench)" --judge demo --output scores.jsonl
  selfj data verify

The files go into the folder that the environment variable SELFJ_DATA names, or else into the
user's own folder, which `selfj data path` prints. Both are found by the tasks and commands.
"""
_NAMES = "packs, sets (mtbench, pointwise_mtbench, judge_bench/pointwise_mtbench), or all"
_NOTES = {
    "by hand": " (not made by selfj data get)",
    "outdated": " (made by another version)",
    "not in the registry": " (not in the registry)",
}


def add_parser(subparsers: Any) -> None:
    """Add the subcommand with its own subcommands."""
    parser = subparsers.add_parser(
        "data",
        help="get public data sets of ratings and preferences, list and verify them",
        description="Public data sets of ratings and preferences: fetched from the repositories "
        "that publish them, checked, and converted.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="the sets, their licences, and which are here")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    listing.set_defaults(run=_list)
    get = commands.add_parser("get", help="fetch, check and convert sets")
    get.add_argument("names", nargs="+", metavar="NAME", help=_NAMES)
    get.add_argument("--to", metavar="DIR", help="the data folder (default: `selfj data path`)")
    get.add_argument(
        "--from",
        dest="origin",
        metavar="DIR_OR_URL",
        help="a folder with owner/name/commit/path or checkouts as owner/name, or the address of "
        "a mirror with the same layout (default: GitHub)",
    )
    get.set_defaults(run=_get)
    path = commands.add_parser("path", help="print where the folder, a pack or a set lies")
    path.add_argument("name", nargs="?", metavar="NAME", help="a pack or a set")
    path.set_defaults(run=_path)
    verify = commands.add_parser("verify", help="compare the files with what was got")
    verify.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{_NAMES} (default: what is here)"
    )
    verify.add_argument("--json", action="store_true", help="print as JSON")
    verify.set_defaults(run=_verify)


def _list(options: argparse.Namespace) -> int:
    from selfj_eval.cli.evaluating import table
    from selfj_eval.cli.progress import size
    from selfj_eval.data_folder import data_folder
    from selfj_eval.registry import inside, load_sets, own_files, state

    folder, registry = data_folder(), load_sets()
    sets = [(item, state(folder, item)) for item in registry]
    own = own_files(folder, registry)
    if options.json:
        rows = [
            {
                "pack": item.pack,
                "set": item.name,
                "summary": item.summary,
                "rows": item.rows,
                "upstream_bytes": item.bytes,
                "licences": item.licences,
                "state": found,
                "path": str(inside(folder, item.output)),
            }
            for item, found in sets
        ]
        say(json.dumps({"folder": str(folder), "sets": rows, "own": list(map(str, own))}))
        return 0
    lines = [("set", "rows", "upstream", "here", "licence")]
    for item, found in sets:
        licences = ", ".join(item.licences)
        lines.append((str(item), f"{item.rows:,}", size(item.bytes), found, licences))
    say(f"{folder}\n{table(lines)}")
    for path in own:
        say(f"{path}: not in the registry")
    return 0


def _get(options: argparse.Namespace) -> int:
    from selfj_eval.data_folder import data_folder
    from selfj_eval.registry import clear_left_over, is_finished, load_sets, origin_from, select

    sets = load_sets()
    chosen = select(sets, options.names)
    folder = Path(options.to).expanduser() if options.to else data_folder()
    origin = origin_from(options.origin)
    clear_left_over(folder, sets)
    waiting: list[DataSet] = []
    failures: list[SelfJError] = []
    for item in chosen:
        try:
            if is_finished(folder, item):
                say(f"{item}: is here already")
            else:
                waiting.append(item)
        except SelfJError as error:
            failures.append(error)
    left, here = 0, len(chosen) - len(waiting) - len(failures)
    if waiting:
        _print_licences(waiting)
        left = len(waiting)
        others = [item for item in sets if item not in chosen]
        for item, failure in _make(waiting, others, folder, origin):
            if failure is None:
                left, here = left - 1, here + 1
                say(f"{item}: {item.rows:,} rows, {folder / item.output}")
            else:
                failures.append(failure)
    for failure in failures:
        say(f"selfj: error: {failure}", file=sys.stderr)
    if left:
        say(f"{left} of {len(waiting)} sets could not be made", file=sys.stderr)
    if here and folder.resolve() != data_folder().resolve():
        say(f"to use them: export SELFJ_DATA={shlex.quote(str(folder.absolute()))}")
    return 1 if failures else 0


def _make(
    waiting: Sequence[DataSet], others: Sequence[DataSet], folder: Path, origin: Origin
) -> list[tuple[DataSet, SelfJError | None]]:
    """Make sets one after the other; what came of each, up to what stops all."""
    from selfj_eval.cli.progress import ProgressLine
    from selfj_eval.registry import CountedOnce, UnreachableError, build, opened, tidy

    results: list[tuple[DataSet, SelfJError | None]] = []
    finished: list[DataSet] = []
    total = sum({file.place: file.bytes for item in waiting for file in item.files}.values())
    origin = CountedOnce(origin)
    with opened(folder) as cache, ProgressLine(total, "fetching", "byte") as progress:
        for item in waiting:
            try:
                build(item, folder, cache, origin, progress)
            except SelfJError as error:
                results.append((item, error))
                if isinstance(error, UnreachableError | StoreError):
                    break  # the others would fail alike
            else:
                results.append((item, None))
                finished.append(item)
                unfinished = [other for other in waiting if other not in finished]
                tidy(cache, finished=finished, unfinished=unfinished, others=others)
    return results


def _print_licences(sets: Sequence[DataSet]) -> None:
    from selfj_eval.cli.progress import size

    files = {file.place: file.bytes for item in sets for file in item.files}
    total = size(sum(files.values()))
    say(f"sets: {len(sets)}, upstream files: {len(files)} ({total}); licences as stated there:")
    found: dict[str, dict[str, None]] = {}
    for item in sets:
        for source in item.sources:
            found.setdefault(source.licence, {})[source.repository] = None
    for licence, repositories in found.items():
        say(f"  {licence}: {', '.join(repositories)}")
    sys.stdout.flush()


def _path(options: argparse.Namespace) -> int:
    from selfj_eval.data_folder import data_folder
    from selfj_eval.registry import inside, load_sets, select

    folder = data_folder()
    if options.name is None:
        say(folder)
        return 0
    chosen = select(load_sets(), [options.name])
    pack = options.name in {item.pack for item in chosen}
    path = inside(folder, chosen[0].pack if pack else chosen[0].output)
    say(path)
    if not path.exists():
        say(f"it is not there: selfj data get {options.name}", file=sys.stderr)
        return 1
    return 0


def _verify(options: argparse.Namespace) -> int:
    from selfj_eval.data_folder import data_folder
    from selfj_eval.registry import is_known, load_sets, own_files, select, verify, verify_own

    folder, sets = data_folder(), load_sets()
    chosen = select(sets, options.names) or [item for item in sets if is_known(item, folder)]
    findings = [verify(item, folder) for item in chosen]
    named = set(options.names) or {"all"}
    packs = {item.pack for item in sets if named & {"all", item.pack}}
    findings += [verify_own(path, folder) for path in own_files(folder, sets, packs)]
    wrong = sum(bool(finding.problems) for finding in findings)
    if options.json:
        rows = [
            {
                "set": finding.name,
                "path": str(finding.path),
                "state": finding.state,
                "rows": finding.rows,
                "registry_rows": finding.registered,
                "problems": finding.problems,
            }
            for finding in findings
        ]
        say(json.dumps({"folder": str(folder), "sets": rows}))
    else:
        for finding in findings:
            mark = "FAIL" if finding.problems else "ok"
            say(f"{mark:<5}{finding.path}: {_verdict(finding)}{_NOTES.get(finding.state, '')}")
        if wrong:
            say(f"{wrong} of {len(findings)} files are not as they should be")
    if not findings:
        say(f"{folder}: there is nothing here; `selfj data get` gets it", file=sys.stderr)
    return 1 if wrong or not findings else 0


def _verdict(finding: Finding) -> str:
    """What is wrong, and how many rows there are, where they could be counted."""
    rows, registered = finding.rows, finding.registered
    parts = list(finding.problems)
    if finding.state == "by hand" and rows is not None and rows < (registered or 0):
        parts.append(f"{rows:,} of {registered:,} rows")
    if not parts:
        parts.append(f"{rows:,} rows")
    return "; ".join(parts)
