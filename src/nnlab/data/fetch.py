"""Fetching: the published files of a data set, checked by their SHA-256, from several mirrors."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from nnlab.data.catalogue import File, Published
from nnlab.data.home import by_hand, home, missing
from nnlab.errors import UserError, first_line

MIRROR = "NNLAB_MIRROR"
"""A mirror of one's own, tried first: it has FOLDER/FILE below this URL."""
PART = ".part"
"""How the name of a file ends that is being fetched; the next attempt goes on with it."""
TIMEOUT = 30
"""Seconds that a server may be silent."""
RESUMPTIONS = 10
"""So often is a connection made anew that ended too early."""
PIECE = 1 << 16

Progress = Callable[[File, int], None]
"""Is told how many bytes of a file are there."""


def fetch(name: str, published: Published, progress: Progress) -> list[Path]:
    """Fetch the files of a data set that are missing; where they are then.

    Of processes that fetch the same, one does it and the others wait. Raises `UserError` with what
    each mirror said, and what to put where by hand.
    """
    folder = home() / published.folders[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            return [
                _fetched(name, published, file, folder, progress) for file in missing(published)
            ]
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error}") from error


def _fetched(name: str, published: Published, file: File, folder: Path, progress: Progress) -> Path:
    """The file, from the first mirror that has it."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    part = folder / f"{file.name}{PART}"
    said = []
    for url in _mirrors(published, file):
        for _ in range(2):
            download = Download(file, part, progress)
            try:
                pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder, None, download)
                return folder / file.name
            except NetworkError as error:
                said.append(f"  {url}: {error}")
                break
            except ValueError:  # pooch's, who has removed it
                if download.began:  # with the bytes of an earlier attempt: they may be wrong
                    continue
                said.append(
                    f"  {url}: refused and removed, for its SHA-256 is not {file.sha256}, "
                    "the published one"
                )
                break
    raise UserError(
        "\n".join(
            (
                f"{name} could not be fetched; of {file.name}",
                *said,
                f"try `nnlab data fetch {name}` again later",
                by_hand(published, missing(published)),
            )
        )
    )


def is_published(path: Path, file: File) -> bool:
    """Has the file the published bytes?"""
    if path.stat().st_size != file.size:
        return False
    with path.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest() == file.sha256


class NetworkError(Exception):
    """A server cannot be reached, or does not give what it should."""


@dataclass
class Download:
    """A downloader for pooch: it goes on with what an earlier one has left in `part`."""

    file: File
    part: Path
    progress: Progress
    began: int = 0
    """The bytes that an earlier one had left."""

    def __call__(self, url: str, output: str, pooch: Any) -> None:
        """Write the bytes of the URL to the file `output`; raises `NetworkError`."""
        self.began = self._there()
        for _ in range(RESUMPTIONS):
            before = self._there()
            if before == self.file.size:
                break
            try:
                self._go_on(url, before)
            except NetworkError:
                if self._there() <= before:
                    raise
            if self._there() <= before:
                raise NetworkError(f"it ends after {self._there():,} of {self.file.size:,} bytes")
        if self._there() < self.file.size:
            raise NetworkError(f"it ended too early {RESUMPTIONS} times")
        self.progress(self.file, self.file.size)
        self.part.replace(output)

    def _go_on(self, url: str, there: int) -> None:
        headers = {"User-Agent": "nnlab", "Accept-Encoding": "identity"}
        if there:
            headers["Range"] = f"bytes={there}-"
        with _answer(Request(url, headers=headers)) as response:  # noqa: S310
            if response.status != 206 or not _begins_at(response, there):
                there = 0  # it is the whole file again
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and there + int(length) != self.file.size:
                raise NetworkError(
                    f"it has {there + int(length):,} bytes, not {self.file.size:,} as published"
                )
            with self.part.open("ab" if there else "wb") as file:
                for piece in _pieces(response):
                    there += len(piece)
                    if there > self.file.size:
                        raise NetworkError(f"it has more than the {self.file.size:,} bytes")
                    file.write(piece)
                    self.progress(self.file, there)
                file.flush()
                os.fsync(file.fileno())

    def _there(self) -> int:
        """The bytes that are there; more than there should be are none."""
        size = self.part.stat().st_size if self.part.exists() else 0
        return size if size <= self.file.size else 0


def _answer(request: Request) -> HTTPResponse:
    """What the server answers; its URL is of the catalogue, or the user's own."""
    try:
        answer: HTTPResponse = urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except (OSError, HTTPException) as error:
        raise NetworkError(_reason(error)) from error
    return answer


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(PIECE):
            yield piece
    except (OSError, HTTPException) as error:
        raise NetworkError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """What went wrong, without what urllib puts around it."""
    while isinstance(error, URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    return first_line(error)


def _mirrors(published: Published, file: File) -> list[str]:
    own = os.environ.get(MIRROR)
    if not own:
        return list(file.urls)
    if not own.startswith(("http://", "https://")):
        raise UserError(f"${MIRROR} must be an http URL, but is {own}")
    return [f"{own.rstrip('/')}/{published.folders[0]}/{file.name}", *file.urls]


def _begins_at(response: HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
