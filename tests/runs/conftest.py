"""The small config that tests change: softmax regression of the irises, not tracked."""

from copy import deepcopy

import pytest

from nnlab.runs.compose import compose
from nnlab.runs.config import parse
from nnlab.runs.environment import Environment


@pytest.fixture(scope="session")
def composed():
    """The small config as Hydra composes it."""
    return compose(["data=iris", "model=linear", "tracking=none", "stopping.max_epochs.epochs=2"])


@pytest.fixture
def config(composed):
    """The small config with some values changed, by their dotted keys; DELETED removes one."""

    def changed(values=None):
        plain = deepcopy(composed)
        for key, value in (values or {}).items():
            *groups, last = key.split(".")
            mapping = plain
            for group in groups:
                mapping = mapping[group]
            if value is DELETED:
                del mapping[last]
            else:
                mapping[last] = value
        return plain

    return changed


DELETED = object()


@pytest.fixture
def deleted():
    """The value that removes a key."""
    return DELETED


@pytest.fixture
def checked(config, tmp_path):
    """The small config, parsed, with its store in the test's folder."""

    def parsed(values=None):
        return parse(config({"store": str(tmp_path / "store"), **(values or {})}))

    return parsed


@pytest.fixture
def environment():
    """An environment that is quick to capture."""
    return Environment({"nnlab": "0.0", "git": {"commit": "c0ffee", "dirty": True}}, "--- a\n+é\n")
