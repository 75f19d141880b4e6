"""Answers on the hub, fetched by the real client from a server here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from selfj_eval import DataError, score
from selfj_eval.records.addresses import is_address, parse_address

FIRST, SECOND, CONVERTED = "a" * 40, "b" * 40, "c" * 40
ANSWERS = "hf://datasets/me/answers"


def rows(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"r{n}", "instruction": f"Add {n} and 1.", "response": f"{n + 1}"} | more
        for n in numbers
    ]


def put(path: Path, found: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found))


def refs(repository: Path, **branches: str) -> None:
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "refs.json").write_text(
        json.dumps({name.replace("__", "/"): commit for name, commit in branches.items()})
    )


@pytest.fixture(scope="module")
def served(hub: Any) -> Any:
    """The hub with data sets: of files, of two configurations, gated, made by a script."""
    import pandas as pd

    answers = hub.folder / "me" / "answers"
    put(answers / FIRST / "data" / "a.jsonl", rows(1, 2))
    put(answers / SECOND / "data" / "a.jsonl", rows(1, 2, 3))
    put(answers / SECOND / "data" / "b.jsonl", rows(4))
    put(answers / SECOND / "data" / "deep" / "same.jsonl", rows(4))
    put(answers / SECOND / "data" / "scores_a.jsonl", rows(9, score=1.0))
    run = {"judge": {"model": "their-judge"}}
    (answers / SECOND / "data" / "scores_a.jsonl.run.json").write_text(json.dumps(run))
    (answers / SECOND / "data" / "notes.md").write_text("nothing to read")
    converted = answers / CONVERTED / "default" / "test"
    converted.mkdir(parents=True)
    pd.DataFrame(rows(7)).to_parquet(converted / "0000.parquet")
    refs(answers, main=SECOND, old=FIRST, refs__convert__parquet=CONVERTED)

    parts = hub.folder / "me" / "parts"
    for config, shift in (("easy", 0), ("hard", 10)):
        put(parts / FIRST / config / "test.jsonl", rows(shift + 1, shift + 2))
        put(parts / FIRST / config / "dev.jsonl", rows(shift + 3))
    configs = "\n".join(
        f"- config_name: {config}\n  data_files:\n"
        + "\n".join(f"  - split: {s}\n    path: {config}/{s}.jsonl" for s in ("test", "dev"))
        for config in ("easy", "hard")
    )
    (parts / FIRST / "README.md").write_text(f"---\nconfigs:\n{configs}\n---\n# Parts\n")
    refs(parts, main=FIRST)

    put(hub.folder / "me" / "one" / FIRST / "test.jsonl", [*rows(1, 2), {"id": "r3"}])
    refs(hub.folder / "me" / "one", main=FIRST)
    pair = {"id": "p", "instruction": "Add 1 and 1.", "response_a": "2", "response_b": "3"}
    put(hub.folder / "me" / "pairs" / FIRST / "test.jsonl", [pair])
    refs(hub.folder / "me" / "pairs", main=FIRST)
    put(hub.folder / "me" / "gated" / FIRST / "a.jsonl", rows(1))
    (hub.folder / "me" / "gated" / "gated").touch()
    refs(hub.folder / "me" / "gated", main=FIRST)
    put(hub.folder / "me" / "script" / FIRST / "a.jsonl", rows(1))
    (hub.folder / "me" / "script" / FIRST / "script.py").write_text("raise SystemExit('run')")
    refs(hub.folder / "me" / "script", main=FIRST)
    return hub


def selfj(
    hub: Any, folder: Path, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command as a user would run it in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "selfj_eval", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **hub.environment, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def refused(hub: Any, folder: Path, *addresses: str, **environment: str) -> Mapping[str, str]:
    """What scoring each of the addresses says, all in one process."""
    program = (
        "import json, sys\nfrom selfj_eval import DataError, score\n"
        "said = {}\n"
        "for address in sys.argv[1:]:\n"
        "    try: said[address] = str(score(address, judge='length').records)\n"
        "    except DataError as error: said[address] = str(error)\n"
        "print(json.dumps(said))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *addresses],
        cwd=folder,
        env={**os.environ, **hub.environment, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said: Mapping[str, str] = json.loads(done.stdout)
    return said


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_a_file_is_read_at_the_commit_that_the_run_file_names(served: Any, tmp_path: Path) -> None:
    done = selfj(served, tmp_path, "score", f"{ANSWERS}/data/a.jsonl", "--judge", "length")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "scores_answers_a.jsonl"  # in the current folder, not in the hub's cache
    assert ids(output) == ["r1", "r2", "r3"]
    run = json.loads(Path(f"{output}.run.json").read_text())
    pinned = f"{ANSWERS}@{SECOND}/data/a.jsonl"
    assert run["input"] == pinned
    cache = Path(served.environment["HF_HOME"])
    assert not [f for f in cache.rglob("*scores*") if f.is_file()]
    everywhere = [*tmp_path.rglob("*"), *cache.rglob("*")]
    assert not [f for f in everywhere if f.is_file() and b"hf_right" in f.read_bytes()]
    assert "hf_right" not in done.stdout + done.stderr

    # What the run file names is the same whatever becomes of the branch, and without a network.
    again = tmp_path / "again.jsonl"
    offline = {"HF_HUB_OFFLINE": "1"}
    here = ("--judge", "length", "--output", again)
    done = selfj(served, tmp_path, "score", pinned, *here, **offline)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == output.read_bytes()
    assert json.loads(Path(f"{again}.run.json").read_text())["input_sha256"] == run["input_sha256"]
    said = refused(
        served, tmp_path, f"{ANSWERS}/data/a.jsonl", f"{ANSWERS}/data/b.jsonl", **offline
    )
    assert said[f"{ANSWERS}/data/a.jsonl"] == "3"  # the main branch as it was last seen
    assert "not in the hub's cache here" in said[f"{ANSWERS}/data/b.jsonl"]
    assert "HF_HUB_OFFLINE is set" in said[f"{ANSWERS}/data/b.jsonl"]


def test_a_pattern_reads_the_answers_and_leaves_out_scores(served: Any, tmp_path: Path) -> None:
    pattern = f"{ANSWERS}@main/data/*.jsonl"
    done = selfj(served, tmp_path, "score", pattern, "--judge", "length", "--json")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "scores_answers_a_and_1_more.jsonl"
    assert ids(output) == ["r1", "r2", "r3", "r4"]  # not those of deep/
    run = json.loads(Path(f"{output}.run.json").read_text())
    assert run["input"] == f"{ANSWERS}@{SECOND}/data/*.jsonl"
    assert run["input_sha256"].keys() == {f"{ANSWERS}@{SECOND}/data/{n}.jsonl" for n in "ab"}
    left = f"{ANSWERS}@{SECOND}/data/scores_a.jsonl"
    assert any(left in notice for notice in json.loads(done.stdout)["notices"])
    # Two files of equal content are one in the cache; they are not the same file twice.
    said = refused(served, tmp_path, f"{ANSWERS}/data/**/*.jsonl", f"{ANSWERS}/data/*.csv")
    deep = f"{ANSWERS}@{SECOND}/data/deep/same.jsonl"
    assert f"{deep}, line 1, field 'id': 'r4' occurs twice" in said[f"{ANSWERS}/data/**/*.jsonl"]
    assert "no file in a known format that fits" in said[f"{ANSWERS}/data/*.csv"]


def test_scores_on_the_hub_keep_the_name_of_their_judge(served: Any, tmp_path: Path) -> None:
    ratings = [{"id": "r9", "rating": 3.0, "rating_min": 1, "rating_max": 5}]
    put(tmp_path / "ratings.jsonl", ratings)
    given = ("--ratings", tmp_path / "ratings.jsonl", "--json")
    done = selfj(served, tmp_path, "eval", f"{ANSWERS}/data/scores_a.jsonl", *given)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["judge"] == "their-judge"
    assert f"{ANSWERS}@{SECOND}/data/scores_a.jsonl" in done.stdout


def test_what_cannot_be_had_says_why_and_what_to_do(served: Any, tmp_path: Path) -> None:
    why = {
        "hf://datasets/me/nothing/a.jsonl": "there is no data set me/nothing",
        "hf://datasets/me/nothing": "there is no data set me/nothing",
        "hf://datasets/squad/data/a.jsonl": "Check OWNER/NAME (both are needed)",
        f"{ANSWERS}@never/data/a.jsonl": "has no revision 'never'",
        f"{ANSWERS}/data/c.jsonl": "no file 'data/c.jsonl' on the main branch",
        f"{ANSWERS}@old/data/b.jsonl": "no file 'data/b.jsonl' at the revision 'old'. Did you mean",
        f"{ANSWERS}/data": "That is a folder; name a file in it, such as data/a.jsonl",
        "hf://datasets/me/gated/a.jsonl": "accept the terms on",
        "hf://datasets/me/gated/*.jsonl": "accept the terms on",
        "hf://datasets/me/gated": "accept the terms on",
        "hf://datasets/me/script": "is made by a script, which is not run",
    }
    said = refused(served, tmp_path, *why, HF_TOKEN="hf_stranger")
    assert {address: said[address] for address in why if why[address] not in said[address]} == {}
    assert all(text.startswith("hf://datasets/") for text in said.values())
    assert "hf auth login" in said["hf://datasets/me/gated/a.jsonl"]
    assert "hf_stranger" not in json.dumps(said)
    assert not list(tmp_path.iterdir())


def test_other_revisions_and_pasted_addresses(served: Any, tmp_path: Path) -> None:
    parquet = "default/test/0000.parquet"
    page = "https://huggingface.co/datasets/me/answers"
    count = {
        f"{ANSWERS}@old/data/a.jsonl": "2",
        f"{ANSWERS}@{FIRST}/data/a.jsonl": "2",
        f"{ANSWERS}@refs/convert/parquet/{parquet}": "1",
        f"{ANSWERS}@refs%2Fconvert%2Fparquet/{parquet}": "1",
        f"{page}/blob/main/data/a.jsonl": "3",
        f"{page}/resolve/refs%2Fconvert%2Fparquet/{parquet}?download=true": "1",
    }
    assert refused(served, tmp_path, *count) == count


def test_a_data_set_is_read_by_its_name(served: Any, tmp_path: Path) -> None:
    parts = "hf://datasets/me/parts"
    address = f"{parts}?config=hard&split=test"
    done = selfj(served, tmp_path, "score", address, "--judge", "length")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "scores_parts_hard_test.jsonl"  # beside those of another configuration
    assert ids(output) == ["r11", "r12"]
    pinned = f"{parts}@{FIRST}?config=hard&split=test"
    assert json.loads(Path(f"{output}.run.json").read_text())["input"] == pinned
    viewer = "https://huggingface.co/datasets/me/parts/viewer/easy/dev"
    said = refused(
        served, tmp_path, parts, f"{parts}?config=easy", f"{parts}?config=no", viewer,
        f"{parts}?config=easy&split=no", "hf://datasets/me/one",
    )  # fmt: skip
    assert "has several of them; configurations are: easy, hard" in said[parts]
    assert f"Name one: {parts}@{FIRST}?config=easy" in said[parts]
    assert "has no configuration 'no'" in said[f"{parts}?config=no"]
    assert "several splits; there are: test, dev" in said[f"{parts}?config=easy"]
    assert "has no split 'no'; there are: test, dev" in said[f"{parts}?config=easy&split=no"]
    assert said[viewer] == "1"
    # The only split is taken, and a fault is one of that data set.
    one = f"hf://datasets/me/one@{FIRST}?config=default&split=test, row 3"
    assert said["hf://datasets/me/one"].startswith(one)

    # Without a network: by the commit, and never another commit that happens to be here.
    other = f"{parts}@{SECOND}?config=hard&split=test"
    said = refused(served, tmp_path, pinned, other, address, HF_HUB_OFFLINE="1")
    assert said[pinned] == "2"
    assert "this commit cannot be fetched" in said[other]
    assert "a data set by its commit" in said[address]


def test_other_verbs_take_addresses(served: Any, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(
        'without_reference: "{instruction}\\n[1]\\n{response_a}\\n[2]\\n{response_b}\\n[Better]"\n'
        'labels: {"1": 1, "2": 0}\n'
    )
    program = f"""
