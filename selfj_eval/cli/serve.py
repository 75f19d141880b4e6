"""``selfj serve``: a judge behind HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.serving.options import ServeOptions
from selfj_eval.serving.serve import serve_judge

_EXAMPLES = """examples:
  selfj serve --judge small
  selfj serve --judge small --policy policy.json --port 8080
  SELFJ_SERVE_TOKEN=... selfj serve --judge oceanpty/Self-J --engine vllm --host 0.0.0.0
  curl --json '{"records": [{"instruction": "2 + 3?", "response": "5"}]}' localhost:8000/v1/judge

POST /v1/judge scores answers, POST /v1/decide accepts or declines them by the policy. Requests that
arrive together are judged in one batch. /healthz, /readyz, /metrics (Prometheus) and /openapi.json
are for operators and for writing clients (docs/serving.md).

If other machines can reach the service, requests need the token in the environment variable
SELFJ_SERVE_TOKEN. SIGTERM or Ctrl-C stops it, after it has answered the requests that it has
accepted.
Exit status: 0 when it was stopped; 2 for wrong input, or a policy for another judge.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "serve",
        run,
        description="Serve a judge over HTTP: judgments, and decisions by a policy.",
        epilog=_EXAMPLES,
    )
    add_flags(parser, ServeOptions)


def run(arguments: argparse.Namespace) -> int:
    """Serve until it is ended."""
    served = serve_judge(options_from(arguments, ServeOptions))
    show(served, arguments)
    if served.cut_short:
        # The judge may be at work in its thread, and Python cannot end around compiled code.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0
