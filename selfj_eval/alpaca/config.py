"""Write the configuration with which the stock ``alpaca_eval`` command uses a judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from selfj_eval.alpaca.client import TEMPLATE
from selfj_eval.alpaca.data import BASELINES, evaluation_set, gamed_baselines, official_baseline
from selfj_eval.backends.weights import model_folders
from selfj_eval.documents import read_yaml
from selfj_eval.errors import DataError, StoreError
from selfj_eval.writing import atomic_write, write_json

_METHOD = 2  # raise when the client gives another number for the same texts
_CLIENT = "selfj_eval.alpaca.client.Client"
_COMMIT = "0" * 40  # a snapshot's name on the hub; this one is not from there


class Written(NamedTuple):
    """What was written.

    Attributes:
        folder: For ``--annotators_config``; absolute.
        annotator: The annotator's name, which changes with everything that decides its numbers.
        baselines: File of the baseline's outputs by version; empty without the data pack.
        hub_cache: For ``HF_HUB_CACHE``, with what length control needs; None without the pack.
        replaced: The annotator that the folder was for before, or None.
    """

    folder: Path
    annotator: str
    baselines: Mapping[str, Path]
    hub_cache: Path | None
    replaced: str | None


def write_config(
    folder: str | Path,
    *,
    judge: Mapping[str, Any],
    temperature: float,
    references: str | Path | None = None,
    offline_data: bool = True,
) -> Written:
    """Write ``configs.yaml``, ``client.yaml`` and ``prompt.txt``, and the offline data.

    Args:
        folder: Made if it is not there.
        judge: ``model`` and options of ``Judge.load``.
        temperature: Of the preference, see ``preference``.
        references: File with reference answers, or None.
        offline_data: Write the baselines and the input of length control from the data pack.

    Raises:
        JudgeError: If there is no such judge.
        DataError: If the pack is asked for and missing.
        StoreError: If the folder holds the configuration of something else.
    """
    import yaml

    folder = Path(folder).expanduser().resolve()
    code = bool(judge.get("trust_remote_code"))
    folders = model_folders(
        judge["model"], judge.get("adapter"), revision=judge.get("revision"), code=code
    )
    settings = {k: v for k, v in judge.items() if v is not None}
    # Folders rather than names of the hub: the stock command may have to run with another cache.
    settings["model"] = str(folders.model.resolve())
    if folders.adapter is not None:
        settings["adapter"] = str(folders.adapter.resolve())
    settings["fingerprint"] = list(folders.identity().values())
    given = None if references is None else Path(references).resolve()
    decides = {k: v for k, v in settings.items() if k not in ("model", "adapter", "revision")}
    decides |= {"temperature": temperature, "method": _METHOD}
    references_sha256 = None
    if given is not None:
        references_sha256 = hashlib.sha256(given.read_bytes()).hexdigest()
        decides["references"] = references_sha256
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    annotator = f"selfj-{Path(judge['model']).name or 'judge'}-{digest[:8]}"

    folder.mkdir(parents=True, exist_ok=True)
    other = folder / "configs.yaml"
    replaced = _replaced(other)
    client = {
        "client_class": _CLIENT,
        "judge": settings,
        "store": str(folder / "judgments.store"),
        "temperature": float(temperature),
        "references": None if given is None else str(given),
        "references_sha256": references_sha256,
    }
    config = {
        "prompt_template": str(folder / "prompt.txt"),
        "fn_completions": "openai_completions",
        "completions_kwargs": {
            "model_name": "selfj",
            "client_config_path": str(folder / "client.yaml"),
            "requires_chatml": False,  # a completions client, not a chat
            "is_strip": False,
            "batch_size": 64,
            "num_procs": 1,  # one judge, which makes its own batches
            "price_per_token": 0,
            "max_tokens": 1,
        },
        "fn_completion_parser": "json_parser",
        "completion_parser_kwargs": {"annotation_key": "preference"},
        "processors_to_kwargs": {
            "JsonKeysToColumnProcessor": {"json_keys_to_keep": ["score_1", "score_2"]}
        },
        "is_randomize_output_order": False,  # answers are judged one by one
        "batch_size": 1,
    }
    _write_text(folder / "prompt.txt", TEMPLATE)
    _write_text(folder / "client.yaml", yaml.safe_dump({"default": [client]}, sort_keys=False))
    _write_text(folder / "configs.yaml", yaml.safe_dump({annotator: config}, sort_keys=False))
    if not offline_data:
        return Written(folder, annotator, {}, None, replaced)
    baselines, cache = _write_baselines(folder), _write_hub_cache(folder)
    return Written(folder, annotator, baselines, cache, replaced)


def _write_baselines(folder: Path) -> dict[str, Path]:
    instructions = evaluation_set()
    files = {}
    for version, name in BASELINES.items():
        outputs = official_baseline(version).outputs
        files[version] = folder / f"{name}.json"
        rows = zip(instructions.instructions, instructions.datasets, outputs, strict=True)
        write_json(
            files[version],
            [
                {"instruction": text, "dataset": dataset, "output": output, "generator": name}
                for text, dataset, output in rows
            ],
        )
    return files


def _write_hub_cache(folder: Path) -> Path:
    """A cache of the hub's layout that holds nothing but what length control asks for."""
    repository = folder / "hub" / "datasets--tatsu-lab--alpaca_eval"
    snapshot = repository / "snapshots" / _COMMIT
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True, exist_ok=True)
    _write_text(repository / "refs" / "main", _COMMIT)
    _write_text(snapshot / "df_gamed.csv", gamed_baselines().read_text(encoding="utf-8"))
    return folder / "hub"


def _replaced(configs: Path) -> str | None:
    """The annotator that a folder is for already; None where it is empty.

    Raises:
        StoreError: If it is for something else.
    """
    if not configs.exists():
        return None
    client = configs.with_name("client.yaml")
    try:
        named = read_yaml(configs)
        ours = client.is_file() and _CLIENT in str(read_yaml(client))
    except DataError as error:
        raise StoreError(f"{error} Remove it, or name another --output.") from error
    if not ours or not isinstance(named, dict | None):
        raise StoreError(f"{configs} is another annotator's; name another --output.")
    return next(map(str, named or ()), None)


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(text.encode())
