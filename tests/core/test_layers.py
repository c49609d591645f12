import tracemalloc
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.activations import ACTIVATIONS, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from nnlab.core.arrays import Workspace
from nnlab.core.dropout import Dropout
from nnlab.core.gradients import relative_error
from nnlab.core.laws import LawError
from nnlab.core.layers import Dense, Mode
from nnlab.core.layout import Layout
from nnlab.core.normalisation import BatchNorm

HAND_WORKED = {  # activation: {x: (f(x), f'(x))}
    ReLU: {-2.0: (0.0, 0.0), 0.0: (0.0, 0.0), 3.0: (3.0, 1.0)},
    LeakyReLU: {-2.0: (-0.02, 0.01), 0.0: (0.0, 0.01), 3.0: (3.0, 1.0)},
    Tanh: {0.0: (0.0, 1.0), log(3): (0.8, 0.36), -log(3): (-0.8, 0.36)},
    Sigmoid: {0.0: (0.5, 0.25), log(3): (0.75, 0.1875), -log(3): (0.25, 0.1875)},
}
LAYERS = {  # layer: an instance that takes three units
    Dense: Dense("layer", 3, 2),
    BatchNorm: BatchNorm("layer", 3),
    Dropout: Dropout("layer", 0.4),
    Softmax: Softmax(),
    **{activation: activation() for activation in HAND_WORKED},
}


def forward(activation, x):
    return activation.forward({}, np.array(x), Workspace())


def backward(activation, y, dy):
    dy = np.array(dy)
    return activation.backward({}, {}, y, y, dy, Workspace(), input_needed=True)


def training(seed=0, buffers=None):
    return Mode(True, np.random.default_rng(seed), {} if buffers is None else buffers)


def run(layer, parameters, x, dy, mode):
    """y, dx and the parameters' gradients; x and dy are copied, for layers may overwrite them."""
    work, x, dy = Workspace(), x.copy(), dy.copy()
    grads = {name: np.full(shape, np.nan) for name, shape in layer.shapes().items()}
    y = layer.forward(parameters, x, work, mode)
    kept = y.copy()
    dx = layer.backward(parameters, grads, x, y, dy, work, mode, input_needed=True)
    return kept, dx.copy(), grads


def test_every_layer_is_in_the_table(layer_class):
    assert layer_class in LAYERS


def test_every_activation_is_hand_worked_and_can_be_asked_for_by_name(activation_class):
    assert activation_class in HAND_WORKED
    assert activation_class in ACTIVATIONS.values()


def test_what_can_be_asked_for_by_name_is_a_hand_worked_activation_or_the_softmax():
    assert set(ACTIVATIONS.values()) == {*HAND_WORKED, Softmax}


# Activations.


def test_activations_have_the_hand_worked_values_and_slopes(activation_class):
    x, expected = zip(*HAND_WORKED[activation_class].items(), strict=True)
    values, slopes = zip(*expected, strict=True)
    activation = activation_class()
    y = forward(activation, x)
    np.testing.assert_allclose(y, values, rtol=1e-14, atol=1e-16)
    # dL/dx = dL/dy * f'(x)
    dy = np.arange(1.0, len(x) + 1)
    np.testing.assert_allclose(backward(activation, y, dy), dy * slopes, rtol=1e-14)


def test_slopes_agree_with_central_differences(activation_class):
    activation, x, step = activation_class(), np.linspace(-3.03, 3.07, 62), 1e-6
    differences = (forward(activation, x + step) - forward(activation, x - step)) / (2 * step)
    slopes = backward(activation, forward(activation, x), np.ones_like(x))
    assert relative_error(slopes, differences) < 1e-8


@settings(max_examples=50, deadline=None)
@given(x=arrays(np.float64, 5, elements=st.floats(-1e300, 1e300)))
def test_activations_are_finite_and_monotone(activation_class, x):
    x.sort()
    y = forward(activation_class(), x)
    assert np.isfinite(y).all()
    assert (np.diff(y) >= -1e-15).all()  # tanh is right to a few units of the last place
    assert np.isfinite(backward(activation_class(), y, np.ones(5))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [cls() for cls in ACTIVATIONS.values()], ids=str)
