"""What a page begins with, and the results of other commands on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import selfj_eval as selfj
from selfj_eval.errors import DataError
from selfj_eval.evaluation.selection import Selection
from selfj_eval.jobs.results import Result
from selfj_eval.reports.report import Report, report

Jsonl = Callable[..., Path]
TRICK = "<b>model</b>"


def rows(n: int, seed: int = 0, bad: float = 0.4, **extra: Any) -> list[dict[str, Any]]:
    """One answer to each instruction, bad (0) or good (9); the score nearly says which."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        good = rng.random() > bad
        score = float(np.clip((6 if good else 2) + rng.normal(0, 1), 0, 9))
        row = {"id": f"{seed}-{k}", "score": score, "rating": 9 if good else 0, "rating_min": 0}
        text = {"instruction": f"question {seed} {k}", "response": "w" * int(rng.integers(5, 90))}
        made.append(row | {"rating_max": 9} | text | extra)
    return made


def text_of(page: str) -> str:
    """The words of a page."""

    class Words(HTMLParser):
        found: list[str]

        def handle_data(self, data: str) -> None:
            self.found.append(data)

    parser = Words()
    parser.found = []
    parser.feed(page.partition("</style>")[2])
    return " ".join(" ".join(parser.found).split())


def section(page: str, title: str) -> str:
    """The words of one section of results."""
    return text_of(
        "</style>" + page.partition(f'aria-label="{title}"')[2].partition("</section>")[0]
    )


def test_the_summary_says_what_the_numbers_are(jsonl: Jsonl) -> None:
    path = jsonl(*rows(200), name="judge.jsonl")
    found = report(path, resamples=100, max_risk=0.2)
    (summary,) = found.summaries
    (evaluation,) = found.evaluations.values()
    assert summary.agreement == evaluation.headline.spearman
    assert summary.coverage == evaluation.selective.coverage_at_risk["0.2"]
    assert (summary.beats, summary.against[0].rater) == ("yes", "answer length")
    share, bad = summary.coverage.value, 1 - evaluation.counts.good / 200
    assert share is not None and 0 < share < 1
    length = evaluation.length.score_length
    assert length.low is not None and length.low < 0 < (length.high or 0)
    words = text_of(found.html)
    for sentence in (
        evaluation.conclusion,
        f"{100 * bad:.3g} % of these answers are bad. Of the {100 * share:.3g} % with the highest "
        "scores, at most 20 % are.",
        "It is not shown that the scores depend on answer length (Spearman",
        "On this set, the judge beats answer length.",
        "It was not compared with TF-IDF cosine: no answer has a reference.",
        "Beats answer length on this set yes",
    ):
        assert sentence in words, sentence
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))["summaries"][0]
    assert (told["beats"], told["coverage"]["value"]) == ("yes", share)


@pytest.mark.parametrize(
    ("bad", "max_risk", "sentence"),
    [
        (0.02, 0.5, "so all can be accepted at 50 % risk"),
        (1.1, 0.1, "100 % of these answers are bad, and no threshold that accepts at least 1 % of"),
    ],
)
def test_all_or_nothing_can_be_accepted(
    jsonl: Jsonl, bad: float, max_risk: float, sentence: str
) -> None:
    found = report(jsonl(*rows(40, bad=bad)), resamples=20, max_risk=max_risk)
    assert sentence in " ".join(found.summaries[0].sentences)


def test_one_good_answer_in_front_is_no_coverage(jsonl: Jsonl) -> None:
    made = [row | {"rating": 9.0 * (k == 0), "score": 200.0 - k} for k, row in enumerate(rows(200))]
    found = report(jsonl(*made), resamples=20, max_risk=0.1)
    (summary,) = found.summaries
    assert summary.coverage.value == 1 / 200
    assert "accepts at least 1 % of them leaves at most 10 % bad" in " ".join(summary.sentences)
    assert "Coverage at 10 % risk under 1 % share" in text_of(found.html)


def test_longer_answers_with_higher_scores(jsonl: Jsonl) -> None:
    made = [row | {"response": "w" * int(1 + 100 * row["score"])} for row in rows(60)]
    (summary,) = report(jsonl(*made), resamples=20).summaries
    assert any(s.startswith("Longer answers get higher scores (Spearman 1") for s in
               summary.sentences)  # fmt: skip


def results(jsonl: Jsonl, folder: Path) -> dict[str, Any]:
    """A policy of 400 answers, an audit that refutes it, an estimate and a comparison."""
    run = {"judge": {"model": "some/judge", "identity": "x", "scale": "digits"}}
    first = jsonl(*rows(400), name="first.jsonl")
    second = jsonl(*[row | {"score": 9.0} for row in rows(150, seed=1)], name="second.jsonl")
    for path in (first, second):
        Path(f"{path}.run.json").write_text(json.dumps(run))
    selection = selfj.select(first, max_risk=0.15, output=folder / "policy.json")
    assert isinstance(selection, Selection) and selection.policy is not None
    audit = selfj.audit(folder / "policy.json", second)
    part = rows(400)
    part = [row if k % 5 == 0 else row | {"rating": None} for k, row in enumerate(part)]
    estimate = selfj.estimate(jsonl(*part, name="part.jsonl"))
    models = [row | {"model": TRICK} for row in rows(60)]
    models += [
        row | {"id": f"b{row['id']}", "model": "weak", "score": row["score"] / 2}
        for row in rows(60)
    ]
    compared = selfj.compare(jsonl(*models, name="models.jsonl"))
    found = {"audit": audit, "estimate": estimate, "models": compared}
    for name, result in found.items():
        assert isinstance(result, Result)
        result.to_json(folder / f"{name}.json")
    return found | {"policy": selection.policy, "selection": selection, "second": second}


