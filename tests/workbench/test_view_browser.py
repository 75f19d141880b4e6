"""``selfj view`` in a browser, on real answers and on hostile ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from selfj_eval import read_records, score
from selfj_eval.reports.texts import label, visible
from selfj_eval.workbench.serving import running
from selfj_eval.workbench.view import ViewOptions, view_page

pytestmark = pytest.mark.long
OPTIONS = ViewOptions(resamples=20, open_browser=False)
RECORDS = 2000
NASTY = {
    "script": "<script>document.title = 'owned'</script><img src=x onerror=\"alert(1)\">",
    "template": "{{ 7 * 7 }} ${7*7} </div></details></table></html>",
    "control": "".join(map(chr, range(32))) + "\x7f\x80\x9b31m\u2028\u2029\ufeff\ufff9",
    "right to left": "\u202e\u2066 turned \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "long": "x" * 100_000,
    "wide": "<" * 50_000,
}


class Site(NamedTuple):
    """A page that is served: its address, and the rows of the first judge's file."""

    address: str
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def site(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """2,000 real answers with the scores of two judges; one of them has distributions."""
    folder = tmp_path_factory.mktemp("view")
    records = read_records(data / "judge_bench" / "pointwise_mtbench.parquet")[:RECORDS]
    files = [folder / "length.jsonl", folder / "digits.jsonl"]
    score(records, judge="length", output=files[0])
    rng = np.random.default_rng(0)
    with files[1].open("w", encoding="utf-8") as stream:
        for k, record in enumerate(records):
            own = rng.dirichlet(np.ones(10) / 2).tolist()
            row = record.row() | {"score": float(np.dot(own, range(10))), "probabilities": own}
            if k % 100 == 3:
                row |= {"score": None, "probabilities": None, "error": f"no digit, {k}"}
            stream.write(json.dumps(row) + "\n")
    run = {"judge": {"model": "digits", "template": "default"}}
    (folder / "digits.jsonl.run.json").write_text(json.dumps(run))
    rows = [json.loads(line) for line in files[1].read_text(encoding="utf-8").splitlines()]
    with view_page(files[::-1], OPTIONS) as (app, _), running(app, OPTIONS) as address:
        yield Site(address, rows)


def status(page: Any, expected: str) -> None:
    """Wait until the page has counted so many answers."""
    page.locator("#status", has_text=re.compile(f"^{re.escape(expected)}")).wait_for()


def of(count: int) -> str:
    return f"{count:,} of {RECORDS:,} answers"


def nothing_sticks_out(page: Any, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => [...document.querySelectorAll('body *')]
        .filter(e => e.checkVisibility() && !e.closest('svg, .hidden, .chart, .text, .line'))
        .filter(e => e.getBoundingClientRect().right > width + 1)
        .map(e => e.outerHTML.slice(0, 200))""",
        width,
    )
    assert outside == []


def everything_has_a_name(page: Any) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, a, [role=img], .text')]
        .filter(e => e.checkVisibility())
        .filter(e => !(e.ariaLabel || e.textContent.trim() && !e.matches('select')
                       || e.labels && [...e.labels].some(l => l.textContent.trim())))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
def test_search_sort_filter_open_and_share(
    site: Site, opened: Callable[..., Any], width: int, scheme: str
) -> None:
    page = opened(site.address, width=width, scheme=scheme)
    status(page, f"{RECORDS:,} answers, 20 unscored")
    nothing_sticks_out(page, width)

    page.get_by_role("searchbox", name="Search").fill("python")
    fields = ("id", "instruction", "response", "reference")
    matching = [
        row
        for row in site.rows
        if re.search(r"\bpython|_python", " ".join(row[f] or "" for f in fields), re.I)
    ]
    assert 50 < len(matching) < RECORDS
    status(page, of(len(matching)))
    assert page.locator("#rows mark").first.text_content().lower() == "python"

    page.get_by_role("button", name="Filters").click()
    nothing_sticks_out(page, width)
    everything_has_a_name(page)
    model = Counter(row["model"] for row in matching).most_common(1)[0][0]
    page.locator("select[name=model]").select_option(model)
    page.get_by_label("Score, from").fill("2.5")
    page.locator("select[name=show]").select_option("rated")
    kept = [r for r in matching if r["model"] == model and (r["score"] or 0) >= 2.5]
    assert kept
    status(page, of(len(kept)))
    assert page.locator("#more").text_content().strip() == "Filters (3)"

    page.locator("select[name=sort]").select_option("score")
    page.locator("select[name=order]").select_option("down")
    best = max(kept, key=lambda row: row["score"])
    highest = page.locator("#rows tr:first-child td:first-child")
    highest.filter(has_text=re.compile(f"^{best['score']:.2f}$")).wait_for()

    page.locator("#rows tr").first.click()
    panel = page.get_by_role("region", name="Answer", exact=True).first
    panel.get_by_role("heading", name=label(best["id"], 80)).wait_for()
    texts = panel.locator(".beside .text").all_text_contents()
    assert texts[0] == visible(best["response"], 100_000)[0]
    assert texts[1:] == ([visible(best["reference"], 100_000)[0]] if best["reference"] else [])
    bars = panel.get_by_role("img").get_attribute("aria-label")
    shares = [float(share) for share in re.findall(r": ([\d.]+) %", bars)]
    assert shares == pytest.approx([100 * p for p in best["probabilities"]], abs=0.51)
    nothing_sticks_out(page, width)
    everything_has_a_name(page)

    # Who gets the address sees the same.
    other = opened(page.url, width=width, scheme=scheme)
    other.get_by_role("heading", name=label(best["id"], 80)).wait_for()
    assert other.locator("#status").text_content() == page.locator("#status").text_content()
    assert other.locator("#q").input_value() == "python"
    assert other.locator("select[name=model]").input_value() == model
    assert other.locator("input[name=score_from]").input_value() == "2.5"
    assert other.locator("#rows tr").count() == page.locator("#rows tr").count()

    page.get_by_role("button", name="Close the answer").click()
    panel.wait_for(state="hidden")
    page.go_back()
    panel.get_by_role("heading", name=label(best["id"], 80)).wait_for()
    ink, paper = page.evaluate(
        "() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor] }"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brightness[0] < 200 and brightness[1] > 600) == (scheme == "light")
    assert abs(brightness[0] - brightness[1]) > 400


def test_the_keyboard_is_enough(site: Site, opened: Callable[..., Any]) -> None:
    page = opened(site.address)
    status(page, f"{RECORDS:,} answers")
    press = page.keyboard.press
    heading = page.locator("#answer h2")

    def at(n: int) -> None:
        page.locator("#answer h2", has_text=label(site.rows[n]["id"], 80)).wait_for()

    press("j")
    press("j")
    press("ArrowDown")
    press("k")
    press("Enter")
    at(1)
    press("j")
    at(2)
    assert page.locator("#rows tr.current").count() == 1
    press("ArrowUp")
    at(1)
    siblings = [r for r in site.rows if r["instruction"] == site.rows[1]["instruction"]]
    press("b")
    page.locator("#answer .beside h3", has_text="Answer").nth(1).wait_for()
    besides = page.locator("#answer .beside .text").all_text_contents()
    assert besides == [visible(siblings[k]["response"], 100_000)[0] for k in (1, 0)]
    assert "beside=0" in page.url
    press("Escape")
    heading.wait_for(state="hidden")
    press("n")
    page.locator("#range", has_text="51 to 100").wait_for()
    press("k")  # from the top of a page to the end of the one before
    page.locator("#range", has_text="1 to 50").wait_for()
    press("Enter")
    at(49)
    press("j")
    at(50)
    page.locator("#range", has_text="51 to 100").wait_for()
    press("Escape")
    press("/")
    page.keyboard.type("zzzzqqqq")
    status(page, of(0))
    press("Control+a")
    page.keyboard.type("j?/")  # letters in a field are letters
    assert page.locator("#q").input_value() == "j?/"
    press("Escape")
    press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    press("f")
    assert page.evaluate("document.activeElement.name") == "show"


def test_two_judges_and_unscored_answers(site: Site, opened: Callable[..., Any]) -> None:
    page = opened(site.address, "?show=unscored")
    status(page, of(20))
    assert page.locator("#rows td", has_text="unscored").count() == 20
    heads = page.locator("#heads th").all_text_contents()
    assert heads[:3] == ["digits", "length, no reference", "Rating"]
    page.locator("#rows tr").first.click()
    verdicts = page.locator("#answer .verdict")
    verdicts.nth(1).wait_for()
    assert verdicts.nth(0).text_content() == "digits: unscored: no digit, 3"
    length = len(site.rows[3]["response"])
    assert verdicts.nth(1).text_content() == f"length, no reference: {length:,}"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="length, no reference").click()
    page.locator("th[aria-sort=ascending]", has_text="length").wait_for()
    page.get_by_role("button", name="length, no reference").click()
    page.locator("th[aria-sort=descending]", has_text="length").wait_for()
    assert "judge=1" in page.url and "sort=score" in page.url


def test_figures(site: Site, opened: Callable[..., Any]) -> None:
    pytest.importorskip("matplotlib")
    page = opened(site.address)
    status(page, f"{RECORDS:,} answers")
    page.get_by_role("link", name="Figures").click()
    page.locator("svg").first.wait_for(timeout=300_000)
    colours = page.evaluate(
        "() => [...document.querySelectorAll('svg path')].map(e => getComputedStyle(e).stroke)"
    )
    assert "rgb(31, 95, 191)" in colours  # --series-1
    assert page.get_by_role("img").count() >= 5
    nothing_sticks_out(page, 1280)
    page.get_by_role("link", name="Answers").click()
    status(page, f"{RECORDS:,} answers")


@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
def test_hostile_texts_do_no_harm(opened: Callable[..., Any], tmp_path: Path, width: int) -> None:
    path = tmp_path / "hostile.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for k, text in enumerate(NASTY.values()):
            row = {"id": f"{k}{text[:200]}", "score": float(k), "response": text, "reference": text}
            row |= {"instruction": text, "model": text[:300], "category": text[:300]}
            stream.write(json.dumps(row) + "\n")
        row = {"id": "unscored", "score": None, "error": NASTY["script"], "instruction": "?"}
        stream.write(json.dumps(row) + "\n")
    with view_page(path, OPTIONS) as (app, _), running(app, OPTIONS) as address:
        page = opened(address, width=width)
        status(page, "7 answers, 1 unscored")
        nothing_sticks_out(page, width)
        for k, text in enumerate(NASTY.values()):
            page.goto(f"{address}?open={k}")
            page.locator("#answer .text").first.wait_for()
            shown = page.locator("#answer .text").all_text_contents()
            assert shown == [visible(text, 100_000)[0]] * 3
            nothing_sticks_out(page, width)
        page.goto(f"{address}?open=6")
        page.locator("#answer", has_text="unscored: <script>").wait_for()
        page.goto(f"{address}?q=%3Cimg+src&model=" + "%3Cscript%3E")
        status(page, "0 of 7 answers")
        assert page.title() != "owned"
        assert page.locator("#main script, #main img").count() == 0


def test_an_address_that_makes_no_sense_says_so(browser: Any, site: Site) -> None:
    page = browser.new_page()
    page.goto(f"{site.address}?sort=%3Cscript%3E")
    page.locator("#status.warn", has_text="expected one of file, score").wait_for()
    page.goto(f"{site.address}?open=99999")
    page.locator("#answer .warn", has_text="there is no answer 99999").wait_for()
    page.close()
