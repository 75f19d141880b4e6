"""``selfj select``: choose an acceptance threshold with a guarantee, or apply one."""

from __future__ import annotations

import argparse
from typing import Any

from selfj_eval.cli.command import add_command, show
from selfj_eval.cli.flags import add_flags, options_from
from selfj_eval.evaluation.select import SelectOptions, select_answers
from selfj_eval.evaluation.selection import Selection

_EXAMPLES = """examples:
  selfj select calibration.scores.jsonl --max-risk 0.1 --output policy.json
  selfj select new.scores.jsonl --policy policy.json --output decisions.jsonl
  selfj select calibration.scores.jsonl --max-risk 0.3 --loss rating --by-category

The first example chooses a threshold on rated answers. Answers that score at least the threshold
will be accepted. It is the threshold that accepts most answers while the share of bad answers among
all accepted ones stays at or below --max-risk. This holds with probability at least --confidence,
over the random choice of the rated answers. The guarantee is for new answers from the same source:
the same judge, the same kind of instructions, the same models.

Several answers to one instruction are not independent. With at least 200 instructions and three
answers each on average, a betting test over the instructions uses all of them. With fewer, a
binomial test uses one answer to each. The output and the policy say which was used.

The second example applies the policy: accept or decline for each answer, with the estimated
probability that the answer is good. Unscored answers are declined.
Exit status: 0; 1 when no threshold can be certified (nothing is written then); 2 for wrong input.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "select",
        run,
        description="Decline poor answers: choose a threshold on rated answers, or apply it to "
        "new ones.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "scores", metavar="SCORES", help="scored answers; to choose a threshold, they need ratings"
    )
    add_flags(parser, SelectOptions)


def run(arguments: argparse.Namespace) -> int:
    """Choose or apply."""
    result = select_answers(arguments.scores, options_from(arguments, SelectOptions))
    show(result, arguments)
    return 1 if isinstance(result, Selection) and not result.certified else 0