def test_activations_work_in_place_and_keep_the_dtype(activation, dtype):
    x, work = np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3), Workspace()
    y = activation.forward({}, x, work)
    assert y is x
    dy = np.ones((2, 3), dtype)
    dx = activation.backward({}, {}, y, y, dy, work, input_needed=True)
    assert dx.dtype == dtype


def test_softmax_by_hand():
    # exp of 0, log 2 and log 5 is 1, 2 and 5, of 8 in all
    y = forward(Softmax(), [[0, log(2), log(5)], [1e4, 1e4, -1e4]])
    np.testing.assert_allclose(y, [[1 / 8, 2 / 8, 5 / 8], [0.5, 0.5, 0]], rtol=1e-14)
    # dy . y = (8 + 0 + 16 * 5) / 8 = 11 in the first row and 1.5 in the second
    dx = backward(Softmax(), y, [[8.0, 0.0, 16.0], [1.0, 2.0, 9.0]])
    np.testing.assert_allclose(
        dx, [[-3 / 8, -22 / 8, 25 / 8], [-0.25, 0.25, 0]], rtol=1e-13, atol=1e-16
    )


def test_softmax_agrees_with_central_differences():
    rng, step = np.random.default_rng(1), 1e-6
    x, dy = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    expected = np.empty_like(x)
    for at in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[at] += step
        below[at] -= step
        change = forward(Softmax(), above) - forward(Softmax(), below)
        expected[at] = (dy * change).sum() / (2 * step)
    assert relative_error(backward(Softmax(), forward(Softmax(), x), dy), expected) < 1e-8


@settings(max_examples=50, deadline=None)
@given(x=arrays(np.float64, (2, 4), elements=st.floats(-1e300, 1e300)))
def test_rows_of_a_softmax_are_distributions(x):
    y = forward(Softmax(), x)
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-12)


def test_gains_by_hand():
    gains = {name: activation.gain for name, activation in ACTIVATIONS.items()}
    assert gains == {
        "relu": sqrt(2),
        "leaky_relu": sqrt(2 / 1.0001),
        "tanh": 5 / 3,
        "sigmoid": 1,
        "softmax": 1,
    }


# One dense layer by hand: 2 examples, 2 inputs, 3 outputs.
X = np.array([[1.0, 2.0], [3.0, 4.0]])
PARAMETERS = {
    "d.weight": np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]),
    "d.bias": np.array([10.0, 20.0, 30.0]),
}
Y = np.array([[15.0, 22.0, 29.0], [21.0, 24.0, 27.0]])
DY = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])


def test_dense_names_and_shapes():
    assert Dense("d", 2, 3).shapes() == {"d.weight": (2, 3), "d.bias": (3,)}


def test_dense_by_hand():
    y, dx, grads = run(Dense("d", 2, 3), PARAMETERS, X, DY, Mode())
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(grads["d.weight"], [[1, 3, -1], [2, 4, 0]])  # x^T dy
    np.testing.assert_array_equal(grads["d.bias"], [1, 1, 1])
    np.testing.assert_array_equal(dx, [[-1, 2], [1, 1]])  # dy W^T


def test_dense_writes_the_same_gradients_where_that_of_the_input_is_not_needed():
    dense, work = Dense("d", 2, 3), Workspace()
    grads = {name: np.full_like(parameter, np.nan) for name, parameter in PARAMETERS.items()}
    dense.backward(PARAMETERS, grads, X, Y, DY, work, input_needed=False)
    np.testing.assert_array_equal(grads["d.weight"], [[1, 3, -1], [2, 4, 0]])
    np.testing.assert_array_equal(grads["d.bias"], [1, 1, 1])


