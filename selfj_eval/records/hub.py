"""Data sets of the hub: files in its client's cache, or rows; of one commit, and named by it.

The token is huggingface_hub's own (``HF_TOKEN``, or what ``hf auth login`` has stored); it is
neither read nor written here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Any

from selfj_eval.errors import DataError, SelfJError, brief, printable, some
from selfj_eval.files.atomic import run_file
from selfj_eval.records.addresses import Address, is_address, parse_address
from selfj_eval.records.formats.arrow import arrow_rows

_CLIENT = "selfj-eval"  # as which the hub is asked
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOGIN = "hf auth login, or HF_TOKEN"
_ROWS = 128  # that are expanded at a time


class HubRows:
    """A split of a data set, in the cache of ``datasets``; its rows are answers in memory.

    Attributes:
        address: With commit, configuration and split.
        name: For files that come of it: the data set's, the configuration's unless it is
            ``default``, and the split's.
    """

    def __init__(self, address: Address, rows: Any) -> None:
        self.address = str(address)
        config = None if address.config == "default" else address.config
        parts = (address.repository.rpartition("/")[2], config, address.split)
        self.name = "_".join(part.replace("/", "_") for part in parts if part)
        self._rows = rows

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        # As Arrow, nothing is decoded: an image stays the bytes that it is.
        tables = self._rows.with_format("arrow").iter(batch_size=_ROWS)
        batches = (batch for table in tables for batch in table.combine_chunks().to_batches())
        return (row for _, row in arrow_rows(batches, self.address))


def fetched(given: Any, *, with_run: bool = False) -> Any:
    """What a verb was given; of an address of the hub, what it stands for.

    Args:
        given: Anything.
        with_run: Fetch the run file beside the file too, if there is one.

    Returns:
        A ``Path`` in the hub's cache; ``HubRows`` of a data set; anything else as it is.

    Raises:
        DataError: If it cannot be had, with what to do.
    """
    if not is_address(given):
        return given
    address = parse_address(given)
    if address.path is None:
        return _rows(address)
    file = _file(address)
    if with_run:
        _fetch_run_file(file)
    return file


def local_file(given: str | Path) -> Path:
    """The file that is meant; one on the hub is fetched.

    Raises:
        DataError: If it is on the hub and cannot be had, or is a whole data set.
    """
    if is_address(given):
        _refuse_data_set(parse_address(given))
    return Path(fetched(given))


def fetch_files(given: str | Path, is_read: Callable[[Path], bool]) -> tuple[list[Path], str]:
    """The files that an address or a pattern means, with their run files.

    Args:
        given: ``hf://datasets/OWNER/NAME[@REVISION]/PATH``; in a pattern ``*`` stays within a
            folder, and ``**`` stands for folders at any depth.
        is_read: Whether a file that fits a pattern is one that is read.

    Returns:
        The files in the hub's cache in the order of their names, and the address with the commit.

    Raises:
        DataError: If there is none, or they cannot be had.
    """
    address = parse_address(given)
    _refuse_data_set(address)
    if not has_magic(address.path or ""):
        file = _file(address)
        return [file], printable(file)
    with _explained(address):
        pinned = address._replace(revision=_commit(address))
        names = _names(pinned)
    path = pinned.path or ""
    found = [path] if path in names else [name for name in names if _fits(name, path)]
    if not (wanted := [name for name in sorted(found) if is_read(Path(name))]):
        message = "there is no file in a known format that fits this pattern."
        raise DataError(message, path=str(address))
    files = [_file(pinned._replace(path=name)) for name in wanted]
    for file, name in zip(files, wanted, strict=True):
        if str(run_file(name)) in names:
            _fetch_run_file(file)
    return files, str(pinned)


def _refuse_data_set(address: Address) -> None:
    if address.path is None:
        message = (
            f"is a whole data set; give a single file: hf://datasets/{address.repository}/PATH."
        )
        raise DataError(message, path=str(address))


def _file(address: Address) -> Path:
    from huggingface_hub import hf_hub_download

    with _explained(address):
        return Path(
            hf_hub_download(
                address.repository,
                address.path or "",
                repo_type="dataset",
                revision=address.revision,
                library_name=_CLIENT,
            )
        )


def _fetch_run_file(file: Path) -> None:
    """Fetch the run file of a fetched file of scores; it is not there beside other files."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    own = parse_address(printable(file))  # with the commit
    name = str(run_file(own.path or ""))
    with _explained(own), suppress(EntryNotFoundError):
        hf_hub_download(
            own.repository, name, repo_type="dataset", revision=own.revision, library_name=_CLIENT
        )


def _commit(address: Address) -> str:
    """The commit that the revision stands for, asked of the hub unless it is one."""
    from huggingface_hub import HfApi

    if address.revision is not None and _COMMIT.fullmatch(address.revision):
        return address.revision
    api = HfApi(library_name=_CLIENT)
    api.auth_check(address.repository, repo_type="dataset")
    return str(api.dataset_info(address.repository, revision=address.revision).sha)


