"""Which reader a file is for: its ending says so, and its first bytes must not contradict."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nnlab.core.laws import LawError
from nnlab.data.tables.columnar import Arrow, Parquet
from nnlab.data.tables.delimited import Delimited
from nnlab.data.tables.file import TableFile
from nnlab.data.tables.npz import Npz
from nnlab.data.tables.numpy_file import Npy
from nnlab.names import nearest

TEXT, PARQUET, ARROW, NPY, NPZ, GZIP = "text", "Parquet", "Arrow", "NumPy", "zip", "gzip"
ENDINGS = {
    ".csv": TEXT,
    ".tsv": TEXT,
    ".csv.gz": GZIP,
    ".tsv.gz": GZIP,
    ".parquet": PARQUET,
    ".feather": ARROW,
    ".arrow": ARROW,
    ".npy": NPY,
    ".npz": NPZ,
}
MAGIC = {
    b"PAR1": PARQUET,
    b"ARROW1": ARROW,
    b"FEA1": "Feather version 1",
    b"\x93NUMPY": NPY,
    b"PK\x03\x04": NPZ,
    b"\x1f\x8b": GZIP,
    b"\x89PNG": "PNG",
    b"\xd0\xcf\x11\xe0": "Excel",
    b"SQLite format 3": "SQLite",
    b"%PDF": "PDF",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}


def _content(path: Path, field: str) -> str:
    """What the file holds: one of the values of `ENDINGS`.

    Raises `LawError` for `field` where it is not there, cannot be read, is empty, or holds
    something else than its ending says.
    """
    name = path.name.lower()
    ending = next((one for one in sorted(ENDINGS, key=len, reverse=True) if name.endswith(one)), "")
    try:
        if path.is_dir():
            raise LawError(
                f"{path} is a folder, not a file (folders of images are read by data=images)", field
            )
        if not path.exists():
            there = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            raise LawError(f"{path} does not exist{nearest(path.name, there)}", field)
        if not path.is_file():
            raise LawError(f"{path} is not a regular file", field)
        if not ending:
            raise LawError(
                f"{path}: a table is a file that ends in {', '.join(ENDINGS)}; save it as one of "
                "them",
                field,
            )
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise LawError(f"{path} cannot be read: {error.strerror}", field) from error
    if not head:
        raise LawError(f"{path} is empty", field)
    found = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), TEXT)
    if found != ENDINGS[ending]:
        what = "" if found == TEXT else f", but of a {found} file"
        raise LawError(
            f"{path} ends in {ending}, but its first bytes are not those of a "
            f"{ENDINGS[ending]} file{what}; name it as what it is",
            field,
        )
    return found


def opened(
    path: Path, field: str, header: bool, separator: str, na_values: Sequence[str], target: str
) -> TableFile:
    """The table in a file; `header`, `separator` and `na_values` are of text, `target` names an
    array.

    Raises `LawError` for `field` where it cannot be read.
    """
    readers: dict[str, Callable[[], TableFile]] = {
        PARQUET: lambda: Parquet(path, field),
        ARROW: lambda: Arrow(path, field),
        NPY: lambda: Npy(path, field),
        NPZ: lambda: Npz(path, field, target),
        TEXT: lambda: Delimited(path, field, header, separator, na_values),
    }
    found = _content(path, field)
    return readers[TEXT if found == GZIP else found]()