@pytest.mark.parametrize("mode", [training(), Mode()], ids=["training", "evaluation"])
def test_layers_that_own_their_output_leave_their_input_alone(layer_class, mode):
    layer = LAYERS[layer_class]
    if layer_class in ACTIVATIONS.values():
        return  # these write over it
    if isinstance(layer, BatchNorm):
        mode = mode._replace(buffers=fresh(layer))
    x = np.random.default_rng(1).normal(size=(5, 3))
    before = x.copy()
    parameters = {name: np.ones(shape) for name, shape in layer.shapes().items()}
    work, grads = Workspace(), {name: np.empty_like(p) for name, p in parameters.items()}
    y = layer.forward(parameters, x, work, mode)
    layer.backward(parameters, grads, x, y, np.ones_like(y), work, mode, input_needed=True)
    np.testing.assert_array_equal(x, before)


# Batch normalisation by hand: the first unit's batch is 1, 3, 5, 7 (mean 4, variance 20 / 4,
# unbiased 20 / 3), the second's constant.
NORM = BatchNorm("n", 2, momentum=0.1, epsilon=0.0)
SCALE, SHIFT = np.array([2.0, 3.0]), np.array([10.0, 20.0])
SCALED = {"n.scale": SCALE, "n.shift": SHIFT}


def fresh(norm, leading=()):
    """Running statistics before the first batch."""
    return {
        f"{norm.name}.mean": np.zeros((*leading, norm.units)),
        f"{norm.name}.variance": np.ones((*leading, norm.units)),
    }


def test_batch_norm_s_names_shapes_and_buffers():
    assert NORM.shapes() == {"n.scale": (2,), "n.shift": (2,)}
    assert NORM.buffers() == {"n.mean": (2,), "n.variance": (2,)}


def test_batch_norm_by_hand():
    norm = BatchNorm("n", 2, momentum=0.25, epsilon=4.0)
    x = np.array([[1.0, 6.0], [3.0, 6.0], [5.0, 6.0], [7.0, 6.0]])
    buffers = {"n.mean": np.array([8.0, 2.0]), "n.variance": np.array([4.0, 8.0])}
    y = norm.forward(SCALED, x, Workspace(), training(buffers=buffers))
    # (x - 4) / sqrt(5 + 4) = -1, -1/3, 1/3, 1; times 2, plus 10
    np.testing.assert_allclose(y[:, 0], [8, 28 / 3, 32 / 3, 12], rtol=1e-15)
    np.testing.assert_array_equal(y[:, 1], 20)
    np.testing.assert_allclose(buffers["n.mean"], [7, 3], rtol=1e-15)
    np.testing.assert_allclose(buffers["n.variance"], [3 + 20 / 12, 6], rtol=1e-15)
    # in evaluation by (x - 8) / sqrt(5 + 4)
    kept = {"n.mean": np.array([8.0, 2.0]), "n.variance": np.array([5.0, 0.0])}
    y = norm.forward(SCALED, x, Workspace(), Mode(buffers=kept))
    np.testing.assert_allclose(y[:, 0], [10 + 2 * (v - 8) / 3 for v in (1, 3, 5, 7)], rtol=1e-15)
    np.testing.assert_allclose(y[:, 1], 20 + 3 * (6 - 2) / 2, rtol=1e-15)
    np.testing.assert_array_equal(kept["n.mean"], [8, 2])
    np.testing.assert_array_equal(kept["n.variance"], [5, 0])


