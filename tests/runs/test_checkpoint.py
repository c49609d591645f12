"""Checkpoints: what is restored is what was saved, or it is not used and one is told."""

import io
import json
import math
import os
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from nnlab.core.adaptive import Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSProp
from nnlab.core.averaging import EMA, SWA, NoAveraging
from nnlab.core.laws import LawError
from nnlab.core.lbfgs import LBFGS
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP, Linear
from nnlab.core.optimizers import NAG, SGD, Momentum
from nnlab.core.penalties import NoPenalty
from nnlab.core.random_search import RandomLocalSearch, RandomSearch
from nnlab.core.schedules import Constant, ReduceOnPlateau
from nnlab.data.sources.bundled import Iris
from nnlab.errors import UserError
from nnlab.runs.checkpoint import KEPT, Interval, restore, save
from nnlab.runs.registry import GROUPS
from nnlab.training.experiment import Experiment
from nnlab.training.pause import Pause
from nnlab.training.stopping import MaxEpochs, Patience, TimeBudget
from nnlab.training.trainer import Training

CONFIG = {"seed": "0", "optimizer.lr": "0.1"}
EXPERIMENT = Experiment(
    model=MLP((3,)),
    loss=CrossEntropy(),
    penalty=NoPenalty(),
    optimizer=Momentum(0.05),
    schedule=Constant(),
    data=Iris(),
    averaging=EMA(0.9),
    stopping=(MaxEpochs(3),),
)
STATES = {  # every kind of state there is
    **{
        type(optimizer).__name__: {"optimizer": optimizer}
        for optimizer in (
            *(SGD(0.1), Momentum(0.05), NAG(0.05), Adagrad(0.1), Adadelta(), RMSProp(0.01)),
            *(Adam(0.01), AdamW(0.01), Nadam(0.01), Lion(0.001), RandomSearch()),
            *(RandomLocalSearch(), LBFGS(iterations=2)),
        )
    },
    "plateau": {"schedule": ReduceOnPlateau("train/loss", evaluations=1, gamma=0.5, min_delta=0.2)},
    "swa": {"averaging": SWA("5 steps", "1 step")},
    "nothing averaged": {"averaging": NoAveraging()},
    "ema from the start": {"averaging": EMA(0.9, bias_correction=False)},
    "batch norm and dropout": {"model": MLP((8,), batch_norm=True, dropout=0.3)},
    "rules": {"stopping": (Patience(50), TimeBudget(1e9), MaxEpochs(3), Patience(60))},
    "float64": {"dtype": "float64"},
    "linear": {"model": Linear()},
    "all": {
        "model": MLP((8, 4), batch_norm=True, dropout=0.3),
        "optimizer": Adam(0.01),
        "schedule": ReduceOnPlateau("validation/loss", evaluations=1),
        "averaging": EMA(0.9, warmup=True),
        "stopping": (MaxEpochs(3), Patience(50)),
    },
}


def trained(step, **changes):
    """A training of the small experiment with some fields changed, and its state at that step."""
    changed = replace(EXPERIMENT, **changes)
    if isinstance(changed.optimizer, LBFGS):
        changed = replace(changed, batch_size=999)
    training = Training(changed)
    state = training.start()
    for _ in training.events(state, Pause(step=step)):
        if state.step >= step:
            break
    return training, state


def bits(state):
    """Every number of a state, bit for bit."""

    def of(value):
        if isinstance(value, dict):
            return {key: of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [of(item) for item in value]
        return (str((array := np.asarray(value)).dtype), array.shape, array.tobytes())

    return {field.name: of(getattr(state, field.name)) for field in fields(state)}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """Where checkpoints are kept."""
    return tmp_path / "checkpoints"


@pytest.fixture
def two(folder):
    """A folder with checkpoints of steps 5 and 10: (training, the older state, the paths)."""
    training, old = trained(5)
    older = save(folder, training, old, CONFIG)
    newer = save(folder, *trained(10), CONFIG)
    return training, old, older, newer


# how often


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 seconds", Interval(seconds=30)),
        ("1 second", Interval(seconds=1)),
        ("0.05 seconds", Interval(seconds=0.05)),
        ("2 minutes", Interval(seconds=120)),
        ("1.5 minute", Interval(seconds=90)),
        ("5 epochs", Interval(epochs=5)),
        ("0.5 epochs", Interval(epochs=0.5)),
        (" 1000 steps ", Interval(steps=1000)),
        ("1step", Interval(steps=1)),
        ("never", Interval()),
    ],
)
def test_an_interval_is_steps_epochs_seconds_or_never(text, expected):
    assert Interval.parse(text, "x") == expected


