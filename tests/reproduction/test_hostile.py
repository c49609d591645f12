"""A config is data: a corpus of hostile ones goes the way of a fetched run and does nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MEMORY = 2_000_000_000
SECONDS = 10.0
BITES = 20
"""So many targets, tags and resolvers do what is forbidden where a config is trusted. (Hydra itself
refuses some targets by their names, and so the others of them that go through those.)"""


def done(how, folder):
    """What the watched process says of each case, by name."""
    folder.mkdir()
    process = subprocess.run(
        [sys.executable, str(HERE / "hostile_driver.py"), how, str(folder)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout.splitlines()[-1])
    told["cases"] = {case[0]: case[1:] for case in told["cases"]}
    return told


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """The corpus in `nnlab reproduce`."""
    return done("ours", tmp_path_factory.mktemp("hostile") / "ours")


def test_the_corpus_is_large(ours):
    assert len(ours["cases"]) >= 100


def test_each_is_refused_with_its_key(ours):
    wrong = {
        name: error
        for name, (key, error, _, _) in ours["cases"].items()
        if not re.match(r"(UserError|MissingComponentError): ", error) or key not in error
    }
    assert not wrong


def test_none_starts_connects_writes_unpickles_or_imports(ours):
    did = {name: seen for name, (_, _, seen, _) in ours["cases"].items() if seen}
    assert not did
    assert not ours["marker"]


def test_none_takes_long_or_much_memory(ours):
    slow = {name: case[3] for name, case in ours["cases"].items() if case[3] > SECONDS}
    assert not slow
    assert ours["peak"] < MEMORY


def test_nothing_that_is_said_is_endless_or_says_what_is_secret(ours):
    for name, (_, error, _, _) in ours["cases"].items():
        assert len(error) < 2000, name
        assert "hunter2" not in error, name
        assert "root:" not in error, name


@pytest.mark.slow
def test_the_corpus_bites_where_configs_are_trusted(tmp_path):
    told = done("control", tmp_path / "control")
    bitten = [name for name, (_, _, seen, _) in told["cases"].items() if seen]
    assert len(bitten) >= BITES, bitten
    assert told["marker"]
    assert any("the environment was read" in case[2] for case in told["cases"].values())
