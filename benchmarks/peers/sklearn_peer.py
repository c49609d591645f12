"""scikit-learn's `MLPClassifier`, an epoch by each `partial_fit`."""

from collections.abc import Sequence

import numpy as np
from benchmarks.peers.cases import BETA1, BETA2, EPSILON, MOMENTUM, Problem
from benchmarks.peers.peer import FIRST
from sklearn.neural_network import MLPClassifier


class SKLearn:
    """It shuffles for itself when it is timed; the first losses are of the problem's order."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        self.x, self.y, self.classes = problem.x, problem.y, np.arange(10)
        self.start()

    def start(self) -> None:
        problem = self.problem
        self.model = MLPClassifier(
            problem.network.hidden,
            solver="adam" if problem.optimizer == "adam" else "sgd",
            alpha=0.0,
            batch_size=problem.network.batch_size,
            learning_rate_init=problem.lr,
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            beta_1=BETA1,
            beta_2=BETA2,
            epsilon=EPSILON,
            random_state=0,
        )
        batch = slice(problem.network.batch_size)
        self.model.partial_fit(
            self.x[batch], self.y[batch], classes=self.classes
        )  # makes the arrays
        self.model.coefs_, self.model.intercepts_ = map(list, zip(*problem.weights(), strict=True))
        del self.model._optimizer  # the next step begins anew

    def epoch(self, k: int) -> None:
        self.model.partial_fit(self.x, self.y, classes=self.classes)

    def first(self) -> Sequence[float]:
        rows = np.concatenate(self.problem.batches(0)[:FIRST])
        self.model.set_params(shuffle=False)
        self.model.partial_fit(self.x[rows], self.y[rows], classes=self.classes)
        self.model.set_params(shuffle=True)
        return [float(self.model.loss_)]
