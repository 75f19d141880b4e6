"""``selfj view`` while answers of the server are slow: the page shows what its address says."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from selfj_eval.workbench.serving import running
from selfj_eval.workbench.view import ViewOptions, view_page

pytestmark = pytest.mark.long
OPTIONS = ViewOptions(resamples=20, open_browser=False)
UNREACHABLE = "The page cannot reach the command"
Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """120 answers; each tenth is about tables, and their scores fall."""
    path = tmp_path_factory.mktemp("state") / "scores.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for k in range(120):
            text = f"the {'table' if k % 10 == 0 else 'chair'} number {k}"
            text = "le café n° 7, cafe n° 8" if k == 7 else text
            row = {"id": f"a{k}", "instruction": f"Question {k // 2}?", "response": text}
            row |= {"score": 9 - k / 20, "category": ["code", "prose"][k % 2]}
            stream.write(json.dumps(row) + "\n")
    with view_page(path, OPTIONS) as (app, _), running(app, OPTIONS) as served:
        yield served


def hold(page: Any) -> None:
    """Lists that are requested from now on arrive when they are let go, or once they are aborted.

    They have begun to arrive by then, so that an abort makes reading them fail.
    """
    page.evaluate(
        """() => {
            const real = window.real ??= fetch
            let release
            const until = new Promise((done) => { release = done })
            window.letGo = () => { window.fetch = real; release() }
            window.fetch = async (path, options) => {
                const response = await real(path, options)
                if (!path.startsWith('/api/answers?')) return response
                document.body.classList.add('held')
                const { signal } = options
                await Promise.race([until, new Promise((done) => { signal.onabort = done })])
                return response
            }
        }"""
    )


def held(page: Any) -> None:
    page.locator("body.held").wait_for()
    page.evaluate("document.body.classList.remove('held')")


def let_go(page: Any) -> None:
    page.evaluate("letGo()")
    page.locator("#list:not([aria-busy])").wait_for()
    page.wait_for_timeout(100)  # what should not come has time to come


def counted(page: Any, expected: str) -> None:
    page.locator("#status:not(.warn)", has_text=re.compile(f"^{expected}")).wait_for()


def looks(page: Any) -> dict[str, Any]:
    """What somebody sees."""
    seen: dict[str, Any] = page.evaluate(
        """() => ({
            status: document.querySelector('#status').textContent,
            range: document.querySelector('#range').textContent,
            rows: [...document.querySelectorAll('#rows a')].map((link) => link.textContent),
            marks: document.querySelectorAll('#rows mark').length,
            open: document.querySelector('#answer:not([hidden]) h2')?.textContent ?? null,
            fields: Object.fromEntries(new FormData(document.querySelector('#query'))),
        })"""
    )
    return seen


def search(page: Any) -> Any:
    return page.get_by_role("searchbox", name="Search")


def test_a_search_is_dropped_when_the_next_one_overtakes_it(opened: Opened, address: str) -> None:
    """Also if its answer has begun to arrive."""
    page = opened(address)
    counted(page, "120 answers")
    hold(page)
    search(page).fill("table")
    held(page)
    search(page).fill("zzzz")
    held(page)
    let_go(page)
    counted(page, "0 of 120 answers")


@pytest.mark.parametrize("way", ["search", "next", "sort"])
def test_back_at_what_is_shown_before_another_list_came(
    opened: Opened, address: str, way: str
) -> None:
    page = opened(address)
    counted(page, "120 answers")
    before = looks(page)
    hold(page)
    if way == "search":
        search(page).fill("table")
        held(page)
        search(page).fill("")
        page.locator("#list:not([aria-busy])").wait_for()
    elif way == "next":
        page.get_by_role("button", name="Next").click()
        held(page)
        page.go_back()
    else:
        page.locator("select[name=sort]").select_option("score")
        held(page)
        page.locator("select[name=sort]").select_option("file")
    let_go(page)
    assert looks(page) == before
    assert urlsplit(page.url).query == ""


def test_two_keys_at_the_end_of_a_part_open_its_next_answer(opened: Opened, address: str) -> None:
    """The second key comes while the next part is still asked for, and asks for nothing more."""
    page = opened(address, "?open=49")
    page.locator("#answer .text").first.wait_for()
    before = page.evaluate("history.length")
    hold(page)
    for _ in range(5):
        page.keyboard.press("j")
    held(page)
    let_go(page)
    page.locator("#range", has_text="51 to 100").wait_for()
    page.locator("#rows tr.current").wait_for()
    assert parse_qs(urlsplit(page.url).query) == {"start": ["50"], "open": ["50"]}
    assert page.evaluate("history.length") == before + 1
    page.go_back()
    page.locator("#range", has_text=re.compile("^1 to 50")).wait_for()
    page.locator("#answer h2", has_text=re.compile("^a49$")).wait_for()
    looked = looks(page)
    hold(page)
    page.keyboard.press("j")
    held(page)
    page.go_back()  # before the next part is there
    let_go(page)
    assert looks(page) == looked
    assert urlsplit(page.url).query == "open=49"


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_ends_where_its_address_does(opened: Opened, address: str, seed: int) -> None:
    """Whatever is done while lists and answers take up to 0.6 s."""
    rng = random.Random(seed)
    page = opened(address)
    counted(page, "120 answers")
    # The second entry of the history: two steps back at once cannot leave the page.
    page.evaluate(
        """(seed) => {
            const real = fetch, wait = (ms) => new Promise((done) => setTimeout(done, ms))
            const chance = () => { seed = seed * 16807 % 2147483647; return seed / 2147483647 }
            window.fetch = async (path, options) => {
                await wait(300 * chance())
                const response = await real(path, options)
                await wait(300 * chance())
                return response
            }
            history.pushState(null, '', location.href)
        }""",
        seed + 1,
    )
    sort = page.locator("select[name=sort]")
    steps: list[Callable[[], Any]] = [
        lambda: search(page).fill(rng.choice(["table", "chair 1", "", "zzzz"])),
        lambda: sort.select_option(rng.choice(["score", "length", "file"])),
        lambda: page.evaluate("document.querySelector('#heads button').click()"),
        *(lambda key=key: page.keyboard.press(key) for key in ("Escape", "j", "k", "n", "Enter")),
        lambda: page.evaluate("navigation.currentEntry.index > 1 && history.back()"),
        lambda: page.evaluate("history.forward()"),
        lambda: page.evaluate("document.querySelector('#rows tr')?.click()"),
    ]
    for _ in range(25):
        rng.choice(steps)()
        page.wait_for_timeout(rng.choice([0, 50, 200, 500]))
    page.wait_for_timeout(2000)
    fresh = opened(page.url)
    for _ in range(100):  # until both have shown everything
        if looks(page) == looks(fresh):
            break
        fresh.wait_for_timeout(200)
    assert looks(page) == looks(fresh), page.url


def test_the_search_and_the_history(opened: Opened, address: str) -> None:
    page = opened(address)
    counted(page, "120 answers")
    page.locator("select[name=sort]").select_option("score")
    page.locator("th[aria-sort=ascending]").wait_for()
    search(page).press_sequentially("tab", delay=250)
    counted(page, "12 of 120 answers")
    page.go_back()  # what was typed is one step, and the field that has the focus shows it
    counted(page, "120 answers")
    assert search(page).input_value() == ""
    assert page.locator("select[name=sort]").input_value() == "score"
    search(page).fill("table")
    page.keyboard.press("Enter")  # at once, and on to the list
    counted(page, "12 of 120 answers")
    page.locator("#rows tr:first-child a:focus").wait_for()
    page.keyboard.press("Enter")
    page.locator("#answer h2", has_text="a110").wait_for()


def test_what_was_typed_is_kept_when_the_field_is_left(opened: Opened, address: str) -> None:
    page = opened(address)
    counted(page, "120 answers")
    search(page).fill("chair")
    page.keyboard.press("Escape")
    counted(page, "107 of 120 answers")
    page.locator("select[name=sort]").select_option("score")
    page.locator("th[aria-sort=ascending]").wait_for()
    assert parse_qs(urlsplit(page.url).query) == {"q": ["chair"], "sort": ["score"]}
    assert search(page).input_value() == "chair"
    # At once, before what was typed has applied.
    page.evaluate(
        """() => {
            const field = document.querySelector('#q')
            field.focus()
            field.select()
            document.execCommand('insertText', false, 'table')
            field.blur()
            document.querySelector('#rows tr').click()
        }"""
    )
    counted(page, "12 of 120 answers")
    query = parse_qs(urlsplit(page.url).query)
    assert (query["q"], query["open"]) == (["table"], ["119"])
    assert search(page).input_value() == "table"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filters").click()
    low = page.get_by_label("Score, from")
    low.fill("5")
    counted(page, "9 of 120 answers")
    page.keyboard.press("End")
    page.keyboard.type("e")
    assert low.evaluate("field => field.validity.badInput")
    page.keyboard.press("Tab")  # no number: the last one counts
    assert low.input_value() == "5" and low.evaluate("field => !field.validity.badInput")


def test_the_next_list_is_an_entry_of_the_history_once(opened: Opened, address: str) -> None:
    page = opened(address, "?q=chair&open=53")
    page.locator("#answer .text").first.wait_for()
    before = page.evaluate("history.length")
    page.route("**/api/answers?*start=50*", lambda route: route.fulfill(status=200, body="{"))
    page.locator("#rows tr").last.click()
    page.locator("#rows tr:last-child.current").wait_for()
    for _ in range(3):
        page.keyboard.press("j")
        page.locator("#status.warn").wait_for()
    assert page.evaluate("history.length") == before + 1


def test_another_answer_is_put_beside_the_one_that_is_open(opened: Opened, address: str) -> None:
    page = opened(address, "?open=0")
    page.locator("#answer .text").first.wait_for()
    held_back: list[Any] = []
    page.route("**/api/answers/1", lambda route: held_back.append(route))
    with page.expect_request("**/api/answers/1"):
        page.keyboard.press("j")
    page.keyboard.press("b")  # the first answer is still shown
    assert urlsplit(page.url).query == "open=1"
    held_back[0].continue_()
    page.locator("#answer h2", has_text="a1").wait_for()
    page.unroute("**/api/answers/1")
    page.keyboard.press("b")
    page.locator("#answer .beside h3").nth(1).wait_for()
    assert parse_qs(urlsplit(page.url).query) == {"open": ["1"], "beside": ["0"]}
    page.get_by_role("button", name="Next answer").focus()
    page.keyboard.press("Enter")
    page.locator("#answer h2", has_text="a2").wait_for()
    assert page.evaluate("document.activeElement.ariaLabel") == "Next answer"


def test_what_was_found_is_marked(opened: Opened, address: str) -> None:
    """With its accents, whether they were typed or not; other texts exactly."""
    page = opened(address)
    counted(page, "120 answers")
    for typed, found in (
        ("cafe", ["café", "cafe"]),
        ("CAFÉ n", ["café", "n", "cafe", "n"]),
        ('"é n°" 7', ["é n°", "7"]),
        ("n° lé", ["le", "n°", "n°"]),
    ):
        search(page).fill(typed)
        page.wait_for_url(re.compile(re.escape(f"q={quote_plus(typed)}") + "$"))
        page.locator("#list:not([aria-busy])").wait_for()
        assert page.locator("#rows td.response mark").all_text_contents() == found


def test_clear_all_clears(opened: Opened, address: str) -> None:
    page = opened(address)
    counted(page, "120 answers")
    page.get_by_role("button", name="Filters").click()
    low = page.get_by_label("Score, from")
    low.press_sequentially("1e")
    assert low.evaluate("field => field.validity.badInput")
    page.get_by_role("button", name="Clear all").click()
    assert not low.evaluate("field => field.validity.badInput")
    page.evaluate(
        """() => {
            const field = document.querySelector('#q')
            field.focus()
            document.execCommand('insertText', false, 'table')
            const clear = document.querySelector('#clear')
            clear.focus()
            clear.click()
        }"""
    )
    page.wait_for_timeout(400)
    counted(page, "120 answers")
    assert search(page).input_value() == ""


def test_keys_and_searches_before_the_page_knows_its_judges(opened: Opened, address: str) -> None:
    page = opened(address)
    counted(page, "120 answers")
    requests: list[Any] = []
    page.route("**/api/about", lambda route: requests.append(route))
    with page.expect_request("**/api/about"):
        page.goto(f"{address}?category=code")
    page.locator("#query[inert]").wait_for()
    for key in "jnf/":
        page.keyboard.press(key)
    page.keyboard.type("table")
    requests[0].continue_()
    counted(page, "60 of 120 answers")
    assert page.locator("select[name=category]").input_value() == "code"


def test_errors_go_away_and_what_failed_is_asked_for_again(opened: Opened, address: str) -> None:
    page = opened(address)
    counted(page, "120 answers")
    shown = looks(page)["rows"]
    page.route("**/api/answers?*", lambda route: route.fulfill(status=200, body='{"rows": ['))
    search(page).fill("table")
    page.locator("#status.warn", has_text=UNREACHABLE).wait_for()
    assert looks(page)["rows"] == shown
    page.unroute("**/api/answers?*")
    search(page).fill("")
    counted(page, "120 answers")
    page.route("**/api/answers/3", lambda route: route.fulfill(status=200, body="{"))
    page.locator("#rows tr").nth(3).click()
    page.locator("#answer .warn", has_text=UNREACHABLE).wait_for()
    page.unroute("**/api/answers/3")
    page.locator("#rows tr").nth(3).click()
    page.locator("#answer h2", has_text="a3").wait_for()


def test_an_answer_that_does_not_exist_can_be_closed(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.set_default_timeout(60_000)
    page.goto(f"{address}?open=999")
    page.locator("#answer .warn", has_text="numbered from 0 to 119").wait_for()
    page.get_by_role("button", name="Close").click()
    page.locator("#answer").wait_for(state="hidden")
    counted(page, "120 answers")
    page.close()


def test_focus_and_scrolling(opened: Opened, address: str) -> None:
    page = opened(address)
    counted(page, "120 answers")
    head = page.get_by_role("button", name="Score")
    head.focus()
    page.keyboard.press("Enter")
    page.locator("th[aria-sort=ascending] button:focus").wait_for()
    page.keyboard.press("Enter")
    page.locator("th[aria-sort=descending] button:focus").wait_for()
    forth = page.get_by_role("button", name="Next")
    forth.scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 0
    forth.click()
    page.locator("#range", has_text="51 to 100").wait_for()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.locator("#range", has_text=re.compile("^1 to 50")).wait_for()
    assert page.evaluate("scrollY") > 0  # where it was
