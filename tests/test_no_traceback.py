"""Bad input, in a file or on the command line, is one line and exit status 2."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfj_eval.cli import main
from selfj_eval.demo import JUDGE_DIR

DEEP, DEEP_OBJECTS = "[" * 50_000, '{"a": ' * 20_000
HUGE, LONG = "1" + "0" * 400, "7" * 5_000
QUICK = ["--resamples", "20"]
EXPORT = ["--format", "every-eval-ever", "--output", "x", "--model", "a/b", "--dataset", "d",
          "--organization", "o", "--relationship", "other"]  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"id": str(k), "instruction": f"Which {k}?", "response": f"This {k}.", "score": k / 4,
     "rating": k, "rating_min": 0, "rating_max": 9}
    for k in range(10)
]  # fmt: skip
OUTPUTS = [{"instruction": "Which?", "output": "This.", "generator": "one"}]
POLICY = {
    "kind": "selfj-policy", "threshold": 5, "max_risk": 0.5, "confidence": 0.5, "good_at": 6,
    "slope": 1, "intercept": 0, "calibration": {}, "judge": None,
}  # fmt: skip


@pytest.fixture
def line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command in a folder with sound files; the one line that it must end with."""
    monkeypatch.chdir(tmp_path)
    jsonl = "\n".join(map(json.dumps, ROWS))
    for name in ("scores.jsonl", "answers.jsonl"):
        Path(name).write_text(jsonl)
    Path("outputs.json").write_text(json.dumps(OUTPUTS))
    Path("q.json").write_text(json.dumps(POLICY | {"threshold": 0}))

    def run(*argv: object) -> str:
        capsys.readouterr()
        assert main([str(part) for part in argv]) == 2
        said = capsys.readouterr()
        (last,) = [text for text in said.err.splitlines() if "error" in text]
        assert last.startswith("selfj: error: ") and said.err.endswith(f"{last}\n")
        assert len(last) < 1200
        return last

    return run


def _write(path: str, text: str | bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())


