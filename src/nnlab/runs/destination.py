"""Where a run is shown, as the config says it. The sending is the tracking process's work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nnlab.core.laws import LawError
from nnlab.runs.plain import Config

_URI = re.compile(r"sqlite:///.+|(https?|postgresql|mysql)(\+\w+)?://[^\s/]+(/\S*)?")
_NAME = re.compile(r"\w[\w .-]{0,199}", re.ASCII)  # it also names a folder of artifacts


def check_model_name(**name: str) -> None:
    """Raise `LawError` unless a model can be registered under that name."""
    ((field, got),) = name.items()
    if not _NAME.fullmatch(got):
        raise LawError(
            "a registered model is named by letters, digits and - _ . or spaces, beginning with a "
            f"letter or digit, but got {field}={got!r}",
            field,
        )


class Tracking(Protocol):
    """A place where runs are shown, or none."""

    @property
    def uri(self) -> str | None:
        """The tracking server or database; None where runs stay in their directories."""

    @property
    def experiment(self) -> str:
        """The name under which runs are grouped."""


@dataclass(frozen=True)
class MLflow:
    """MLflow's database (`sqlite:///FILE`, relative to the working directory) or server."""

    uri: str = "sqlite:///mlruns/mlflow.db"
    experiment: str = "nnlab"

    def __post_init__(self) -> None:
        if not _URI.fullmatch(self.uri):
            raise LawError(
                "uri must be a database (sqlite:///mlruns/mlflow.db) or a server "
                f"(http://127.0.0.1:5000), but got uri={self.uri!r}",
                "uri",
            )
        if not _NAME.fullmatch(self.experiment):
            raise LawError(
                "experiment must be letters, digits and - _ . or spaces, beginning with a letter "
                f"or digit, but got experiment={self.experiment!r}",
                "experiment",
            )


@dataclass(frozen=True)
class Untracked:
    """The run's directory alone."""

    experiment: str = "nnlab"

    @property
    def uri(self) -> None:
        return None


def moved(config: Config, store: Path) -> Config:
    """The config of a run whose store is found at `store` now, with the database that is in it."""
    tracking = config.get("tracking")
    if isinstance(tracking, Mapping) and tracking.get("uri") == own_database(config.get("store")):
        tracking = {**tracking, "uri": own_database(store)}
    return {**config, "store": str(store), "tracking": tracking}


def own_database(store: object) -> str:
    """The URI of the database in a store."""
    return f"sqlite:///{store}/mlflow.db"
