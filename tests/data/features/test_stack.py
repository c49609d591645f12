import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from io import StringIO
from typing import ClassVar

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.dataset import Dataset
from nnlab.data.features import stack
from nnlab.data.features.color_histogram import ColorHistogram
from nnlab.data.features.stack import stacked
from nnlab.data.features.visual_words import VisualWords
from nnlab.data.preparation.pipeline import Preparation
from nnlab.data.sources.source import Source
from nnlab.data.validation import Holdout
from nnlab.runs.registry import GROUPS

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (1100, 8, 8, 3), np.uint8)
DATA = Dataset(IMAGES, rng.integers(0, 2, 1100), ("a", "b"))
TRAIN = np.arange(0, 1100, 2)
WORDS = VisualWords(words=4, patch=3, stride=2, sample=500)


class Center:
    """A transform: each channel less what was learnt."""

    cheap = False

    def __init__(self, mean):
        self.arrays = {"mean": mean}

    def __call__(self, x):
        return x.mean(axis=(1, 2)) - self.arrays["mean"]


@dataclass(frozen=True)
class Probe:
    """A feature that learns, and counts how often."""

    power: int = 1

    name: ClassVar[str] = "probe"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("rich",)
    learns: ClassVar[tuple[str, ...]] = ("mean",)
    fitted: ClassVar[list] = []

    def fit(self, train, rng):
        self.fitted.append(len(train))
        mean = np.mean([block.mean(axis=(0, 1, 2)) for block in train.blocks()], axis=0)
        return Center(mean + np.float32(rng.random()))


@dataclass(frozen=True)
class Blind(Probe):
    """A feature that learns nothing."""

    name: ClassVar[str] = "blind"
    learns: ClassVar[tuple[str, ...]] = ()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    monkeypatch.setattr(Probe, "fitted", [])
    return tmp_path


def test_every_feature_says_what_decides_its_numbers():
    for name, feature in GROUPS["features"].items():
        assert name == feature.name
        assert feature.version >= 1
        assert all("-" in library for library in feature.libraries)
        assert isinstance(feature.learns, tuple)


def test_features_are_side_by_side_in_the_order_of_the_config():
    one, two = ColorHistogram(2, 2, 2), Probe()
    both, _ = stacked(DATA, [one, two], TRAIN, 0)
    assert (both.shape, both.dtype) == ((1100, 8 + 3), np.float32)
    np.testing.assert_array_equal(both[:, :8], stacked(DATA, [one], TRAIN, 0)[0])
    np.testing.assert_array_equal(both[:, 8:], stacked(DATA, [two], TRAIN, 0)[0])
    swapped, _ = stacked(DATA, [two, one], TRAIN, 0)
    np.testing.assert_array_equal(swapped, np.roll(both, 3, axis=1))


def test_rows_are_those_of_the_images():
    rows, learnt = stacked(DATA, [Probe()], TRAIN, 0)
    expected = IMAGES.mean(axis=(1, 2)) - learnt["probe.mean"]
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    drawn = np.random.default_rng([0, stack.FEATURES]).random()
    np.testing.assert_allclose(
        learnt["probe.mean"], IMAGES[TRAIN].mean(axis=(0, 1, 2)) + drawn, rtol=1e-6
    )


def test_a_second_run_computes_nothing_and_has_the_same_bits():
    rows, learnt = stacked(DATA, [Probe(), WORDS], TRAIN, 0)
    again, known = stacked(replace(DATA), [Probe(), WORDS], TRAIN, 0)
    assert Probe.fitted == [550]
    np.testing.assert_array_equal(rows, again)
    assert (
        known.keys()
        == learnt.keys()
        == {
            "probe.mean",
            "visual_words.words",
            "visual_words.mean",
            "visual_words.matrix",
        }
    )
    for name, array in learnt.items():
        np.testing.assert_array_equal(array, known[name])


CHANGED = Dataset(IMAGES ^ 1, DATA.y, DATA.classes)
CHANGES = {  # what is asked for anew: what else it is that makes it another feature
    "data": lambda feature, patch: (CHANGED, feature, TRAIN, 0),
    "field": lambda feature, patch: (DATA, replace(feature, power=2), TRAIN, 0),
    "version": lambda feature, patch: (
        patch.setattr(type(feature), "version", 2),
        (DATA, feature, TRAIN, 0),
    )[1],
    "library": lambda feature, patch: (
        patch.setattr(stack, "version", lambda name: "9" if name == "rich" else "1"),
        (DATA, feature, TRAIN, 0),
    )[1],
}
LEARNT = {
    "training rows": lambda feature, patch: (DATA, feature, TRAIN + 1, 0),
    "seed": lambda feature, patch: (DATA, feature, TRAIN, 1),
    "kernel": lambda feature, patch: (
        patch.setattr(stack, "_kernel", lambda: ["another"]),
        (DATA, feature, TRAIN, 0),
    )[1],
}