EVALUATE = ["alpaca", "evaluate", "outputs.json", "--judge", "demo", "--baseline", "outputs.json"]
SETTINGS: dict[str, tuple[str, list[str]]] = {
    "policy": ("p.json", ["select", "scores.jsonl", "--policy", "p.json", "--output", "d.csv"]),
    "audit": ("p.json", ["audit", "p.json", "scores.jsonl"]),
    "state": ("s.json", ["audit", "q.json", "scores.jsonl", "--state", "s.json"]),
    "run file": ("scores.jsonl.run.json", ["eval", "scores.jsonl", *QUICK]),
    "exported run file": ("scores.jsonl.run.json", ["export", "scores.jsonl", *EXPORT]),
    "evaluation": ("e.json", ["export", "e.json", *EXPORT]),
    "rule": ("r.json", ["label", "answers.jsonl", "--rule", "r.json", "--output", "x",
                        "--judge", "demo"]),
    "judge training": ("c.yaml", ["train", "judge", "--config", "c.yaml"]),
    "tuning": ("c.yaml", ["train", "sft", "--config", "c.yaml"]),
    "raters": ("r.yaml", ["bench", "--raters", "r.yaml", "--judge", "x", "--data",
                          "answers.jsonl", "--output", "b"]),
    "manifest": ("m.yaml", ["alpaca", "table", "--manifest", "m.yaml"]),
    "results": ("results_1.json", ["leaderboard", "results_1.json", "--output", "l.csv"]),
    "annotator": ("a/configs.yaml", ["alpaca", "config", "--judge", "demo", "--output", "a"]),
    "leaderboard": ("e/leaderboard.csv", [*EVALUATE, "--output", "e"]),
    "answers": ("x.jsonl", ["score", "x.jsonl", "--judge", "demo"]),
    "array": ("x.json", ["eval", "x.json", *QUICK]),
    "outputs": ("o.json", ["alpaca", "evaluate", "o.json", "--judge", "demo", "--baseline",
                           "outputs.json", "--output", "e"]),
    "tuning data": ("x.jsonl", ["train", "sft", "--base", "demo", "--train", "x.jsonl",
                                "--output", "t"]),
}  # fmt: skip
DAMAGED: dict[str, str | bytes] = {
    "nested deeply": DEEP,
    "nested objects": DEEP_OBJECTS,
    "a huge number": f'{{"kind": {HUGE}, "id": {HUGE}}}',
    "5,000 digits": f'{{"kind": {LONG}}}',
    "a key twice": '{"kind": 1, "kind": 2}',
    "not UTF-8": b'{"kind": "\xff"}',
    "a number": "3",
    "an escape": '{"\\u001b[31mred\\u202e": "\\u001b[2J"}',
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("kind", SETTINGS)
def test_damaged_files_are_one_line(line: Callable[..., str], kind: str, damage: str) -> None:
    path, argv = SETTINGS[kind]
    if (kind, damage) == ("run file", "an escape"):
        pytest.skip("anything may stand beside what is read of it")
    _write(path, DAMAGED[damage])
    assert path in line(*argv) or kind in ("judge training", "tuning")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 3}, "p.json, field 'version': expected the version of selfj-eval"),
        ({"threshold": 10**400}, "p.json: is not JSON: the number 10000000000000000000... is too"),
        ({"threshold": "5"}, "p.json, field 'threshold': expected a number, got '5'"),
        ({"calibration": {"lowest_score": "a"}}, "field 'calibration.lowest_score': expected a"),
        ({"calibration": []}, "p.json, field 'calibration': expected an object"),
    ],
)
def test_policies(line: Callable[..., str], changes: dict[str, Any], said: str) -> None:
    _write("p.json", json.dumps(POLICY | changes))
    assert said in line("select", "scores.jsonl", "--policy", "p.json")


def test_a_config_of_another_version(line: Callable[..., str]) -> None:
    _write("c.yaml", "version: 3\nbase: demo\n")
    assert "c.yaml, field 'version': no such option" in _unknown(line)


def _unknown(line: Callable[..., str]) -> str:
    said = line("train", "judge", "--config", "c.yaml")
    return said if "c.yaml" in said else said.replace("field 'version'", "c.yaml, field 'version'")


@pytest.mark.parametrize("value", [10**400, -(10**400), [[]], {"a": []}, True, "\ud800", "x" * 99])
@pytest.mark.parametrize("field", ["score", "rating"])
def test_rows_of_a_wrong_type(line: Callable[..., str], field: str, value: Any) -> None:
    _write("x.jsonl", json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1] | {field: value}))
    assert f"x.jsonl, line 2, field '{field}'" in line("eval", "x.jsonl", *QUICK)


@pytest.mark.parametrize("field", ["id", "instruction", "response", "model", "input"])
def test_texts_that_are_none(line: Callable[..., str], field: str) -> None:
    for value in ([[[]]], {"a": {}}, "\ud800"):
        _write("x.jsonl", json.dumps(ROWS[0] | {field: value}))
        assert "x.jsonl, line 1" in line("score", "x.jsonl", "--judge", "demo")


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("log_probabilities = ?", (b"short",)),
        ("log_probabilities = ?", ("text",)),
        ("trimmed_tokens = ?", ("many",)),
        ("trimmed_tokens = ?", (-1,)),
    ],
)
def test_damaged_rows_of_a_store(
    line: Callable[..., str], columns: str, values: tuple[Any, ...]
) -> None:
    score = ["score", "answers.jsonl", "--judge", "demo", "--store", "s", "--output", "o.jsonl"]
    assert main(score) == 0
    with sqlite3.connect("s") as database:
        database.execute(f"UPDATE judgments SET {columns}", values)
    assert "judgment store s: what it keeps under" in line(*score)


