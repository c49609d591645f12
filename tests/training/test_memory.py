"""A training that does not fit into memory is refused before any of it is taken."""

import tracemalloc

import pytest

from nnlab.core.adaptive import Adam
from nnlab.core.averaging import EMA
from nnlab.core.laws import LawError
from nnlab.core.losses import MSE
from nnlab.core.model import MLP
from nnlab.training import memory
from nnlab.training.memory import footprint
from nnlab.training.trainer import Training


def test_the_vectors_are_those_that_the_optimizer_and_the_averaging_keep(experiment):
    training = Training(experiment(model=MLP((10,)), optimizer=Adam(), averaging=EMA()))
    found = footprint(training.experiment, training.network, training.splits)
    parameters = 4 * 10 + 10 + 10 * 3 + 3
    # theta, gradient, before, m, v, two that are measured in float32; the average and what a norm
    # is summed in in float64
    assert found.vectors == parameters * (7 * 4 + 2 * 8)


@pytest.mark.parametrize("width", [10**5, 4 * 10**5])
def test_what_is_told_is_at_most_what_is_taken(experiment, width):
    changed = experiment(model=MLP((width,)), optimizer=Adam(), averaging=EMA(), batch_size=16)
    training = Training(changed)
    told = footprint(training.experiment, training.network, training.splits).total
    tracemalloc.start()
    for report in training.run(training.start()):
        if report.step:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.4 * peak < told <= 1.05 * peak


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": MLP((10**9,))}, "model.hidden"),
        ({"model": MLP((10**5,), output="identity")}, "batch_size"),
        ({"loss": MSE()}, "loss"),
    ],
)
def test_the_key_to_blame_is_named(experiment, monkeypatch, change, field):
    training = Training(experiment(model=MLP((10,))))
    made = experiment(**change)
    network = made.model.build(4, 3)
    sizes = footprint(made, network, training.splits)
    there = {"model.hidden": sizes.vectors, "batch_size": sizes.batches, "loss": sizes.targets}
    monkeypatch.setattr(memory, "available", lambda: there[field] - 1)
    monkeypatch.setattr("nnlab.data.memory.available", lambda: there[field] - 1)
    with pytest.raises(LawError, match="would take at least") as error:
        memory.check_memory(made, network, training.splits)
    if field == "model.hidden":
        assert error.value.field == field


def test_several_trainings_must_fit_together(experiment, monkeypatch):
    made = experiment(model=MLP((10,)))
    total = footprint(made, Training(made).network, Training(made).splits).total
    monkeypatch.setattr("nnlab.data.memory.available", lambda: 3 * total)
    assert Training(made, None, 3)
    with pytest.raises(LawError, match=r"^4 trainings of a network of 83 parameters") as error:
        Training(made, None, 4)
    assert error.value.field.startswith("seeds")
