"""The verb ``push``: a scores file, or a judge's folder, to the model hub."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from selfj_eval.errors import DataError, StoreError, brief, shown, some
from selfj_eval.jobs.options import Options, PathLike, keywords, option
from selfj_eval.jobs.results import Result
from selfj_eval.publishing.names import is_place
from selfj_eval.records.addresses import is_address

_NAME = r"[A-Za-z0-9_][\w.-]*"
_TARGET = re.compile(
    rf"hf://(?P<kind>datasets/|models/)?(?P<repo>(?!datasets/|models/|spaces/){_NAME}/{_NAME})(@(?P<revision>[\w.-]+))?"
    rf"(?P<folder>(/{_NAME})*)/?",
    re.ASCII,
)
_DOCUMENTS = ("README.md", "LICENSE*", "NOTICE*")
_SETTINGS = (
    *("config.json", "config.[0-9]*.json", "generation_config.json", "adapter_config.json"),
    *("tokenizer.json", "tokenizer.[0-9]*.json", "tokenizer_config.json", "vocab.json"),
    *("special_tokens_map.json", "added_tokens.json", "chat_template.json"),
    *("processor_config.json", "preprocessor_config.json", "*.safetensors.index.json"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
)
"""JSON files that the libraries read; others may hold what is nobody's business."""
_PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""How a pickle begins, and how torch packs one."""


@dataclass(frozen=True, kw_only=True)
class PushOptions(Options):
    """Where it goes."""

    to: str = option(
        help="hf://datasets/OWNER/NAME[@BRANCH][/FOLDER] for scores, hf://OWNER/NAME[@BRANCH] for "
        "a judge",
        placeholder="HF://...",
    )
    public: bool = option(False, "make a new repository public (default: private)")
    dry_run: bool = option(False, "list what would be sent, and send nothing")


class Sent(NamedTuple):
    """One file.

    Attributes:
        name: Its place in the repository.
        bytes: How large it is.
    """

    name: str
    bytes: int


@dataclass(frozen=True)
class Push(Result):
    """What was sent, or would be.

    Attributes:
        repository, kind: Where to: ``owner/name``, and ``dataset`` or ``model``.
        revision: The branch, or None for the main one.
        files: What.
        left_out: Files of the folder that stay here.
        notes: What a user has to know, as sentences.
        url: Of the commit; None where nothing was sent.
    """

    repository: str
    kind: str
    revision: str | None
    files: Sequence[Sent]
    left_out: Sequence[str]
    notes: Sequence[str]
    url: str | None

    def rows(self) -> list[dict[str, Any]]:
        """One row per file."""
        return [file._asdict() for file in self.files]

    def __str__(self) -> str:
        total = sum(file.bytes for file in self.files)
        done = "would be sent" if self.url is None else "sent"
        where = self.repository + (f", branch {self.revision}" if self.revision else "")
        lines = [f"{len(self.files):,} files {done} to the {self.kind} {where}: {total:,} bytes"]
        lines += [f"  {file.bytes:>14,}  {shown(file.name)}" for file in self.files]
        if self.left_out:
            lines.append(f"  not sent: {shown(some(self.left_out, 10))}")
        lines += [f"  note: {shown(note)}" for note in self.notes]
        return "\n".join([*lines, *([] if self.url is None else [f"  {self.url}"])])


class _Plan(NamedTuple):
    """What is to be sent: contents, or files, by their places."""

    files: dict[str, bytes | Path]
    left_out: list[str]
    notes: list[str]


def push_path(path: PathLike, options: PushOptions) -> Push:
    """Send a scores file with its run file, or a judge's folder, to the model hub.

    Nothing else in this package uploads anything. The token is huggingface_hub's own (``HF_TOKEN``,
    or what ``hf auth login`` has stored); it is neither read nor written here. A repository that
    does not exist is created, as private unless ``public``. The run file is sent without the
    command line and without folders of this machine. From a judge's folder, only the files from
    which the model is loaded, README.md, LICENSE* and NOTICE* are sent.

    Args:
        path: The file or the folder.

    Raises:
        DataError: If it is neither, contains pickles, or the target does not fit.
        JudgeError: If the judge's folder is incomplete or not safe.
        StoreError: If the hub cannot be reached, or refuses it.
    """
    target = _TARGET.fullmatch(options.to)
    if target is None:
        message = "must be hf://datasets/OWNER/NAME[@BRANCH][/FOLDER] or hf://OWNER/NAME[@BRANCH]"
        raise DataError(f"`to` {message}, got {options.to!r}.")
    path = Path(path)
    if not path.exists():
        raise DataError("is not there; name a scores file or a judge's folder.", path=path)
    kind = "dataset" if target["kind"] == "datasets/" else "model"
    wanted = "model" if path.is_dir() else "dataset"
    if kind != wanted:
        expected = "hf://OWNER/NAME" if path.is_dir() else "hf://datasets/OWNER/NAME"
        what = "a judge goes to a model" if path.is_dir() else "scores go to a data set"
        raise DataError(f"{what} of the hub: give `to` as {expected}.", path=path)
    if path.is_dir() and target["folder"]:
        raise DataError("a judge is a whole repository: give `to` without a folder.", path=path)
    plan = _judge(path) if path.is_dir() else _scores(path)
    places = {str(PurePosixPath(target["folder"][1:], name)): v for name, v in plan.files.items()}
    url = None
    if not options.dry_run:
        url = _sent(target["repo"], kind, target["revision"], places, public=options.public)
    sizes = [Sent(name, _size(content)) for name, content in places.items()]
    revision = target["revision"]
    return Push(target["repo"], kind, revision, sizes, plan.left_out, plan.notes, url)


push = keywords(push_path, PushOptions)


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _scores(path: Path) -> _Plan:
    from selfj_eval.files.atomic import run_file
    from selfj_eval.judging.scored import read_scores

    scores = read_scores(path)  # nothing but scores: a wrong file is not sent
    files: dict[str, bytes | Path] = {path.name: path}
    notes = [] if scores.run else ["there is no run file that says how the scores were made"]
    if scores.run:
        text = json.dumps(_without_places(scores.run), ensure_ascii=False, indent=1)
        files[run_file(path).name] = f"{text}\n".encode()
    if any(a.instruction is not None or a.response is not None for a in scores.answers):
        notes.append("the file holds instructions and answers")
    return _Plan(files, [], notes)


def _without_places(run: Any) -> dict[str, Any]:
    """A run file's content without the command line and without folders of this machine."""
    from selfj_eval.raters.specs import short_name

    kept = {name: value for name, value in run.items() if name != "command"}
    if isinstance(kept.get("input"), str) and not is_address(kept["input"]):
        kept["input"] = Path(kept["input"]).name
    if isinstance(hashes := kept.get("input_sha256"), dict):
        kept["input_sha256"] = {
            name if is_address(name) else Path(name).name: sha256 for name, sha256 in hashes.items()
        }
    if isinstance(judge := kept.get("judge"), dict):
        kept["judge"] = judge | {
            name: short_name(judge[name])
            for name in ("model", "adapter")
            if isinstance(judge.get(name), str) and is_place(judge[name])
        }
    return kept