@pytest.mark.parametrize("answers", ["[[1, 2]]", "{", "[" * 5000, '[["a"]]', 5])
def test_damaged_answers_of_a_store(line: Callable[..., str], answers: Any) -> None:
    generate = ["generate", "answers.jsonl", "--model", "demo", "--limit", "1"]
    generate += ["--max-new-tokens", "2", "--store", "s", "--output", "o.jsonl"]
    assert main(generate) in (0, 1)
    with sqlite3.connect("s") as database:
        database.execute("UPDATE answers SET answers = ?", (answers,))
    assert "answer store s: what it keeps under" in line(*generate)


def _folder(file: str, changes: dict[str, Any]) -> None:
    shutil.copytree(JUDGE_DIR, "judge")
    path = Path("judge", file)
    path.chmod(0o644)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("value", [-5, 0, "x", 1e400, None, True, [], 10**400])
def test_context_lengths(line: Callable[..., str], value: Any) -> None:
    _folder("config.json", {"max_position_embeddings": value})
    if value == 10**400:  # more than there is; the limit is our own
        assert main(["score", "answers.jsonl", "--judge", "judge"]) == 0
        return
    said = line("score", "answers.jsonl", "--judge", "judge")
    assert "max_position_embeddings" in said and "judge" in said


@pytest.mark.parametrize("value", [-5, "x", []])
def test_longest_texts_of_a_tokenizer(line: Callable[..., str], value: Any) -> None:
    _folder("tokenizer_config.json", {"model_max_length": value})
    assert "model_max_length in the tokenizer_config.json of judge must be a number of" in line(
        "score", "answers.jsonl", "--judge", "judge"
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% if false %}x{% endif %}", "it makes no text of a message"),
        ("{{ raise_exception('no\x1b[31m') }}", "cannot be filled in: no"),
        ("{% for %}", "cannot be filled in"),
        ("{{ 1 // 0 }}", "cannot be filled in"),
        (5, "chat_template"),
    ],
)
def test_chat_templates(line: Callable[..., str], template: Any, said: str) -> None:
    _folder("tokenizer_config.json", {"chat_template": template})
    generate = ["generate", "answers.jsonl", "--model", "judge", "--prompt", "chat"]
    last = line(*generate, "--output", "o.jsonl")
    assert said in last or isinstance(template, int)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("[1]", "is damaged"),
        ("[" * 50_000, "is damaged"),
        ('{"sets": {"x": {"sha256": 1, "rows": 2, "definition": "a"}}}', "is damaged"),
    ],
)
def test_records_of_data_sets(
    line: Callable[..., str], monkeypatch: pytest.MonkeyPatch, found: str, said: str
) -> None:
    from selfj_eval.registry import load_sets

    monkeypatch.setenv("SELFJ_DATA", "data")
    item = load_sets()[0]
    _write(f"data/{item.output}", b"x")
    _write(f"data/{item.pack}/registry.json", found)
    assert said in line("data", "list")


@pytest.mark.parametrize("summary", ["[]", "[" * 50_000, '{"sources": [{"name": 3}]}',
                                     '{"sources": 5}', f'{{"sources": [{HUGE}]}}'])  # fmt: skip
