"""Upstream files onto this disk: from the web, whole and checked, or from a folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from selfj_eval import __version__
from selfj_eval.errors import DataError, brief
from selfj_eval.files.atomic import atomic_write
from selfj_eval.files.hashes import sha256_of
from selfj_eval.registry.cache import unwritable
from selfj_eval.registry.paths import inside
from selfj_eval.registry.sets import SourceFile

GITHUB = "https://raw.githubusercontent.com"
_PASSING = (408, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 60.0
_BLOCK = 1 << 18
Progress = Callable[[int], None]


class UnreachableError(DataError):
    """The place itself cannot be reached: no other file will come from it either."""


class Origin(Protocol):
    """Where upstream files come from."""

    def fetch(self, file: SourceFile, cache: Path, progress: Progress) -> Path:
        """A file's content on disk, checked.

        Args:
            file: Which one.
            cache: Where downloads lie.
            progress: Is told how many bytes more are there; fewer, when some had to go.

        Raises:
            DataError: If it cannot be had or is not the one that the registry means.
            StoreError: If it cannot be written.
        """
        ...


def origin_from(given: str | None) -> Origin:
    """What ``origin`` names: a mirror's address, a folder, or by default GitHub.

    Raises:
        DataError: If it is neither.
    """
    if given is None:
        return Web(GITHUB)
    parts = urlsplit(given)
    if parts.scheme in ("http", "https"):
        if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise DataError(
                "`origin` takes an address like https://HOST/PATH, without a name, password or "
                "query; names and passwords belong in ~/.netrc."
            )
        return Web(given)
    if not Path(given).expanduser().is_dir():
        message = "`origin`: there is no such folder, and it is not an http(s) address."
        raise DataError(message, path=given)
    return Folder(Path(given).expanduser())


class CountedOnce:
    """An origin that tells what is there of each file, however often sets ask for it."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._there: dict[str, int] = {}

    def fetch(self, file: SourceFile, cache: Path, progress: Progress) -> Path:
        """See ``Origin``."""
        there = 0

        def tell(more: int) -> None:
            nonlocal there
            there += more
            progress(there - self._there.get(file.place, 0))
            self._there[file.place] = there

        return self._origin.fetch(file, cache, tell)


