"""What the columns of a table are for: the target, the inputs, and the names of the parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from nnlab.core.laws import LawError
from nnlab.data.tables.file import TableFile, listed
from nnlab.names import nearest


@dataclass(frozen=True)
class Roles:
    """Columns by name."""

    target: str
    inputs: tuple[str, ...]
    split: str = ""
    """The column that names the part of each row; empty where there is none."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that is read."""
        return (self.target, *self.inputs, *filter(None, [self.split]))


def roles(file: TableFile, target: str, split: str, ignore: Sequence[str]) -> Roles:
    """The roles of the columns of a file. Raises `LawError` where one is not there, has two roles
    or no name, and where no input is left."""
    target = target or file.usual_target
    if not target:
        raise LawError(
            f"data.target must name the column that is to be predicted; {file.path} has "
            f"{listed(file.names)}",
            "target",
        )
    _check_there(file, target, "target")
    if split:
        _check_there(file, split, "split_column")
    for name in ignore:
        _check_there(file, name, "ignore")
    if target in ignore:
        raise LawError(f"column {target} is the target and cannot be ignored", "ignore")
    if target == split:
        raise LawError(f"column {target} is the target and cannot name the parts", "split_column")
    others = {target, *ignore, *filter(None, [split])}
    inputs = tuple(name for name in file.names if name not in others)
    if "" in inputs:
        raise LawError(
            f"{file.path}: column {file.names.index('') + 1} has no name (an index that pandas "
            "wrote?); leave it out with 'data.ignore=[\"\"]', or name it",
            "ignore",
        )
    if not inputs and not file.has_images:
        raise LawError(f"{file.path} has no column beside {', '.join(sorted(others))}", "ignore")
    return Roles(target, inputs, split)


def check_same(main: TableFile, wanted: Roles, file: TableFile, ignore: Sequence[str]) -> None:
    """Raise `LawError` unless another file has the columns that are read, and no more
    than those and what is ignored."""
    lacking = [name for name in wanted.all if name not in file.names]
    if lacking:
        raise LawError(
            f"{file.path} lacks the column {listed(lacking)}"
            f"{nearest(lacking[0], file.names)}, which {main.path} has",
            file.field,
        )
    more = [name for name in file.names if name not in {*wanted.all, *ignore}]
    if more:
        raise LawError(
            f"{file.path} has the column {listed(more)}, which {main.path} has not; leave it "
            "out of the file",
            file.field,
        )


def _check_there(file: TableFile, name: str, field: str) -> None:
    if name not in file.names:
        raise LawError(
            f"{file.path} has no column {name}{nearest(name, file.names)}; it has "
            f"{listed(file.names)}",
            field,
        )
