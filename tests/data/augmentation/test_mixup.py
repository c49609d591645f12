import numpy as np
import pytest
from scipy import stats

from nnlab.data.augmentation import mixup
from nnlab.data.augmentation.mixup import Mixup


def mixed(x, y, seed=0, alpha=0.2):
    return Mixup(alpha)(x.copy(), y.copy(), x.shape[1:], np.random.default_rng(seed))


def share_of(new_x):
    """The share of the first of each two, where x was the identity matrix."""
    return 1 - new_x[~np.eye(len(new_x), dtype=bool)].max()


@pytest.mark.parametrize("seed", range(5))
def test_inputs_and_targets_are_mixed_by_the_formula(seed):
    rng = np.random.default_rng(100 + seed)
    x, y = rng.normal(size=(40, 11)), np.eye(5)[rng.integers(5, size=40)]
    new_x, new_y = mixed(x, y, seed)
    again = np.random.default_rng(seed)
    share, partners = again.beta(0.2, 0.2), again.permutation(40)
    np.testing.assert_allclose(new_x, share * x + (1 - share) * x[partners], rtol=1e-12)
    np.testing.assert_allclose(new_y, share * y + (1 - share) * y[partners], rtol=1e-12)


def test_one_share_for_a_batch_and_every_example_is_the_partner_of_one():
    x = np.eye(50)
    new_x, new_y = mixed(x, x, seed=1, alpha=1.0)
    np.testing.assert_array_equal(new_x, new_y)  # labels go with their inputs
    share = share_of(new_x)
    partners = (new_x - share * x) / (1 - share)
    np.testing.assert_allclose(partners.sum(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(partners.sum(axis=1), 1, rtol=1e-9)
    assert np.isclose(partners, 0, atol=1e-9).sum() == 50 * 49


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_are_of_the_beta_distribution(alpha):
    x = np.eye(8)
    shares = [share_of(mixed(x, x, seed, alpha)[0]) for seed in range(400)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_targets_stay_distributions():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 3)), np.eye(10, dtype=np.float32)[rng.integers(10, size=64)]
    new_y = mixed(x.astype(np.float32), y)[1]
    np.testing.assert_allclose(new_y.sum(axis=1), 1, rtol=1e-6)
    assert new_y.min() >= 0
    np.testing.assert_allclose(new_y.sum(axis=0), y.sum(axis=0), rtol=1e-5)


def test_an_example_alone_is_mixed_with_itself():
    x, y = np.array([[3.0, -1.0]]), np.array([[0.0, 1.0]])
    for one, before in zip(mixed(x, y), (x, y), strict=True):
        np.testing.assert_allclose(one, before, rtol=1e-15)


@pytest.mark.parametrize("alpha", [1e-300, 1e-5, 1e6])
def test_extreme_shares_are_numbers(alpha):
    x = np.random.default_rng(0).normal(size=(6, 4))
    for seed in range(20):
        assert np.isfinite(mixed(x, x, seed, alpha)[0]).all()


def test_how_many_columns_are_mixed_at_a_time_does_not_matter(monkeypatch):
    x = np.random.default_rng(0).normal(size=(20, 33))
    whole = mixed(x, x)[0]
    for numbers in (1, 200, 10**9):
        monkeypatch.setattr(mixup, "AT_ONCE", numbers)
        np.testing.assert_array_equal(mixed(x, x)[0], whole)
