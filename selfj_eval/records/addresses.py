"""Addresses of data sets on the hub: read, checked and written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode

from selfj_eval.errors import DataError
from selfj_eval.records.formats.opening import READABLE, ending_of

_EXPECTED = "hf://datasets/OWNER/NAME[@REVISION]/PATH"
_NAME = r"[A-Za-z0-9_][\w.-]*"
_REPOSITORY = rf"datasets/(?P<repository>{_NAME}/{_NAME})"
# Two kinds of revisions have a slash; a branch that has one is written with %2F.
_REVISION = r"(?P<revision>refs/(?:convert|pr)/[^/?@]+|[^/?@]+)"
_BEGINNING = re.compile(r"hf:/|https://(huggingface\.co|hf\.co)/")
_ADDRESS = re.compile(
    rf"hf:/+{_REPOSITORY}(?:@{_REVISION})?(?:/(?P<path>.*)|\?(?P<query>.*))?", re.ASCII
)
_PAGE = re.compile(
    rf"https://(?:huggingface\.co|hf\.co)/{_REPOSITORY}"
    rf"(?:/(?:blob|resolve|raw|tree)/{_REVISION}(?:/(?P<path>[^?#]*))?"
    r"|/viewer/(?P<config>[^/?#]+)/(?P<split>[^/?#]+))?/?(?:[?#].*)?",
    re.ASCII,
)
_PARTS = ("config", "split")


class Address(NamedTuple):
    """A file of a data set on the hub, files by a pattern, or a part of a data set.

    Attributes:
        repository: ``owner/name``.
        revision: Branch, tag or commit; None for the main branch.
        path: Of a file, or a pattern; None for a data set as ``datasets.load_dataset`` reads it.
        config: Its configuration; None for the default one.
        split: Its split; None for the only one.
    """

    repository: str
    revision: str | None = None
    path: str | None = None
    config: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        revision, path = self.revision, "" if self.path is None else f"/{self.path}"
        if revision is not None and not re.match(r"refs/(convert|pr)/[^/]+$", revision):
            revision = quote(revision, safe="")
        at = "" if revision is None else f"@{revision}"
        parts = {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}
        query = f"?{urlencode(parts)}" if parts else ""
        return f"hf://datasets/{self.repository}{at}{path}{query}"


def is_address(given: object) -> bool:
    """Whether something is meant to be on the hub: ``hf://...``, or the address of a page."""
    return isinstance(given, str | Path) and _BEGINNING.match(str(given)) is not None


def parse_address(given: str | Path) -> Address:
    """Read ``hf://datasets/OWNER/NAME[@REVISION][/PATH]`` or ``...[?config=NAME&split=NAME]``.

    Addresses of the hub's pages are read too, of files as of the data set's viewer; so is an
    ``hf://`` address that ``Path`` has left with one slash.

    Raises:
        DataError: If it is not an address of a data set, or leads out of it.
    """
    text = str(given)
    found = _ADDRESS.fullmatch(text) or _PAGE.fullmatch(text)
    if found is None:
        message = f"is not an address of a data set on the hub; expected {_EXPECTED}."
        raise DataError(message, path=text)
    parts = found.groupdict()
    path = parts["path"] or ""
    if found.re is _PAGE:
        path = unquote(path)
        chosen = {name: unquote(parts[name]) for name in _PARTS if parts[name]}
    else:
        chosen = _chosen(parts["query"] or "", text)
    path = path.strip("/")
    if not path and ending_of(Path(parts["repository"])) in READABLE:
        message = f"the owner of the data set is missing; expected {_EXPECTED}."
        raise DataError(message, path=text)
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise DataError(f"{path!r} is not a path within a data set.", path=text)
    revision = None if parts["revision"] is None else unquote(parts["revision"])
    return Address(parts["repository"], revision, path or None, **chosen)


def _chosen(query: str, text: str) -> dict[str, str]:
    found = parse_qs(query, keep_blank_values=True)
    for name, values in found.items():
        if name not in _PARTS or len(values) > 1 or not values[0]:
            message = f"expected ?config=NAME&split=NAME, or one of the two, got {query!r}."
            raise DataError(message, path=text)
    if query and not found:
        raise DataError(f"expected ?config=NAME&split=NAME, got {query!r}.", path=text)
    return {name: values[0] for name, values in found.items()}
