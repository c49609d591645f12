"""A named thing with options, as a sweep's file says it: `tpe`, or `{name: tpe, startup: 20}`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar, get_type_hints

from nnlab.core.laws import LawError, one_of
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.config import checked
from nnlab.sweeps.places import Places


class Named:
    """Shown by its name."""

    name: ClassVar[str]

    def __str__(self) -> str:
        return self.name


T = TypeVar("T", bound=Named)


def chosen(table: Mapping[str, type[T]], config: Any, places: Places, *path: str) -> T:
    """The one of the table that `config` names, with its options; raises `UserError` naming the
    key and where it was written."""
    at = ".".join(path)
    given = {"name": config} if isinstance(config, str) else config
    if not isinstance(given, Mapping) or "name" not in given:
        raise places.refuse(
            f"{at} must be a name, or a mapping with a name as in {{name: {next(iter(table))}}}, "
            f"but got {at}={config!r}",
            *path,
        )
    try:
        one_of(table, **{path[-1]: given["name"]})
    except LawError as error:
        raise places.refuse(str(error), *path, "name") from error
    kind = table[given["name"]]
    hints = get_type_hints(kind)
    accepted = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    options: dict[str, Any] = {}
    for key, value in given.items():
        if key == "name":
            continue
        if key not in accepted:
            known = f"its options are {', '.join(accepted)}" if accepted else "it has none"
            raise places.refuse(
                f"{at}.{key} is not an option of {kind.name}{nearest(key, accepted)}; {known}",
                *path,
                str(key),
            )
        if key == path[-1]:  # a pruner within a pruner
            options[key] = chosen(table, value, places, *path, key)
            continue
        try:
            options[key] = checked(value, hints[key], f"{at}.{key}")
        except UserError as error:
            raise places.refuse(str(error), *path, str(key)) from error
    try:
        return kind(**options)
    except LawError as error:
        raise places.refuse(f"{error} ({at}.{error.field})", *path, error.field) from error


def plain(one: Named) -> dict[str, Any]:
    """The same as plain data."""
    options = {
        key: plain(value) if isinstance(value, Named) else value
        for key, value in ((f.name, getattr(one, f.name)) for f in fields(one))  # type: ignore[arg-type]
    }
    return {"name": one.name, **options}
