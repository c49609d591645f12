import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.data.stream.order import BLOCKS, WindowOrder, edges

seeds = st.integers(0, 2**63 - 1)
examples = st.integers(1, 300)
sizes = st.integers(1, 400)
batch_sizes = st.integers(1, 80)
NONE = np.empty(0, np.intp)


def made(seed, n, batch_size, window, groups=NONE):
    return WindowOrder(seed, edges(np.arange(n), groups, window), batch_size, window)


def epoch(order, number):
    """The batches of an epoch, joined."""
    first = number * order.steps_per_epoch
    return np.concatenate([order.rows(first + k) for k in range(order.steps_per_epoch)])


@settings(max_examples=60, deadline=None)
@given(seeds, examples, batch_sizes, sizes, st.integers(0, 1000))
def test_every_example_is_there_once_in_an_epoch(seed, n, batch_size, window, number):
    order = made(seed, n, batch_size, window)
    assert sorted(epoch(order, number)) == list(range(n))
    steps = [len(order.rows(step)) for step in range(order.steps_per_epoch)]
    assert set(steps[:-1]) <= {min(batch_size, n)} and 0 < steps[-1] <= batch_size


@settings(max_examples=60, deadline=None)
@given(seeds, batch_sizes, st.lists(st.integers(1, 20), min_size=1, max_size=30), st.data())
def test_row_groups_stay_whole_in_a_window(seed, batch_size, groups, data):
    ends = np.cumsum(groups)
    window = data.draw(st.integers(max(groups), 2 * max(groups)))
    n = int(ends[-1])
    chosen = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    rows = np.flatnonzero(chosen)  # the training part has some rows of each group
    if not len(rows):
        return
    order = WindowOrder(seed, edges(rows, ends - groups, window), batch_size, window)
    assert sorted(epoch(order, 3)) == list(range(len(rows)))
    starts = order.starts(3)
    of = [
        set(np.searchsorted(ends, rows[order.window(3, k)], "right"))
        for k in range(len(starts) - 1)
    ]
    assert sum(map(len, of)) == len(set.union(*of))
    assert max(np.diff(starts)) <= window


@settings(max_examples=60, deadline=None)
@given(seeds, examples, batch_sizes, batch_sizes, sizes)
def test_the_order_does_not_depend_on_the_size_of_batches(seed, n, one, another, window):
    orders = made(seed, n, one, window), made(seed, n, another, window)
    epoch(orders[0], 2)  # its past does not matter
    np.testing.assert_array_equal(epoch(orders[0], 5), epoch(orders[1], 5))


@settings(max_examples=40, deadline=None)
@given(seeds, examples, batch_sizes, sizes, st.randoms(use_true_random=False))
def test_random_access_equals_sequential_access(seed, n, batch_size, window, random):
    order = made(seed, n, batch_size, window)
    steps = range(3 * order.steps_per_epoch)
    sequential = [order.rows(step).tolist() for step in steps]
    for step in random.sample(steps, len(steps)):
        assert order.rows(step).tolist() == sequential[step]
        epoch_, start, stop = order.span(step)
        assert (epoch_, stop - start) == (step // order.steps_per_epoch, len(sequential[step]))


def test_a_window_mixes_many_places_of_the_file():
    order = made(0, 64_000, 32, 6400)
    first = order.rows(0)
    assert np.ptp(first) > 30_000
    assert order.starts(0).tolist() == list(range(0, 64_001, 6400))
    blocks = np.unique(order.window(0, 3) // (6400 // BLOCKS))
    assert len(blocks) == BLOCKS


def test_a_window_for_all_shuffles_all():
    """The places of examples are those of a random permutation: uncorrelated with their rows."""
    order = made(0, 20_000, 32, 10**9)
    assert order.starts(0).tolist() == [0, 20_000]
    seen = epoch(order, 0)
    assert abs(np.corrcoef(seen, np.arange(20_000))[0, 1]) < 0.03
    assert abs(np.corrcoef(seen[:-1], seen[1:])[0, 1]) < 0.03


def test_within_a_window_neighbours_of_the_file_are_apart():
    seen = epoch(made(0, 20_000, 32, 2000), 0)
    assert abs(np.corrcoef(seen[:-1], seen[1:])[0, 1]) < 0.1


def test_epochs_seeds_and_windows_differ():
    orders = [epoch(made(seed, 50, 8, 12), k).tolist() for seed in range(4) for k in range(4)]
    assert len({tuple(order) for order in orders}) == 16
    order = made(0, 1000, 8, 100)
    within = [np.argsort(order.window(0, k)).tolist() for k in range(10)]
    assert len({tuple(one) for one in within}) == 10


def test_what_is_held_does_not_grow_with_the_data():
    order = made(0, 10**7, 128, 16_384)
    order.rows(0)
    held = [
        order.edges,
        order._blocks,
        order._firsts,
        order._starts,
        *(w for _, w in order._recent),
    ]
    assert sum(one.nbytes for one in held) < 2_000_000
