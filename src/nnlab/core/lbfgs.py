"""L-BFGS, as SciPy has it. SciPy is imported when it is used: no other part of core needs it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array, Hyper, State
from nnlab.core.laws import law
from nnlab.core.objective import Oracle


@dataclass(frozen=True)
class LBFGS:
    """theta' = `iterations` iterations of L-BFGS-B from theta; theta += lr * (theta' - theta).

    Byrd, Lu, Nocedal & Zhu 1995, "A limited memory algorithm for bound constrained optimization",
    without bounds: `scipy.optimize.minimize`. Every step begins with an empty memory, as
    SciPy's function does, so there is no state to save. It needs the objective of all examples: a
    line search is lost where each question is answered for another batch. lr = 1 takes
    L-BFGS's own step lengths; less, or a schedule, damps them.
    """

    lr: Hyper = 1.0
    iterations: int = 20
    memory: int = 10

    full_batch: ClassVar[bool] = True
    gradient_free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        law("0 < lr <= 1", np.greater(self.lr, 0) & np.less_equal(self.lr, 1), lr=self.lr)
        law("iterations >= 1", self.iterations >= 1, iterations=self.iterations)
        law("1 <= memory <= 1000", 1 <= self.memory <= 1000, memory=self.memory)

    def init(self, theta: Array) -> State:
        return {}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        from scipy.optimize import minimize

        start = theta.copy()
        first = np.array(oracle(start)[0])
        for k in np.ndindex(theta.shape[:-1]):  # a line search of each model's own

            def objective(point: Array, k: tuple[int, ...] = k) -> tuple[float, Array]:
                asked = start.copy()
                asked[k] = point
                value, grad = oracle(asked)
                return float(value[k]), grad[k].astype(np.float64)

            found = minimize(
                objective,
                start[k].astype(np.float64),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": self.iterations, "maxcor": self.memory},
            )
            theta[k] = found.x
        share = self.lr * scale
        damped = start + np.asarray(share, theta.dtype) * (theta - start)
        np.copyto(theta, damped, where=np.not_equal(share, 1))  # a whole step is not rounded
        return first
