"""Adaptive optimizers: a step size for each parameter, by the gradients it has had.

Shapes and conventions are those of `optimizers`.
"""

from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, as_coefficient
from nnlab.core.laws import law
from nnlab.core.objective import Oracle
from nnlab.core.optimizers import GradientStep


@dataclass(frozen=True)
class Adagrad(GradientStep):
    """s += g^2; theta -= lr * g / (sqrt(s) + epsilon).

    Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization", the diagonal form. Epsilon outside the root, as in PyTorch.
    """

    lr: Hyper = 0.01
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)

    def init(self, theta: Array) -> State:
        return {"square": np.zeros_like(theta)}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        square, scratch = state["square"], oracle.scratch("adagrad", theta)
        value, grad = oracle(theta)
        square += np.multiply(grad, grad, out=scratch)
        np.sqrt(square, out=scratch)
        scratch += self.epsilon
        grad /= scratch
        grad *= as_coefficient(self.lr * scale, theta)
        theta -= grad
        return value


@dataclass(frozen=True)
class Adadelta(GradientStep):
    """s = rho s + (1 - rho) g^2; d = g * sqrt(u + epsilon) / sqrt(s + epsilon);
    u = rho u + (1 - rho) d^2; theta -= lr * d.

    Zeiler 2012, "ADADELTA: an adaptive learning rate method", algorithm 1, which has no lr (that
    is 1) and tries rho = 0.95; 0.9 is PyTorch's. Epsilon inside the roots.
    """

    lr: Hyper = 1.0
    rho: Hyper = 0.9
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        law("0 <= rho < 1", np.greater_equal(self.rho, 0) & np.less(self.rho, 1), rho=self.rho)
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)

    def init(self, theta: Array) -> State:
        return {"square": np.zeros_like(theta), "square_update": np.zeros_like(theta)}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        square, square_update = state["square"], state["square_update"]
        scratch = oracle.scratch("adadelta", theta)
        value, grad = oracle(theta)
        _average_squares(square, grad, self.rho, scratch)
        np.sqrt(np.add(square_update, self.epsilon, out=scratch), out=scratch)
        grad *= scratch
        np.sqrt(np.add(square, self.epsilon, out=scratch), out=scratch)
        grad /= scratch
        _average_squares(square_update, grad, self.rho, scratch)
        grad *= as_coefficient(self.lr * scale, theta)
        theta -= grad
        return value


@dataclass(frozen=True)
class RMSProp(GradientStep):
    """s = rho s + (1 - rho) g^2; theta -= lr * g / (sqrt(s) + epsilon).

    Tieleman & Hinton 2012, lecture 6.5 of "Neural networks for machine learning", with rho = 0.9.
    Epsilon outside the root as in PyTorch (whose rho, `alpha`, is 0.99); TensorFlow's is inside.
    """

    lr: Hyper = 0.001
    rho: Hyper = 0.9
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        law("0 <= rho < 1", np.greater_equal(self.rho, 0) & np.less(self.rho, 1), rho=self.rho)
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)

    def init(self, theta: Array) -> State:
        return {"square": np.zeros_like(theta)}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        square, scratch = state["square"], oracle.scratch("rmsprop", theta)
        value, grad = oracle(theta)
        _average_squares(square, grad, self.rho, scratch)
        np.sqrt(square, out=scratch)
        scratch += self.epsilon
        grad /= scratch
        grad *= as_coefficient(self.lr * scale, theta)
        theta -= grad
        return value