def page_of(found: dict[str, Any], given: list[Any]) -> Report:
    return report(found["second"], resamples=20, results=given)


def test_results_of_other_commands_are_on_the_page(jsonl: Jsonl, tmp_path: Path) -> None:
    found = results(jsonl, tmp_path)
    files = [tmp_path / f"{name}.json" for name in ("models", "estimate", "audit", "policy")]
    page = page_of(found, files).html
    titles = ["What is promised", "Does the promise still hold?"]
    titles += ["All answers, estimated from some ratings", "Which model is better?"]
    assert re.findall(r'<h2 id="added-\d">(.*?)</h2>', page) == titles
    promise, audit, estimate, models = (section(page, title) for title in titles)

    (one,) = found["selection"].promises
    assert "Promised for accepted answers: at most 15 % bad, with 95 % confidence." in promise
    assert found["policy"].promise in promise
    assert f"{one.threshold:.3f} 400 (400) {one.accepted:,} (" in promise
    second = [json.loads(line) for line in Path(found["second"]).read_text().splitlines()]
    bad = sum(row["rating"] == 0 for row in second)
    assert f"150 150 (100 %) 150 {bad} ({100 * bad / 150:.1f} %)" in promise

    assert "THE PROMISE IS REFUTED with confidence 0.95" in audit and 'class="card alarm"' in page
    assert "an alarm has a probability of at most 5 %" in audit
    (watched,) = found["audit"].promises
    assert f"all answers 150 {watched.risk:.3f} {watched.evidence:.2f} 20" in audit

    assert found["estimate"].conclusion in estimate
    first = found["estimate"].estimates[0].combined
    numbers = f"{first.value:.3f} {first.interval.low:.3f} to {first.interval.high:.3f}"
    assert f"mean rating {numbers}" in estimate
    assert "ratings of 80 of them" in estimate

    assert found["models"].conclusions[0] in models and "is better than weak" in models
    assert f"{TRICK} minus weak" in models and TRICK not in page
    # The results themselves, as Python has them, give the same sections.
    objects = [found[name] for name in ("models", "estimate", "audit", "policy")]
    assert page_of(found, objects).html == page
    assert "What is promised" not in page_of(found, []).html


def test_a_promise_that_holds_is_no_alarm_and_other_judges_are_told(
    jsonl: Jsonl, tmp_path: Path
) -> None:
    results(jsonl, tmp_path)
    other = jsonl(*rows(60, seed=4), name="other.jsonl")
    audit = selfj.audit(tmp_path / "policy.json", other, state=tmp_path / "other.state.json")
    page = report(other, resamples=20, results=[tmp_path / "policy.json", audit]).html
    assert "No alarm: " in section(page, "Does the promise still hold?")
    assert "card alarm" not in page
    none = "no scores on this page are known to be by the judge of the policy"
    assert none in section(page, "What is promised")


def test_what_is_no_result_is_refused(jsonl: Jsonl, tmp_path: Path) -> None:
    found = results(jsonl, tmp_path)

    def refused(given: Any, *words: str) -> None:
        with pytest.raises(DataError) as caught:
            page_of(found, given)
        assert all(word in str(caught.value) for word in words), str(caught.value)

    def changed(name: str, change: Callable[[Any], None]) -> Path:
        value = json.loads((tmp_path / f"{name}.json").read_text())
        change(value)
        path = tmp_path / f"{name}-changed.json"
        path.write_text(json.dumps(value))
        return path

    state = f"{tmp_path / 'policy.json'}.audit.json"
    refused([state], "policy.json.audit.json: is the state of an audit; give", "`selfj audit`")
    refused([changed("audit", lambda v: v.pop("kind"))], "is no result for a report")
    damaged = changed("audit", lambda v: v["promises"][0].update(steps="many"))
    refused([damaged], "audit-changed.json, field 'promises[0].steps': expected a whole number")
    damaged = changed("estimate", lambda v: v["estimates"][0].pop("combined"))
    refused([damaged], "field 'estimates[0].combined': expected an object, got None")
    damaged = changed("models", lambda v: v.update(conclusions=None))
    refused([damaged], "field 'conclusions': expected a list")
    damaged = changed("models", lambda v: v.update(conclusions=[]))
    refused([damaged], "field 'conclusions': expected at least one sentence")
    selfj.select(jsonl(*rows(400), name="first.jsonl"), max_risk=0.3, output=tmp_path / "p2.json")
    audited = tmp_path / "audit.json"
    refused([tmp_path / "p2.json", audited], "audit.json: is the audit of another policy")
