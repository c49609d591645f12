"""Data sets by name: what each of them holds is known before it is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from nnlab.data import home
from nnlab.data.catalogue import File, Published
from nnlab.data.sources.source import Source


class Facts(NamedTuple):
    """How large a data set is."""

    examples: int
    shape: tuple[int, ...]
    """Of one example: `(features,)`, or an image's `(height, width[, channels])`."""
    classes: int
    """0 for regression."""


@dataclass(frozen=True)
class Named(Source):
    """A data set that its name determines."""

    name: ClassVar[str]
    facts: ClassVar[Facts]
    published: ClassVar[Published | None] = None
    """The files that it is read from; None where they come with a package."""

    @classmethod
    def files(cls) -> list[Path]:
        """Those of its files that are there."""
        found = home.find(cls.published) if cls.published else {}
        return [path for paths in found.values() for path in paths]

    @classmethod
    def missing(cls) -> list[File]:
        """The files that have to be fetched before it can be loaded."""
        return home.missing(cls.published) if cls.published else []
