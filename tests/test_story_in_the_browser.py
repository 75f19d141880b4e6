"""From answers to a service: score, plan, rate on the page, certify, serve, check the promise."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from selfj_eval import estimate, ladder, plan, score, select
from selfj_eval.metrics import risk_over_instructions
from selfj_eval.serving.application import make_application
from selfj_eval.serving.options import ApplicationOptions
from selfj_eval.serving.service import Service
from selfj_eval.workbench import rate as rating
from selfj_eval.workbench.serving import running

MAX_RISK, GOOD_AT = 0.35, 6.0


@pytest.mark.long
def test_the_accepted_answers_keep_the_promise(tmp_path: Path) -> None:
    rows = [known_fields(record) for record in ladder(instructions=240)]
    instructions = list(dict.fromkeys(row["instruction"] for row in rows))
    first = set(instructions[::2])
    known = {row["id"]: row["rating"] for row in rows}
    unrated = [{k: v for k, v in row.items() if not k.startswith("rating")} for row in rows]
    scores = tmp_path / "scores.jsonl"
    own = [row for row in unrated if row["instruction"] in first]
    score(own, judge="demo", output=scores)

    plan(scores, budget=400, scale=(0, 9), output=tmp_path / "plan.csv")
    ratings = tmp_path / "ratings.jsonl"
    by_texts = {(row["instruction"], row["response"]): known[row["id"]] for row in own}
    rate_on_the_page(tmp_path / "plan.csv", ratings, by_texts)

    truth = sum(known[row["id"]] for row in own) / len(own)
    found = estimate(scores, ratings=ratings)
    assert found.labels == 400
    interval = found.estimates[0].combined.interval
    assert interval.low <= truth <= interval.high

    policy = tmp_path / "policy.json"
    chosen = select(
        scores, ratings=ratings, max_risk=MAX_RISK, good_at=GOOD_AT, all_answers=True, output=policy
    )
    assert chosen.certified

    new = [row for row in unrated if row["instruction"] not in first]
    decisions = decided(policy, new)
    accepted = [decision == "accept" for decision in decisions]
    assert sum(accepted) > len(new) / 20
    bad = [known[row["id"]] < GOOD_AT for row in new]
    group = [row["instruction"] for row in new]
    risk = risk_over_instructions(accepted, bad, group, 1)
    assert risk is not None
    assert risk <= MAX_RISK
    assert sum(bad) / len(bad) > MAX_RISK  # it would not be kept by accepting all


def known_fields(record: Any) -> dict[str, Any]:
    return {k: v for k, v in record.row().items() if v is not None}


def rate_on_the_page(answers: Path, output: Path, by_texts: dict[Any, float]) -> None:
    """Rate all answers through the requests that the page makes."""
    begun, ended = threading.Event(), threading.Event()
    served: list[str] = []

    def serve(app: Any, options: Any) -> None:
        with running(app, options) as address:
            served.append(address)
            begun.set()
            ended.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rating, "serve_page", serve)
        thread = threading.Thread(target=rating.rate, args=(answers,), kwargs={"output": output})
        thread.start()
        try:
            assert begun.wait(60)
            headers = {"x-selfj": "1"}
            with httpx.Client(base_url=served[0], trust_env=False, headers=headers) as client:
                found = client.get("/api/next", params={"rater": "ann"}).json()
                while "key" in found:
                    value = by_texts[found["question"], found["response"]]
                    sent = {"rater": "ann", "key": found["key"], "rating": round(value)}
                    found = client.post("/api/rating", json=sent).raise_for_status().json()
        finally:
            ended.set()
            thread.join()


def decided(policy: Path, rows: list[dict[str, Any]]) -> list[str]:
    """What the service says of each answer."""
    options = ApplicationOptions(judge="demo", policy=str(policy))
    fields = ("id", "instruction", "response", "reference")
    service = Service(options)

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(make_application(options, service=service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            found = []
            for at in range(0, len(rows), 100):
                records = [{k: r[k] for k in fields if k in r} for r in rows[at : at + 100]]
                reply = await client.post("/v1/decide", json={"records": records}, timeout=600)
                found += reply.raise_for_status().json()["decisions"]
            return [one["decision"] for one in found]

    try:
        return asyncio.run(ask())
    finally:
        service.close()
