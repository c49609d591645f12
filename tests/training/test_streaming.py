"""Trainings on files that are read a window at a time."""

import gc
import os
import struct
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nnlab.core.averaging import EMA
from nnlab.core.laws import LawError
from nnlab.core.losses import MSE
from nnlab.core.model import MLP
from nnlab.core.optimizers import Momentum
from nnlab.core.smoothing import UniformSmoothing
from nnlab.core.weighting import Balanced
from nnlab.data.augmentation.mixup import Mixup
from nnlab.data.catalogue import IMAGES, LABELS, MNIST, TEST_IMAGES, TEST_LABELS
from nnlab.data.dataset import TEST, Dataset
from nnlab.data.preparation.balance import Balance
from nnlab.data.preparation.subset import Subset
from nnlab.data.sources import mnist
from nnlab.data.sources.bundled import Diabetes, Digits
from nnlab.data.sources.table import Table
from nnlab.data.validation import Fold, Given, Holdout
from nnlab.errors import UserError
from nnlab.training.pause import Pause
from nnlab.training.preflight.card import check
from nnlab.training.preflight.excerpt import some
from nnlab.training.stopping import MaxEpochs, MaxSteps
from nnlab.training.trainer import Training

WINDOW = 300


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The digits as `.npy` and Parquet, the diabetes data as Parquet."""
    folder = tmp_path_factory.mktemp("files")
    digits, diabetes = Digits().load(), Diabetes().load()
    table = np.column_stack([digits.x.reshape(len(digits.y), -1), digits.y]).astype(np.float32)
    np.save(folder / "digits.npy", table)
    names = [*(f"p{k}" for k in range(64)), "digit"]
    pq.write_table(pa.table(list(table.T), names), folder / "digits.parquet", row_group_size=100)
    columns = [*diabetes.x.T, diabetes.y[:, 0]]
    names = [*diabetes.names, "progress"]
    pq.write_table(pa.table(columns, names), folder / "diabetes.parquet", row_group_size=64)
    return folder


@pytest.fixture
def digits(files):
    """The digits in memory, or streamed."""

    def table(window=WINDOW, kind="npy", **fields):
        target = "digit" if kind == "parquet" else ""
        return Table(path=str(files / f"digits.{kind}"), target=target, window=window, **fields)

    return table


@pytest.fixture
def streamed(experiment, digits):
    """An experiment on the streamed digits, 40 steps per epoch, with some fields changed."""

    def made(**fields):
        base = {"data": digits(), "model": MLP((16,)), "optimizer": Momentum(0.05)}
        return experiment(**(base | {"averaging": EMA(0.9), "stopping": (MaxSteps(60),)} | fields))

    return made


def readers():
    return [one for one in threading.enumerate() if one.name == "nnlab reader"]


def trained(experiment):
    training = Training(experiment)
    state = training.start()
    return training, state, list(training.run(state))


def same(one, two):
    assert [(r.step, r.metrics, r.stop) for r in one] == [(r.step, r.metrics, r.stop) for r in two]


# the same data


@pytest.mark.parametrize("scale", ["none", "unit", "standard"])
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_what_is_streamed_is_what_is_in_memory(streamed, digits, kind, scale):
    ours, theirs = (
        Training(streamed(data=digits(window, kind, scale=scale))) for window in (WINDOW, 0)
    )
    assert ours.splits.fingerprint == theirs.splits.fingerprint
    assert ours.splits.classes == theirs.splits.classes
    assert ours.splits.fitted.keys() == theirs.splits.fitted.keys()
    for key, array in ours.splits.fitted.items():
        np.testing.assert_allclose(array, theirs.splits.fitted[key], rtol=1e-6)
    for here, there in zip(ours.splits[:3], theirs.splits[:3], strict=True):
        np.testing.assert_array_equal(here.y, there.y)
        np.testing.assert_allclose(here.x[:], there.x, rtol=1e-5, atol=1e-5)
    theta = ours.start().theta
    for part in ("train", "validation", "test"):
        here, there = ours.evaluators[part](theta), theirs.evaluators[part](theta)
        assert here == pytest.approx(there, rel=1e-5)


def test_in_float64_they_are_the_same_numbers(streamed, digits):
    ours, theirs = (
        Training(streamed(data=digits(window, scale="unit"), dtype="float64"))
        for window in (WINDOW, 0)
    )
    for here, there in zip(ours.splits[:3], theirs.splits[:3], strict=True):
        np.testing.assert_array_equal(here.x[:], there.x)


def test_regression_is_streamed(streamed, files):
    tables = [
        Table(path=str(files / "diabetes.parquet"), target="progress", window=window)
        for window in (64, 0)
    ]
    ours, theirs = (trained(streamed(data=one, loss=MSE())) for one in tables)
    assert ours[0].splits.fingerprint == theirs[0].splits.fingerprint
    first, other = ours[2][0].metrics, theirs[2][0].metrics
    assert first == pytest.approx(other, rel=1e-4)
    assert ours[2][-1].metrics["validation/r2"] > 0.2


def test_a_window_for_all_learns_as_well_as_in_memory(streamed, digits):
    for window in (WINDOW, 10**6):
        *_, reports = trained(streamed(data=digits(window), stopping=(MaxEpochs(10),)))
        assert reports[-1].metrics["test/accuracy"] > 0.93


@pytest.mark.parametrize(
    "change",
    [
        {"label_smoothing": UniformSmoothing(0.1)},
        {"loss": MSE()},
        {"weighting": Balanced()},
        {"preparation": (Balance(), Subset(400))},
        {"augmentation": (Mixup(),)},
    ],
    ids=str,
)
def test_what_is_done_to_examples_is_done_to_streamed_ones(streamed, digits, change):
    """Each batch has the inputs, targets and weights that its rows have in memory."""
    ours, theirs = (
        Training(streamed(**change, data=digits(window, scale="none"), dtype="float64"))
        for window in (WINDOW, 0)
    )
    theirs.order = ours.order
    theirs.inputs.order = ours.order
    one, two = ours.start(), theirs.start()
    for step in (0, 1, 39, 40):
        one.step = two.step = step
        pairs = zip(
            ours._gather(one, ours.oracle.work)[:3],
            theirs._gather(two, theirs.oracle.work)[:3],
            strict=True,
        )
        for here, there in pairs:
            np.testing.assert_array_equal(here, there)
    ours.inputs.close()


# reproducible and resumable


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(streamed, digits, kind):
    (_, one, first), (_, two, again), (_, three, _) = (
        trained(streamed(data=digits(kind=kind), seed=seed)) for seed in (1, 1, 2)
    )
    same(first, again)
    assert one.theta.tobytes() == two.theta.tobytes() != three.theta.tobytes()


def test_another_window_is_another_order(streamed, digits):
    thetas = {
        trained(streamed(data=digits(window)))[1].theta.tobytes() for window in (100, 300, 10**6)
    }
    assert len(thetas) == 3


def test_pausing_at_every_step_changes_nothing(streamed):
    _, expected, reports = trained(streamed())
    training = Training(streamed())
    state, seen = training.start(), []
    pause = Pause(step=1)
    for event in training.events(state, pause):
        if event:
            seen.append(event)
        pause.step = state.step + 1
    same(seen, reports)
    assert state.theta.tobytes() == expected.theta.tobytes()


@pytest.mark.parametrize("step", [1, 9, 39, 40, 41, 57])
def test_a_restored_training_goes_on_to_the_same_bits(streamed, step):
    _, expected, reports = trained(streamed())
    first = Training(streamed())
    state = first.start()
    events = first.events(state, Pause(step=step))
    seen = []
    for event in events:
        if event is None or state.step >= step:
            break
        seen.append(event)
    if event is not None:
        seen.append(event)
    events.close()
    assert not readers()
    second = Training(streamed())  # as a process that was started anew
    seen += second.run(state)
    same(seen, reports)
    assert state.theta.tobytes() == expected.theta.tobytes()


def test_members_side_by_side_are_what_they_are_alone(streamed):
    folds = [streamed(validation=Fold(3, fold)) for fold in range(3)]
    alone = [trained(one) for one in folds]
    together = [Training(one) for one in folds]
    states = [one.start() for one in together]
    reports = [[] for _ in folds]
    streams = [one.run(state) for one, state in zip(together, states, strict=True)]
    for _ in alone[0][2]:
        for stream, mine in zip(streams, reports, strict=True):
            mine.append(next(stream))
    for stream in streams:
        stream.close()
    for (_, state, expected), other, got in zip(alone, states, reports, strict=True):
        same(got, expected)
        assert state.theta.tobytes() == other.theta.tobytes()
    assert not readers()


# the end, and what goes wrong


def test_the_reader_ends_with_the_training(streamed):
    for steps in (1, 3):
        training = Training(streamed(evaluate_every="10 steps"))
        reports = training.run(training.start())
        for _ in range(steps):
            next(reports)
        assert len(readers()) == (steps > 1)
        reports.close()
        assert not readers()
    trained(streamed())
    assert not readers()


def test_an_exception_of_the_caller_ends_the_reader(streamed):
    def interrupted():
        training = Training(streamed(evaluate_every="10 steps"))
        for report in training.run(training.start()):
            if report.step:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not readers()


@pytest.mark.parametrize("harm", ["cut", "written"])
def test_a_file_that_changes_ends_the_training_with_one_error(streamed, files, tmp_path, harm):
    path = tmp_path / "digits.npy"
    path.write_bytes((files / "digits.npy").read_bytes())
    training = Training(streamed(data=Table(path=str(path), window=50), evaluate_every="5 steps"))
    reports = training.run(training.start())
    next(reports)
    next(reports)
    if harm == "cut":
        os.truncate(path, 100_000)
    else:
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(UserError, match=r"digits\.npy was (cut|changed) while it was read"):
        list(reports)
    assert not readers()


def test_a_batch_that_is_larger_than_the_window_is_refused(streamed, digits):
    with pytest.raises(LawError, match=r"batch_size <= data\.window = 20.*batch_size=32") as error:
        Training(streamed(data=digits(20)))
    assert error.value.field == "batch_size"
    Training(streamed(data=digits(10**6), batch_size=10**9))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"window": -1}, "window"),
        ({"window": 100, "missing": "mean"}, "missing"),
    ],
    ids=str,
)
def test_what_cannot_be_streamed_is_refused_when_it_is_said(digits, fields, field):
    with pytest.raises(LawError) as error:
        digits(**fields)
    assert error.value.field == field


def test_a_text_file_cannot_be_streamed(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n3,4\n5,6\n7,8\n")
    with pytest.raises(LawError, match=r"x\.csv cannot be read a window at a time; save it as"):
        Table(path=str(path), target="b", window=10).load()


def test_categories_cannot_be_streamed(digits):
    with pytest.raises(LawError, match=r"categories need the table in memory: choose data.window"):
        digits(as_category=("3",)).load()


# more than one file, parts that are named


def test_a_column_and_files_name_the_parts(streamed, files, tmp_path):
    table = np.load(files / "digits.npy")
    names = [*(f"p{k}" for k in range(64)), "digit"]
    words = np.array(["train", "validation", "test"])[np.arange(len(table)) % 3]
    pq.write_table(
        pa.table([*table.T, pa.array(words)], [*names, "part"]),
        tmp_path / "parts.parquet",
        row_group_size=100,
    )
    np.save(tmp_path / "more.npy", table[:300])
    column = Table(
        path=str(tmp_path / "parts.parquet"), target="digit", split_column="part", test=0.0
    )
    file = Table(path=str(files / "digits.npy"), test_path=str(tmp_path / "more.npy"), test=0.0)
    for source, validation in ((column, Given()), (file, Holdout())):
        splits = [
            Training(streamed(data=replace(source, window=window), validation=validation)).splits
            for window in (200, 0)
        ]
        assert splits[0].fingerprint == splits[1].fingerprint
        for here, there in zip(splits[0][:3], splits[1][:3], strict=True):
            np.testing.assert_array_equal(here.y, there.y)
            np.testing.assert_allclose(here.x[:], there.x, rtol=1e-5, atol=1e-5)


@pytest.fixture
def unpacked_mnist(tmp_path, monkeypatch):
    """A small data set in MNIST's files, unpacked, where MNIST is looked for."""
    monkeypatch.setattr(mnist, "TRAINING", 900)
    monkeypatch.setattr(mnist, "TESTING", 200)
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))
    folder = tmp_path / MNIST.folders[0]
    folder.mkdir()
    rng = np.random.default_rng(0)
    for images, labels, n in ((IMAGES, LABELS, 900), (TEST_IMAGES, TEST_LABELS, 200)):
        y = rng.integers(10, size=n).astype(np.uint8)
        x = rng.integers(100, size=(n, 28, 28)).astype(np.uint8)
        x[np.arange(n), 2 * y + 3] = 255  # a line, the higher the digit the lower
        (folder / images).write_bytes(struct.pack(">HBB3I", 0, 8, 3, n, 28, 28) + x.tobytes())
        (folder / labels).write_bytes(struct.pack(">HBBI", 0, 8, 1, n) + y.tobytes())
    return folder


