import numpy as np
import pytest
from scipy.linalg import sqrtm

from nnlab.core.laws import LawError
from nnlab.data.preparation.zca import ZCA
from nnlab.data.view import View

rng = np.random.default_rng(0)
TRAIN = rng.normal(3, 1, (400, 6)) @ rng.normal(size=(6, 6))


def fitted(step, train, arithmetic=np.float64):
    """The transform that is fitted to an array."""
    return step.fit(View(train, np.arange(len(train)), (), arithmetic), None)


def test_whitening_is_by_the_inverse_square_root_of_the_covariance():
    transform = fitted(ZCA(0.5), TRAIN)
    covariance = np.cov(TRAIN.T, bias=True)
    expected = (TRAIN - TRAIN.mean(axis=0)) @ np.linalg.inv(sqrtm(covariance + 0.5 * np.eye(6)))
    np.testing.assert_allclose(transform(TRAIN), expected, atol=1e-10)


def test_hardly_any_epsilon_leaves_variance_1_and_no_correlation():
    z = fitted(ZCA(1e-12), TRAIN)(TRAIN)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(6), atol=1e-8)


def test_images_stay_images():
    images = rng.integers(0, 256, (200, 3, 2, 2), np.uint8)
    transform = fitted(ZCA(1.0), images, np.float32)
    x = images[:7].astype(np.float32)
    assert (transform(x).shape, transform(x).dtype) == (x.shape, np.float32)
    rows = fitted(ZCA(1.0), images.reshape(200, -1))(images[:7].reshape(7, -1).astype(float))
    np.testing.assert_allclose(transform(x).reshape(7, -1), rows, rtol=1e-3, atol=1e-3)


def test_a_feature_that_does_not_vary_becomes_zero():
    flat = np.concatenate([TRAIN, np.full((400, 1), 7.0)], axis=1)
    np.testing.assert_allclose(fitted(ZCA(), flat)(flat)[:, 6], 0, atol=1e-6)


def test_epsilon_is_above_zero():
    with pytest.raises(LawError, match=r"epsilon > 0.*epsilon=0"):
        ZCA(0.0)


class OnDisk:
    shape, dtype, raw = TRAIN.shape, TRAIN.dtype, TRAIN.dtype
    window, groups = 100, np.empty(0, np.intp)

    def __len__(self):
        return len(TRAIN)

    def read(self, start, stop):
        return TRAIN[start:stop].copy()


def test_what_is_not_in_memory_is_refused_with_the_cure():
    with pytest.raises(LawError, match=r"read from disk; choose data\.window=0"):
        fitted(ZCA(), OnDisk())


def test_a_covariance_that_no_machine_holds_is_refused():
    wide = np.zeros((2, 3_000_000), np.uint8)
    said = r"5 x 3,000,000 x 3,000,000.*smaller images, or features of them, or leave zca out"
    with pytest.raises(LawError, match=said) as refused:
        fitted(ZCA(), wide, np.float32)
    assert refused.value.field == "preparation"
