"""The page on which people rate: what it asks for, and what it is told.

Nothing that it is told holds a score, a model's name or an answer's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfj_eval.workbench.application import html, new_application
from selfj_eval.workbench.rating_session import (
    LONGEST_COMMENT,
    LONGEST_NAME,
    RatingSession,
    key_of,
    name_of,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from markupsafe import Markup

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
"""Control characters as pictures. Marks of direction stay: Persian and emoji need some, and the
page isolates each text."""


def rating_application(
    session: RatingSession,
    host: str,
    *,
    rater: str | None = None,
    guidelines: Markup | None = None,
    show_reference: bool = False,
) -> FastAPI:
    """The application of the page.

    Args:
        session: What is rated.
        host: The address at which it will be served.
        rater: The only person who rates; None where the page asks for names.
        guidelines: Shown above the first answer, and whenever they are asked for.
        show_reference: Whether references are shown.
    """
    from fastapi import Body
    from fastapi.responses import HTMLResponse

    app = new_application(host)

    def view(name: str, position: int | None) -> dict[str, Any]:
        """What the page shows next: an answer, or that all is done."""
        found: dict[str, Any] = {"progress": session.progress(name)._asdict()}
        if position is None:
            return found
        answer, given = session.answers[position], session.given(name, position)
        found |= {
            "position": position,
            "key": key_of(answer),
            "question": _shown(answer.question),
            "response": _shown(answer.response),
        }
        if show_reference and answer.reference is not None:
            found["reference"] = _shown(answer.reference)
        if given is not None:
            found |= {"rating": given.rating, "comment": given.comment}
        return found

    def known(name: str) -> str:
        return name_of(name) if rater is None else rater

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(
            html(
                "rate.html",
                values=session.values,
                rater=rater,
                raters=session.raters,
                pilot=session.piloted,
                guidelines=guidelines,
                wide=show_reference,
                longest_name=LONGEST_NAME,
                longest_comment=LONGEST_COMMENT,
            )
        )

    @app.get("/api/next")
    def following(rater: str, skipped: bool = False) -> dict[str, Any]:
        """The first answer that is to be rated, or that was skipped."""
        name = known(rater)
        return view(name, session.skipped(name) if skipped else session.following(name))

    @app.get("/api/answer")
    def answer(rater: str, position: int) -> dict[str, Any]:
        """Any answer; beyond the ends the nearest."""
        last = len(session.answers) - 1
        return view(known(rater), min(max(position, 0), last))

    @app.post("/api/rating")
    def rate(
        rater: str = Body(),
        key: str = Body(),
        rating: float | None = Body(strict=True),  # true is no 1
        comment: str = Body(""),
        skipped: bool = Body(False, strict=True),
    ) -> dict[str, Any]:
        """Keep a rating, or that an answer is skipped; then show the next answer.

        With ``skipped``, that is the next one that was skipped.
        """
        name = known(rater)
        position = session.rate(name, key, rating, comment)
        after = session.skipped if skipped else session.following
        return view(name, after(name, position))

    @app.post("/api/undo")
    def undo(rater: str = Body(embed=True)) -> dict[str, Any]:
        """Take back the last rating, and show its answer with what was said of it."""
        name = known(rater)
        undone = session.undo(name)
        if undone is None:
            return {"nothing": True}
        position, given = undone
        return view(name, position) | {"undone": given.rating, "draft": given.comment}

    return app


def _shown(text: str) -> str:
    return text.replace("\r\n", "\n").translate(_PICTURES)
