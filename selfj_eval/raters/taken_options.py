"""Which of the options that say how a judge runs are for which of the raters that a user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError
from selfj_eval.raters.protocol import Rater
from selfj_eval.raters.specs import KINDS, RaterSpec, Spec, parse_rater

T = TypeVar("T", bound=JudgeOptions)


def taken(kind: str) -> set[str]:
    """Names of the options that a kind of rater takes."""
    return {own.name for own in KINDS[kind].options.declared()}


def spec_of(judge: str | Path, options: JudgeOptions) -> Spec:
    """The rater that a user names; at a server, a judge may have any name.

    Raises:
        DataError: If there is no such rater.
    """
    name = str(judge)
    if options.engine == "openai" and name.partition(":")[0] not in KINDS:
        return RaterSpec(name, "judge", name)
    return parse_rater(name)


def options_of_each(judges: Sequence[str | Path | Rater], options: T) -> list[T]:
    """What each of several raters is given: the options that it takes, the others at their default.

    Args:
        judges: As for ``open_rater.opened``. Loaded raters take none.
        options: Given for all of them.

    Raises:
        DataError: If there is no such rater, or none of them takes an option.
    """
    specs = [spec_of(j, options) if isinstance(j, str | Path) else None for j in judges]
    named = [spec for spec in specs if spec is not None]
    if named:
        refuse_untaken(named, options)
    else:
        refuse_loaded(options)
    own = {each.name: each.default for each in JudgeOptions.declared()}
    return [
        options.with_values(**{n: v for n, v in own.items() if not _takes(spec, n)})
        for spec in specs
    ]


def refuse_untaken(specs: Sequence[Spec], options: JudgeOptions) -> None:
    """Refuse an option that none of these raters takes.

    Raises:
        DataError: Naming the option and the raters.
    """
    for name in options.part(JudgeOptions).changed():
        if not any(_takes(spec, name) for spec in specs):
            names = ", ".join(spec.name for spec in specs)
            who = f"the rater {names} takes no `{name}`"
            if len(specs) > 1:
                who = f"none of the raters {names} takes `{name}`"
            raise DataError(f"{who}; leave it out.")


def refuse_loaded(options: JudgeOptions, reference: bool = True) -> None:
    """Refuse what says how a judge is loaded where it is loaded already.

    Raises:
        DataError: Naming the option.
    """
    given = options.part(JudgeOptions).changed()
    if given := [*given, *([] if reference else ["reference"])]:
        raise DataError(
            f"`{given[0]}` is an option for loading a judge, and this one is already loaded; give "
            "it when you load the judge."
        )


def _takes(spec: Spec | None, name: str) -> bool:
    """Whether any part of a rater takes an option; None is a loaded one, which takes none."""
    return spec is not None and any(name in taken(own.kind) for _, own in spec.parts)
