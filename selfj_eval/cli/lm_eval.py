"""``selfj lm-eval``: lm_eval with the Self-J tasks, wherever it is installed, and a model."""

from __future__ import annotations

import sys

from selfj_eval.errors import SelfJError


def run(arguments: list[str]) -> int:
    """Run lm_eval with the given arguments; returns the exit status."""
    from lm_eval.__main__ import cli_evaluate

    from selfj_eval.harness.installation import found_by_lm_eval, tasks_folder

    given = [a for a in arguments if a.split("=")[0] == "--include_path"]
    if not found_by_lm_eval() and given:
        raise SelfJError(
            "lm_eval takes one --include_path, and here it is needed for the selfj tasks; install "
            "selfj-eval into lm_eval's environment to use your own beside them."
        )
    if not found_by_lm_eval():
        at = 1 if arguments[:1] and arguments[0] in ("run", "ls", "validate") else 0
        at = 2 if arguments[:1] == ["ls"] and len(arguments) > 1 else at
        arguments = [*arguments[:at], "--include_path", str(tasks_folder()), *arguments[at:]]
    _register_model()
    sys.argv = ["lm_eval", *arguments]
    cli_evaluate()
    return 0


def _register_model() -> None:
    """Make ``--model selfj`` known to lm_eval 0.4.13, which reads no entry points.

    Only the name: the module is imported when a run asks for it.
    """
    import lm_eval.models  # noqa: F401  # fills the registry, which happens only while it is empty
    from lm_eval.api.registry import model_registry

    if "selfj" not in model_registry:
        model_registry.register("selfj", target="selfj_eval.harness.model:SelfJLM")
