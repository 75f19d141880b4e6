"""The routes of the page that shows scored answers."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from selfj_eval.evaluation.conclusions import conclusion_of
from selfj_eval.metrics import LABELS, LOWER_IS_BETTER
from selfj_eval.reports.texts import label
from selfj_eval.workbench.answer_columns import ABSENT
from selfj_eval.workbench.answer_query import Query, numbers_of
from selfj_eval.workbench.answer_reading import AnswerTable
from selfj_eval.workbench.application import html, new_application
from selfj_eval.workbench.excerpts import excerpt, shown_text
from selfj_eval.workbench.figure_job import FigureJob
from selfj_eval.workbench.search_terms import Terms, terms_in

PAGE_SIZE = 50
"""Answers that are listed at a time."""
_OTHERS = 100  # answers to the same question that are listed
_KEPT = 4  # orders of the latest queries, so that the next page comes at once


def application(table: AnswerTable, figures: FigureJob, host: str) -> FastAPI:
    """The page's application.

    Args:
        table: The answers.
        figures: Computes the figures.
        host: The address at which it will be served.
    """
    app = new_application(host)
    answers = _Answers(table)

    @app.get("/", response_class=HTMLResponse)
    def index() -> str:
        return html("view.html")

    @app.get("/figures", response_class=HTMLResponse)
    def figures_page() -> str:
        names = {n: t + (" ↓" if n in LOWER_IS_BETTER else "") for n, t in LABELS.items()}
        return html(
            "figures.html", state=figures.state(), metric_names=names, conclusion=conclusion_of
        )

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return answers.about()

    @app.get("/api/answers")
    def listed(request: Request) -> dict[str, Any]:
        return answers.listed(Query.of(request.query_params, table.columns))

    @app.get("/api/answers/{n}")
    def one(n: int) -> dict[str, Any]:
        if not 0 <= n < len(table.columns):
            last = len(table.columns) - 1
            message = f"there is no answer {n}: the answers are numbered from 0 to {last}."
            raise HTTPException(404, message)
        return answers.one(n)

    return app


class _Answers:
    """What the page is told of the answers, as JSON."""

    def __init__(self, table: AnswerTable) -> None:
        self._table = table
        names = [PurePath(path).name for path in table.files]
        self._files = names if len({*names}) == len(names) else table.files
        self._orders: OrderedDict[Query, npt.NDArray[np.int64]] = OrderedDict()
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """What the controls need to know."""
        columns = self._table.columns
        judges = [
            {
                "name": label(judge.name, 60),
                "scale": judge.scale,
                "labels": [label(text, 12) for text in judge.labels],
                "disagreement": not np.isnan(judge.disagreement).all(),
            }
            for judge in columns.judges
        ]
        return {
            "files": [label(name, 120) for name in self._table.files],
            "judges": judges,
            "answers": len(columns),
            "rated": columns.rated,
            "rating_scale": columns.rating_scale,
            "models": [[name, label(name, 60)] for name in columns.models],
            "categories": [[name, label(name, 60)] for name in columns.categories],
            "size": PAGE_SIZE,
        }

    def listed(self, query: Query) -> dict[str, Any]:
        """One part of the answers that a query asks for; beyond the end, the last part."""
        terms = terms_in(query.q)
        numbers = self._order(replace(query, start=0), terms)
        last = max(0, len(numbers) - 1) // PAGE_SIZE * PAGE_SIZE
        start = query.start if query.start < len(numbers) else last
        part = numbers[start : start + PAGE_SIZE].tolist()
        rows = []
        for texts in self._table.store.texts(part):
            row = self._facts(texts.n, texts.id) | {
                "question": excerpt(texts.question, terms, 160),
                "response": excerpt(texts.response, terms, 240),
            }
            rows.append(row)
        unscored = int(self._table.columns.unscored[numbers].sum())
        counts = {"total": len(numbers), "unscored": unscored}
        return counts | {"start": start, "terms": terms._asdict(), "rows": rows}

    def one(self, n: int) -> dict[str, Any]:
        """Everything about one answer."""
        table = self._table
        (texts,) = table.store.texts([n])
        judge_of = {f: k for k, judge in enumerate(table.columns.judges) for f in judge.files}
        verdicts = [
            {
                "judge": judge_of[verdict.file],
                "file": label(self._files[verdict.file], 120),
                "place": verdict.place,
                "error": None if verdict.error is None else label(verdict.error, 400),
                "probabilities": verdict.probabilities,
            }
            for verdict in table.store.verdicts(n)
        ]
        siblings = table.store.siblings(n, _OTHERS)
        others = [self._facts(other.n, other.id) for other in table.store.texts(siblings)]
        return self._facts(n, texts.id) | {
            "question": shown_text(texts.question),
            "response": shown_text(texts.response),
            "reference": shown_text(texts.reference),
            "verdicts": verdicts,
            "others": others,
        }

    def _facts(self, n: int, identity: str) -> dict[str, Any]:
        columns = self._table.columns
        judges = columns.judges
        return {
            "n": n,
            "id": label(identity, 80),
            "model": _name(columns.models, columns.model[n]),
            "category": _name(columns.categories, columns.category[n]),
            "rating": _number(columns.rating[n]),
            "scores": [_number(judge.score[n]) for judge in judges],
            "judged": [bool(judge.state[n] != ABSENT) for judge in judges],
            "disagreement": [_number(judge.disagreement[n]) for judge in judges],
            "gap": _number(columns.gap[n]),
        }

    def _order(self, query: Query, terms: Terms) -> npt.NDArray[np.int64]:
        with self._lock:
            if query in self._orders:
                self._orders.move_to_end(query)
                return self._orders[query]
        found = self._table.store.matching(terms) if terms else None
        order = numbers_of(query, self._table.columns, found)
        with self._lock:
            self._orders[query] = order
            if len(self._orders) > _KEPT:
                self._orders.popitem(last=False)
        return order


def _name(names: Any, code: Any) -> str | None:
    return None if code < 0 else label(names[code], 60)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
