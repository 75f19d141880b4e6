"""The application: its routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from selfj_eval import __version__
from selfj_eval.errors import counted
from selfj_eval.records.record import Judgment, Record
from selfj_eval.serving.bodies import (
    FAULTS,
    DecidedBody,
    JudgeBody,
    JudgedBody,
    JudgmentBody,
    decided,
)
from selfj_eval.serving.faults import RefusedError, add_handlers, fault
from selfj_eval.serving.hosts import Hosts
from selfj_eval.serving.limits import Limits, logger
from selfj_eval.serving.measures import CONTENT_TYPE
from selfj_eval.serving.options import ApplicationOptions
from selfj_eval.serving.service import Service

JUDGE, DECIDE = "/v1/judge", "/v1/decide"
HEALTH, READY, METRICS, SCHEMA = "/healthz", "/readyz", "/metrics", "/openapi.json"
_ABOUT = """Judges answers, and decides by a policy which of them to accept.

Records mean what they mean in a file for `selfj score`. An answer that cannot be judged is
unscored: its score is null, and `error` says why."""


def make_application(
    options: ApplicationOptions,
    *,
    service: Service | None = None,
    token: str | None = None,
    hosts: Collection[str] = (),
) -> FastAPI:
    """The service as an ASGI application, for any server, or to be mounted in another application.

    The judge is loaded at once. It is closed with the application's lifespan; where that is not
    run, as that of a mounted application, close it with ``application.state.service.close()``.

    Args:
        options: What it judges with, and how much it takes.
        service: What it calls, if it is loaded already.
        token: The bearer token that requests must carry; None: none is needed.
        hosts: Names by which it may be asked without a token, besides ``localhost`` and its
            addresses. ``"*"`` takes every name, where something before it keeps away the pages of
            other sites.

    Raises:
        DataError: If the policy is for another judge, or an option makes no sense.
        JudgeError: If the judge cannot be loaded completely and safely.
    """
    own = service or Service(options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(own.close)

    application = FastAPI(
        title="selfj",
        version=__version__,
        description=_ABOUT,
        # FastAPI's pages of documentation load scripts from other machines.
        docs_url=None,
        redoc_url=None,
        openapi_url=SCHEMA,
        lifespan=lifespan,
    )
    application.state.service = own
    add_handlers(application)
    _add_routes(application, own, options)
    _add_probes(application, own)
    application.add_middleware(
        Limits,
        options=options,
        token=token,
        hosts=Hosts(hosts),
        measures=own.measures,
        paths=(JUDGE, DECIDE, HEALTH, READY, METRICS, SCHEMA),
        open_paths=(HEALTH, READY),
    )
    return application


def _add_routes(application: FastAPI, service: Service, options: ApplicationOptions) -> None:
    """The two that are sent records."""

    async def judged(body: JudgeBody) -> tuple[list[Record], list[Judgment]]:
        count, most = len(body.records), options.max_records
        if count > most:
            message = f"{counted(count, 'record')} in one request; send at most {most:,}."
            raise RefusedError(413, "too_many_records", message, "records")
        records = body.as_records()
        judgments = await service.judge(records)
        service.measures.judged(judgments)
        if options.log_texts:
            for record, judgment in zip(records, judgments, strict=True):
                logger.info("%s", json.dumps({**record.row(), "score": judgment.score}))
        return records, judgments

    @application.post(JUDGE, responses=FAULTS)
    async def judge(body: JudgeBody) -> JudgedBody:
        """Judge answers: one judgment for each record, in their order."""
        _, judgments = await judged(body)
        return JudgedBody(judgments=[JudgmentBody.of(own) for own in judgments])

    no_policy = FAULTS[400] | {"description": "the service has no policy"}

    @application.post(DECIDE, responses=FAULTS | {404: no_policy})
    async def decide(body: JudgeBody) -> DecidedBody:
        """Judge answers, and accept or decline each by the policy."""
        if service.policy is None:
            message = "the service was started without a policy; it can only judge (/v1/judge)."
            raise RefusedError(404, "no_policy", message)
        answer = decided(service.policy, *await judged(body))
        service.measures.decided(own.decision for own in answer.decisions)
        return answer


def _add_probes(application: FastAPI, service: Service) -> None:
    """Those for what watches the service."""

    @application.get(HEALTH)
    async def healthz() -> JSONResponse:
        """200 while the service works; 503 once it cannot judge any more: start it anew."""
        if service.queue.alive:
            return JSONResponse({"status": "ok"})
        return fault(503, "dead", "nobody judges any more; start the service anew.")

    @application.get(READY)
    async def readyz() -> JSONResponse:
        """200 while requests are taken; 503 while no more records may wait."""
        if service.queue.ready:
            return JSONResponse({"status": "ready"})
        return fault(503, "not_ready", "no more records may wait, or the service stops.")

    @application.get(METRICS, response_class=Response)
    async def metrics() -> Response:
        """Counters in the text format of Prometheus."""
        return Response(service.measures.page(), media_type=CONTENT_TYPE)
