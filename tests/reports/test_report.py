"""The report: what stands in it, what cannot harm it, and how a browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfj_eval.cli import main
from selfj_eval.evaluation.evaluate import evaluate
from selfj_eval.judging.scored import Scores, read_scores
from selfj_eval.reports.answers import EXPANDED, LOWEST, TEXT_LIMITS
from selfj_eval.reports.report import report as reported
from selfj_eval.reports.texts import label, visible

FAST: dict[str, Any] = {"resamples": 20}


def report(judges: list[Scores], **options: Any) -> str:
    """The page."""
    return reported(judges, **FAST, **options).html


Jsonl = Callable[..., Path]
NASTY = {
    "script": "<script>document.title = 'owned'</script><img src=x onerror=\"alert(1)\">",
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} </div></details></table></html>",
    "control": "".join(map(chr, range(32))) + "\x7f\x80\x9b31m\u2028\u2029\ufeff\ufff9",
    "right to left": "\u202e\u2066 turned \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "long": "x" * 100_000,
    "wide": "<" * 50_000,
}


def rows(n: int, seed: int = 0, **extra: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        rating = int(rng.integers(1, 11))
        score = float(np.clip(0.9 * (rating - 1) + rng.normal(0, 2), 0, 9))
        row = {"id": str(k), "score": score, "rating": rating, "rating_min": 1, "rating_max": 10}
        texts = {"instruction": f"Instruction {k // 5}. " * 20, "response": "Some words. " * 80}
        made.append(row | texts | {"category": f"kind {k % 9}", "model": f"m{k % 3}"} | extra)
    return made


def nasty_rows(n: int = 40) -> list[dict[str, Any]]:
    """Every nasty text as answer, name, category and id, in the records that a report shows."""
    made = rows(n)
    for k, row in enumerate(made):
        text = list(NASTY.values())[k % len(NASTY)]
        row |= {"score": 9.0 if k % 2 else 0.0, "rating": 1 if k % 2 else 10}
        row |= {"id": f"{k}{text[:200]}", "response": text, "reference": text}
        row |= {"instruction": text, "category": text[:300], "model": text[:300]}
    return made


class Tags(HTMLParser):
    """All tags and attributes of a page, and whether they are closed as they were opened."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_size_and_content_with_three_judges(jsonl: Jsonl) -> None:
    """1,000 records and three judges stay under 340 kB, long texts and many categories included."""
    files = []
    for seed in range(3):
        made = rows(1000)
        noise = np.random.default_rng(seed).normal(0, 1 + seed, 1000)
        for k, row in enumerate(made):
            row["score"] = float(np.clip(row["score"] + noise[k], 0, 9))
            row["response"] = f"A long answer {k} & more <b>. " * 200
            row["reference"] = "A long reference. " * 200
            row["category"] = f"category number {k % 60}"
        made[5] |= {"score": None, "error": "no digit"}
        files.append(jsonl(*made, name=f"judge{seed}.jsonl"))
    judges = [read_scores(f) for f in files]
    page = report(judges)
    assert len(page.encode()) < 340_000
    tags = Tags(page)
    text = " ".join(" ".join(tags.text).split())
    for k, scores in enumerate(judges):
        document = evaluate(scores, **FAST).to_dict()
        for name in ("spearman", "augrc", "ece"):
            metric = document["headline"][name]
            if name == "ece":
                assert "low" not in metric
                assert f"{metric['value']:.3f}" in text
                continue
            shown = [f"{metric[key]:.3f}" for key in ("value", "low", "high")]
            assert f"{shown[0]} {shown[1]} to {shown[2]}" in text
        assert f"judge{k} : 1,000 answers, 999 scored, 1 unscored ; 999 with score" in text
        assert document["provenance"]["scores_sha256"] in text
    for pair in ("judge0 minus judge1", "judge0 minus judge2", "judge1 minus judge2"):
        assert pair in text
    # A figure has a name for those who do not see it, and its numbers stand in a table.
    pictures = [attrs for _, attrs in tags.seen if attrs.get("role") == "img"]
    assert len(pictures) == 8  # risk, forest, and reliability and distribution of each judge
    assert all(len(str(attrs["aria-label"])) > 40 for attrs in pictures)
    assert sum(tag == "svg" for tag, _ in tags.seen) == 8
    ids = [attrs["id"] for _, attrs in tags.seen if "id" in attrs]
    assert len(set(ids)) == len(ids) > 8
    assert "At most the 40 largest categories are shown" in text