WRONG = [
    "",
    "5",
    "0 steps",
    "0.0 seconds",
    "-1 steps",
    "1e3 steps",
    "5 hours",
    "often",
    "5 % steps",
]
WRONG += ["nan steps", "inf seconds", "1" * 20 + " steps", "5 steps 5 epochs", "5,5 steps"]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_interval_is_refused_with_its_key(text):
    with pytest.raises(LawError) as error:
        Interval.parse(text, "checkpoint_every")
    assert error.value.field == "checkpoint_every"
    for word in ("5 epochs", "never", f"checkpoint_every={text!r}"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "at", "step"),
    [  # now is 100, the step 12, an epoch has 4 steps
        ("never", math.inf, math.inf),
        ("30 seconds", 130, math.inf),
        ("2 minutes", 220, math.inf),
        ("7 steps", math.inf, 19),
        ("1 step", math.inf, 13),
        ("0.1 steps", math.inf, 13),
        ("1 epoch", math.inf, 16),
        ("2.5 epochs", math.inf, 22),
        ("0.01 epochs", math.inf, 13),
    ],
)
def test_the_next_checkpoint_is_due_one_interval_from_now(text, at, step):
    pause = Pause(at=-math.inf, step=3)
    Interval.parse(text, "x").schedule(pause, 100.0, 12, 4)
    assert (pause.at, pause.step) == (at, step)


# there and back


def test_every_optimizer_is_in_the_table():
    assert {kind.__name__ for kind in GROUPS["optimizer"].values()} <= STATES.keys()


@pytest.mark.parametrize("step", [0, 4, 6, 11])
@pytest.mark.parametrize("changes", STATES.values(), ids=STATES)
def test_what_is_restored_is_what_was_saved_and_goes_on_as_that(folder, changes, step):
    training, state = trained(step, **changes)
    state.seconds = 0.1 + 0.2
    save(folder, training, state, CONFIG)

    again = Training(training.experiment)
    restored = again.start()
    assert restore(folder, again, restored, CONFIG, state.reports) == []
    assert bits(restored) == bits(state)
    rest, expected = (list(one.run(two)) for one, two in ((again, restored), (training, state)))
    assert [(r.step, r.metrics, r.stop) for r in rest] == [
        (r.step, r.metrics, r.stop) for r in expected
    ]
    restored.seconds = state.seconds
    assert bits(restored) == bits(state)


def test_a_checkpoint_is_of_the_moment_it_was_made(folder):
    training, state = trained(5)
    save(folder, training, state, CONFIG)
    before = bits(state)
    list(training.run(state))
    restored = training.start()
    restore(folder, training, restored, CONFIG, 99)
    assert bits(restored) == before


def test_without_a_checkpoint_the_state_stays_as_it_is(folder):
    training, state = trained(5)
    before = bits(state)
    assert restore(folder, training, state, CONFIG, 99) == []
    folder.mkdir()
    assert restore(folder, training, state, CONFIG, 99) == []
    assert bits(state) == before


def test_the_last_two_stay(folder):
    training, state = trained(0)
    assert KEPT == 2
    paths = []
    for _ in training.events(state, Pause()):
        paths.append(save(folder, training, state, CONFIG))
        assert files(folder) == sorted(path.name for path in paths[-2:])


def test_a_checkpoint_is_named_by_its_step_and_its_content(two):
    *_, older, newer = two
    assert [path.name.split("-")[1] for path in (older, newer)] == [f"{5:012}", f"{10:012}"]
    for path in (older, newer):
        digest = path.stem.split("-")[2]
        assert sha256(path.read_bytes()).hexdigest().startswith(digest)
        with np.load(path, allow_pickle=False) as arrays:  # anyone can read it
            assert arrays["theta"].dtype == np.float32