import json
from selfj_eval import bench, best_of, generate, prefer, read_records
from selfj_eval.alpaca.outputs import each_of
from selfj_eval.errors import DataError
file = "{ANSWERS}/data/a.jsonl"
data_set = "hf://datasets/me/parts?config=easy&split=test"
found = {{"records": len(read_records(file)), "outputs": str(each_of(file)[0])[-12:]}}
for given in (file, data_set):
    found[given] = best_of(given, judge="length", name="x").candidates
pairs = prefer("hf://datasets/me/pairs/test.jsonl", judge="demo", template="two.yaml", limit=1)
found["pairs"] = [pairs.pairs, pairs.run["input"]]
try: bench(file, judge="length", output="bench")
except DataError as error: found["bench"] = str(error)
try: read_records("hf://datasets/me/parts")
except DataError as error: found["whole"] = str(error)
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **served.environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["records"] == found[f"{ANSWERS}/data/a.jsonl"] == 3
    assert found["hf://datasets/me/parts?config=easy&split=test"] == 2
    assert found["outputs"] == "data/a.jsonl"
    rated = f"{ANSWERS}@{SECOND}/data/a.jsonl, field 'rating': none of the 3 records has a rating"
    assert found["bench"].startswith(rated)
    whole = "is a whole data set; give a single file: hf://datasets/me/parts/PATH."
    assert whole in found["whole"]
    assert found["pairs"] == [1, f"hf://datasets/me/pairs@{FIRST}/test.jsonl"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://me/answers/a.jsonl", "not an address of a data set"),
        ("hf://datasets/squad", "not an address of a data set"),
        ("hf://datasets/squad@main/x.parquet", "not an address of a data set"),
        ("hf://datasets/squad/x.parquet", "the owner of the data set is missing"),
        ("hf://datasets/me/answers/../../x.jsonl", "not a path within a data set"),
        ("hf://datasets/me/answers?splits=test", "expected \\?config=NAME&split=NAME"),
        ("hf://datasets/me/answers?split=a&split=b", "expected \\?config=NAME&split=NAME"),
        ("https://huggingface.co/me/model", "not an address of a data set"),
        (
            "https://huggingface.co/datasets/me/answers/discussions/1",
            "not an address of a data set",
        ),
    ],
)
def test_addresses_that_are_none(address: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score(address, judge="length")
    with pytest.raises(DataError, match=message):
        score([address, "other.jsonl"], judge="length")


@pytest.mark.parametrize(
    "address",
    [
        "hf://datasets/o/n",
        "hf://datasets/o/n/a b/ü.jsonl",
        "hf://datasets/o/n@main/data/*.parquet",
        "hf://datasets/o/n@refs/pr/3/x.jsonl",
        "hf://datasets/o/n@refs/convert/parquet",
        "hf://datasets/o/n@feature%2Fx/y.jsonl",
        "hf://datasets/o/n@v1?config=a+b&split=test",
    ],
)
def test_an_address_is_written_as_it_was_read(address: str) -> None:
    assert str(parse_address(address)) == address
    assert parse_address(Path(address)) == parse_address(address)  # it has one slash less
    assert is_address(Path(address))