def test_nothing_can_run_or_load(jsonl: Jsonl) -> None:
    page = report([read_scores(jsonl(*nasty_rows(), name="a.jsonl"))], title=NASTY["script"])
    tags = Tags(page)
    assert {tag for tag, _ in tags.seen}.isdisjoint({"script", "img", "iframe", "object", "embed"})
    for tag, attrs in tags.seen:
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        for name in ("href", "xlink:href", "src", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, attrs)
        assert "url(" not in str(attrs.get("style")) or "url(#" in str(attrs["style"])
    policy = next(a["content"] for t, a in tags.seen if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "{{ 7 * 7 }}" in "".join(tags.text)
    allowed = {"\n", "\t"}
    assert not [c for c in page if (ord(c) < 32 or 0x7F <= ord(c) < 0xA0) and c not in allowed]
    assert not set(page) & set("\u202e\u2066\u2028\u2029")
    longest = max(len(text) for text in tags.text)
    assert longest < 20_000
    assert "(the last 99,000 characters are not shown)" in page


def test_names_and_numbers_in_figures_are_left_as_they_are(jsonl: Jsonl) -> None:
    made = [row | {"category": f"v1.2345{k % 3} #010101"} for k, row in enumerate(rows(300))]
    for row in made:  # hardly an answer is bad: the axis of the risk needs its digits
        row |= {"rating": 10} if row["id"] not in ("3", "7") else {"rating": 1, "score": 0.0}
    page = report([read_scores(jsonl(*made, name="a.jsonl"))])
    figures = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    shown = [re.findall(r"<text[^>]*>([^<]*)</text>", figure) for figure in figures]
    ticks = [text for text in shown[0] if re.fullmatch(r"0\.\d{3,}", text)]
    assert len(set(ticks)) == len(ticks) > 2
    assert {f"v1.2345{k} #010101" for k in range(3)} <= set(shown[-1])


def test_models_have_a_section(jsonl: Jsonl) -> None:
    page = " ".join(Tags(report([read_scores(jsonl(*rows(90), name="a.jsonl"))])).text)
    assert "mean of the models" in page
    assert all(f"m{k}" in page for k in range(3))


def test_raters_and_verdicts_have_a_section(jsonl: Jsonl) -> None:
    made = rows(90)
    for k, row in enumerate(made):
        row |= {"rating_min": 0, "rating_max": 9, "rating": None, "instruction": f"question {k}"}
        row["ratings"] = {f"<b>rater {j}": (k * 7 + j * (k % 3)) % 10 for j in range(3)}
        if k % 9 == 0:
            row["ratings"] = {}
    run = {"judge": {"template": "default"}}
    scores = replace(read_scores(jsonl(*made, name="a.jsonl")), run=run)
    found = evaluate(scores, **FAST)
    page = report([scores])
    text = " ".join(" ".join(Tags(page).text).split())
    assert "3 raters, 80 answers ( a )" in text
    assert "<b>rater 2" in text and "<b>rater" not in page
    assert found.raters is not None
    alpha, rate = found.raters.alpha.interval, found.raters.judge.rmse.winning_rates["0.2"]
    shown = f"{alpha.value:.3f} {alpha.low:.3f} to {alpha.high:.3f}"
    assert f"Krippendorff's alpha, interval scale {shown}" in text
    advantage = found.raters.judge.rmse.advantage.value
    assert re.search(rf"close ratings \(RMSE\) {advantage:.3f}( \S+){{2}} {rate.value:.3f}", text)
    corrected = found.binary.corrected
    assert f"good from score {found.binary.score_cut:.3f} on" in text
    assert "of 10 answers without a rating: judged good" in text
    if corrected.value is not None:
        assert f"(Rogan-Gladen) {corrected.value:.3f}" in text
    alone = report([read_scores(jsonl(*rows(30), name="b.jsonl"))])
    assert 'id="raters"' not in alone and 'id="verdict"' in alone


def lowest_of(page: str) -> str:
    """The section of the lowest scores."""
    return page.partition('<h2 id="lowest">Lowest scores</h2>')[2].partition("<h2 ")[0]


def test_the_lowest_unrated_answers_can_be_read_beside_their_references(jsonl: Jsonl) -> None:
    made = rows(60)
    for k, row in enumerate(made):
        row |= {"score": 1 + k / 10, "response": f"<i>answer {k}</i>", "reference": f"better {k}"}
        if k % 2:
            row["rating"] = None
    made[1] |= {"response": "a" * 1000 + "b" * 200 + "END"}
    made[3] |= {"response": "c" * 9000}
    made[59] |= {"score": None, "error": "no digit"}
    path = jsonl(*made[::-1], name="a.jsonl")
    section = lowest_of(report([read_scores(path)]))
    text = " ".join(" ".join(Tags(section).text).split())
    assert f"The {LOWEST} lowest of 29 answers without a rating; 1 unscored answer is not" in text
    scores = [float(found) for found in re.findall(r"score (\d\.\d\d) ", text)]
    assert scores == pytest.approx([1 + k / 10 for k in range(1, 21, 2)])
    assert "<i>answer 5</i>" in text and "<i>" not in section
    cells = [a["aria-label"] for tag, a in Tags(section).seen if a.get("class") == "text"]
    assert cells[:3] == ["instruction", "response", "reference"]
    assert "better 5" in text and "answer 6" not in text
    assert "203 more characters" in text and "END" in text
    assert "4,000 more characters" in text  # of 8,000: the page stays small
    assert f"(the last {9000 - EXPANDED:,} characters are not shown)" in text
    hidden = lowest_of(report([read_scores(path)], texts=False))
    assert "answer 5" not in hidden and "score 1.50" in hidden


def test_the_lowest_answers_of_files_with_and_without_ratings(jsonl: Jsonl) -> None:
    rated = jsonl(*rows(30), name="rated.jsonl")
    assert lowest_of(report([read_scores(rated)])) == ""
    bare = jsonl(*[row | {"rating": None} for row in rows(30)], name="bare.jsonl")
    section = lowest_of(report([read_scores(rated), read_scores(bare)]))
    assert "lowest of 30 answers without a rating" in section
    assert "<bdi>bare</bdi>" in section and "<bdi>rated</bdi>" not in section
    few = jsonl(*[row | {"rating": None} for row in rows(3)], name="few.jsonl")
    assert "The 3 lowest of 3 answers without a rating." in lowest_of(report([read_scores(few)]))


def test_texts_can_be_left_out(jsonl: Jsonl) -> None:
    path = jsonl(*rows(40, response="SECRET words"), name="a.jsonl")
    assert "SECRET" in report([read_scores(path)])
    page = report([read_scores(path)], texts=False)
    assert "SECRET" not in page
    assert "Texts are not shown." in page


@pytest.mark.parametrize(
    "made",
    [
        [{"id": "1", "score": 3.0}],
        [{"id": "1", "score": 3.0, "rating": 4, "rating_min": 1, "rating_max": 5}],
        [
            {"id": str(k), "score": float(k), "rating": 4, "rating_min": 1, "rating_max": 5}
            for k in range(5)
        ],
        [{"id": "1", "score": None, "rating": 4, "error": "no digit"}],
        [{"id": str(k), "score": 40.0 + k, "rating": k * k} for k in range(20)],
    ],
    ids=["no rating", "one record", "equal ratings", "unscored", "other scales"],
)
def test_pages_of_little_data(jsonl: Jsonl, made: list[dict[str, Any]]) -> None:
    full = read_scores(jsonl(*rows(30), name="full.jsonl"))
    page = report([read_scores(jsonl(*made, name="little.jsonl")), full])
    Tags(page)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).lower().split()
    if made[0]["score"] is None:
        assert "Not comparable: " in page


