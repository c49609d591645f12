"""What a model predicts of raw inputs is what its run measured; and what is no model is refused."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from nnlab.core.laws import LawError
from nnlab.data.preparation import fitted
from nnlab.errors import UserError
from nnlab.runs.compose import compose
from nnlab.runs.config import parse
from nnlab.runs.environment import Environment
from nnlab.runs.execution import Execution
from nnlab.runs.registry import GROUPS
from nnlab.runs.run import Run
from nnlab.serving import load

SHORT = ("tracking=none", "stopping.max_epochs.epochs=2")
TABLE = ("data=table", "data.path=table.csv", "data.target=y", "batch_size=16")
EXPERIMENTS = {
    "mlp": (),
    "binary": ("data=breast_cancer", "model=linear", "loss=binary_cross_entropy"),
    "binary hinge": ("data=breast_cancer", "model=linear", "loss=binary_hinge"),
    "one against the rest": ("data=iris", "loss=binary_cross_entropy", "dtype=float64"),
    "hinge, raw weights": ("data=wine", "model=linear", "loss=hinge", "averaging=none"),
    "softmax layer": ("data=iris", "loss=mse", "model.output=softmax"),
    "batch norm": (
        "model.batch_norm=true",
        "model.dropout=0.2",
        "averaging=swa",
        "averaging.start=20%",
    ),
    "smoothed": ("label_smoothing=uniform",),
    "pca": ("preparation=[balance,pca]", "preparation.pca.components=12"),
    "zca": ("preparation=[image_mean,zca]", "data.scale=unit"),
    "steps twice": ("preparation=[subset,label_noise,standard]", "data.scale=none"),
    "regression": ("data=diabetes", "model=linear", "loss=mse", "optimizer.lr=0.002"),
    "targets as they are": (
        *("data=diabetes", "data.standardize_target=false", "model=linear", "loss=huber"),
        "optimizer.lr=0.002",
    ),
    "table": (*TABLE, "data.missing=median", "loss=mse", "model=linear", "optimizer.lr=0.01"),
    "from disk": ("data=table", "data.path=table.npy", "data.window=64", "batch_size=16"),
    "features": (
        *("data=images", "data.path=pictures", "features=[color_histogram,visual_words,hog]"),
        *("features.visual_words.words=4", "features.visual_words.sample=500"),
        *("features.hog.pixels_per_cell=4", "features.hog.cells_per_block=2", "batch_size=8"),
    ),
}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains what these overrides compose; the config, the run's directory, its last metrics."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)

    def train(*overrides):
        config = parse(compose([*SHORT, *overrides]))
        execution = Execution(config)
        environment = Environment({"nnlab": "0", "git": {"commit": "c", "dirty": False}}, "")
        with (
            Run.of(config, "train", environment=environment) as run,
            execution.recorded(run) as reports,
        ):
            *_, last = reports
            execution.keep_weights(run)
        return config, run.path, last.metrics

    return train


def write_data(folder):
    rng = np.random.default_rng(0)
    x, colours = rng.normal(size=(300, 2)), rng.choice(["red", "green", "blue"], 300)
    y = 100 + 30 * x[:, 0] + 5 * (colours == "red")
    rows = [f"{a:.6f},{b:.6f},{c},{t:.6f}" for (a, b), c, t in zip(x, colours, y, strict=True)]
    rows[7] = "," + rows[7].partition(",")[2]
    (folder / "table.csv").write_text("\n".join(("a,b,colour,y", *rows)))
    labels = (x.sum(axis=1) > 0).astype(float)
    np.save(folder / "table.npy", np.column_stack([x, labels]).astype(np.float32))
    for name, low in (("dark", 0), ("bright", 100)):
        (folder / "pictures" / name).mkdir(parents=True)
        for k in range(30):
            pixels = rng.integers(low, low + 150, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{k}.png")


def part_for_testing(config):
    """The raw inputs and targets of the test part, and the names of the classes."""
    experiment = config.experiment
    dataset = experiment.data.load()
    source = experiment.data
    rows = experiment.validation.divide(dataset, source.test, source.split_seed).test
    x = dataset.x if isinstance(dataset.x, np.ndarray) else dataset.x.read(0, len(dataset.x))
    return x[rows], dataset.y[rows], np.array(dataset.classes)


@pytest.mark.parametrize("overrides", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_predictions_of_raw_inputs_have_the_metrics_of_the_run(trained, overrides):
    config, path, metrics = trained(*overrides)
    x, y, classes = part_for_testing(config)
    label = config.experiment.averaging.label
    suffix = f"_{label}" if label else ""
    model = load(path)
    said = model.predict(x)
    if len(classes):
        accuracy = np.mean(said["label"] == classes[y])
        assert accuracy == metrics[f"test/accuracy{suffix}"]
    else:
        (z,) = said.values()
        r2 = 1 - np.square(z - y).sum() / np.square(y - y.mean(axis=0)).sum()
        assert r2 == pytest.approx(metrics[f"test/r2{suffix}"], rel=1e-4)
    if "probability" in said:
        p = np.clip(said["probability"], 1e-300, 1)
        assert p.shape == (len(x), len(classes))
        right = p[np.arange(len(y)), y]
        if config.plain["loss"]["name"] == "binary_cross_entropy" and len(classes) > 2:
            each = np.where(np.eye(len(classes), dtype=bool)[y], p, 1 - p)
            loss = -np.log(each).sum(axis=1).mean()
        else:
            assert np.allclose(p.sum(axis=1), 1)
            loss = -np.log(right).mean()
        assert loss == pytest.approx(metrics[f"test/loss{suffix}"], rel=1e-4)


def test_one_row_alone_is_predicted_as_among_others(trained):
    config, path, _ = trained("preparation=[zca]")
    x, _, _ = part_for_testing(config)
    model = load(path)
    alone = np.concatenate([model.predict(one[None])["probability"] for one in x[:5]])
    assert np.allclose(alone, model.predict(x)["probability"][:5], rtol=1e-4, atol=1e-7)


def test_many_rows_are_predicted_as_few(trained):
    config, path, _ = trained()
    x, _, _ = part_for_testing(config)
    model, many = load(path), np.concatenate([x] * (3000 // len(x)))
    found = model.predict(many)["probability"]
    pieces = np.array_split(many, 40)
    few = np.concatenate([model.predict(piece)["probability"] for piece in pieces])
    assert len(many) > 2500
    assert np.allclose(found, few, rtol=1e-4, atol=1e-7)


def test_two_classes_by_one_score_have_a_column_each(trained):
    config, path, _ = trained(*EXPERIMENTS["binary hinge"])
    x, _, classes = part_for_testing(config)
    said = load(path).predict(x)
    assert said["score"].shape == (len(x), 2)
    assert (classes[said["score"].argmax(axis=1)] == said["label"]).all()


@pytest.mark.parametrize(
    ("x", "law"),
    [
        (np.zeros((3, 5)), "the shape of an input = (4,)` must hold, but got x=(5,)"),
        (np.zeros((0, 4)), "x has a row` must hold, but got x=(0, 4)"),
        (np.float64(1), "x has a row` must hold, but got x=()"),
    ],
)
def test_inputs_of_another_shape_are_refused(trained, x, law):
    _, path, _ = trained("data=iris")
    with pytest.raises(LawError) as error:
        load(path).predict(x)
    assert law in str(error.value)


def test_every_step_of_the_preparation_is_made_again_or_is_for_training_alone():
    assert {*GROUPS["preparation"], "imputation"} == {*fitted.TRANSFORMS, *fitted.FOR_TRAINING}


def test_a_step_that_learnt_what_is_not_there_is_refused():
    with pytest.raises(LawError, match=r"0\.standard was fitted, .* not there: got shift"):
        fitted.transforms(["standard"], {"0.standard.shift": np.zeros(2)})
    with pytest.raises(LawError, match=r"must be one of imputation, .* but got magic"):
        fitted.transforms(["magic"], {})


def changed(path, **arrays):
    with np.load(path) as file:
        old = dict(file)
    np.savez(path, **{key: value for key, value in (old | arrays).items() if value is not None})


DAMAGES = {
    "no data.json": (
        lambda path: (path / "data.json").unlink(),
        "data.json cannot be read",
    ),
    "no weights": (lambda path: (path / "weights.npz").unlink(), "weights.npz cannot be read"),
    "torn weights": (
        lambda path: (path / "weights.npz").write_bytes((path / "weights.npz").read_bytes()[:-300]),
        "weights.npz cannot be read",
    ),
    "an array is missing": (
        lambda path: changed(path / "weights.npz", **{"averaged/output.weight": None}),
        "weights.npz has output.weight",
    ),
    "another shape": (
        lambda path: changed(path / "weights.npz", **{"averaged/output.weight": np.zeros((9, 3))}),
        "output.weight is (4, 3) of float32` must hold, but got weights=(9, 3) of float64",
    ),
    "what was fitted is missing": (
        lambda path: (path / "preparation.npz").unlink(),
        "0.standard was fitted",
    ),
    "another model": (
        lambda path: replaced(path / "config.yaml", "name: linear", "name: os.system"),
        "model.name must be one of",
    ),
    "more classes than names": (
        lambda path: replaced(path / "data.json", '"number": 3', '"number": 101'),
        "at most 3 classes",
    ),
    "data.json says something else": (
        lambda path: replaced(path / "data.json", '"trained"', '"drained"'),
        "is not what nnlab writes (KeyError('trained'))",
    ),
}


def replaced(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_one_clear_error(trained, damage, said):
    _, path, _ = trained("data=iris", "model=linear")
    damage(path)
    with pytest.raises(UserError) as error:
        load(path)
    assert said in str(error.value)


def test_nothing_is_unpickled(trained):
    _, path, _ = trained("data=iris", "model=linear")
    content = io.BytesIO()
    np.save(content, np.array([Trap()], object), allow_pickle=True)
    with zipfile.ZipFile(path / "weights.npz", "a") as file:
        file.writestr("averaged/more.npy", content.getvalue())
    with pytest.raises(UserError, match=r"weights\.npz cannot be read: Object arrays"):
        load(path)
    assert not Trap.sprung


class Trap:
    """Says that it was unpickled."""

    sprung = False

    def __reduce__(self):
        return Trap.spring, ()

    @classmethod
    def spring(cls):
        cls.sprung = True
