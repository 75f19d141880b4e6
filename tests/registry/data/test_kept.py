"""``selfj data`` and what lies in the user's folder: listed, verified, found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfj_eval import read_records


def test_files_of_the_users_own_are_listed_and_verified(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "judge_bench"
    folder.mkdir(parents=True)
    rated = {"id": ["1"], "instruction": ["Why?"], "response": ["So."], "rating": [1.0]}
    mine = folder / "pointwise_my_ratings.parquet"
    pq.write_table(pa.table(rated), mine)
    assert len(read_records(mine)) == 1  # these columns do
    assert f"{mine}: not in the registry\n" in data("list").stdout
    assert json.loads(data("list", "--json").stdout)["own"] == [str(mine)]
    done = data("verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ok   {mine}: 1 rows (not in the registry)\n"
    found = json.loads(data("verify", "judge_bench", "--json").stdout)["sets"][-1]
    assert (found["set"], found["problems"]) == ("judge_bench/pointwise_my_ratings", [])
    assert str(mine) not in data("verify", "one").stdout

    del rated["rating"]
    pq.write_table(pa.table(rated), mine)
    done = data("verify")
    assert done.returncode == 1
    assert f"FAIL {mine}: it has no column 'rating' (not in the registry)" in done.stdout
    mine.rename(folder / "unrated_my_answers.parquet")
    assert data("verify").returncode == 0
    (folder / "pairwise_mine.parquet").write_text("damaged")
    assert "it cannot be read" in data("verify").stdout


def test_a_file_by_hand_with_fewer_rows_says_how_many_there_could_be(
    data: Any, upstream: Path, tmp_path: Path
) -> None:
    assert data("get", "one", "--from", upstream).returncode == 0
    path = tmp_path / "data" / "judge_bench" / "pointwise_one.parquet"
    (path.parent / "registry.json").unlink()
    assert f"ok   {path}: 20 rows (not made by selfj data get)" in data("verify").stdout
    pq.write_table(pq.read_table(path).slice(0, 13), path)
    done = data("verify")
    assert done.returncode == 0
    assert f"ok   {path}: 13 of 20 rows (not made by selfj data get)" in done.stdout
    [found] = json.loads(data("verify", "--json").stdout)["sets"]
    assert (found["rows"], found["registry_rows"]) == (13, 20)


def test_with_nothing_set_the_users_folder_is_filled_and_read(
    in_process: Any, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfj_eval.errors import DataError
    from selfj_eval.registry.folder import data_file

    monkeypatch.delenv("SELFJ_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    name = "pointwise_one.parquet"
    with pytest.raises(DataError, match="get it: `selfj data get judge_bench/pointwise_one`"):
        data_file("judge_bench", name)
    with pytest.raises(DataError) as raised:
        data_file("judge_bench", "pointwise_my_own.parquet")
    assert "selfj data get" not in str(raised.value)
    with pytest.raises(DataError, match="`SELFJ_DATA=x selfj data get judge_bench/pointwise_one`"):
        data_file("judge_bench", name, "x")
    assert in_process("selfj", "data", "get", "one", "--from", upstream).returncode == 0
    found = data_file("judge_bench", name)
    assert found == tmp_path / "share" / "selfj-eval" / "judge_bench" / name
    assert len(read_records(found)) == 20

    with pytest.raises(DataError) as raised:
        data_file("judge_bench", "pointwise_two.parquet")
    message = str(raised.value)
    assert f"is not in your data folder, {tmp_path / 'share' / 'selfj-eval'}" in message
    assert "`selfj data get judge_bench/pointwise_two`" in message
    assert "metadata" not in message
    with pytest.raises(DataError, match=r"SELFJ_DATA \(or --metadata X\) to a folder"):
        data_file("judge_bench", "pointwise_two.parquet", second_way="--metadata X")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "nothing"], "no pack or set 'nothing'"),
        (["get", "one", "--from", "ftp://host"], "--from"),
        (["get"], "required: NAME"),
        (["get", "one", "--to", "{file}/data"], "Name another folder with --to"),
        (["path", "nothing"], "no pack or set 'nothing'"),
        (["verify", "nothing"], "no pack or set 'nothing'"),
        ([], "required: COMMAND"),
    ],
)
def test_wrong_usage(
    data: Any, upstream: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    done = data(*[argument.format(file=file) for argument in arguments])
    assert done.returncode == 2
    assert message in done.stderr


def test_to_another_folder_says_how_it_is_found(data: Any, upstream: Path, tmp_path: Path) -> None:
    done = data("get", "one", "--to", tmp_path / "else", "--from", upstream)
    assert done.returncode == 0
    assert f"export SELFJ_DATA={tmp_path / 'else'}" in done.stdout
    assert (tmp_path / "else" / "judge_bench" / "pointwise_one.parquet").is_file()


def test_how_to_find_another_folder_is_said_when_something_is_there(
    data: Any, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    content = (files / "a").read_bytes()
    (files / "a").write_text("another")
    done = data("get", "one", "--to", "my data", "--from", upstream)
    assert (done.returncode, "export" in done.stdout) == (1, False)
    (files / "a").write_bytes(content)
    for _ in ("got", "already here"):
        done = data("get", "one", "--to", "my data", "--from", upstream)
        assert f"export SELFJ_DATA='{tmp_path / 'my data'}'\n" in done.stdout
