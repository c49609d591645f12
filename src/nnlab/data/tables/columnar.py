"""Tables in columns that have types: Parquet, and Arrow's files (Feather)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnlab.core.laws import LawError
from nnlab.data.tables.file import BATCH, TableFile
from nnlab.errors import first_line


class Columnar(TableFile):
    """A table whose columns have names and types."""

    def __init__(self, path: Path, field: str) -> None:
        super().__init__(path, field)
        with self._readable():
            self.names = self._names()
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise LawError(f"{path}: two columns are named {min(twice)}; rename one", self.field)

    def batches(self, columns: Sequence[int]) -> Iterator[Any]:
        with self._readable():
            for batch in self._batches([self.names[column] for column in columns]):
                for start in range(0, batch.num_rows, BATCH):
                    rows = batch.slice(start, BATCH)
                    rows.validate(full=True)  # what a damaged file says is not to be believed
                    yield rows

    def _names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _batches(self, names: list[str]) -> Iterator[Any]:
        raise NotImplementedError

    @contextmanager
    def _readable(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            kind = type(self).__name__
            raise LawError(
                f"{self.path} cannot be read as {kind}: {first_line(error)}", self.field
            ) from error


class Parquet(Columnar):
    """A Parquet file, read by row groups."""

    def _names(self) -> tuple[str, ...]:
        with self._opened() as file:
            return tuple(file.schema_arrow.names)

    def _batches(self, names: list[str]) -> Iterator[Any]:
        with self._opened() as file:
            for batch in file.iter_batches(BATCH, columns=names, use_threads=False):
                yield batch.select(names)

    def _opened(self) -> Any:
        from pyarrow.parquet import ParquetFile

        return ParquetFile(self.path, page_checksum_verification=True)


class Arrow(Columnar):
    """An Arrow file (Feather version 2), read by record batches."""

    def _names(self) -> tuple[str, ...]:
        with self._opened() as file:
            return tuple(file.schema.names)

    def _batches(self, names: list[str]) -> Iterator[Any]:
        with self._opened() as file:
            for k in range(file.num_record_batches):
                yield file.get_batch(k).select(names)

    def _opened(self) -> Any:
        import pyarrow as pa

        return pa.ipc.open_file(pa.OSFile(str(self.path)))
