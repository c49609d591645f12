"""Arrays that take long to compute, kept on disk for the next run.

A file is `KEY-DIGEST.npy`: the key says what was computed of what, the digest is the SHA-256 of the
file. So a file that was cut or changed is known as such, and is never used.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from uuid import uuid4

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.home import VARIABLE, home


def cached(key: str, compute: Callable[[], Array], kind: str) -> Array:
    """The array of that key (hexadecimal), read-only from disk or else computed and kept there.

    `kind` names the folder, within that of the data or else within the platform's cache. Warns
    where a file was damaged, and where no folder can be written. Two processes may ask at once:
    both compute, each writes a file of its own aside, and one of them stays.
    """
    for folder in _folders(kind):
        for path in sorted(folder.glob(f"{key}-*.npy")):
            if _digest(path) == path.stem.removeprefix(f"{key}-"):
                with suppress(ValueError, OSError):  # it was made by another program, or is gone
                    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            warnings.warn(f"{path} is damaged: what it held is computed anew", stacklevel=2)
            with suppress(OSError):
                path.unlink()
    array = compute()
    failures = []
    for folder in _folders(kind):
        try:
            _write(folder, key, array)
        except OSError as error:
            failures.append(f"{folder}: {error.strerror}")
        else:
            return array
    warnings.warn(
        f"{kind} are not kept for the next run, for they cannot be written "
        f"({'; '.join(failures)}); let {VARIABLE} name a folder of yours",
        stacklevel=2,
    )
    return array


def _folders(kind: str) -> Iterator[Path]:
    """Where files may be: the first that can be written is written."""
    yield home() / kind
    if os.environ.get(VARIABLE):
        import pooch

        yield Path(pooch.os_cache("nnlab"), kind)


def _digest(path: Path) -> str:
    """SHA-256 of a file; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _write(folder: Path, key: str, array: Array) -> None:
    """Write a file aside, sync it and give it its name: it is there whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{uuid4().hex}.new"
    try:
        with aside.open("xb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(folder / f"{key}-{_digest(aside)}.npy")
    except BaseException:  # what a full disk has of it would only take room
        aside.unlink(missing_ok=True)
        raise