def test_images_are_streamed_from_unpacked_files(streamed, unpacked_mnist):
    ours, theirs = (trained(streamed(data=mnist.MNIST(window=w))) for w in (100, 0))
    assert ours[0].splits.fingerprint == theirs[0].splits.fingerprint
    for here, there in zip(ours[0].splits[:3], theirs[0].splits[:3], strict=True):
        np.testing.assert_array_equal(here.x[:], there.x[:])
    assert ours[2][0].metrics == theirs[2][0].metrics
    assert ours[2][-1].metrics["test/accuracy"] > 0.5


# the card of `nnlab check`


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_the_card_of_a_stream_is_green(streamed, digits, kind):
    card = check(streamed(data=digits(kind=kind), stopping=(MaxEpochs(10),)))
    assert card.passed, str(card)
    assert "1,797 of 1,797 examples" in card.lines[0].detail
    gc.collect()
    assert not readers()


def test_the_card_looks_at_an_excerpt(streamed, digits, monkeypatch):
    monkeypatch.setattr("nnlab.training.preflight.excerpt.EXAMPLES", 600)
    card = check(streamed(data=digits(), stopping=(MaxEpochs(10),)))
    assert card.passed, str(card)
    rows = some(digits().load(), 600)
    assert card.lines[0].detail.startswith(f"{len(rows)} of 1,797 examples")
    sizes = card.lines[1].detail.partition(" of ")[0].split(" + ")
    assert sum(map(int, sizes)) == len(rows) < 650


