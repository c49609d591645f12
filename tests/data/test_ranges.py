import tracemalloc

import numpy as np
import pytest

from nnlab.data.ranges import ranges

rng = np.random.default_rng(0)
X = rng.normal(5, 3, (10_000, 7))
HOLES = np.where(rng.random(X.shape) < 0.3, np.nan, X)


@pytest.mark.parametrize("x", [X, HOLES, X.astype(np.float32), HOLES[:1]])
def test_ranges_are_numpys(x):
    found = ranges(x)
    with np.errstate(all="ignore"):
        missing = np.isnan(x).sum(axis=0)
        some = missing < len(x)
    assert found.missing.tolist() == missing.tolist()
    np.testing.assert_array_equal(found.low[some], np.nanmin(x[:, some], axis=0))
    np.testing.assert_array_equal(found.high[some], np.nanmax(x[:, some], axis=0))
    np.testing.assert_allclose(found.mean[some], np.nanmean(x[:, some], axis=0), rtol=1e-6)


def test_bytes_of_images_are_columns():
    images = rng.integers(0, 256, (5000, 3, 2, 2), np.uint8)
    found = ranges(images)
    np.testing.assert_allclose(found.mean, images.reshape(5000, -1).mean(axis=0))
    assert (found.low.min(), found.high.max(), found.missing.sum()) == (0, 255, 0)


def test_a_column_of_which_nothing_is_there_has_no_range():
    found = ranges(np.array([[1.0, np.nan], [2.0, np.nan]]))
    assert found.missing.tolist() == [0, 2]
    for values in (found.low, found.mean, found.high):
        assert np.isnan(values).tolist() == [False, True]


class OnDisk:
    """Rows that are made when they are read."""

    shape, dtype, raw = (200_000, 40), np.dtype(np.float64), np.dtype(np.float64)
    window, groups = 100, np.empty(0, np.intp)

    def __len__(self):
        return self.shape[0]

    def read(self, start, stop):
        return np.arange(start * 40, stop * 40, dtype=float).reshape(-1, 40)


def test_what_is_on_disk_is_not_held():
    tracemalloc.start()
    found = ranges(OnDisk())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6  # of 64 MB
    assert found.low.tolist() == list(range(40))
    assert found.high.tolist() == list(range(199_999 * 40, 200_000 * 40))
    np.testing.assert_allclose(found.mean, np.arange(40) + 199_999 * 20)
