import numpy as np
import pytest

from nnlab.core.arrays import Workspace
from nnlab.core.log_sum_exp import SHORT, log_sum_exp, row_maxima, row_sums

LENGTHS = [*range(1, SHORT + 9), 63, 64, 65, 127, 128, 129, 1000]


def rows(length, m=77, dtype=np.float64):
    return np.random.default_rng(length).normal(size=(m, length), scale=5).astype(dtype)


@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float32, 2e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("length", LENGTHS)
def test_it_is_the_log_of_the_sum_of_the_exponentials(length, dtype, accuracy):
    z = rows(length, dtype=dtype)
    highest, logs, _ = log_sum_exp(z, Workspace())
    np.testing.assert_array_equal(highest, z.max(axis=1))
    expected = np.logaddexp.reduce(z.astype(np.float64), axis=1)
    found = highest.astype(np.float64) + logs
    np.testing.assert_allclose(found, expected, rtol=accuracy, atol=accuracy)
    assert highest.dtype == logs.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 2, 24, 1500])
@pytest.mark.parametrize("length", LENGTHS)
def test_the_bits_are_those_of_a_sum_along_the_row(length, m, dtype):
    z = rows(length, m, dtype)
    before = z.copy()
    shifted = z - z.max(axis=-1, keepdims=True)
    logs = log_sum_exp(z, Workspace())[1]
    np.testing.assert_array_equal(logs, np.log(np.add.reduce(np.exp(shifted), axis=-1)))
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("length", [3, 10, SHORT, SHORT + 1])
def test_each_of_a_stack_has_the_bits_that_it_has_alone(length):
    z, work = rows(length, 5 * 30).reshape(5, 30, length), Workspace()
    together = [array.copy() for array in log_sum_exp(z, work)[:2]]
    for k, one in enumerate(z):
        for array, alone in zip(together, log_sum_exp(one, work)[:2], strict=True):
            np.testing.assert_array_equal(array[k], alone)


@pytest.mark.parametrize("length", [2, 10, SHORT + 1])
def test_far_scores_neither_overflow_nor_hide_what_is_not_finite(length):
    z = np.zeros((4, length))
    z[0, 0], z[1, 1], z[2, 0], z[3, 1] = 1e4, -1e4, np.nan, np.inf
    with np.errstate(invalid="ignore"):
        highest, logs, _ = log_sum_exp(z, Workspace())
    assert (highest[0], logs[0]) == (1e4, 0)
    assert logs[1] == pytest.approx(np.log(length - 1))
    assert np.isnan([highest[2], logs[2], logs[3]]).all()


def test_a_maximum_that_is_there_twice_or_not_at_all_is_not_alone():
    z = rows(10)
    assert log_sum_exp(z, Workspace())[2]
    twice, never = z.copy(), z.copy()
    twice[3, 7] = twice[3, 2] = twice[3].max()
    never[5, 0] = np.nan
    both = twice.copy()
    both[5, 0] = np.inf
    with np.errstate(invalid="ignore"):
        assert not any(log_sum_exp(one, Workspace())[2] for one in (twice, never, both))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 32, 255, 256, 700])
@pytest.mark.parametrize("length", LENGTHS)
def test_many_short_rows_are_reduced_to_the_bits_of_each(length, m, dtype):
    z, work = rows(length, m, dtype), Workspace()
    before = z.copy()
    np.testing.assert_array_equal(row_maxima(z, work), z.max(axis=-1))
    np.testing.assert_array_equal(row_sums(z, work), np.add.reduce(z, axis=-1))
    np.testing.assert_array_equal(z, before)
    for reduce in (row_maxima, row_sums):
        stacked = reduce(z.reshape(1, m, length), work)
        assert stacked.shape == (1, m)
        np.testing.assert_array_equal(stacked[0], reduce(z, Workspace()))