def _names(address: Address) -> list[str]:
    """The files of the data set at a revision."""
    from huggingface_hub import HfApi

    api = HfApi(library_name=_CLIENT)
    return api.list_repo_files(address.repository, revision=address.revision, repo_type="dataset")


def _fits(name: str, pattern: str) -> bool:
    return _parts_fit(name.split("/"), pattern.split("/"))


def _parts_fit(name: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(_parts_fit(name[k:], pattern[1:]) for k in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], pattern[0]) and _parts_fit(name[1:], pattern[1:])


def _rows(address: Address) -> HubRows:
    """The rows of a data set as ``datasets.load_dataset`` gives them."""
    with _explained(address):
        pinned = address._replace(revision=_commit(address))
        builder = _builder(pinned)
        if not builder.info.splits:
            builder.download_and_prepare()
        splits = list(builder.info.splits)
        split = pinned.split or (splits[0] if len(splits) == 1 else None)
        if split not in splits:
            example = pinned._replace(split=splits[0])
            what = f"has no split {split!r}" if split else "has several splits"
            message = f"{what}; there are: {some(splits, 20)}. Name one: {example}"
            raise DataError(message, path=str(address))
        builder.download_and_prepare()
        named = pinned._replace(config=builder.config.name, split=split)
        return HubRows(named, builder.as_dataset(split=split))


def _builder(address: Address) -> Any:
    """What makes the rows of a commit.

    ``datasets`` reads a folder here of the data set's name, and where something fails whatever it
    has in its cache; the builder's hash tells.
    """
    from datasets import get_dataset_config_names, load_dataset_builder

    repository, commit = address.repository, address.revision
    try:
        builder = load_dataset_builder(repository, address.config, revision=commit)
    except ValueError:
        configs = get_dataset_config_names(repository, revision=commit)
        if address.config in configs or len(configs) < 2:
            raise
        missing = f"no configuration {address.config!r}" if address.config else "several of them"
        example = address._replace(config=configs[0])
        message = f"has {missing}; configurations are: {some(configs, 20)}. Name one: {example}"
        raise DataError(message, path=str(address)) from None
    if builder.hash != commit:
        raise DataError(
            "this commit cannot be fetched: the hub cannot be reached or refuses it, or there is "
            f"a folder {repository} here, which is used instead.",
            path=str(address),
        )
    return builder


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Whatever the hub's libraries, and those below them, raise becomes one of our errors."""
    try:
        yield
    except SelfJError:
        raise
    except Exception as error:
        raise DataError(_reason(error, address), path=str(address)) from error


def _reason(error: Exception, address: Address) -> str:
    from huggingface_hub import constants, errors

    name, revision = address.repository, address.revision
    if isinstance(error, errors.GatedRepoError):  # before what it derives from
        return (
            f"{name} is gated: accept the terms on {constants.ENDPOINT}/datasets/{name}, then log "
            f"in ({_LOGIN})."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"there is no data set {name} on the hub, or it is private. Check OWNER/NAME (both are "
            f"needed); for a private one, log in ({_LOGIN})."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name} has no revision {revision!r}; name a branch, a tag or a commit."
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError):
        if address.path is not None and not has_magic(address.path):
            return (
                f"is not in the hub's cache here, and the hub cannot be reached "
                f"({_why_unreachable(error)})."
            )
        example = "hf://datasets/OWNER/NAME@COMMIT"
        return (
            f"the hub cannot be reached ({_why_unreachable(error)}). Without it, files that were "
            f"fetched before are read one by one, and a data set by its commit, {example}."
        )
    if isinstance(error, errors.EntryNotFoundError):
        where = "on the main branch" if revision is None else f"at the revision {revision!r}"
        return f"{name} has no file {address.path!r} {where}.{_hint(address)}"
    if "scripts are no longer supported" in str(error):
        return (
            f"{name} is made by a script, which is not run. Name its files, such as "
            f"hf://datasets/{name}@refs/convert/parquet/**/*.parquet"
        )
    return f"cannot be fetched from the hub: {brief(error).rstrip('.')}."


def _why_unreachable(error: Exception) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return brief(error.__cause__ or error).rstrip(".")


def _hint(address: Address) -> str:
    """What may be meant by a file that is not there."""
    path = address.path or ""
    try:
        names = _names(address)
    except Exception:  # the file is missing all the same
        return ""
    inside = [name for name in names if name.startswith(f"{path}/")]
    if inside:
        return f" That is a folder; name a file in it, such as {inside[0]}, or a pattern."
    close = get_close_matches(path, names, 1)
    return f" Did you mean {close[0]}?" if close else ""