def _judge(folder: Path) -> _Plan:
    from selfj_eval.engines.models.folders import READ, SUBFOLDERS, check_folder, read_json
    from selfj_eval.engines.models.weights import PICKLES, check_weights

    check_folder(folder)
    adapter = not (folder / "config.json").is_file()
    if adapter and not (folder / "adapter_config.json").is_file():
        message = "is neither a scores file nor a judge's folder: it has no config.json."
        raise DataError(message, path=folder)
    check_weights(folder, adapter=adapter)
    entries = sorted(entry for entry in folder.iterdir() if entry.name not in (".git", ".cache"))
    found = [entry for entry in entries if entry.is_file()]
    for name in SUBFOLDERS:
        found += sorted((folder / name).glob("*.jinja"))
    sent = (*(pattern for pattern in READ if pattern not in ("*.json", "*.py")), *_SETTINGS)
    files, left_out = dict[str, bytes | Path](), list[str]()
    for file in found:
        if any(fnmatch(file.name, pattern) for pattern in PICKLES) or _is_pickle(file):
            raise DataError(
                "is a pickle, which can run code when it is loaded, so it is not sent. Remove it "
                "from the folder; weights are sent as safetensors.",
                path=file,
            )
        name = file.relative_to(folder).as_posix()
        if any(fnmatch(file.name, pattern) for pattern in (*sent, *_DOCUMENTS)):
            files[name] = file
        else:
            left_out.append(name)
    left_out += [f"{e.name}/" for e in entries if e.is_dir() and e.name not in SUBFOLDERS]
    notes = []
    if adapter:
        base = str(read_json(folder / "adapter_config.json").get("base_model_name_or_path"))
        if is_place(base):
            notes.append(
                f"adapter_config.json names the base {base!r}, a folder that nobody else has: "
                "write the base's hub id there"
            )
    if "README.md" not in files:
        notes.append("there is no README.md, so the hub shows no model card")
    return _Plan(files, left_out, notes)


def _is_pickle(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4).startswith(_PICKLED)


def _sent(
    repo: str, kind: str, revision: str | None, files: dict[str, bytes | Path], *, public: bool
) -> str:
    """Send the files in one commit; returns its address."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(library_name="selfj-eval")
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
        done = api.create_commit(
            repo,
            operations,
            commit_message=f"selfj push: {some(list(files), 1)}",
            repo_type=kind,
            revision=revision,
        )
    except Exception as error:  # also of the libraries below, which differ between its versions
        raise StoreError(
            f"{repo} cannot be written ({brief(error).rstrip('.')}). Check the name and the "
            "connection (HF_HUB_OFFLINE), and log in with a token that may write: hf auth login, "
            f"or HF_TOKEN. {repo} is unchanged, or new and empty."
        ) from error
    return str(done.commit_url)