def test_summaries_of_collections(line: Callable[..., str], summary: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("id", "instruction", "source", "category")
    Path("c/Common").mkdir(parents=True)
    row = dict(zip(names, (["a"], ["Why?"], ["quora"], ["Common"]), strict=True))
    pq.write_table(pa.table(row), "c/Common/quora.parquet")
    _write("c/summary.json", summary)
    assert "c/summary.json" in line("collect", "stats", "c", "--output", "o")


def test_a_collection_that_is_not_utf8(line: Callable[..., str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wrong = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\x00\x00\x00\x00\x02\x00\x00\x00"), pa.py_buffer(b"\xff\xfe")
    )
    Path("c/Common").mkdir(parents=True)
    row = {"id": wrong, "instruction": wrong, "source": ["quora"], "category": ["Common"]}
    pq.write_table(pa.table(row), "c/Common/quora.parquet")
    _write("c/summary.json", "{}")
    said = line("collect", "sample", "c", "--n", "1", "--output", "o.jsonl")
    assert "c/Common/quora.parquet" in said and "is not a file of a collection" in said


@pytest.mark.parametrize("lines", ["win_rate\n", ",win_rate\none,x\n", ",win_rate\none,nan\n",
                                   ",win_rate\none,1\none,2\n", ',win_rate\n"one,1\n',
                                   ",win_rate\none\n"])  # fmt: skip
def test_leaderboards(line: Callable[..., str], lines: str) -> None:
    _write("e/leaderboard.csv", lines)
    assert "leaderboard.csv" in line(*EVALUATE, "--output", "e")


SCORE = ["score", "answers.jsonl", "--judge", "demo", "--output", "o.jsonl"]
EVAL = ["eval", "scores.jsonl"]
BENCH = ["bench", "--judge", "length", "--data", "answers.jsonl", "--output", "b"]
GENERATE = ["generate", "answers.jsonl", "--model", "demo", "--output", "o.jsonl"]
SFT = ["train", "sft", "--base", "demo", "--train", "answers.jsonl", "--output", "t"]


@pytest.mark.parametrize(
    "argv",
    [
        *([*SCORE, f"--{name}={value}"] for name in ("limit", "batch-tokens", "max-tokens")
          for value in (0, -1)),
        *([*EVAL, f"--resamples={n}"] for n in (-1, 0, 10**9)),
        [*EVAL, "--seed=-1"],
        *([*command, f"--{name}={value}"]
          for command in (EVAL, [*EVAL[:0], "select", "scores.jsonl", "--max-risk=0.5"])
          for name in ("good-at", "confidence") for value in ("nan", "inf", "-inf")),
        *(["select", "scores.jsonl", f"--max-risk={x}"] for x in ("nan", "0", "1", "1e-320")),
        *([*BENCH, f"--{name}=-1"] for name in ("limit", "resamples", "seed")),
        [*BENCH, "--confidence=nan"],
        *([*GENERATE, f"--{name}"] for name in ("n=0", "temperature=nan", "top-p=nan", "top-p=2",
          "max-new-tokens=0", "seed=-1", "batch-size=0", "limit=0")),
        *([*SFT, f"--{name}"] for name in ("learning-rate=nan", "epochs=inf", "batch-size=0",
          f"seed={10**12}", "lora-dropout=1", "warmup-ratio=nan")),
        ["ladder", "--output", "l.jsonl", "--instructions=0"],
        ["ladder", "--output", "l.jsonl", "--instructions=50001"],
    ],
    ids=lambda argv: " ".join(argv[0:1] + argv[-1:]),
)  # fmt: skip
def test_numbers_out_of_range(line: Callable[..., str], argv: list[str]) -> None:
    name = argv[-1].split("=")[0].removeprefix("--")
    said = line(*argv)
    assert any(form in said for form in (name, name.replace("-", "_"), name.replace("-", " ")))


@pytest.mark.parametrize("number", [10**30, 10**400, "7" * 5000, "1e3", "x"])
@pytest.mark.parametrize("argv", [[*SCORE, "--batch-tokens"], [*EVAL, "--resamples"],
                                  [*BENCH, "--seed"], [*GENERATE, "--n"],
                                  [*SFT, "--max-steps"]])  # fmt: skip
def test_numbers_that_are_none_or_beyond_all_use(
    line: Callable[..., str], capsys: pytest.CaptureFixture[str], argv: list[str], number: object
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*argv, str(number)])
    assert ended.value.code == 2  # as argparse says it
    assert argv[-1] in capsys.readouterr().err.splitlines()[-1]
