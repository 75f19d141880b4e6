"""Every verb of the library gives what its command gives."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import selfj_eval as selfj
from selfj_eval import alpaca, collect, data
from selfj_eval.cli import main
from selfj_eval.demo import JUDGE_DIR, write_ladder
from selfj_eval.harness.installation import examine
from selfj_eval.jobs.results import Result
from selfj_eval.records.writing import write_rows

CHANGING = {"seconds", "made", "command", "bytes"}
"""Keys that differ from run to run; what is below them is not compared."""


class Case(NamedTuple):
    """A verb, called both ways with equal arguments in two folders of equal content."""

    argv: str
    call: Callable[[], Result]
    needs: str | None = None
    """A package without which it cannot run."""
    data: str | None = None
    """The fixture whose folder SELFJ_DATA names."""
    status: int = 0
    """What the command ends with."""
    before: Callable[[], object] = lambda: None
    """What makes the rest of its input."""


def _scored() -> None:
    """Scores of two judges."""
    rated = [record for record in selfj.read_records("answers.jsonl") if record.response]
    selfj.score(rated, judge="demo", output="one.jsonl")
    selfj.score(rated, judge="length", output="two.jsonl")


def _two_models() -> None:
    """Scores of two models' answers to the same instructions."""
    rows = [
        {
            "id": f"{m}{k}",
            "model": m,
            "instruction": f"{k}?",
            "response": m,
            "rating": (k + ord(m)) % 5,
        }
        for k in range(12)
        for m in "ab"
    ]
    selfj.score(rows, judge="length", output="models.jsonl")


def _two_files() -> None:
    """Two models' answers to the same instructions, without scores."""
    for name in "ab":
        rows = [{"id": k, "instruction": f"{k}?", "response": name * (k + 1)} for k in range(12)]
        write_rows(f"{name}.jsonl", rows)


def _partly_rated() -> None:
    """Scores of which every fourth has a rating."""
    _scored()
    lines = Path("one.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    write_rows(
        "part.jsonl", [r if k % 4 == 0 else r | {"rating": None} for k, r in enumerate(rows)]
    )


def _answers_in_pairs() -> None:
    """Pairs, and a template that shows both answers."""
    answers = [{"response_a": "It is 5.", "response_b": "No idea."}, {"response_a": "3"}]
    answers[1]["response_b"] = "It is 4, since 3 + 1 = 4."
    rows = [
        {"id": str(k), "instruction": f"{k + 2} + 1 = ?"} | own for k, own in enumerate(answers)
    ]
    write_rows("pairs.jsonl", [row | {"label": "AB"[k]} for k, row in enumerate(rows)])
    Path("pair.yaml").write_text(
        'without_reference: "Q: {instruction} 1: {response_a} 2: {response_b} Better: "\n'
        'labels: {"1": 1, "2": 0}\n'
    )


def _policy() -> None:
    _scored()
    selfj.select("one.jsonl", max_risk=0.9, all_answers=True, output="policy.json")


def _evaluation() -> None:
    _scored()
    selfj.evaluate("one.jsonl", resamples=20).to_json("evaluation.json")


def _labelled() -> None:
    selfj.label("answers.jsonl", source="rating", output="pairs")


