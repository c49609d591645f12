from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core import plateau

CASES = {  # direction, min_delta: values, and how many in a row were no better after each
    ("minimize", 0.0): ([3, 2, 2, 2.5, 1, 1.5, 1], [0, 0, 1, 2, 0, 1, 2]),
    ("maximize", 0.0): ([-3, -2, -2, -2.5, -1, -1.5, -1], [0, 0, 1, 2, 0, 1, 2]),
    # better by more than 1 than the best, not than the last
    ("minimize", 1.0): ([5, 4, 3.5, 2.4, 2.3, 1.3], [0, 1, 0, 0, 1, 0]),
    ("maximize", 0.25): ([0.5, 0.75, 0.8, 0.8, 1.0], [0, 1, 0, 1, 2]),
}


def waits(direction, min_delta, values, memory=None):
    memory = plateau.init() if memory is None else memory
    return [plateau.waited(value, direction, min_delta, memory) for value in values]


def test_every_direction_is_in_the_table():
    assert {direction for direction, _ in CASES} == set(plateau.DIRECTIONS)


@pytest.mark.parametrize(("direction", "min_delta"), CASES)
def test_how_long_nothing_was_better(direction, min_delta):
    values, expected = CASES[direction, min_delta]
    assert waits(direction, min_delta, values) == expected


@pytest.mark.parametrize("direction", plateau.DIRECTIONS)
def test_what_is_not_finite_is_no_better(direction):
    worst = inf if direction == "minimize" else -inf
    assert waits(direction, 0.0, [nan, worst, 1.0, nan, worst]) == [1, 2, 0, 1, 2]


@given(values=st.lists(st.floats(-10, 10), min_size=1), cut=st.integers(0, 10))
def test_a_copy_of_the_memory_goes_on_as_it_would_have(values, cut):
    memory = plateau.init()
    before = waits("minimize", 0.1, values[:cut], memory)
    memory = {name: array.copy() for name, array in memory.items()}
    after = waits("minimize", 0.1, values[cut:], memory)
    assert before + after == waits("minimize", 0.1, values)


@given(values=st.lists(st.floats(-10, 10), min_size=1))
def test_it_counts_back_to_the_first_of_the_best(values):
    expected = [k - values[: k + 1].index(min(values[: k + 1])) for k in range(len(values))]
    assert waits("minimize", 0.0, values) == expected
    assert waits("maximize", 0.0, [-value for value in values]) == expected


def test_the_memory_s_arrays_keep_their_shape_and_dtype():
    memory = plateau.init()
    before = {name: (array.shape, array.dtype) for name, array in memory.items()}
    waits("minimize", 0.0, [3.0, 2.0, 2.0], memory)
    assert {name: (array.shape, array.dtype) for name, array in memory.items()} == before
    assert (float(memory["best"]), int(memory["waited"])) == (2.0, 1)
