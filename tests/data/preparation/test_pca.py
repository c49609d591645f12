import numpy as np
import pytest
from sklearn import decomposition

from nnlab.core.laws import LawError
from nnlab.data.preparation.pca import PCA
from nnlab.data.view import View

rng = np.random.default_rng(0)
TRAIN = rng.normal(3, 1, (400, 12)) @ rng.normal(size=(12, 12))
OTHER = rng.normal(0, 4, (50, 12))
IMAGES = rng.integers(0, 256, (300, 4, 3, 2), np.uint8)


def fitted(step, train, arithmetic=np.float64):
    """The transform that is fitted to an array."""
    return step.fit(View(train, np.arange(len(train)), (), arithmetic), None)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("components", [1, 5, 12])
def test_components_are_those_of_scikit_learn_s_decomposition(components, whiten):
    # by singular values, not by the covariance
    published = decomposition.PCA(components, whiten=whiten, svd_solver="full").fit(TRAIN)
    transform = fitted(PCA(components, whiten), TRAIN)
    for x in (TRAIN, OTHER):
        assert transform(x).shape == (len(x), components)
        np.testing.assert_allclose(transform(x), published.transform(x), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(transform.arrays["variance"], published.explained_variance_)


def test_a_line_by_hand():
    # on the line (1, 2): mean (2, 4), direction (1, 2) / sqrt 5, distances -+ sqrt 5
    line = np.array([[1.0, 2], [2, 4], [3, 6]])
    assert fitted(PCA(1), line)(line).ravel() == pytest.approx([-(5**0.5), 0, 5**0.5])
    # the variance of the three, divided by n - 1, is 5
    assert fitted(PCA(1, True), line)(line).ravel() == pytest.approx([-1, 0, 1])


def test_whitened_components_have_variance_1_and_no_correlation():
    z = fitted(PCA(12, True), TRAIN)(TRAIN)
    np.testing.assert_allclose(np.cov(z.T), np.eye(12), atol=1e-9)


def test_images_become_rows_in_the_dtype_that_is_computed_in():
    for dtype in (np.float32, np.float64):
        transform = fitted(PCA(6), IMAGES, dtype)
        x = IMAGES[:20].astype(dtype)
        before = x.copy()
        expected = decomposition.PCA(6, svd_solver="full").fit(
            IMAGES.reshape(300, -1).astype(float)
        )
        assert transform(x).dtype == dtype
        np.testing.assert_allclose(
            transform(x), expected.transform(x.reshape(20, -1)), rtol=1e-3, atol=0.02
        )
        np.testing.assert_array_equal(x, before)


def test_a_mean_far_from_zero_does_not_cost_accuracy_in_float32():
    far = (TRAIN - TRAIN.mean(axis=0)).astype(np.float32) + np.float32(3000)
    expected = decomposition.PCA(12, svd_solver="full").fit(far.astype(np.float64))
    variance = fitted(PCA(12), far, np.float32).arrays["variance"]
    np.testing.assert_allclose(variance, expected.explained_variance_, rtol=1e-4, atol=1e-4)


def test_the_data_stay_as_they_are():
    before = TRAIN.copy()
    fitted(PCA(3), TRAIN)(TRAIN)
    np.testing.assert_array_equal(TRAIN, before)


def test_features_that_do_not_vary_are_not_blown_up():
    flat = np.concatenate([TRAIN, np.full((400, 2), 7.0)], axis=1)
    assert np.abs(fitted(PCA(14, True), flat)(flat)).max() < 10


@pytest.mark.parametrize(("rows", "components"), [(400, 13), (4, 5)])
def test_more_components_than_features_or_examples_are_refused(rows, components):
    said = rf"components <= examples, features.*components={components} for {rows} .* 12 features"
    with pytest.raises(LawError, match=said) as refused:
        fitted(PCA(components), TRAIN[:rows])
    assert refused.value.field == "preparation.pca.components"


def test_no_components_are_refused():
    with pytest.raises(LawError, match="components >= 1"):
        PCA(0)


class OnDisk:
    shape, dtype, raw = TRAIN.shape, TRAIN.dtype, TRAIN.dtype
    window, groups = 100, np.empty(0, np.intp)

    def __len__(self):
        return len(TRAIN)

    def read(self, start, stop):
        return TRAIN[start:stop].copy()


def test_what_is_not_in_memory_is_refused_with_the_cure():
    with pytest.raises(LawError, match=r"read from disk; choose data\.window=0"):
        fitted(PCA(3), OnDisk())


def test_a_covariance_that_no_machine_holds_is_refused():
    wide = np.zeros((2, 3_000_000), np.uint8)
    said = r"5 x 3,000,000 x 3,000,000.*smaller images, or features of them, or leave pca out"
    with pytest.raises(LawError, match=said) as refused:
        fitted(PCA(1), wide, np.float32)
    assert refused.value.field == "preparation"