def test_where_the_store_and_the_database_are_is_no_matter(folder):
    training, state = trained(5)
    save(folder, training, state, {**CONFIG, "store": "a", "tracking.uri": "sqlite:///a/m.db"})
    moved = {**CONFIG, "store": "b", "tracking.uri": "sqlite:///b/m.db"}
    assert restore(folder, training, training.start(), moved, 99) == []


# what is not what was written


def used_the_older_one(two, folder, damaged, reported=99):
    """Restore; the message names the damaged file and the older state is there."""
    training, old, older, _ = two
    state = training.start()
    (message,) = restore(folder, training, state, CONFIG, reported)
    assert message.startswith(f"checkpoint {damaged.name} cannot be used: ")
    assert bits(state) == bits(old)
    assert older.exists() and damaged.exists()


def test_a_truncated_checkpoint_is_never_used(two, folder):
    newer = two[-1]
    content = newer.read_bytes()
    for length in {0, 1, 2, len(content) - 1, *range(0, len(content), 97)}:
        newer.write_bytes(content[:length])
        used_the_older_one(two, folder, newer)
    newer.write_bytes(content)
    assert restore(folder, two[0], two[0].start(), CONFIG, 99) == []


def test_a_checkpoint_with_a_flipped_byte_is_never_used(two, folder):
    newer = two[-1]
    content = newer.read_bytes()
    for place in range(0, len(content), 61):
        newer.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        used_the_older_one(two, folder, newer)


def test_a_checkpoint_with_something_behind_it_is_never_used(two, folder):
    newer = two[-1]
    newer.write_bytes(newer.read_bytes() + b"\0")
    used_the_older_one(two, folder, newer)


def test_a_checkpoint_under_another_s_name_is_never_used(two, folder):
    *_, older, newer = two
    newer.write_bytes(older.read_bytes())
    used_the_older_one(two, folder, newer)


def test_what_is_no_checkpoint_s_name_is_no_checkpoint(two, folder):
    *_, newer = two
    training, old, *_ = two
    newer.rename(folder / "the best of all.npz")
    (folder / "step-999999999999-0123456789abcdef").write_bytes(b"")
    state = training.start()
    assert restore(folder, training, state, CONFIG, 99) == []
    assert bits(state) == bits(old)


def test_a_checkpoint_that_is_a_folder_is_not_used(two, folder):
    newer = two[-1]
    newer.unlink()
    newer.mkdir()
    used_the_older_one(two, folder, newer)


def test_a_checkpoint_of_reports_that_the_journal_has_not_is_not_used(two, folder):
    # step 5 comes after the reports of steps 0 and 4, step 10 after that of step 8
    used_the_older_one(two, folder, two[-1], reported=2)
    with pytest.raises(UserError, match="3 reports of 1"):
        restore(folder, two[0], two[0].start(), CONFIG, 1)


def test_if_no_checkpoint_can_be_used_one_is_told_what_to_do(two, folder):
    training, _, *paths = two
    for path in paths:
        path.write_bytes(path.read_bytes()[:-1])
    state = training.start()
    before = bits(state)
    with pytest.raises(UserError) as error:
        restore(folder, training, state, CONFIG, 99)
    for path in paths:
        assert path.name in str(error.value)
    assert f"without {folder} the run begins again" in str(error.value)
    assert bits(state) == before


def test_a_damaged_checkpoint_is_in_nobody_s_way(two, folder):
    training, old, _, newer = two
    newer.write_bytes(b"")
    for _ in training.events(old, Pause(step=7)):
        break
    path = save(folder, training, old, CONFIG)
    assert not newer.exists()
    assert len(files(folder)) == 2
    state = training.start()
    assert restore(folder, training, state, CONFIG, 99) == []
    assert path.exists() and bits(state) == bits(old)


