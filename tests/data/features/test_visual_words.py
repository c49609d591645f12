import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from nnlab.core.laws import LawError
from nnlab.data.features.visual_words import VisualWords, normalized, windows
from nnlab.data.view import View

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 12, 10, 3), np.uint8)
SMALL = VisualWords(words=5, patch=3, stride=2, sample=600)


def codebook(feature=SMALL, images=IMAGES, seed=0, dtype=np.float32):
    """What is learnt from images of bytes."""
    view = View(images, np.arange(len(images)), (), dtype)
    return feature.fit(view, np.random.default_rng(seed))


def naive(image, book):
    """The row of one image in float64, a patch at a time."""
    image = image.astype(np.float64)
    side, step = book.patch, book.stride
    tops = range(0, image.shape[0] - side + 1, step)
    lefts = range(0, image.shape[1] - side + 1, step)
    counts = np.empty((len(tops), len(lefts), len(book.words)))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            patch = image[top : top + side, left : left + side].reshape(side, side, -1)
            flat = patch.transpose(2, 0, 1).ravel()
            flat = (flat - flat.mean()) / np.sqrt(flat.var() + 10)
            flat = book.whitening.matrix @ (flat - book.whitening.mean)
            distances = np.linalg.norm(flat - book.words, axis=1)
            counts[i, j] = np.maximum(0, distances.mean() - distances)
    half, middle = -(-len(tops) // 2), -(-len(lefts) // 2)
    quarters = (
        counts[:half, :middle],
        counts[:half, middle:],
        counts[half:, :middle],
        counts[half:, middle:],
    )
    return np.concatenate([quarter.mean(axis=(0, 1)) for quarter in quarters])


@pytest.mark.parametrize("images", [IMAGES, IMAGES[..., 0]], ids=["colour", "grey"])
def test_a_row_is_that_of_the_paper(images):
    book = codebook(images=images, dtype=np.float64)
    rows = book(images[:40].astype(np.float64))
    assert rows.shape == (40, 4 * 5)
    np.testing.assert_allclose(rows, [naive(image, book) for image in images[:40]], rtol=1e-7)
    assert (rows > 0).any(axis=0).all()


def test_words_are_the_means_of_the_patches_that_are_nearest_to_them():
    # stride 1 and a sample of all patches of one image: what k-means converges to
    image = IMAGES[:1]
    book = codebook(VisualWords(3, 3, 1, 4000), image, dtype=np.float64)
    every = windows(image.astype(np.float64), 3, 1).reshape(-1, 27)
    z = book.whitening(normalized(every))
    nearest = np.linalg.norm(z[:, None] - book.words, axis=2).argmin(axis=1)
    assert set(nearest) == {0, 1, 2}
    means = np.array([z[nearest == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(book.words, means, atol=0.35)  # drawn patches are not all


def test_patches_of_an_image():
    x = np.arange(2 * 5 * 4).reshape(2, 5, 4)
    every = windows(x, 2, 2)
    assert every.shape == (2, 2, 2, 2, 2)
    np.testing.assert_array_equal(every[1, 1, 0], x[1, 2:4, 0:2])


def test_normalised_patches_have_mean_0_and_no_brightness_or_contrast():
    patches = np.array([[100.0, 110, 120, 130], [50, 70, 90, 110], [7, 7, 7, 7]])
    first, second, flat = normalized(patches)
    np.testing.assert_allclose(first, np.array([-15, -5, 5, 15]) / np.sqrt(125 + 10))
    np.testing.assert_allclose(first, second, atol=0.05)
    assert flat.tolist() == [0, 0, 0, 0]


def test_the_same_seed_learns_the_same_bits_and_another_does_not():
    np.random.seed(0)  # noqa: NPY002
    first = codebook()
    np.random.seed(1)  # noqa: NPY002
    again, other = codebook(), codebook(seed=1)
    for name, array in first.arrays.items():
        assert array.dtype == again.arrays[name].dtype
        np.testing.assert_array_equal(array, again.arrays[name])
    assert (first.words != other.words).any()


def test_the_number_of_threads_does_not_change_the_bits():
    feature, x = VisualWords(50, 4, 1, 20_000), IMAGES.astype(np.float32)
    rows = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            rows.append(codebook(feature)(x))
    np.testing.assert_array_equal(*rows)


def test_what_is_learnt_is_named():
    assert codebook().arrays.keys() == set(VisualWords.learns)


def test_more_words_than_different_patches_are_refused():
    with pytest.raises(LawError, match=r"as many different patches as words.*words=5") as refused:
        codebook(images=np.full((9, 8, 8), 7, np.uint8))
    assert refused.value.field == "features.visual_words.words"


def test_images_without_room_for_quarters_are_refused():
    with pytest.raises(LawError, match=r"6 \+ 2 for images of 7 x 30"):
        codebook(VisualWords(), np.zeros((3, 7, 30), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"words": 1}, "2 <= words <= sample"),
        ({"words": 9, "sample": 8}, "2 <= words <= sample"),
        ({"patch": 1}, "patch >= 2"),
        ({"stride": 0}, "stride >= 1"),
    ],
)
def test_a_value_out_of_range_is_refused(arguments, said):
    with pytest.raises(LawError, match=said):
        VisualWords(**arguments)


def test_patches_that_no_machine_holds_are_refused():
    images = np.zeros((2, 1200, 1200), np.uint8)
    view = View(images, np.arange(2), (), np.float32)
    said = r"5 x 1,000,000 x 1,000,000.*choose fewer or smaller ones"
    with pytest.raises(LawError, match=said) as refused:
        VisualWords(words=2, patch=1000, sample=4).fit(view, np.random.default_rng(0))
    assert refused.value.field == "features.visual_words.patch"