def test_an_excerpt_has_every_class_and_part_and_places_all_over_the_file():
    y, parts = np.zeros(10_000, np.int64), np.zeros(10_000, np.int8)
    y[777:] = 1
    y[5003:5007] = 2
    parts[-9:] = TEST
    whole = Dataset(np.zeros((10_000, 1)), y, ("a", "b", "c"), parts=parts)
    rows = some(whole, 200)
    assert (np.diff(rows) > 0).all() and len(rows) < 250
    assert {tuple(pair) for pair in zip(y[rows], parts[rows], strict=True)} == {
        *((0, 0), (1, 0), (2, 0), (1, TEST))
    }
    assert np.diff(rows).max() < 10_000 / 15
    assert some(whole, 10_000).tolist() == list(range(10_000))


# memory

SPARSE = """
import sys
from pathlib import Path
from nnlab.core import averaging, losses, model, optimizers, penalties, schedules
from nnlab.data.sources.table import Table
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxSteps
from nnlab.training.trainer import Training

experiment = Experiment(
    model.MLP((128,)), losses.CrossEntropy(), penalties.NoPenalty(), optimizers.Momentum(0.05),
    schedules.Constant(), Table(path=sys.argv[1], window=8192), averaging.NoAveraging(),
    (MaxSteps(1000),), batch_size=128, evaluate_every="1000 steps",
)
training = Training(experiment)
assert len(list(training.run(training.start()))) == 2
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_file_of_two_gigabytes_is_trained_on_in_little_memory(tmp_path):
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (640_000, 785))
    for label in range(1, 10):
        array[1000 * label :: 50_000, -1] = label
    del array
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "NNLAB_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SPARSE, str(path)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert float(done.stdout) < 250