# another one's


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**CONFIG, "optimizer.lr": "0.10000000000000002"}, "optimizer.lr was 0.1 then and is 0.1"),
        ({"seed": "0"}, "optimizer.lr was 0.1 then and is nothing now"),
        ({**CONFIG, "loss.name": "mse"}, "loss.name was nothing then and is mse now"),
    ],
)
def test_a_checkpoint_of_another_config_is_refused_with_the_first_difference(
    two, folder, config, words
):
    training, _, _, newer = two
    state = training.start()
    before = bits(state)
    with pytest.raises(UserError) as error:
        restore(folder, training, state, config, 99)
    assert f"checkpoint {newer.name} is of another training: config {words}" in str(error.value)
    assert bits(state) == before


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model": MLP((4,))}, "weights hidden1.weight"),
        ({"model": Linear()}, "weights hidden1.weight"),
        ({"model": MLP((3,), batch_norm=True)}, "weights output.weight"),
        ({"dtype": "float64"}, "theta was float32"),
        ({"optimizer": SGD(0.1)}, "optimizer/"),
        ({"optimizer": Adam(0.01)}, "optimizer/"),
        ({"averaging": SWA("5 steps")}, "averaging/sum"),
        ({"averaging": NoAveraging()}, "averaging/sum"),
        ({"stopping": (MaxEpochs(3), Patience(5))}, "rules/1/best"),
        ({"schedule": ReduceOnPlateau()}, "schedule/"),
    ],
    ids=str,
)
def test_a_checkpoint_of_other_arrays_is_refused_with_the_first_difference(
    two, folder, changes, word
):
    # as by another version of the code: the config is said to be the same
    other = Training(replace(EXPERIMENT, **changes))
    state = other.start()
    before = bits(state)
    with pytest.raises(UserError, match="is of another training: ") as error:
        restore(folder, other, state, CONFIG, 99)
    assert word in str(error.value)
    assert bits(state) == before


def forged(folder, path, **changes):
    """A checkpoint with some arrays changed (None: without it), under its true name."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {**file, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value for key, value in arrays.items() if value is not None})
    name = f"step-{11:012}-{sha256(buffer.getvalue()).hexdigest()[:16]}.npz"
    (folder / name).write_bytes(buffer.getvalue())
    return folder / name


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("theta", None, "theta was nothing then"),
        ("buffers", np.zeros(3, np.float32), "buffers was float32 (3,) then"),
        ("extra", np.zeros(1), "extra was float64 (1,) then and is nothing now"),
        ("averaging/t", np.zeros(1, np.int64), "averaging/t was int64 (1,) then"),
    ],
)
def test_a_missing_or_another_array_is_refused_by_its_name(two, folder, key, value, words):
    forged(folder, two[-1], **{key: value})
    with pytest.raises(UserError) as error:
        restore(folder, two[0], two[0].start(), CONFIG, 99)
    assert words in str(error.value)


class Trap:
    """What should never be unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a checkpoint was unpickled",))


def test_a_checkpoint_is_never_unpickled(two, folder):
    training, *_, newer = two
    path = forged(folder, newer, theta=np.array([Trap()], object))
    (message,) = restore(folder, training, training.start(), CONFIG, 99)
    assert path.name in message


# a crash while it is written


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_crash_while_one_is_written_leaves_the_others(two, folder, monkeypatch, function):
    training, *_, newer = two

    def crash(*_):
        raise OSError("no space is left")

    state = trained(11)[1]
    with monkeypatch.context() as patch:
        patch.setattr(os, function, crash)
        with pytest.raises(OSError, match="no space is left"):
            save(folder, training, state, CONFIG)
    restored = training.start()
    assert restore(folder, training, restored, CONFIG, 99) == []  # what was left is no checkpoint
    assert bits(restored)["theta"] == bits(trained(10)[1])["theta"]
    path = save(folder, training, state, CONFIG)
    assert files(folder) == sorted((newer.name, path.name))


def test_the_file_is_synced_before_it_has_its_name_and_the_folder_after(folder, monkeypatch):
    folder.mkdir()
    done = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def spy(*arguments, name=name, original=original):
            kind = ""
            if name == "fsync":
                kind = " folder" if Path(f"/dev/fd/{arguments[0]}").is_dir() else " file"
            done.append(name + kind)
            return original(*arguments)

        monkeypatch.setattr(os, name, spy)
    save(folder, *trained(5), CONFIG)
    assert done == ["fsync file", "replace", "fsync folder"]


def test_it_says_how_far_it_is_in_json(two):
    with np.load(two[-1], allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
    assert (about["step"], about["reports"]) == (10, 3)
    assert about["config"] == CONFIG
