"""``selfj alpaca config``: the annotator for the stock ``alpaca_eval`` command."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from selfj_eval.cli.alpaca.shared import add_judging, check_temperature
from selfj_eval.cli.judging import engine_args
from selfj_eval.errors import DataError
from selfj_eval.terminal import say

_EPILOG = """examples:
  selfj alpaca config --judge oceanpty/Self-J --output annotator
  selfj alpaca config --judge ./my-judge --adapter ./my-lora --temperature 0.5 --output annotator

Writes configs.yaml, client.yaml and prompt.txt and prints the alpaca_eval commands that use them.
With AlpacaEval's data here (selfj data get alpaca_eval) it also writes both baselines and what
length control needs, so that alpaca_eval reaches for no network. Judgments are kept in the folder.
Exit status: 0, or 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "config",
        help="write the annotator's configuration for the stock alpaca_eval command",
        description="Write the configuration with which the stock alpaca_eval command uses a "
        "judge, without a patch.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--judge", required=True, metavar="MODEL", help="'demo', a model folder, or a hub id"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write; made if it is not there"
    )
    add_judging(parser, store=False)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the configuration."""
    from selfj_eval.alpaca.config import write_config
    from selfj_eval.alpaca.data import is_here
    from selfj_eval.alpaca.outputs import read_references
    from selfj_eval.alpaca.preference import TEMPERATURE
    from selfj_eval.alpaca.upstream import alpaca_eval
    from selfj_eval.cli.alpaca.shared import output_folder

    check_temperature(options)
    if options.temperature == 0:
        raise DataError(
            "--temperature 0 makes preferences of whole numbers, on which AlpacaEval's own cache "
            "fails with pandas 3; give a small one, such as 0.01, or use `selfj alpaca evaluate`."
        )
    if options.engine == "openai":
        raise DataError(
            "the stock command's judge runs on this machine; `selfj alpaca evaluate` takes "
            "--engine openai."
        )
    alpaca_eval()  # not there: say so now
    if options.references is not None:
        read_references(options.references)
    judge = {
        "model": options.judge,
        "adapter": options.adapter,
        "template": options.template,
        "max_tokens": options.max_tokens,
        "allow_markers": options.allow_markers,
        "revision": options.revision,
        "dtype": options.dtype,
        "device": options.device,
        "batch_tokens": options.batch_tokens,
        "trust_remote_code": options.trust_remote_code,
    }
    if options.engine != "transformers":
        judge |= {"engine": options.engine, "engine_args": engine_args(options.engine_arg)}
    written = write_config(
        output_folder(options.output),
        judge=judge,
        temperature=TEMPERATURE if options.temperature is None else options.temperature,
        references=options.references,
        offline_data=is_here(),
    )
    folder = shlex.quote(str(written.folder))
    commands = {}
    for version in ("v1", "v2"):
        reference = written.baselines.get(version)
        given = shlex.quote(str(reference)) if reference else "BASELINE_OUTPUTS.json"
        line = f"alpaca_eval --model_outputs OUTPUTS.json --reference_outputs {given} "
        line += f"--annotators_config {folder} "
        # AlpacaEval's own cache, which two runs at a time would break: one file a version.
        line += f"--caching_path {shlex.quote(str(written.folder / f'annotations_{version}.json'))}"
        line += f" --output_path results_{version}"
        if version == "v1":
            line = f"IS_ALPACA_EVAL_2=False {line}"
        else:  # it would write the fitted weights into its own package
            line += " --metric_kwargs \"{'save_weights_dir': None}\""
            if written.hub_cache:
                cache = shlex.quote(str(written.hub_cache))
                line = f"HF_HUB_OFFLINE=1 HF_HUB_CACHE={cache} {line}"
        commands[version] = line
    if options.json:
        files = {version: str(path) for version, path in written.baselines.items()}
        say(
            json.dumps(
                {
                    "annotators_config": str(written.folder),
                    "annotator": written.annotator,
                    "replaced": written.replaced,
                    "baselines": files,
                    "hub_cache": None if written.hub_cache is None else str(written.hub_cache),
                    "commands": commands,
                }
            )
        )
        return 0
    say(f"annotator {written.annotator} written to {written.folder}")
    if written.replaced not in (None, written.annotator):
        say(f"  in place of {written.replaced}, whose kept annotations are not used for it")
    if not written.baselines:
        say("  AlpacaEval's data are not here (`selfj data get alpaca_eval` gets them): give the")
        say("  baseline's outputs yourself; length control is fetched from the hub by alpaca_eval")
    for version, title in (("v1", "AlpacaEval 1"), ("v2", "AlpacaEval 2, length-controlled")):
        say(f"\n{title}:\n  {commands[version]}")
    return 0