def test_batch_norm_s_gradient_by_hand():
    # one unit, xhat = -1, 1 (deviation 2): dscale = -1 * 3 + 1 * 5, dshift = 3 + 5, and
    # dx = scale / 2 * (dy - dshift / 2 - xhat dscale / 2) = 0: two examples have no freedom left
    norm, x = BatchNorm("n", 1, epsilon=0.0), np.array([[1.0], [5.0]])
    parameters = {"n.scale": np.array([4.0]), "n.shift": np.array([7.0])}
    y, dx, grads = run(norm, parameters, x, np.array([[3.0], [5.0]]), training())
    np.testing.assert_array_equal(y, [[3], [11]])
    np.testing.assert_array_equal(grads["n.scale"], [2])
    np.testing.assert_array_equal(grads["n.shift"], [8])
    np.testing.assert_array_equal(dx, [[0], [0]])
    # in evaluation mean and variance are constants
    kept = {"n.mean": np.array([3.0]), "n.variance": np.array([4.0])}
    y, dx, grads = run(norm, parameters, x, np.array([[3.0], [5.0]]), Mode(buffers=kept))
    np.testing.assert_array_equal(y, [[3], [11]])
    np.testing.assert_array_equal(grads["n.scale"], [2])
    np.testing.assert_array_equal(dx, [[6], [10]])  # scale / deviation is 2


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_batch_norm_s_gradient_agrees_with_central_differences(mode):
    rng, step = np.random.default_rng(2), 1e-6
    norm, x, dy = BatchNorm("n", 3), rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    theta = {"n.scale": rng.normal(size=3), "n.shift": rng.normal(size=3), "x": x}
    kept = {"n.mean": rng.normal(size=3), "n.variance": rng.uniform(0.5, 2, 3)}
    how = training() if mode == "training" else Mode(buffers=kept)

    def loss():
        return (dy * norm.forward(theta, theta["x"], Workspace(), how)).sum()

    _, dx, grads = run(norm, theta, x, dy, how)
    for name, analytic in {**grads, "x": dx}.items():
        expected = np.empty_like(theta[name])
        for at in np.ndindex(expected.shape):
            here = theta[name][at]
            theta[name][at] = here + step
            above = loss()
            theta[name][at] = here - step
            expected[at] = (above - loss()) / (2 * step)
            theta[name][at] = here
        assert relative_error(analytic, expected) < 1e-7, name


def test_a_batch_of_one_is_normalised_to_the_shift_and_leaves_the_running_variance_alone():
    buffers = {"n.mean": np.array([2.0, 4.0]), "n.variance": np.array([9.0, 16.0])}
    norm = BatchNorm("n", 2, momentum=0.5)
    x, dy = np.array([[6.0, 8.0]]), np.array([[1.0, 2.0]])
    y, dx, grads = run(norm, SCALED, x, dy, training(buffers=buffers))
    np.testing.assert_array_equal(y, [[10, 20]])
    np.testing.assert_array_equal(dx, [[0, 0]])
    np.testing.assert_array_equal(grads["n.scale"], [0, 0])
    np.testing.assert_array_equal(grads["n.shift"], [1, 2])
    np.testing.assert_array_equal(buffers["n.mean"], [4, 6])
    np.testing.assert_array_equal(buffers["n.variance"], [9, 16])


def test_a_batch_of_two_has_an_unbiased_variance():
    buffers, x = fresh(NORM), np.array([[1.0, 2.0], [5.0, 2.0]])  # 2 * 2^2 / (2 - 1) = 8
    BatchNorm("n", 2, momentum=0.5).forward(SCALED, x, Workspace(), training(buffers=buffers))
    np.testing.assert_array_equal(buffers["n.mean"], [1.5, 1])
    np.testing.assert_array_equal(buffers["n.variance"], [4.5, 0.5])


def test_the_running_variance_of_a_constant_batch_falls_towards_zero():
    buffers = fresh(NORM)
    norm = BatchNorm("n", 2)
    for _ in range(3):
        norm.forward(SCALED, np.full((4, 2), 5.0), Workspace(), training(buffers=buffers))
    np.testing.assert_allclose(buffers["n.variance"], 0.9**3, rtol=1e-14)
    np.testing.assert_allclose(buffers["n.mean"], 5 * (1 - 0.9**3), rtol=1e-14)


# Dropout.


def test_dropout_zeroes_a_share_of_rate_and_scales_the_rest():
    n = 400 * 500
    for rate in (0.0, 0.1, 0.5, 0.9):
        y = Dropout("d", rate).forward({}, np.full((400, 500), 3.0), Workspace(), training(4))
        kept = y != 0
        np.testing.assert_allclose(y[kept], 3 / (1 - rate), rtol=1e-15)
        # five deviations of a binomial share
        assert abs(1 - rate - kept.mean()) <= 5 * sqrt(rate * (1 - rate) / n)