@dataclass(frozen=True)
class Adam(GradientStep):
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    theta -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1, with its
    defaults. Epsilon is outside the root and is not bias-corrected.

    What is kept are the sums m / (1 - beta1) and v / (1 - beta2), and what depends on t alone is
    taken out of the root: with c = sqrt((1 - beta2) / (1 - beta2^t)) the step is
    lr * (1 - beta1) / (1 - beta1^t) / c * m / (sqrt(v) + epsilon / c) of the sums. Each factor less
    is one pass over theta less.
    """

    lr: Hyper = 0.001
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        _betas(self.beta1, self.beta2)
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)

    def init(self, theta: Array) -> State:
        return {
            "sum": np.zeros_like(theta),
            "sum_squares": np.zeros_like(theta),
            "power1": _ones(theta),
            "power2": _ones(theta),
        }

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        total, squares = state["sum"], state["sum_squares"]
        state["power1"] *= self.beta1
        state["power2"] *= self.beta2
        corrected = np.sqrt((1 - self.beta2) / (1 - state["power2"]))
        size = self.lr * scale * (1 - self.beta1) / (1 - state["power1"]) / corrected
        value, grad = oracle(theta)
        total *= as_coefficient(self.beta1, theta)
        total += grad
        squares *= as_coefficient(self.beta2, theta)
        squares += np.multiply(grad, grad, out=grad)
        np.sqrt(squares, out=grad)
        grad += as_coefficient(self.epsilon / corrected, theta)
        np.divide(total, grad, out=grad)
        grad *= as_coefficient(size, theta)
        theta -= grad
        return value


@dataclass(frozen=True)
class AdamW(Adam):
    """theta -= lr * weight_decay * theta, then a step of Adam.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2: the decay is
    not scaled by the gradient's size, as that of a penalty would be. As in PyTorch, it is
    multiplied by lr (in the paper by the schedule's factor alone) and applies to all parameters.
    """

    weight_decay: Hyper = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _decay(self.weight_decay)

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        before = oracle.scratch("decayed", theta)
        np.multiply(theta, as_coefficient(self.lr * scale * self.weight_decay, theta), out=before)
        value = super().step(theta, state, oracle, scale)
        theta -= before
        return value


@dataclass(frozen=True)
class Nadam(GradientStep):
    """Adam with Nesterov's momentum: with mu_t = beta1 (1 - 0.5 * 0.96^(t * momentum_decay)) and
    M_t = mu_1 ... mu_t, theta -= lr * (mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)) /
    (sqrt(v / (1 - beta2^t)) + epsilon).

    Dozat 2016, "Incorporating Nesterov momentum into Adam"; lr, epsilon and momentum_decay as in
    PyTorch's `NAdam`.
    """

    lr: Hyper = 0.002
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        _betas(self.beta1, self.beta2)
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)
        law("momentum_decay >= 0", self.momentum_decay >= 0, momentum_decay=self.momentum_decay)

    def init(self, theta: Array) -> State:
        return {
            "mean": np.zeros_like(theta),
            "square": np.zeros_like(theta),
            "product": _ones(theta),
            "power2": _ones(theta),
            "t": np.zeros((), np.int64),
        }

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        mean, square, product = state["mean"], state["square"], state["product"]
        scratch = oracle.scratch("nadam", theta)
        state["t"] += 1
        t = int(state["t"])
        mu, mu_next = (
            self.beta1 * (1 - 0.5 * 0.96 ** (k * self.momentum_decay)) for k in (t, t + 1)
        )
        product *= mu
        state["power2"] *= self.beta2
        value, grad = oracle(theta)
        _average_squares(square, grad, self.beta2, scratch)
        _average(mean, grad, self.beta1, out=scratch)
        np.sqrt(square, out=scratch)
        scratch *= as_coefficient(1 / np.sqrt(1 - state["power2"]), theta)
        scratch += self.epsilon
        lr = self.lr * scale
        grad *= as_coefficient(lr * (1 - mu) / (1 - product), theta)
        grad /= scratch
        theta -= grad
        np.divide(mean, scratch, out=scratch)
        scratch *= as_coefficient(lr * mu_next / (1 - product * mu_next), theta)
        theta -= scratch
        return value


@dataclass(frozen=True)
class Lion(GradientStep):
    """theta -= lr * (sign(beta1 m + (1 - beta1) g) + weight_decay * theta);
    m = beta2 m + (1 - beta2) g.

    Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1. All steps have
    the same size: lr is 3 to 10 times smaller than Adam's would be.
    """

    lr: Hyper = 0.0001
    beta1: Hyper = 0.9
    beta2: Hyper = 0.99
    weight_decay: Hyper = 0.0

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        _betas(self.beta1, self.beta2)
        _decay(self.weight_decay)

    def init(self, theta: Array) -> State:
        return {"mean": np.zeros_like(theta)}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        mean = state["mean"]
        update, scratch = oracle.scratch("update", theta), oracle.scratch("lion", theta)
        value, grad = oracle(theta)
        np.copyto(update, mean)
        _average(update, grad, self.beta1, out=scratch)
        np.sign(update, out=update)
        update += np.multiply(theta, as_coefficient(self.weight_decay, theta), out=scratch)
        update *= as_coefficient(self.lr * scale, theta)
        theta -= update
        _average(mean, grad, self.beta2, out=grad)
        return value


def _ones(theta: Array) -> Array:
    """A 1 for each model, for powers of beta as running products: of a column, pow may round
    another way than of a number, and a stack would leave its single models."""
    return np.ones((*theta.shape[:-1], 1))


def _average(mean: Array, new: Array, beta: Hyper, out: Array) -> None:
    """mean = beta mean + (1 - beta) new; the last term is left in `out`, which may be `new`."""
    mean *= as_coefficient(beta, mean)
    mean += np.multiply(new, as_coefficient(1 - beta, mean), out=out)


def _average_squares(square: Array, grad: Array, beta: Hyper, scratch: Array) -> None:
    """square = beta square + (1 - beta) grad^2."""
    _average(square, np.multiply(grad, grad, out=scratch), beta, out=scratch)


def _betas(beta1: Hyper, beta2: Hyper) -> None:
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        law(f"0 <= {name} < 1", np.greater_equal(beta, 0) & np.less(beta, 1), **{name: beta})


def _decay(weight_decay: Hyper) -> None:
    law("weight_decay >= 0", np.greater_equal(weight_decay, 0), weight_decay=weight_decay)
