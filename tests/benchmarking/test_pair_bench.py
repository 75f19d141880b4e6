"""``selfj bench --pairs``: accuracy on labelled pairs, alone and both answers at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import selfj_eval as selfj
from selfj_eval import DataError
from selfj_eval.cli import main


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairwise_template: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(pairwise_template)
    rows = [
        {
            "id": str(k),
            "instruction": f"Add {k // 2} and 1.",
            "response_a": f"It is {k}." * (k + 1),
            "response_b": "It is five, or so.",
            "label": ("A", "B", "tie", None)[k % 4],
        }
        for k in range(12)
    ]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_accuracies_are_those_of_prefer(
    tiny_judge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("bench", "--pairs", "--pairwise", "own.yaml", "--judge", f"length,{tiny_judge}"),
        *("--data", "mine.jsonl", "--output", "table", "--resamples", "20"),
    ]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(Path("table/pairs.json").read_text())
    assert found["unlabelled"] == {"mine": 3}
    length, judge = found["sets"]["mine"]
    # A has 8 (k + 1) characters, B 18: right for A at 4 and 8, and for B at 1.
    assert length["pointwise"]["accuracy"]["value"] == pytest.approx(3 / 6)
    assert length["pairwise"] is length["position_bias"] is None
    rows = [json.loads(line) for line in Path("mine.jsonl").read_text().splitlines()]
    labelled = [row for row in rows if row["label"] is not None]
    same = selfj.prefer(
        labelled, judge=str(tiny_judge), template="own.yaml", pointwise="self-j", resamples=20
    )
    assert same.pointwise is not None and same.difference is not None
    for way, expected in (("pairwise", same.pairwise), ("pointwise", same.pointwise)):
        assert judge[way]["accuracy"]["value"] == pytest.approx(expected.accuracy.value)
        assert judge[way]["with_ties"]["value"] == pytest.approx(expected.with_ties.value)
        assert judge[way]["cost"]["tokens"] == expected.cost.tokens > 0
    assert judge["difference"]["value"] == pytest.approx(same.difference.value)
    assert judge["position_bias"]["changed"]["value"] == same.position_bias.changed.value
    assert main([*command, "--json"]) == 0  # from the store
    again = json.loads(capsys.readouterr().out)["sets"]["mine"][1]
    assert again["pairwise"]["cost"]["prompts"] == again["pointwise"]["cost"]["prompts"] == 0
    assert again["pairwise"]["accuracy"] == judge["pairwise"]["accuracy"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "pairwise" in printed and "3 pairs without a label are skipped" in printed
    assert Path("table/pairs.md").read_text().count("| pointwise |") == 2


def test_a_judge_without_references_is_shown_none_in_either_way(
    tiny_judge: Path, pairwise_template: str
) -> None:
    shown = pairwise_template.replace("without_reference", "with_reference")
    shown = shown.replace("[One]", "[Known]\n  {reference}\n  [One]").partition("labels:")[0]
    Path("own.yaml").write_text(shown + pairwise_template)
    rows: Any = [json.loads(line) for line in Path("mine.jsonl").read_text().splitlines()]
    rows = [row | {"reference": "It is a number."} for row in rows]
    Path("raters.yaml").write_text(
        f"- {{name: free, rater: judge, model: {tiny_judge}, reference: false}}\n"
        f"- {{name: shown, rater: judge, model: {tiny_judge}}}\n"
    )

    def costs(pairs: Any) -> dict[str, list[int]]:
        found = selfj.bench(
            {"own": pairs}, judge="free,shown", raters="raters.yaml", pairs=True,
            pairwise="own.yaml", output="t" if "reference" in pairs[0] else "u", resamples=20,
        )  # fmt: skip
        return {
            row["rater"]: [row[way]["cost"]["tokens"] for way in ("pairwise", "pointwise")]
            for row in found.to_dict()["sets"]["own"]
        }

    referred = costs(rows)
    bare = costs([{k: v for k, v in row.items() if k != "reference"} for row in rows])
    assert referred["free"] == bare["free"]
    assert all(a > b for a, b in zip(referred["shown"], bare["shown"], strict=True))


def test_pairs_in_memory_by_the_name_of_their_set() -> None:
    rows: Any = [json.loads(line) for line in Path("mine.jsonl").read_text().splitlines()]
    found: Any = selfj.bench({"own": rows}, judge="length", pairs=True, output="t", resamples=20)
    assert found.to_frame()["accuracy"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"judge": "length+demo", "pairs": True}, "cannot be measured on pairs"),
        ({"judge": "length", "pairwise": "own.yaml"}, "is for sets of pairs: give `pairs`"),
        ({"judge": "length", "pairs": True, "robust": True}, "`robust` is not for pairs"),
        ({"judge": "length", "pairs": True, "metric": "spearman"}, "`metric` is not for pairs"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        selfj.bench("mine.jsonl", output="t", **options)
    assert not Path("t").exists()
