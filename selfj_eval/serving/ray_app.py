"""The application on Ray Serve: several replicas, each with a judge and a queue of its own.

serve run selfj_eval.serving.ray_app:build judge=demo workers=2
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve import Application, Deployment

from selfj_eval.errors import DataError
from selfj_eval.evaluation.policy import Policy
from selfj_eval.files.documents import parse_yaml
from selfj_eval.serving.access import VARIABLE, token_from_environment
from selfj_eval.serving.options import ReplicaOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

_GRACE = 5.0  # seconds beyond the time limit in which what was taken has been answered


def build(arguments: Mapping[str, Any]) -> Application:
    """The application for ``serve run`` and for Serve's configuration files.

    Args:
        arguments: Options of ``ReplicaOptions`` by name: those of ``selfj serve`` but ``host`` and
            ``port``, which are Ray Serve's own; ``workers`` (replicas) and ``worker_gpus``. Texts,
            as ``serve run`` gives them, are read as YAML.

    Raises:
        DataError: If an option is unknown or wrong, or there is no token: where Ray Serve listens
            is decided elsewhere.
    """
    values = {name: _value(name, given) for name, given in arguments.items()}
    options = ReplicaOptions.of(values)
    if isinstance(options.policy, str | Path):  # a file of this machine
        options = options.with_values(policy=Policy.load(options.policy))
    token = token_from_environment()
    if token is None:
        raise DataError(
            f"there is no token, and on Ray other machines may reach the service: put one into the "
            f"environment variable {VARIABLE}."
        )

    def application() -> FastAPI:
        from selfj_eval.serving.application import make_application

        return make_application(options, token=token)

    replicas: Deployment = serve.deployment(  # type: ignore[assignment]  # a class is given
        serve.ingress(application)(),
        name="selfj",
        num_replicas=options.workers or 1,
        # The queue of a replica refuses what is too much, and says when to try again.
        max_ongoing_requests=options.max_waiting + options.batch_records + 1,
        graceful_shutdown_timeout_s=options.timeout + _GRACE,
        health_check_timeout_s=options.timeout,
        ray_actor_options=options.resources,
    )
    return replicas.bind()


def _value(name: str, given: Any) -> Any:
    """An argument of ``serve run``; in a configuration file, values have their types already."""
    text = name in {own.name for own in ReplicaOptions.declared() if own.kinds[0] is str}
    return parse_yaml(given) if isinstance(given, str) and not text else given