def _adapter() -> None:
    """A LoRA adapter of the demo judge that changes something."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(0)
    model = AutoModelForCausalLM.from_pretrained(JUDGE_DIR)
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(model, settings).save_pretrained("adapter")


PUBLISHED = {"model": "me/m", "dataset": "own/set", "output": "export"}
COLLECT = "--from downloads --sources qasc,mbpp --evaluation none"
STEPS = "--max-steps 2 --batch-size 4 --gradient-accumulation 1"
PAIRS = {"train_ref": "pairs.ref.jsonl", "train_noref": "pairs.noref.jsonl"}
FEW: dict[str, Any] = {"max_steps": 2, "batch_size": 4, "gradient_accumulation": 1}
BENCH: dict[str, Any] = {"judge": ["length", "tfidf"], "output": "table"}

CASES = {
    "score": Case(
        "score answers.jsonl --judge demo --limit 40",
        lambda: selfj.score("answers.jsonl", judge="demo", limit=40),
    ),
    "evaluate": Case(
        "eval one.jsonl --resamples 20 --good-at 5 --csv metrics.csv",
        lambda: selfj.evaluate("one.jsonl", resamples=20, good_at=5, csv="metrics.csv"),
        before=_scored,
    ),
    "compare": Case(
        "compare one.jsonl two.jsonl --resamples 20",
        lambda: selfj.compare("one.jsonl", "two.jsonl", resamples=20),
        before=_scored,
    ),
    "worst": Case(
        "worst one.jsonl --n 5 --by rating",
        lambda: selfj.worst("one.jsonl", n=5, by="rating"),
        before=_scored,
    ),
    "check": Case(
        "check one.jsonl --require mean_score>=1 --require spearman>=0.1 --baseline one.jsonl "
        "--no-worse 0 --resamples 20 --junit check.xml --markdown check.md",
        lambda: selfj.check(
            "one.jsonl",
            require=["mean_score>=1", "spearman>=0.1"],
            baseline="one.jsonl",
            no_worse=0,
            resamples=20,
            junit="check.xml",
            markdown="check.md",
        ),
        before=_scored,
    ),
    "check, broken": Case(
        "check one.jsonl --require mean_score>=8.9 --point",
        lambda: selfj.check("one.jsonl", require=["mean_score>=8.9"], point=True),
        before=_scored,
        status=1,
    ),
    "view": Case(
        "view one.jsonl two.jsonl --scale 0 9",
        lambda: selfj.view(["one.jsonl", "two.jsonl"], scale=(0, 9)),
        needs="fastapi",
        before=_scored,
    ),
    "compare, models": Case(
        "compare models.jsonl --by rating",
        lambda: selfj.compare("models.jsonl", by="rating"),
        before=_two_models,
    ),
    "compare, answers": Case(
        "compare a.jsonl b.jsonl --judge length --output scores.jsonl",
        lambda: selfj.compare("a.jsonl", "b.jsonl", judge="length", output="scores.jsonl"),
        before=_two_files,
    ),
    "rate": Case(
        "rate answers.jsonl --output ratings.jsonl --scale 1 5",
        lambda: selfj.rate("answers.jsonl", output="ratings.jsonl", scale=(1, 5)),
    ),
    "plan": Case(
        "plan part.jsonl --budget 10 --design stratified --output plan.jsonl",
        lambda: selfj.plan("part.jsonl", budget=10, design="stratified", output="plan.jsonl"),
        before=_partly_rated,
    ),
    "estimate": Case(
        "estimate part.jsonl --good-at 5 --predictors score",
        lambda: selfj.estimate("part.jsonl", good_at=5, predictors="score"),
        before=_partly_rated,
    ),
    "report": Case(
        "report one.jsonl two.jsonl --output report.html --resamples 20 --title T --no-texts",
        lambda: selfj.report(
            ["one.jsonl", "two.jsonl"], output="report.html", resamples=20, title="T", texts=False
        ),
        needs="matplotlib",
        before=_scored,
    ),
    "select, choose": Case(
        "select one.jsonl --max-risk 0.9 --all-answers",
        lambda: selfj.select("one.jsonl", max_risk=0.9, all_answers=True),
        before=_scored,
    ),
    "select, none": Case(
        "select one.jsonl --max-risk 0.01",
        lambda: selfj.select("one.jsonl", max_risk=0.01),
        before=_scored,
        status=1,
    ),
    "select, apply": Case(
        "select one.jsonl --policy policy.json",
        lambda: selfj.select("one.jsonl", policy="policy.json"),
        before=_policy,
    ),
    "audit": Case(
        "audit policy.json one.jsonl --confidence 0.9",
        lambda: selfj.audit("policy.json", "one.jsonl", confidence=0.9),
        before=_policy,
    ),
    "best_of": Case(
        "best-of one.jsonl --output best.json --name best --curve curve.csv --n 3",
        lambda: selfj.best_of("one.jsonl", output="best.json", name="best", curve="curve.csv", n=3),
        before=_scored,
    ),
    "prefer": Case(
        "prefer pairs.jsonl --judge demo --template pair.yaml --pointwise self-j "
        "--output out.jsonl --resamples 20",
        lambda: selfj.prefer(
            "pairs.jsonl",
            judge="demo",
            template="pair.yaml",
            pointwise="self-j",
            output="out.jsonl",
            resamples=20,
        ),
        before=_answers_in_pairs,
    ),
    "leaderboard": Case(
        "leaderboard evaluation.json --output board.csv --markdown board.md",
        lambda: selfj.leaderboard("evaluation.json", output="board.csv", markdown="board.md"),
        before=_evaluation,
    ),
    "export": Case(
        "export one.jsonl --format eval-results --output export --model me/m --dataset own/set "
        "--task t",
        lambda: selfj.export("one.jsonl", format="eval-results", task="t", **PUBLISHED),
        before=_scored,
    ),
    "export, evaluation": Case(
        "export evaluation.json --format every-eval-ever --output export --model me/m "
        "--dataset own/set --organization me --relationship other",
        lambda: selfj.export(
            "evaluation.json",
            format="every-eval-ever",
            organization="me",
            relationship="other",
            **PUBLISHED,
        ),
        before=_evaluation,
    ),
    "push": Case(
        f"push {JUDGE_DIR} --to hf://me/judge --dry-run",
        lambda: selfj.push(JUDGE_DIR, to="hf://me/judge", dry_run=True),
    ),
    "generate": Case(
        "generate answers.jsonl --model demo --limit 3 --max-new-tokens 4 --output a.jsonl",
        lambda: selfj.generate(
            "answers.jsonl", model="demo", limit=3, max_new_tokens=4, output="a.jsonl"
        ),
    ),
    "label": Case(
        "label answers.jsonl --source rating --output pairs",
        lambda: selfj.label("answers.jsonl", source="rating", output="pairs"),
        status=1,
    ),
    "train_judge": Case(
        f"train judge --base {JUDGE_DIR} --train-ref pairs.ref.jsonl --train-noref "
        f"pairs.noref.jsonl --output judge {STEPS}",
        lambda: selfj.train_judge(base=JUDGE_DIR, output="judge", **PAIRS, **FEW),
        before=_labelled,
    ),
    "train_sft": Case(
        f"train sft --base {JUDGE_DIR} --train pairs.ref.jsonl --output m --max-tokens 512 {STEPS}",
        lambda: selfj.train_sft(
            base=JUDGE_DIR, train="pairs.ref.jsonl", output="m", max_tokens=512, **FEW
        ),
        needs="trl",
        before=_labelled,
    ),
    "merge": Case(
        "merge --adapter adapter --output merged",
        lambda: selfj.merge(adapter="adapter", output="merged"),
        before=_adapter,
    ),
    "bench": Case(
        "bench --judge length,tfidf --data answers.jsonl --output table --resamples 20",
        lambda: selfj.bench("answers.jsonl", resamples=20, **BENCH),
    ),
    "bench, robust": Case(
        "bench --robust --judge length,tfidf --data answers.jsonl --output table --limit 5",
        lambda: selfj.bench("answers.jsonl", robust=True, limit=5, **BENCH),
    ),
    "ladder": Case(
        "ladder --output ladder.csv --instructions 3 --seed 4",
        lambda: write_ladder(output="ladder.csv", instructions=3, seed=4),
    ),
    "doctor": Case("doctor", examine),
    "alpaca.evaluate": Case(
        "alpaca evaluate mine.json --judge demo --output board --baseline base.json",
        lambda: alpaca.evaluate("mine.json", judge="demo", baseline="base.json", output="board"),
        needs="alpaca_eval",
    ),
    "alpaca.rank": Case(
        "alpaca rank --judge length --judge demo --output ranking --resamples 20",
        lambda: alpaca.rank(judge=["length", "demo"], output="ranking", resamples=20),
        needs="matplotlib",
        data="small_pack",
    ),
    "alpaca.table": Case("alpaca table", alpaca.table, needs="alpaca_eval", data="data"),
    "alpaca.config": Case(
        "alpaca config --judge demo --output annotator --temperature 0.5",
        lambda: alpaca.config(judge="demo", output="annotator", temperature=0.5),
        needs="alpaca_eval",
        data="data",
    ),
    "collect.run": Case(
        f"collect run --output made --workers 1 {COLLECT}",
        lambda: collect.run(
            output="made", origin="downloads", workers=1, sources=["qasc", "mbpp"], evaluation=()
        ),
        needs="py3langid",
        status=1,
    ),
    "collect.sample": Case(
        "collect sample collection --n 3 --category Common --output sample.csv --seed 2",
        lambda: collect.sample("collection", n=3, category=["Common"], output="sample.csv", seed=2),
    ),
    "collect.stats": Case(
        "collect stats collection --sample 0",
        lambda: collect.stats("collection", sample=0),
        needs="matplotlib",
    ),
    "data.list": Case("data list", data.list),
    "data.verify": Case("data verify mtbench", lambda: data.verify("mtbench")),
    "data.get": Case(
        "data get mtbench --from downloads --to data",
        lambda: data.get("mtbench", origin="downloads", to="data"),
        status=1,
    ),
}


LONG = {"alpaca.rank", "alpaca.table"}
"""Those that take the stored outputs of all models, or compute every win rate again."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long) if n in LONG else n for n in CASES],
)
def test_a_verb_gives_what_its_command_gives(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    case = CASES[name]
    for page in ("rate", "view"):  # ended at once
        monkeypatch.setattr(f"selfj_eval.workbench.{page}.serve_page", lambda *_: None)
    if case.needs is not None:
        pytest.importorskip(case.needs)
    if case.data is not None:
        monkeypatch.setenv("SELFJ_DATA", str(request.getfixturevalue(case.data)))
    files = {}
    for way in ("command", "verb"):
        folder = tmp_path / way / "work"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        _inputs(folder)
        case.before()
        capsys.readouterr()
        if way == "command":
            assert main([*shlex.split(case.argv), "--json"]) == case.status
            given = json.loads(capsys.readouterr().out.replace(str(folder), "."))
        else:
            result = case.call()
            text = json.dumps(result.document()).replace(str(folder), ".")
            assert _lasting(json.loads(text)) == _lasting(given)
            assert str(result) and result._repr_html_()
            assert len(result.to_frame()) == len(result.rows())
        files[way] = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files["verb"] == files["command"]


def _inputs(folder: Path) -> None:
    """What the cases read."""
    assert main(["ladder", "--output", str(folder / "answers.jsonl"), "--instructions", "10"]) == 0
    for name, answer in (("base", "5"), ("mine", "It is 5.")):
        row = {"instruction": "What is 2 + 3?", "output": answer, "generator": name}
        (folder / f"{name}.json").write_text(json.dumps([row]))
    questions = [f"What is it that falls as snow in winter, number {k}?" for k in range(5)]
    downloads = folder / "downloads" / "qasc"
    downloads.mkdir(parents=True)
    lines = [json.dumps({"question": question}) + "\n" for question in questions]
    (downloads / "part.jsonl").write_text("".join(lines))
    common = folder / "collection" / "Common"
    common.mkdir(parents=True)
    rows = [
        {"id": f"q-{k}", "instruction": text, "source": "quora", "category": "Common"}
        for k, text in enumerate(questions)
    ]
    write_rows(common / "quora.parquet", rows)
    (folder / "collection" / "summary.json").write_text('{"kind": "selfj-collection"}')


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in CHANGING}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