@pytest.mark.parametrize("change", [*CHANGES, *LEARNT])
@pytest.mark.parametrize("feature", [Probe(), Blind()], ids=["learns", "blind"])
def test_what_decides_the_numbers_is_in_the_key(feature, change, monkeypatch):
    stacked(DATA, [feature], TRAIN, 0)
    data, feature, train, seed = {**CHANGES, **LEARNT}[change](feature, monkeypatch)
    stacked(data, [feature], train, seed)
    anew = bool(feature.learns) or change in CHANGES
    assert len(Probe.fitted) == 1 + anew


def test_a_damaged_file_is_not_used(home):
    rows, _ = stacked(DATA, [Blind()], TRAIN, 0)
    (file,) = home.glob("features/*.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        np.testing.assert_array_equal(stacked(DATA, [Blind()], TRAIN, 0)[0], rows)


@dataclass(frozen=True)
class OnDisk:
    """Images that are read a piece at a time."""

    array: np.ndarray

    shape = property(lambda self: self.array.shape)
    dtype = raw = property(lambda self: self.array.dtype)
    window, groups = 100, np.empty(0, np.intp)

    def __len__(self):
        return len(self.array)

    def read(self, start, stop):
        return self.array[start:stop].copy()


def test_images_on_disk_have_the_features_of_images_in_memory(tmp_path, monkeypatch):
    rows, _ = stacked(DATA, [ColorHistogram(), WORDS], TRAIN, 0)
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path / "other"))
    disk = replace(DATA, x=OnDisk(IMAGES))
    np.testing.assert_array_equal(rows, stacked(disk, [ColorHistogram(), WORDS], TRAIN, 0)[0])


@pytest.mark.parametrize(
    "x", [IMAGES.reshape(1100, -1), IMAGES / 255], ids=["rows of bytes", "floats"]
)
def test_what_is_no_image_of_bytes_is_refused(x):
    with pytest.raises(LawError, match=r"images whose pixels are bytes.*or features=\[\]"):
        stacked(replace(DATA, x=x), [ColorHistogram()], TRAIN, 0)


def test_a_missing_library_is_named_with_the_cure(monkeypatch):
    def version(name):
        if name == "scikit-image":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(stack, "version", version)
    with pytest.raises(LawError, match=r"features=\[hog\] needs scikit-image.*nnlab\[features\]"):
        stacked(DATA, [GROUPS["features"]["hog"](pixels_per_cell=4)], TRAIN, 0)


class Terminal(StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_alone(monkeypatch):
    for stream, shown in ((Terminal(), True), (StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        stacked(DATA, [replace(Blind(), power=3 + shown)], TRAIN, 0)
        assert ("computing blind" in stream.getvalue()) == shown


# in the preparation


@dataclass(frozen=True)
class Pictures(Source):
    """Those images, others than for training made brighter by `shift`."""

    shift: int = 0

    def load(self):
        images = IMAGES // 2
        rows = Holdout().divide(DATA, self.test, self.split_seed)
        images[np.concatenate(rows[1:])] += np.uint8(self.shift)
        return replace(DATA, x=images)


def test_features_are_scaled_and_trained_on_instead_of_pixels():
    preparation = Preparation(features=(ColorHistogram(2, 2, 2), WORDS), dtype="float32")
    source = Pictures()
    splits = source.split(preparation=preparation)
    division = Holdout().divide(DATA, source.test, source.split_seed)
    rows, learnt = stacked(source.load(), preparation.features, division.train, 0)
    mean, deviation = (getattr(rows[division.train], one)(axis=0) for one in ("mean", "std"))
    for part, chosen in zip(splits[:3], division, strict=True):
        expected = (rows[chosen] - mean) / np.where(deviation > 0, deviation, 1)
        assert part.x.dtype == np.float32
        np.testing.assert_allclose(part.x, expected, atol=2e-4)
        np.testing.assert_array_equal(part.y, DATA.y[chosen])
    assert splits.shape == (8 + 16,)
    for name, array in learnt.items():
        np.testing.assert_array_equal(splits.fitted[f"features.{name}"], array)


def test_nothing_is_learnt_from_the_other_parts():
    preparation = Preparation(features=(WORDS,))
    one, two = (Pictures(shift=shift).split(preparation=preparation) for shift in (0, 90))
    np.testing.assert_array_equal(one.train.x, two.train.x)
    assert (one.test.x != two.test.x).any()
    for name, array in one.fitted.items():
        np.testing.assert_array_equal(array, two.fitted[name])
