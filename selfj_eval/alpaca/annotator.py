"""The configuration with which the stock ``alpaca_eval`` command uses a judge."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfj_eval.alpaca.options import ComparisonOptions
from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, StoreError
from selfj_eval.files.documents import read_yaml
from selfj_eval.jobs.options import PathLike, keywords, option
from selfj_eval.jobs.results import Result
from selfj_eval.registry import alpaca_pack

_METHOD = 2  # raise when the client gives another number for the same texts
_CLIENT = "selfj_eval.alpaca.client.Client"
_COMMIT = "0" * 40  # a snapshot's name on the hub; this one is not from there
_TITLES = {"v1": "AlpacaEval 1", "v2": "AlpacaEval 2, length-controlled"}


@dataclass(frozen=True, kw_only=True)
class ConfigOptions(ComparisonOptions):
    """The judge that the stock command is to use."""

    judge: str = option(
        help="'small', 'demo' (a toy), a model folder, or a hub id", placeholder="MODEL"
    )
    output: PathLike = option(
        help="folder to write; it is created if it does not exist", placeholder="DIR"
    )

    def check(self) -> None:
        """Refuse what the stock command cannot do."""
        if self.temperature == 0:
            raise DataError(
                "`temperature` 0 makes preferences of whole numbers, on which AlpacaEval's own "
                "cache fails with pandas 3; give a small one, such as 0.01, or use `selfj alpaca "
                "evaluate`."
            )
        if self.engine == "openai":
            raise DataError(
                "the stock command's judge runs on this machine; `selfj alpaca evaluate` takes "
                "`engine` openai."
            )
        if isinstance(self.references, Mapping):
            raise DataError("the stock command reads `references` from a file; name one.")


@dataclass(frozen=True)
class Annotator(Result):
    """What was written, and the commands that use it.

    Attributes:
        folder: The configuration; absolute.
        name: The annotator's, which changes with everything that decides its numbers.
        replaced: The annotator that the folder was for before, or None.
        baselines: File of the baseline's outputs by version; empty without the data pack.
        hub_cache: The hub's cache with what length control needs; None without the pack.
        commands: By version, what to type.
    """

    folder: Path
    name: str
    replaced: str | None
    baselines: Mapping[str, Path]
    hub_cache: Path | None
    commands: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As the command prints it as JSON."""
        return {
            "annotators_config": str(self.folder),
            "annotator": self.name,
            "replaced": self.replaced,
            "baselines": {version: str(path) for version, path in self.baselines.items()},
            "hub_cache": None if self.hub_cache is None else str(self.hub_cache),
            "commands": dict(self.commands),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per version of AlpacaEval."""
        return [{"version": name, "command": text} for name, text in self.commands.items()]

    def __str__(self) -> str:
        lines = [f"annotator {self.name} written to {self.folder}"]
        if self.replaced not in (None, self.name):
            lines.append(f"  replaces {self.replaced}; its kept annotations are not used")
        if not self.baselines:
            lines += [
                "  AlpacaEval's data are not here (`selfj data get alpaca_eval` gets them): give "
                "the",
                "  baseline's outputs yourself; length control is fetched from the hub by "
                "alpaca_eval",
            ]
        lines += [f"\n{_TITLES[name]}:\n  {text}" for name, text in self.commands.items()]
        return "\n".join(lines)


def config_annotator(options: ConfigOptions) -> Annotator:
    """Write a configuration with which the unmodified ``alpaca_eval`` command uses a judge.

    It consists of ``configs.yaml``, ``client.yaml`` and ``prompt.txt``. If AlpacaEval's data are on
    this machine, it also has both baselines and the input of length control, so that no network is
    needed.

    Args:
        options: The judge, and the folder to write.

    Raises:
        JudgeError: If there is no such judge, or AlpacaEval is not installed.
        DataError: If the references cannot be read, or the data are damaged.
        StoreError: If the folder holds the configuration of something else.
    """
    from selfj_eval.alpaca.outputs import read_references
    from selfj_eval.alpaca.preference import default_temperature
    from selfj_eval.alpaca.upstream import alpaca_eval
    from selfj_eval.files.atomic import output_folder
    from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, get_template

    alpaca_eval()  # not there: say so now
    references = None
    if options.references is not None and not isinstance(options.references, Mapping):
        read_references(options.references)
        references = Path(options.references).resolve()
    temperature = options.temperature
    if temperature is None:
        template = get_template(options.template or DEFAULT_TEMPLATE)
        temperature = default_temperature(template.labels.scale)
    settings = _judge_settings(options)
    name = _annotator_name(options.judge, settings, temperature, references)
    folder = output_folder(Path(options.output).expanduser()).resolve()
    replaced = _replaced(folder / "configs.yaml")
    client = {
        "client_class": _CLIENT,
        "judge": settings,
        "store": str(folder / "judgments.store"),
        "temperature": float(temperature),
        "references": None if references is None else str(references),
        "references_sha256": _sha256(references),
    }
    _write_configuration(folder, name, client)
    baselines: Mapping[str, Path] = {}
    cache = None
    if alpaca_pack.is_here():
        baselines, cache = _write_baselines(folder), _write_hub_cache(folder)
    commands = {v: _command(v, folder, baselines.get(v), cache) for v in alpaca_pack.BASELINES}
    return Annotator(folder, name, replaced, baselines, cache, commands)


config = keywords(config_annotator, ConfigOptions)


def _judge_settings(options: ConfigOptions) -> dict[str, Any]:
    """What ``client.yaml`` says of the judge: its model, its options, its fingerprint."""
    from selfj_eval.engines.models.weights import model_folders

    folders = model_folders(
        options.judge,
        options.adapter,
        revision=options.revision,
        code=options.trust_remote_code,
    )
    given = options.judge_options
    settings = {own.name: getattr(given, own.name) for own in JudgeOptions.declared()}
    if not {"engine", "engine_args"} & set(given.changed()):
        del settings["engine"], settings["engine_args"]  # as of version 0.1: part of the name
    # Folders rather than names of the hub: the stock command may have to run with another cache.
    model = {"model": str(folders.model.resolve())}
    settings = model | {name: value for name, value in settings.items() if value is not None}
    if folders.adapter is not None:
        settings["adapter"] = str(folders.adapter.resolve())
    settings["fingerprint"] = list(folders.identity().values())
    return settings


def _annotator_name(
    judge: str, settings: Mapping[str, Any], temperature: float, references: Path | None
) -> str:
    decides = {k: v for k, v in settings.items() if k not in ("model", "adapter", "revision")}
    decides |= {"temperature": temperature, "method": _METHOD}
    if references is not None:
        decides["references"] = _sha256(references)
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"selfj-{Path(judge).name or 'judge'}-{digest[:8]}"


def _sha256(path: Path | None) -> str | None:
    from selfj_eval.files.hashes import sha256_of

    return None if path is None else sha256_of(path)


def _write_configuration(folder: Path, name: str, client: Mapping[str, Any]) -> None:
    import yaml

    from selfj_eval.alpaca.client import TEMPLATE

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
    _write_text(folder / "configs.yaml", yaml.safe_dump({name: config}, sort_keys=False))


def _command(version: str, folder: Path, baseline: Path | None, hub_cache: Path | None) -> str:
    """The line that runs the stock command."""
    arguments = {
        "model_outputs": "OUTPUTS.json",
        "reference_outputs": shlex.quote(str(baseline)) if baseline else "BASELINE_OUTPUTS.json",
        "annotators_config": shlex.quote(str(folder)),
        # AlpacaEval's own cache, which two runs at a time would break: one file a version.
        "caching_path": shlex.quote(str(folder / f"annotations_{version}.json")),
        "output_path": f"results_{version}",
    }
    before = ""
    if version == "v1":
        before = "IS_ALPACA_EVAL_2=False "
    else:  # it would write the fitted weights into its own package
        arguments["metric_kwargs"] = "\"{'save_weights_dir': None}\""
        if hub_cache:
            before = f"HF_HUB_OFFLINE=1 HF_HUB_CACHE={shlex.quote(str(hub_cache))} "
    given = " ".join(f"--{name} {value}" for name, value in arguments.items())
    return f"{before}alpaca_eval {given}"


def _write_baselines(folder: Path) -> dict[str, Path]:
    from selfj_eval.files.atomic import write_json

    instructions = alpaca_pack.evaluation_set()
    files = {}
    for version, name in alpaca_pack.BASELINES.items():
        outputs = alpaca_pack.official_baseline(version).outputs
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
    repository = folder / "hub" / "--".join(("datasets", "tatsu-lab", "alpaca_eval"))
    snapshot = repository / "snapshots" / _COMMIT
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True, exist_ok=True)
    _write_text(repository / "refs" / "main", _COMMIT)
    _write_text(
        snapshot / "df_gamed.csv", alpaca_pack.gamed_baselines().read_text(encoding="utf-8")
    )
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
        raise StoreError(f"{error} Remove it, or name another `output`.") from error
    if not ours or not isinstance(named, dict | None):
        raise StoreError(f"{configs} is another annotator's; name another `output`.")
    return next(map(str, named or ()), None)


def _write_text(path: Path, text: str) -> None:
    from selfj_eval.files.atomic import atomic_write

    with atomic_write(path) as stream:
        stream.write(text.encode())
