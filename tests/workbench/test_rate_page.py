"""The page of ``selfj rate`` in a browser, at both widths and in both schemes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.records.options import ReadOptions
from selfj_eval.records.reading import read_records
from selfj_eval.workbench.guidelines import as_html
from selfj_eval.workbench.options import PageOptions
from selfj_eval.workbench.rating_file import RatingFile, ToRate
from selfj_eval.workbench.rating_input import read_input
from selfj_eval.workbench.rating_page import rating_application
from selfj_eval.workbench.rating_session import RatingSession
from selfj_eval.workbench.serving import running

HOSTILE = {
    "script": "<script>document.title = 'owned'</script><img src=x onerror=\"alert(1)\">",
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} </div></main></body></html>",
    "control": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9b31m\u2028\u2029\ufeff\ufff9 end",
    "right to left": "\u202e\u2066 turned \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "long": "x" * 100_000,
    "lines": "line\n" * 20_000,
    "empty": "",
}
GUIDELINES = (
    "# How\n\nRate *well*. <script>alert(1)</script>\n\n| 1 | bad |\n|--:|---|\n| 5 | good |\n"
)


class Window:
    """A window of the page, with what the browser said and asked for."""

    def __init__(self, browser: Any, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 740}, color_scheme=scheme, has_touch=width < 400
        )
        self.page.set_default_timeout(20_000)
        self.width = width
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def sees(self, title: str) -> None:
        """Wait for the heading, which changes with the answer."""
        self.page.locator("#where", has_text=re.compile(f"^{title}$")).wait_for()
        self.page.locator("#work:not(.busy)").wait_for()

    def text(self, name: str) -> str:
        found: str = self.page.locator(f"#{name}").inner_text()
        return found

    def fits(self) -> None:
        """Nothing sticks out, and what can be pressed is large enough for a finger."""
        assert self.page.evaluate("document.documentElement.scrollWidth") <= self.width
        outside = self.page.evaluate(
            """width => [...document.querySelectorAll('body *')]
            .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest('.text'))
            .map(e => e.outerHTML.slice(0, 200))""",
            self.width,
        )
        assert outside == []
        small = self.page.evaluate(
            """() => [...document.querySelectorAll('button')]
            .map(e => [e, e.getBoundingClientRect()])
            .filter(([e, box]) => box.width && (box.width < 30 || box.height < 40))
            .map(([e]) => e.outerHTML)"""
        )
        assert small == []

    def was_quiet(self, address: str) -> None:
        """Nothing was said, and nothing left the machine."""
        assert self.said == []
        assert self.asked and all(url.startswith(address) or url == "data:," for url in self.asked)
        self.page.close()


@contextmanager
def served(
    path: Path, answers: list[ToRate], scale: tuple[float, float] = (1, 5), **options: Any
) -> Iterator[str]:
    file = RatingFile(path, answers, scale)
    file.write()
    application = rating_application(RatingSession(file), "127.0.0.1", **options)
    with running(application, PageOptions()) as address:
        yield address


def given(path: Path) -> list[tuple[str, float | None, str]]:
    """Answer, rating and comment of each row of ratings."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(r["id"], r["rating"], r.get("comment", "")) for r in rows if "rater" in r]


def real_answers(data: Path, n: int) -> list[ToRate]:
    records = read_records(data / "judge_bench" / "pointwise_arena_bench.parquet")[:n]
    return list(read_input(records, ReadOptions(scale=(1, 5)), 0).answers)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