def test_the_same_page_every_time(jsonl: Jsonl) -> None:
    made = rows(60)
    one = report([read_scores(jsonl(*made, name="a.jsonl"))])
    two = report([read_scores(jsonl(*made, name="a.jsonl"))])
    assert one == two


def test_a_users_matplotlib_settings_change_nothing(jsonl: Jsonl) -> None:
    import matplotlib

    scores = [read_scores(jsonl(*rows(60), name="a.jsonl"))]
    plain = report(scores)
    with matplotlib.rc_context({"figure.facecolor": "red", "font.size": 30, "axes.grid": False}):
        assert report(scores) == plain


def test_visible_texts() -> None:
    assert visible("a\x00b\x1b\x7f\n\tc", 99) == ("a\u2400b\u241b\u2421\n\tc", 0)
    assert visible("\u202eabc\u200b", 99) == ("⟨U+202E⟩abc⟨U+200B⟩", 0)
    assert visible("abcdef", 4) == ("abcd", 2)
    assert visible("שלום 漢字 é", 99) == ("שלום 漢字 é", 0)
    assert label("two\nlines  and more than there is room for") == "two lines and more than the…"
    assert set(TEXT_LIMITS) == {"instruction", "response", "reference"}


def test_rows_in_memory_are_one_judge_and_a_list_holds_several(jsonl: Jsonl) -> None:
    given = [{"id": str(k), "score": k % 7, "rating": k % 9} for k in range(60)]
    path = jsonl(*given)

    def used(judges: Any) -> list[int]:
        found = reported(judges, resamples=20)
        return [evaluation.counts.used for evaluation in found.evaluations.values()]

    for one in (given, tuple(given), list(read_scores(path).answers), iter(given), path):
        assert used(one) == [60]
    for several in ([given, given[:50]], (given, given[:50]), [path, given[:50]]):
        assert used(several) == [60, 50]