def test_dropout_is_independent_from_unit_to_unit_and_example_to_example():
    y = Dropout("d", 0.3).forward({}, np.ones((400, 500)), Workspace(), training(5))
    kept = (y != 0) - 0.7
    for along, across in ((kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1])):
        assert abs((along * across).mean()) <= 5 * 0.21 / sqrt(along.size)


def test_the_same_seed_gives_the_same_mask_and_another_seed_another():
    dropout, x = Dropout("d", 0.5), np.random.default_rng(0).normal(size=(6, 7))
    first = dropout.forward({}, x, Workspace(), training(7)).copy()
    work = Workspace()
    np.testing.assert_array_equal(dropout.forward({}, x, work, training(7)), first)
    assert not np.array_equal(dropout.forward({}, x, work, training(8)), first)
    mode = training(7)
    np.testing.assert_array_equal(dropout.forward({}, x, work, mode), first)
    assert not np.array_equal(dropout.forward({}, x, work, mode), first), "the stream goes on"


def test_the_mask_does_not_depend_on_the_dtype():
    y = {
        dtype: Dropout("d").forward({}, np.ones((6, 7), dtype), Workspace(), training(7))
        for dtype in (np.float32, np.float64)
    }
    np.testing.assert_array_equal(y[np.float32], y[np.float64])


def test_evaluation_is_the_identity():
    x, dy = np.random.default_rng(0).normal(size=(2, 6, 7))
    y, dx, _ = run(Dropout("d", 0.5), {}, x, dy, Mode())
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)


def test_dropout_s_gradient_goes_through_its_mask():
    rng, step = np.random.default_rng(3), 1e-4
    x, dy = rng.normal(size=(2, 5, 6))
    dropout, expected = Dropout("d", 0.4), np.empty_like(x)
    for at in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[at] += step
        below[at] -= step
        change = dropout.forward({}, above, Workspace(), training(9)) - dropout.forward(
            {}, below, Workspace(), training(9)
        )
        expected[at] = (dy * change).sum() / (2 * step)
    _, dx, _ = run(dropout, {}, x, dy, training(9))
    np.testing.assert_allclose(dx, expected, rtol=1e-9, atol=1e-12)  # linear: rounding alone
    assert 0 < (dx == 0).mean() < 1


def test_the_models_of_a_stack_share_their_mask():
    x = np.random.default_rng(0).normal(size=(3, 6, 7))
    y, dx, _ = run(Dropout("d", 0.5), {}, x, np.ones_like(x), training(7))
    np.testing.assert_array_equal(dx, np.broadcast_to(dx[0], dx.shape))
    for k in range(3):
        alone, _, _ = run(Dropout("d", 0.5), {}, x[k], np.ones((6, 7)), training(7))
        np.testing.assert_array_equal(y[k], alone)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_dropout_s_rate_is_a_probability_below_one(rate):
    with pytest.raises(LawError, match="`0 <= rate < 1` must hold, but got rate="):
        Dropout("d", rate)