def test_a_session_by_keys(
    browser: Any, data: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    answers, path = real_answers(data, 5), tmp_path / "r.jsonl"
    options = {"guidelines": as_html(GUIDELINES), "show_reference": True}
    own = [answer.id for answer in answers]
    with served(path, answers, **options) as address:
        window = Window(browser, width, scheme)
        page = window.page
        page.goto(address)
        window.fits()
        page.keyboard.type("Ann Lee")
        window.press("Enter")
        window.sees("Answer 1 of 5")
        assert page.locator("#guidelines em").inner_text() == "well"
        assert page.locator("#response").evaluate("e => e.textContent") == answers[0].response
        assert page.locator("#reference").evaluate("e => e.textContent") == answers[0].reference
        window.fits()
        window.press("4")
        window.sees("Answer 2 of 5")
        assert not page.locator("#guidelines em").is_visible()
        assert given(path) == [(own[0], 4, "")]  # on the disk before the next one is shown
        window.press("c")
        page.keyboard.type("why 3 s u?")  # no key of the page while it is written
        window.fits()
        window.press("Escape", "3")
        window.sees("Answer 3 of 5")
        assert given(path)[1:] == [(own[1], 3, "why 3 s u?")]
        window.press("s")
        window.sees("Answer 4 of 5")
        window.press("u")
        window.sees("Answer 3 of 5")
        assert "was undone" in window.text("said")
        window.press("u")
        window.sees("Answer 2 of 5")
        assert page.locator("#comment").input_value() == "why 3 s u?"
        window.press("2")
        window.sees("Answer 3 of 5")
        window.press("s")
        window.sees("Answer 4 of 5")
        window.press("ArrowLeft")
        window.sees("Answer 3 of 5")
        assert page.locator("#skip").get_attribute("aria-pressed") == "true"
        window.press("ArrowLeft")
        window.sees("Answer 2 of 5")
        assert page.locator("[data-rating='2']").get_attribute("aria-pressed") == "true"
        page.locator("#write").click()
        page.locator("#comment").fill("changed")
        window.press("Escape")
        page.locator("#said", has_text="The comment is saved.").wait_for()
        window.press("ArrowRight")
        window.sees("Answer 3 of 5")
        page.locator("#forward").click()
        window.sees("Answer 4 of 5")
        window.press("?")
        assert page.locator("#help").is_visible()
        window.fits()
        window.press("5", "Escape")  # no rating behind the help
        page.locator("#help").wait_for(state="hidden")
        page.get_by_role("button", name="5", exact=True).click()
        window.sees("Answer 5 of 5")
        window.press("1")
        window.sees("You have seen all answers")
        assert window.text("summary") == "4 of 5 answers are rated, 1 skipped."
        window.fits()
        page.locator("#again").click()
        window.sees("Answer 3 of 5")
        window.press("5")
        window.sees("All answers are rated")
        page.reload()
        window.sees("All answers are rated")
        ratings = [4, 2, 5, 5, 1]
        comments = ["", "changed", "", "", ""]
        assert sorted(given(path)) == sorted(zip(own, ratings, comments, strict=True))
        # Ink on paper, in both schemes.
        ink, paper = page.evaluate(
            "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        )
        brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
        assert (brightness[0] < 200 and brightness[1] > 600) == (scheme == "light")
        assert abs(brightness[0] - brightness[1]) > 400
        window.was_quiet(address)


def there_and_back(window: Window) -> None:
    """From the first of three answers to the next one and back."""
    window.press("ArrowRight")
    window.sees("Answer 2 of 3")
    window.press("ArrowLeft")
    window.sees("Answer 1 of 3")


def test_comments_that_are_changed_and_taken_back(browser: Any, tmp_path: Path) -> None:
    """The page shows and sends the comment that is kept, not one that was taken back before."""
    answers, path = [ToRate(str(k), "?", f"{k}!") for k in range(3)], tmp_path / "r.jsonl"
    with served(path, answers, rater="Ann") as address:
        window = Window(browser)
        page = window.page

        def write(comment: str) -> None:
            window.press("c")
            page.locator("#comment").fill(comment)
            window.press("Escape")

        page.goto(address)
        window.sees("Answer 1 of 3")
        write("first")
        window.press("3")
        window.sees("Answer 2 of 3")
        window.press("ArrowLeft")
        window.sees("Answer 1 of 3")
        window.press("5")  # the rating is changed
        window.sees("Answer 2 of 3")
        window.press("u")
        window.sees("Answer 1 of 3")
        said = "Answer 1: the rating 5 was undone; it is rated 3 again."
        page.locator("#said", has_text=said).wait_for()
        write("second")
        page.locator("#said", has_text="The comment is saved.").wait_for()
        there_and_back(window)
        assert page.locator("#comment").input_value() == "second"
        window.press("u")
        said = "Answer 1: the change of the comment was undone."
        page.locator("#said", has_text=said).wait_for()
        assert page.locator("#comment").input_value() == "first"
        assert given(path) == [("0", 3, "first")]
        window.press("4")
        window.sees("Answer 2 of 3")
        assert given(path) == [("0", 4, "first")]
        window.press("s")
        window.sees("Answer 3 of 3")
        window.press("u")
        page.locator("#said", has_text="Answer 2: the skip was undone.").wait_for()
        window.was_quiet(address)
    # The server is gone: the comment is kept for the next try.
    with served(tmp_path / "gone.jsonl", answers, rater="Ann") as address:
        window = Window(browser)
        page = window.page
        page.goto(address)
        window.sees("Answer 1 of 3")
        window.press("3")
        window.sees("Answer 2 of 3")
        window.press("ArrowLeft")
        window.sees("Answer 1 of 3")
        page.route("**/api/rating", lambda route: route.abort())
        write("lost?")
        page.locator("#said.wrong", has_text="The comment is not saved").wait_for()
        page.unroute("**/api/rating")
        there_and_back(window)
        assert page.locator("#comment").input_value() == "lost?"
        write("kept")
        page.locator("#said", has_text="The comment is saved.").wait_for()
        there_and_back(window)
        assert page.locator("#comment").input_value() == "kept"
        page.close()
    assert given(tmp_path / "gone.jsonl") == [("0", 3, "kept")]


def test_names_for_those_who_do_not_see_the_page(browser: Any, tmp_path: Path) -> None:
    answers = [ToRate("a", "How?", "So.", "Like this."), ToRate("b", "Why?", "Because.")]
    with served(tmp_path / "r.jsonl", answers, show_reference=True, rater="Ann") as address:
        window = Window(browser)
        page = window.page
        page.goto(address)
        window.sees("Answer 1 of 2")
        tree = page.locator("body").aria_snapshot()
        for part in (
            'heading "Answer 1 of 2"',
            'main "Answer 1 of 2"',
            'group "Rating, from 1 (worst) to 5 (best)"',
            'button "5"',
            'button "Skip"',
            'button "Undo"',
            'button "Next answer"',
            'button "Help and keys"',
            'region "Answer"',
            'region "A good answer, to compare with"',
            'progressbar "Rated or skipped"',
        ):
            assert part in tree, tree
        assert page.evaluate("document.activeElement.id") == "reading"
        window.press("3")
        window.sees("Answer 2 of 2")
        assert page.locator("[role=status]").inner_text() == "Answer 1: rated 3."
        assert page.locator("#with-reference").is_hidden()
        page.locator("#write").click()
        assert 'textbox "Comment' in page.locator("body").aria_snapshot()
        # What has the focus by Tab can be seen.
        window.press("Escape", "Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        window.was_quiet(address)


@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
def test_hostile_texts(browser: Any, tmp_path: Path, width: int) -> None:
    answers = [ToRate(kind, text or "?", text, text) for kind, text in HOSTILE.items()]
    with served(
        tmp_path / "r.jsonl", answers, show_reference=True, rater=HOSTILE["script"][:60]
    ) as address:
        window = Window(browser, width)
        page = window.page
        page.goto(address)
        for k, (kind, text) in enumerate(HOSTILE.items(), 1):
            window.sees(f"Answer {k} of {len(answers)}")
            shown = page.locator("#response").evaluate("e => e.textContent")
            if kind == "control":
                assert shown.endswith("\u2028\u2029\ufeff\ufff9 end")
                assert not set(map(ord, shown)) & {*range(9), *range(11, 32), *range(127, 160)}
            else:
                assert shown == (text or "(The answer is empty.)")
            assert page.locator("#response *").count() == 0
            assert page.locator("#response").get_attribute("dir") == "auto"
            assert page.title() == "Rate answers"
            window.fits()
            assert page.evaluate("e => document.querySelector('#reading').scrollTop") == 0
            if kind == "lines":
                assert page.locator("#question").evaluate("e => e.clientHeight") < 320
                window.press("End")
                for _ in range(100):  # the browser scrolls smoothly
                    page.wait_for_timeout(100)
                    if page.locator("#reading").evaluate("e => e.scrollTop") > 10_000:
                        break
                else:
                    pytest.fail("the key End does not scroll the answer")
            window.press(str(1 + k % 5))
        window.sees("All answers are rated")
        window.was_quiet(address)


def test_other_scales(browser: Any, tmp_path: Path) -> None:
    answers = [ToRate(str(k), "?", "!") for k in range(3)]
    for scale, keys, ratings in (
        ((1, 10), ["0", "1", "9"], [10, 1, 9]),
        ((-2, 2), ["1", "5", "3"], [-2, 2, 0]),
        ((0, 9), ["0", "9", "5"], [0, 9, 5]),
    ):
        path = tmp_path / f"{scale}.jsonl"
        with served(path, answers, scale, rater="Ann") as address:
            window = Window(browser)
            window.page.goto(address)
            for k, key in enumerate(keys, 1):
                window.sees(f"Answer {k} of 3")
                window.press(key)
            window.sees("All answers are rated")
            assert [rating for _, rating, _ in given(path)] == ratings
            window.was_quiet(address)
    with served(tmp_path / "hundred.jsonl", answers, (0, 100), rater="Ann") as address:
        window = Window(browser, 360)
        window.page.goto(address)
        for k, typed in enumerate(("7", "100", "0"), 1):
            window.sees(f"Answer {k} of 3")
            window.page.keyboard.type(typed)
            window.press("Enter")
        window.sees("All answers are rated")
        assert [rating for _, rating, _ in given(tmp_path / "hundred.jsonl")] == [7, 100, 0]
        window.was_quiet(address)


TWICE = """() => {
  for (let times = 0; times < 2; times += 1) {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "4", bubbles: true }));
  }
}"""


def test_two_windows_two_people_and_a_server_that_is_gone(browser: Any, tmp_path: Path) -> None:
    answers, path = [ToRate(str(k), "?", f"{k}!") for k in range(4)], tmp_path / "r.jsonl"
    with served(path, answers) as address:
        one, two = Window(browser), Window(browser)
        for window in (one, two):
            window.page.goto(f"{address}?rater=ann")
            window.sees("Answer 1 of 4")
        one.press("2")
        one.sees("Answer 2 of 4")
        two.press("3")  # it still shows the first answer
        two.sees("Answer 2 of 4")
        assert given(path) == [("0", 3, "")]
        two.page.goto(address)
        two.page.get_by_role("button", name="ann").click()
        two.sees("Answer 2 of 4")
        two.page.goto(f"{address}?rater=bob")
        two.sees("Answer 1 of 4")
        two.press("5")
        two.sees("Answer 2 of 4")
        assert given(path) == [("0", 3, ""), ("0", 5, "")]
        one.page.evaluate(TWICE)  # the second is too fast to be meant for what comes next
        one.sees("Answer 3 of 4")
        two.was_quiet(address)
    one.press("1")
    one.page.locator("#said.wrong", has_text="Not saved: the server does not answer").wait_for()
    one.sees("Answer 3 of 4")
    assert [rating for _, rating, _ in given(path)] == [3, 5, 4]
    one.page.close()


@pytest.mark.long
def test_two_thousand_real_answers(browser: Any, data: Path, tmp_path: Path) -> None:
    answers, path = real_answers(data, 2000), tmp_path / "r.jsonl"
    with served(path, answers, rater="Ann") as address:
        window = Window(browser)
        window.page.goto(address)
        for k in range(1, 201):
            window.sees(f"Answer {k} of 2000")
            window.press(str(1 + k % 5))
        window.sees("Answer 201 of 2000")
        window.press("u")
        window.sees("Answer 200 of 2000")
        window.was_quiet(address)
    expected = [(answer.id, 1 + k % 5, "") for k, answer in enumerate(answers[:199], 1)]
    assert given(path) == expected
