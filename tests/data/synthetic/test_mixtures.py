import numpy as np
import pytest
from sklearn.datasets import make_blobs

from nnlab.data.sources.synthetic.mixtures import Blobs, GaussianMixture


@pytest.mark.parametrize(("classes", "features"), [(2, 1), (3, 2), (5, 7)])
def test_blobs_have_the_moments_of_scikit_learns(classes, features):
    n = 4000 * classes
    source = {"examples": n, "classes": classes, "features": features}
    centres = Blobs(**source, noise=0.0).load()
    centres = np.array([centres.x[centres.y == label][0] for label in range(classes)])
    made = Blobs(**source, noise=0.5).load()
    x, y = make_blobs(n, centers=centres, cluster_std=0.5, random_state=0)
    for label in range(classes):
        ours, theirs = made.x[made.y == label], x[y == label]
        assert len(ours) == len(theirs) == 4000
        # six standard errors of a difference of means, and of covariances
        assert np.abs(ours.mean(0) - theirs.mean(0)).max() < 6 * 0.5 * np.sqrt(2 / 4000)
        difference = np.cov(ours.T) - np.cov(theirs.T)
        assert np.abs(difference).max() < 6 * 0.25 * 2 / np.sqrt(4000)


def test_centres_are_uniform_and_do_not_hang_on_size_and_noise():
    source = {"classes": 500, "features": 3, "spread": 2.0}
    few, many = Blobs(**source, examples=500, noise=0.0), Blobs(**source, examples=1500, noise=0.0)
    centres = few.load().x
    np.testing.assert_array_equal(centres, many.load().x[:500])
    assert np.abs(centres).max() <= 2
    counts = np.histogram(centres, 4, (-2, 2))[0]
    assert (np.abs(counts - 375) < 5 * np.sqrt(375)).all()


def test_a_gaussian_mixture_has_so_many_means_to_a_class():
    made = GaussianMixture(noise=0.0, examples=2000).load()
    means = [np.unique(made.x[made.y == label], axis=0) for label in (0, 1)]
    assert [len(one) for one in means] == [10, 10]
    assert made.classes == ("blue", "orange")
    counts = np.unique(made.x[made.y == 0], axis=0, return_counts=True)[1]
    assert (np.abs(counts - 100) < 5 * np.sqrt(100)).all()


def test_the_means_are_normal_around_one_zero_and_zero_one():
    made = GaussianMixture(noise=0.0, examples=20_000, means=3000).load()
    for label, centre in enumerate([(1, 0), (0, 1)]):
        means = np.unique(made.x[made.y == label], axis=0)
        assert np.abs(means.mean(0) - centre).max() < 5 / np.sqrt(len(means))
        assert np.abs(np.cov(means.T) - np.eye(2)).max() < 5 * np.sqrt(2 / len(means))


def test_the_noise_of_a_gaussian_mixture_has_a_fifth_of_a_unit_of_variance():
    made, means = GaussianMixture(examples=20_000), GaussianMixture(examples=20_000, noise=0.0)
    noise = made.load().x - means.load().x
    assert np.isclose(made.noise**2, 1 / 5, rtol=1e-15)
    assert np.abs(np.cov(noise.T) - np.eye(2) / 5).max() < 5 * 0.2 * np.sqrt(2 / 20_000)