# Every layer.


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(33, 3), (1, 3), (300, 3)], ids=str)
def test_k_stacked_layers_compute_the_bits_of_k_single_ones(layer_class, dtype, mode, shape):
    layer, rng = LAYERS[layer_class], np.random.default_rng(5)
    layout = Layout.of(layer.shapes())
    thetas = rng.normal(size=(4, layout.size)).astype(dtype)
    x = rng.normal(size=(4, *shape)).astype(dtype)
    dy = rng.normal(size=(4, *shape)).astype(dtype)[..., : getattr(layer, "outputs", 3)].copy()
    buffers = rng.uniform(0.5, 2, size=(4, 6)).astype(dtype)
    kept = Layout.of(layer.buffers() if isinstance(layer, BatchNorm) else {})

    def run(theta, x, dy, buffers):
        mode_ = Mode(mode == "training", np.random.default_rng(6), kept.views(buffers))
        work, x, dy, grad = Workspace(), x.copy(), dy.copy(), np.full_like(theta, np.nan)
        y = layer.forward(layout.views(theta), x, work, mode_)
        z = y.copy()
        dx = layer.backward(
            layout.views(theta), layout.views(grad), x, y, dy, work, mode_, input_needed=True
        )
        return z, dx, grad

    after = buffers.copy()
    stacked = run(thetas, x, dy, after)
    assert all(array.dtype == dtype for array in stacked)
    for k in range(4):
        single = buffers[k].copy()
        for ours, alone in zip(stacked, run(thetas[k], x[k], dy[k], single), strict=True):
            np.testing.assert_array_equal(ours[k], alone)
        np.testing.assert_array_equal(after[k], single)
    assert not np.isnan(stacked[2]).any()


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("layer", [BatchNorm("layer", 500), Dropout("layer", 0.3)], ids=str)
def test_nothing_of_the_batch_s_size_is_allocated_after_the_first_time(layer, mode):
    x, dy = np.random.default_rng(0).normal(size=(2, 1000, 500)).astype(np.float32)
    layout, kept = Layout.of(layer.shapes()), Layout.of({})
    if isinstance(layer, BatchNorm):
        kept = Layout.of(layer.buffers())
    theta, grad = np.ones((2, layout.size), np.float32)
    buffers = np.ones(kept.size, np.float32)
    work = Workspace()
    how = Mode(mode == "training", np.random.default_rng(1), kept.views(buffers))

    def once():
        y = layer.forward(layout.views(theta), x, work, how)
        grads = layout.views(grad)
        layer.backward(layout.views(theta), grads, x, y, dy, work, how, input_needed=True)

    once()
    tracemalloc.start()
    try:
        once()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 16  # NumPy's buffers of 64 KB and a few numbers for each unit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, 10, 64, 65])
@pytest.mark.parametrize("m", [1, 15, 16, 33, 1024])
def test_what_is_evaluated_has_the_bits_of_training(m, outputs, dtype):
    rng = np.random.default_rng(m)
    layer = Dense("layer", 7, outputs)
    x = rng.normal(size=(m, 7)).astype(dtype)
    parameters = {
        name: rng.normal(size=shape).astype(dtype) for name, shape in layer.shapes().items()
    }
    trained, evaluated = (
        layer.forward(parameters, x, Workspace(), Mode(training)) for training in (True, False)
    )
    np.testing.assert_array_equal(evaluated, trained)
    parameters["layer.bias"] += 1
    np.testing.assert_array_equal(
        layer.forward(parameters, x, Workspace()),
        x @ parameters["layer.weight"] + parameters["layer.bias"],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, 10, 64, 65])
@pytest.mark.parametrize("m", [1, 7, 8, 24, 33])
def test_each_of_a_stack_has_the_bits_that_it_has_alone(m, outputs, dtype):
    rng = np.random.default_rng(m)
    layer, models = Dense("layer", 7, outputs), 5
    layout = Layout.of(layer.shapes())
    theta, x = rng.normal(size=(models, layout.size)).astype(dtype), rng.normal(size=(m, 7))
    x, dy = x.astype(dtype), rng.normal(size=(models, m, outputs)).astype(dtype)
    grad = np.zeros_like(theta)
    how = layout.views(theta), layout.views(grad)
    y = layer.forward(how[0], x, work := Workspace(), Mode(training=True))
    dx = layer.backward(*how, x, y, dy, work, input_needed=True).copy()
    for k in range(models):
        alone = np.zeros(layout.size, dtype)
        one = layout.views(theta[k]), layout.views(alone)
        y_k = layer.forward(one[0], x, mine := Workspace(), Mode(training=True))
        np.testing.assert_array_equal(y[k], y_k)
        dx_k = layer.backward(*one, x, y_k, dy[k], mine, input_needed=True)
        np.testing.assert_array_equal(dx[k], dx_k)
        np.testing.assert_array_equal(grad[k], alone)
