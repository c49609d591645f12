import numpy as np
import pytest

from nnlab.data.sources.named import Named
from nnlab.errors import UserError
from nnlab.runs.registry import GROUPS

NAMED = {name: cls for name, cls in GROUPS["data"].items() if issubclass(cls, Named)}
every_name = pytest.mark.parametrize("name", NAMED)


@every_name
def test_it_is_registered_by_its_name(name):
    assert NAMED[name].name == name


@every_name
def test_without_its_files_it_says_which_and_where(name, data_home):
    source = NAMED[name]
    if source.published is None:
        assert source.missing() == source.files() == []
        return
    assert source.missing() == list(source.published.files)
    with pytest.raises(UserError, match=f"^{name} is not here: `nnlab data fetch {name}`") as error:
        source().load()
    for file in source.published.files:
        assert f"{file.name} ({file.size:,} bytes) from {file.urls[0]}" in str(error.value)
    assert str(data_home / source.published.folders[0]) in str(error.value)
    assert not data_home.exists()


def check_facts(source):
    """What is known beforehand is so; returns the data set."""
    dataset = source().load()
    facts = source.facts
    assert len(dataset.x) == len(dataset.y) == facts.examples
    assert int(np.prod(dataset.x.shape[1:])) == int(np.prod(facts.shape))
    assert len(dataset.classes) == facts.classes
    if facts.classes:
        assert np.unique(dataset.y).tolist() == list(range(facts.classes))
        assert dataset.y.dtype == np.int64
    return dataset


@pytest.mark.parametrize("name", [name for name in NAMED if not NAMED[name].published])
def test_what_comes_with_a_package_is_as_known(name):
    check_facts(NAMED[name])


@pytest.mark.parametrize("name", ["mnist", "mnist_100"])
def test_what_is_beside_the_project_is_as_known(name, shared_data, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(shared_data))
    dataset = check_facts(NAMED[name])
    assert dataset.x.shape[1:] == NAMED[name].facts.shape
    assert dataset.x.dtype == np.uint8


@pytest.mark.slow
def test_cifar10_is_as_known(cifar10_folder, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(cifar10_folder))
    dataset = check_facts(NAMED["cifar10"])
    assert dataset.x.shape[1:] == (32, 32, 3)
    assert np.bincount(dataset.y[:50_000]).tolist() == [5000] * 10
    assert np.bincount(dataset.y[50_000:]).tolist() == [1000] * 10
