"""Several files, a folder of logs, a pattern: read one after the other into one scores file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, evaluate, score


def row(n: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"Add {n} and 1.", "response": f"{n + 1}"} | more


def log(doc_id: int, answer: str) -> dict[str, Any]:
    request = {"gen_args_0": {"arg_0": f"Q{doc_id}?", "arg_1": {}}}
    return {
        "doc_id": doc_id, "doc": {}, "target": "t", "arguments": request, "resps": [[answer]],
        "filter": "none",
    }  # fmt: skip


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def put(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_files_with_ids_are_read_as_one(in_process: Any, tmp_path: Path) -> None:
    a = put(tmp_path / "a.jsonl", row(1, id="x"), row(2, id="y"))
    b = put(tmp_path / "b.jsonl", row(3, id="z"))
    done = in_process("selfj", "score", a, b, "--judge", "length")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "scores_a_and_1_more.jsonl"
    assert [r["id"] for r in written(output)] == ["x", "y", "z"]
    run = json.loads(Path(f"{output}.run.json").read_text())
    assert run["input_sha256"].keys() == {str(a), str(b)}
    put(b, row(3, id="x"))
    done = in_process("selfj", "score", a, b, "--judge", "length", "--output", tmp_path / "o.jsonl")
    assert done.returncode == 2
    assert f"{b}, line 1, field 'id': 'x' occurs twice, first in {a}, line 1" in done.stderr
    assert not (tmp_path / "o.jsonl").exists()


def test_files_without_ids_get_ids_that_name_the_file(tmp_path: Path) -> None:
    a = put(tmp_path / "a" / "x.jsonl", row(1), row(2))
    b = put(tmp_path / "b" / "x.jsonl", row(1))
    c = put(tmp_path / "c.jsonl", row(1))
    found = score([a, b], judge="length", output=tmp_path / "o.jsonl")
    assert [r["id"] for r in found.rows()] == ["a/x.jsonl:0", "a/x.jsonl:1", "b/x.jsonl:0"]
    assert any("ids begin with the names of the files" in said for said in found.notices)
    found = score([a, c], judge="length", output=tmp_path / "o.jsonl")
    assert [r["id"] for r in found.rows()] == ["x:0", "x:1", "c:0"]
    mixed = put(tmp_path / "d.jsonl", row(1, id="1"))
    with pytest.raises(
        DataError, match=r"d\.jsonl: has rows with ids, while .*c\.jsonl has rows wi"
    ):
        score([c, mixed], judge="length", output=tmp_path / "o.jsonl")
    with pytest.raises(DataError, match="is given twice; name it once"):
        score([c, c], judge="length", output=tmp_path / "o.jsonl")


def test_a_folder_of_logs(in_process: Any, data: Path, tmp_path: Path) -> None:
    real = data / "formats" / "lm-eval" / "samples_tiny_gen.jsonl"
    if not real.exists():
        pytest.skip("SELFJ_DATA has no formats/ in it")
    results = tmp_path / "results"
    for model in ("model-a", "model-b"):  # the same answers by another model are other records
        (results / model).mkdir(parents=True)
        shutil.copy(real, results / model / real.name)
        shutil.copy(real.with_name("results.json"), results / model / "results.json")
    done = in_process("selfj", "score", results, "--judge", "length")
    assert done.returncode == 0, done.stderr
    ids = [r["id"] for r in written(tmp_path / "scores_results.jsonl")]
    assert len(ids) == len(set(ids)) == 6
    assert ids[0] == "model-a/samples_tiny_gen.jsonl:0"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "results",
        "scores_results.jsonl",
        "scores_results.jsonl.run.json",
    ]


def test_scores_of_an_earlier_run_are_no_input_of_the_next(in_process: Any, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    for name in "ab":
        put(folder / f"samples_{name}.jsonl", log(0, name), log(1, "c"))
    one = in_process("selfj", "score", folder / "samples_a.jsonl", "--judge", "length")
    assert one.returncode == 0, one.stderr
    assert (folder / "scores_samples_a.jsonl").exists()
    assert sorted(p.name for p in folder.glob("samples*.jsonl")) == [
        "samples_a.jsonl",
        "samples_b.jsonl",
    ]
    output = tmp_path / "o.jsonl"
    for given in ([folder / "*.jsonl"], sorted(folder.glob("*.jsonl"))):
        done = in_process("selfj", "score", *given, "--judge", "length", "--output", output)
        assert done.returncode == 0, done.stderr
        assert "not read, since they are scores of an earlier run" in done.stdout
        assert [r["id"] for r in written(output)] == [
            *("samples_a:0", "samples_a:1", "samples_b:0", "samples_b:1")
        ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("empty", "empty: holds no file in a format that is read (.jsonl"),
        ("empty/*.jsonl", "there is no file in a known format that fits this pattern"),
        ("no.jsonl", "no.jsonl: cannot be read: No such file"),
    ],
)
def test_nothing_to_read_is_an_error_and_leaves_nothing(
    in_process: Any, tmp_path: Path, given: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = in_process("selfj", "score", tmp_path / given, "--judge", "length")
    assert done.returncode == 2
    assert message in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


def test_no_empty_output_folder_is_left(in_process: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": ["1"], "text": ["a"]}), tmp_path / "in" / "x.parquet")
    output = tmp_path / "new" / "out"
    done = in_process("selfj", "score", tmp_path / "in", "--judge", "length", "--output", output)
    assert done.returncode == 2
    assert "instruction and response are missing" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_threshold_outside_the_ratings_is_an_error(in_process: Any, tmp_path: Path) -> None:
    """Ratings of 1 to 5 without their scale: it was "0 of these good", and exit status 0."""
    source = tmp_path / "x.csv"
    source.write_text(
        "prompt,answer,rating\n" + "".join(f"q{k},{'a' * k},{1 + k % 5}\n" for k in range(40))
    )
    assert in_process("selfj", "score", source, "--judge", "length").returncode == 0
    scores = tmp_path / "scores_x.csv.jsonl"
    done = in_process("selfj", "eval", scores, "--resamples", 20)
    assert done.returncode == 2
    assert "--good-at is 6, but the ratings go from 1 to 5: no answer would be good" in done.stderr
    assert "Give their scale as --scale" in done.stderr
    done = in_process("selfj", "eval", scores, "--resamples", 20, "--scale", 1, 5)
    assert done.returncode == 0 and "16 of these good" in done.stdout
    done = in_process("selfj", "eval", scores, "--scale", 1, 5, "--good-at", 12)
    assert done.returncode == 2 and "--good-at is 12; ratings are rescaled to 0 to 9" in done.stderr
    # Python: the same option, also on what score() returned; and when the file is scored.
    result = score(source, judge="length", output=tmp_path / "o.jsonl")
    assert evaluate(result, scale=(1, 5), resamples=20).counts.good == 16
    assert evaluate(result, scale=(1, 5), missing_rating=5, resamples=20).counts.good == 8
    scaled = score(source, judge="length", output=tmp_path / "o.jsonl", scale=(1, 5))
    assert evaluate(scaled, resamples=20).counts.good == 16


def test_a_compressed_file_is_scored_in_memory_that_does_not_follow_its_records(
    tmp_path: Path,
) -> None:
    code = (
        "import gzip, json, resource, sys\n"
        "from selfj_eval import score\n"
        "path, n = sys.argv[1], int(sys.argv[2])\n"
        "with gzip.open(path, 'wt') as file:\n"
        "    for k in range(n):\n"
        "        row = {'instruction': f'Add {k} and 1.', 'response': f'{k + 1}' * 40}\n"
        "        file.write(json.dumps(row) + '\\n')\n"
        "assert score(path, judge='length', output=path + '.o.jsonl').scored == n\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    peaks = []
    for n in (2_000, 20_000):
        run = [sys.executable, "-c", code, str(tmp_path / "x.jsonl.gz"), str(n)]
        peaks.append(int(subprocess.run(run, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 10  # MiB; 18,000 such rows as Python's objects take more
