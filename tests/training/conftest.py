"""A small experiment that tests change: softmax regression of the irises, 4 steps per epoch."""

from dataclasses import replace

import pytest

from nnlab.core.averaging import NoAveraging
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import Linear
from nnlab.core.optimizers import SGD
from nnlab.core.penalties import NoPenalty
from nnlab.core.schedules import Constant
from nnlab.data.sources.bundled import Iris
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

EXPERIMENT = Experiment(
    model=Linear(),
    loss=CrossEntropy(),
    penalty=NoPenalty(),
    optimizer=SGD(0.1),
    schedule=Constant(),
    data=Iris(),
    averaging=NoAveraging(),
    stopping=(MaxEpochs(3),),
)


@pytest.fixture(scope="session")
def experiment():
    """The small experiment with some fields changed."""

    def changed(**fields):
        return replace(EXPERIMENT, **fields)

    return changed


@pytest.fixture(scope="session")
def train(experiment):
    """Train the small experiment with some fields changed: (training, state, reports)."""

    def trained(until=None, **fields):
        training = Training(experiment(**fields), until)
        state = training.start()
        return training, state, list(training.run(state))

    return trained
