"""What a notebook shows of a result: its text as it is printed, and nothing that a text wants."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from selfj_eval import Evaluation, evaluate, report, worst
from selfj_eval.jobs.results import Result

HOSTILE = "</pre><script>document.title='run'</script><img src=x onerror=alert(1)>&amp;"
TURNED = "\u202eabc\x1b[31m"
LONG = "a model whose name is as long as a sentence " * 6


def rows() -> list[dict[str, Any]]:
    return [
        {
            "id": f"{HOSTILE}{k}", "instruction": f"{HOSTILE}{k // 4}", "response": f"{TURNED}{k}",
            "score": k / 4, "rating": k % 7, "rating_min": 0, "rating_max": 9,
            "model": f"{HOSTILE}{k % 2}", "category": f"{LONG}{TURNED}{k % 2}",
        }
        for k in range(24)
    ]  # fmt: skip


@pytest.fixture(scope="module", params=["worst", "evaluation"])
def result(request: pytest.FixtureRequest) -> Result:
    return worst(rows(), n=3) if request.param == "worst" else evaluate(rows(), resamples=20)


def test_it_is_the_printed_text_whose_marks_are_no_marks(result: Result) -> None:
    shown = result._repr_html_()
    tags = [re.split(r"[ >]", tag)[0] for tag in re.findall(r"</?([^>]*>)", shown)]
    assert set(tags) <= {"pre", "span"}
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)) == str(result)
    assert "<script>" in str(result)  # the names are really there
    assert "\u202e" not in shown and "\x1b" not in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_a_narrow_notebook_of_either_style(
    result: Result, browser: Any, scheme: str
) -> None:
    """Sentences wrap, rows of tables stay whole and are scrolled, colours are the notebook's."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 420, "height": 600})
    page = context.new_page()
    style = "<style>:root { color-scheme: light dark } pre { font: 14px/20px monospace }</style>"
    page.set_content(f"<!doctype html>{style}{result._repr_html_()}")
    found = page.evaluate(
        """() => {
            const pre = document.querySelector('pre'), look = getComputedStyle(pre)
            return {
                colours: [look.color, look.backgroundColor],
                heights: [...pre.querySelectorAll('span')].map(row => row.offsetHeight),
                height: pre.clientHeight,
                page: document.documentElement.scrollWidth,
                scrolled: pre.scrollWidth > pre.clientWidth,
                title: document.title,
            }
        }"""
    )
    context.close()
    table = isinstance(result, Evaluation)
    assert found["title"] == "" and found["page"] <= 420
    ink = {"light": "rgb(0, 0, 0)", "dark": "rgb(255, 255, 255)"}[scheme]
    assert found["colours"] == [ink, "rgba(0, 0, 0, 0)"]
    assert found["height"] > 20 * (str(result).count("\n") + 1)  # the sentences
    assert found["scrolled"] == table == bool(found["heights"])
    assert all(height < 40 for height in found["heights"])  # one line each


def test_a_report_is_a_page_within_the_page() -> None:
    """No text in it ends the attribute that holds it, or runs."""
    shown = report(rows(), resamples=20)._repr_html_()
    assert re.fullmatch(r'<iframe style="[^"<>]*" srcdoc="[^"<>]*"></iframe>', shown)
    inside = html.unescape(shown)
    assert "<script" not in inside and "&lt;script&gt;" in inside