def test_command(jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, page = jsonl(*rows(30)), tmp_path / "r.html"
    assert main(["report", str(path), "--output", str(page), "--resamples", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == page.stat().st_size
    for arguments, message in (
        ([str(path), "--output", "r.pdf"], "unknown format; end the name in one of .html"),
        ([str(path), str(path), "--output", str(page)], "the same file is given twice"),
        ([str(path), "--output", str(tmp_path / "no" / "r.html")], "there is no folder"),
    ):
        assert main(["report", *arguments, "--resamples", "20"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
@pytest.mark.parametrize("kind", ["plain", "nasty"])
def test_in_a_browser(
    browser: Any, jsonl: Jsonl, tmp_path: Path, kind: str, width: int, scheme: str
) -> None:
    made = rows(90) if kind == "plain" else nasty_rows()
    made[::4] = [row | {"rating": None} for row in made[::4]]
    second = [row | {"score": 9 - row["score"]} for row in made]
    judges = [
        read_scores(jsonl(*r, name=f"{n}.jsonl")) for n, r in (("one", made), ("two", second))
    ]
    path = tmp_path / "report.html"
    path.write_text(report(judges, title="Two judges"), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.title() == "Two judges"
    assert said == []
    assert requests == [path.as_uri()]
    # Nothing sticks out: wide tables scroll in their own boxes.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => [...document.querySelectorAll('body *')]
        .filter(e => !e.closest('.scroll') && !e.closest('svg'))
        .filter(e => e.getBoundingClientRect().right > width + 1)
        .map(e => e.outerHTML.slice(0, 200))""",
        width,
    )
    assert outside == []
    # Letters in the figures lie within their pictures and are large enough to read.
    figures = page.evaluate(
        """() => [...document.querySelectorAll('svg')].map(svg => {
            const box = svg.getBoundingClientRect()
            const texts = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect())
            return {out: texts.filter(t => t.left < box.left - 8 || t.right > box.right + 8).length,
                    small: Math.min(...texts.map(t => Math.max(t.height, t.width)))}
        })"""
    )
    assert len(figures) >= 5
    assert all(f["out"] == 0 for f in figures), figures
    assert all(f["small"] >= 5 for f in figures), figures
    # Ink on paper, in both schemes.
    ink, paper = page.evaluate(
        "() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor] }"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brightness[0] < 200 and brightness[1] > 600) == (scheme == "light")
    assert abs(brightness[0] - brightness[1]) > 400
    page.close()
