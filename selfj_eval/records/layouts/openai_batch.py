"""OpenAI's and vLLM's batches: answers in one file, what was asked in another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, printable
from selfj_eval.jobs.arguments import is_missing
from selfj_eval.records.formats import Rows
from selfj_eval.records.formats.text import jsonl_rows
from selfj_eval.records.layouts.base import Layout, Source
from selfj_eval.records.layouts.companions import beside
from selfj_eval.records.layouts.conversations import checked_messages, judged_turns


def _batch_rows(source: Source) -> Rows:
    """The answer of each request that did not fail; ids are the requests' ``custom_id``."""
    requests: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None
    for place, row in source.rows:
        own = source.text_in(row, "custom_id", place)
        requests = _requests(source, own, place) if requests is None else requests
        response = source.object_in(row, "response", place)
        status, failed = response.get("status_code"), source.object_in(row, "error", place)
        if failed or status != 200:
            why = failed.get("code") or failed.get("message") if failed else f"status {status}"
            source.left_out(place, f"the request failed ({why!s:.80})")
            continue
        body = source.object_in(response, "body", place)
        choices = source.list_in(body, "choices", place)
        if not choices:
            source.left_out(place, "the request gave no answer (choices is empty)")
        if own not in requests:
            message = f"{own!r} is not among the requests; is it the right file of requests?"
            raise source.error(place, "custom_id", message)
        model = body.get("model")
        for number, choice in enumerate(choices):
            record = {"id": own if len(choices) == 1 else f"{own}-{number}", "model": model}
            if not isinstance(choice, Mapping):
                raise source.error(place, "choices", "expected objects.")
            where, asked = requests[own]
            if isinstance(asked.get("prompt"), str) and "message" not in choice:
                answer = {"instruction": asked["prompt"], "response": choice.get("text")}
                yield place, record | answer
                continue
            answered = source.object_in(choice, "message", place)
            messages = checked_messages(asked.get("messages"), "messages", where, source)
            answers = checked_messages([answered], "message", place, source)
            yield from judged_turns(source, place, record, [*messages, *answers])


def _requests(source: Source, first: str, place: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """What was asked, by ``custom_id``: from the one file beside the answers that has the first.

    No name says which file it is, so each is opened.

    Raises:
        DataError: If there is none, or more than one.
    """
    found = []
    for file in beside(source, ".jsonl"):
        known = _requests_in(file)
        if first in known:
            found.append((file, known))
    if len(found) == 1:
        file, known = found[0]
        source.notices.say(f"the requests were read from {printable(file.name)}")
        return known
    if found:
        names = " and ".join(printable(file.name) for file, _ in found)
        message = f"{names} both contain this request; keep one of them beside the answers."
    else:
        message = (
            "the question is only in the batch's file of requests (custom_id, body), and no .jsonl "
            "file beside this one contains it; put that file there."
        )
    raise source.error(place, "custom_id", message)


def _requests_in(file: Path) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The bodies of requests in a file; nothing where it is another one."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    try:
        for place, row in jsonl_rows(file):
            body = row.get("body")
            if is_missing(row.get("custom_id")) or not isinstance(body, Mapping):
                break
            found[str(row["custom_id"])] = (f"{printable(file.name)}, {place}", body)
    except DataError:
        if found:  # a broken file that is none of the batch's is no fault here
            raise
    return found


def _is_output(row: Mapping[str, Any]) -> bool:
    return isinstance(row["response"], Mapping | None)


OPENAI_BATCH = (
    Layout(
        "openai-batch",
        "the output of an OpenAI batch",
        ("custom_id", "response"),
        _batch_rows,
        test=_is_output,
    ),
    Layout(
        "openai-batch-input",
        "the requests of an OpenAI batch",
        ("custom_id", "body"),
        without=("response",),
        refusal="They hold no answers; give the batch's output, beside this file.",
    ),
)