class Folder:
    """Files that are here: ``owner/name/commit/path``, or checkouts as ``owner/name/path``.

    The checksum decides, so a checkout may stand at another commit where the file is the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self, file: SourceFile, cache: Path, progress: Progress) -> Path:
        """The file itself, where it lies; see ``Origin``."""
        wrong: list[str] = []
        places = [self._path / file.place, self._path / file.repository / file.path]
        for path in places:
            if path.is_file():
                found = difference(file, path)
                if found is None:
                    progress(file.bytes)
                    return path
                wrong.append(f"{path}: {found}")
        if wrong:
            raise DataError(
                f"not the registered file: {'; '.join(wrong)}. Check out commit {file.commit}, "
                "without conversion of line ends.",
                path=str(file),
            )
        looked = " or ".join(map(str, places))
        raise DataError(f"is not in the folder of `origin`; looked for {looked}.", path=str(file))


class Web:
    """A server with the layout of raw.githubusercontent.com: ``owner/name/commit/path``.

    Args:
        base: Address that the layout begins below.
        pauses: Seconds before each further try after a failure that may pass.
        timeout: Seconds to connect, and without a byte.
    """

    def __init__(
        self,
        base: str,
        *,
        pauses: Sequence[float] = (1, 4, 10),
        timeout: tuple[float, float] = (15, 60),
    ) -> None:
        self._base = base.rstrip("/")
        self._pauses, self._timeout = tuple(pauses), timeout
        self._session: Any = None

    def fetch(self, file: SourceFile, cache: Path, progress: Progress) -> Path:
        """The file in the cache; see ``Origin``."""
        target = inside(cache, file.place)
        try:
            if target.is_file():
                if difference(file, target) is None:
                    progress(file.bytes)
                    return target
                target.unlink()
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(cache.parent, error) from error
        for pause in (*self._pauses, None):
            try:
                self._request(file, target, progress)
                break
            except _PassingError as error:
                if pause is None:
                    raise error.final(self._base) from error
                time.sleep(max(pause, error.pause))
        return target

    def _request(self, file: SourceFile, target: Path, progress: Progress) -> None:
        """Download the whole file; it appears when it is the registered one."""
        import requests

        received = 0
        try:
            response = self._get(file)
        except requests.RequestException as error:
            raise _failure(file, error, received) from error
        try:
            with response, atomic_write(target) as stream:
                self._check(file, response)
                try:
                    for block in response.iter_content(_BLOCK):
                        received += len(block)
                        progress(len(block))
                        if received > file.bytes:
                            more = f"it has more bytes than the {file.bytes:,} of the registry"
                            raise self._wrong(file, more)
                        stream.write(block)
                except requests.RequestException as error:  # an OSError, and none of the disk
                    raise _failure(file, error, received) from error
                if received < file.bytes:
                    raise _PassingError(_ended(file, received))
                stream.flush()
                if (found := difference(file, Path(stream.name))) is not None:
                    raise self._wrong(file, found)
        except BaseException:
            if received:
                progress(-received)
            raise

    def _get(self, file: SourceFile) -> Any:
        import requests

        if self._session is None:
            self._session = requests.Session()
            own = {"User-Agent": f"selfj-eval/{__version__}", "Accept-Encoding": "identity"}
            self._session.headers.update(own)
        url = f"{self._base}/{quote(file.place)}"
        return self._session.get(url, stream=True, timeout=self._timeout)

    def _check(self, file: SourceFile, response: Any) -> None:
        """Refuse an answer that does not bring the file."""
        status = response.status_code
        if status in _PASSING:
            pause = response.headers.get("Retry-After", "")
            message = f"{file}: {self._base} answered with status {status} again and again"
            seconds = min(float(pause), _LONGEST_PAUSE) if pause.isdecimal() else 0.0
            raise _PassingError(message, pause=seconds)
        if status != 200:
            raise DataError(
                f"{self._base} answered with status {status} ({response.reason}). If you have the "
                "file elsewhere, name the folder or the mirror with `origin`.",
                path=str(file),
            )
        stated = response.headers.get("Content-Length", "")
        plain = "Content-Encoding" not in response.headers
        if plain and stated.isdecimal() and int(stated) != file.bytes:
            found = f"it has {int(stated):,} bytes, the registry says {file.bytes:,}"
            raise self._wrong(file, found)

    def _wrong(self, file: SourceFile, found: str) -> DataError:
        return DataError(
            f"what {self._base} gives is not the registered file: {found}. It was removed; try "
            "again, or name a folder or another mirror with `origin`.",
            path=str(file),
        )


class _PassingError(Exception):
    """A failure that may be gone a moment later."""

    def __init__(
        self, message: str, kind: type[DataError] = DataError, *, pause: float = 0.0
    ) -> None:
        super().__init__(message)
        self._message, self._kind, self.pause = message, kind, pause

    def final(self, base: str) -> DataError:
        """What the user reads when it did not pass."""
        way = "Run the same command again. Without a network, get the files elsewhere"
        where = f"{base}: " if self._kind is UnreachableError else ""
        return self._kind(f"{where}{self._message}. {way} and name their folder with `origin`.")


def _failure(file: SourceFile, error: Exception, received: int) -> Exception:
    """What is raised in place of an error of requests."""
    import requests

    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _PassingError(_ended(file, received))
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        cause = getattr(error.args[0], "reason", error) if error.args else error
        return _PassingError(f"cannot be reached ({brief(cause)})", UnreachableError)
    return DataError(f"cannot be fetched: {brief(error)}.", path=str(file))


def _ended(file: SourceFile, received: int) -> str:
    return f"{file}: the connection ended after {received:,} of {file.bytes:,} bytes"


def difference(file: SourceFile, path: Path) -> str | None:
    """What is wrong with a file's content, found and expected; None if nothing is."""
    size = path.stat().st_size
    if size != file.bytes:
        return f"it has {size:,} bytes, the registry says {file.bytes:,}"
    if file.sha256 is not None and (found := sha256_of(path)) != file.sha256:
        return f"its sha256 is {found}, the registry says {file.sha256}"
    if file.blob is not None and (found := _blob_of(path)) != file.blob:
        return f"its git blob id is {found}, the registry says {file.blob}"
    return None


def _blob_of(path: Path) -> str:
    total = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()
