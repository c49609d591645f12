"""What features are good for: the experiments on CIFAR-10, some of them shortened."""

import pytest

from nnlab.runs.compose import compose
from nnlab.runs.config import parse, prepare

EXPERIMENTS = {  # name: (epochs, test accuracy from, to)
    "softmax_cifar10": (6, 0.37, 0.42),
    "softmax_hog_cifar10": (10, 0.45, 0.60),
    "mlp_hog_cifar10": (6, 0.55, 0.70),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_on_cifar10_has_its_test_accuracy(name, cifar10_folder, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(cifar10_folder))
    epochs, least, most = EXPERIMENTS[name]
    shortened = f"stopping.max_epochs.epochs={epochs}"
    training = prepare(parse(compose([f"+experiment={name}", "tracking=none", shortened])))
    *_, last = training.run(training.start())
    assert least <= last.metrics["test/accuracy"] <= most
