import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.data.batches import BatchOrder

seeds = st.integers(0, 2**63 - 1)
examples = st.integers(1, 60)
batch_sizes = st.integers(1, 80)


def epoch(order, number):
    """The batches of an epoch, joined."""
    first = number * order.steps_per_epoch
    return np.concatenate([order.rows(first + k) for k in range(order.steps_per_epoch)])


def test_seven_examples_in_batches_of_three():
    order = BatchOrder(0, 7, 3)
    assert order.steps_per_epoch == 3
    assert [len(order.rows(step)) for step in range(6)] == [3, 3, 1, 3, 3, 1]


def test_a_batch_as_large_as_the_data_or_larger_is_all_of_it():
    for batch_size in (7, 8, 10**9):
        order = BatchOrder(0, 7, batch_size)
        assert order.steps_per_epoch == 1
        assert sorted(order.rows(5)) == list(range(7))


@settings(max_examples=50, deadline=None)
@given(seeds, examples, batch_sizes, st.integers(0, 1000))
def test_every_epoch_is_a_permutation(seed, n, batch_size, number):
    order = BatchOrder(seed, n, batch_size)
    assert sorted(epoch(order, number)) == list(range(n))


@settings(max_examples=50, deadline=None)
@given(seeds, examples, batch_sizes, batch_sizes)
def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch_alone(seed, n, one, another):
    orders = BatchOrder(seed, n, one), BatchOrder(seed, n, another)
    epoch(orders[0], 2)  # its past does not matter
    np.testing.assert_array_equal(epoch(orders[0], 5), epoch(orders[1], 5))


@settings(max_examples=50, deadline=None)
@given(seeds, examples, batch_sizes, st.randoms(use_true_random=False))
def test_random_access_equals_sequential_access(seed, n, batch_size, random):
    order = BatchOrder(seed, n, batch_size)
    steps = range(3 * order.steps_per_epoch)
    sequential = [order.rows(step).tolist() for step in steps]
    for step in random.sample(steps, len(steps)):
        assert order.rows(step).tolist() == sequential[step]


def test_epochs_and_seeds_differ():
    orders = [epoch(BatchOrder(seed, 50, 8), k).tolist() for seed in range(4) for k in range(4)]
    assert len({tuple(order) for order in orders}) == 16


def test_the_global_random_state_is_neither_read_nor_moved():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    first = epoch(BatchOrder(0, 50, 8), 0)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(epoch(BatchOrder(0, 50, 8), 0), first)
