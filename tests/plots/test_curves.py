import math

import numpy as np
import pytest
from PIL import Image

from nnlab.plots.curves import LearningCurves, search_history


def record(step, **metrics):
    return {"step": step, "metrics": {"epoch": step / 4, **metrics}}


def reports(score="accuracy", average=None):
    """Three reports; the last one is tested."""
    made = []
    for k, step in enumerate((0, 4, 8)):
        metrics = {}
        for part, shift in (("train", 0), ("validation", 1), *([("test", 2)] if k == 2 else [])):
            for suffix in ("", f"_{average}") if average else ("",):
                metrics[f"{part}/loss{suffix}"] = 10 - k + shift + 100 * bool(suffix)
                metrics[f"{part}/{score}{suffix}"] = k / 10 + shift / 100
        others = {"lr": 0.1, "norm/theta": 3.0, "train/lossless": 5.0, "train/r": 5.0}
        made.append(record(step, **metrics, **others))
    return made


def lines(axes):
    """The lines by their labels: their points."""
    return {
        line.get_label(): np.column_stack([line.get_xdata(), line.get_ydata()]).tolist()
        for line in axes.get_lines()
    }


def style(axes, label):
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return line.get_color(), line.get_linestyle(), line.get_marker()


@pytest.mark.parametrize(("score", "title"), [("accuracy", "accuracy"), ("r2", "R²")])
def test_loss_and_score_of_every_part_over_the_epochs(score, title):
    loss, right = LearningCurves().figure(reports(score)).axes
    assert lines(loss) == {
        "train": [[0, 10], [1, 9], [2, 8]],
        "validation": [[0, 11], [1, 10], [2, 9]],
        "test": [[2, 10]],
    }
    assert lines(right) == {
        "train": [[0, 0], [1, pytest.approx(0.1)], [2, pytest.approx(0.2)]],
        "validation": [[0, 0.01], [1, pytest.approx(0.11)], [2, pytest.approx(0.21)]],
        "test": [[2, pytest.approx(0.22)]],
    }
    assert (loss.get_title(), right.get_title()) == ("loss", title)
    assert (loss.get_yscale(), right.get_yscale()) == ("log", "linear")
    assert loss.get_xlabel() == right.get_xlabel() == "epoch"


def test_averaged_weights_are_dashed_and_of_their_part_s_colour():
    loss, score = LearningCurves().figure(reports(average="ema")).axes
    assert lines(loss)["validation ema"] == [[0, 111], [1, 110], [2, 109]]
    assert lines(loss).keys() == lines(score).keys()
    assert len(lines(loss)) == 6
    colours = set()
    for part in ("train", "validation", "test"):
        raw, averaged = style(loss, part), style(loss, f"{part} ema")
        assert raw[0] == averaged[0]
        assert (raw[1], averaged[1]) == ("-", "--")
        colours.add(raw[0])
    assert len(colours) == 3


def test_a_mean_of_several_trainings_has_a_band_that_leaves_the_axes_alone():
    plain = [record(k, **{"train/loss": 3.0 - k, "train/r2": 0.1 * k}) for k in (0, 1)]
    wide = [
        record(k, **{"se/train/loss": 50.0, "se/train/r2": 5.0 + k, **one["metrics"]})
        for k, one in enumerate(plain)
    ]
    before, after = LearningCurves().figure(plain).axes, LearningCurves().figure(wide).axes
    for axes, banded in zip(before, after, strict=True):
        assert banded.get_ylim() == axes.get_ylim()
        assert len(banded.collections) == 1
    (path,) = after[1].collections[0].get_paths()
    corners = [[0, -5], [0.25, 0.1 - 6], [0.25, 0.1 + 6], [0, 5]]
    np.testing.assert_allclose(path.vertices[:4], corners)


def test_the_axes_reach_to_every_point():
    for axes in LearningCurves().figure(reports(average="ema")).axes:
        points = np.array([point for line in lines(axes).values() for point in line])
        limits = np.array([axes.get_xlim(), axes.get_ylim()]).T
        assert (limits[0] <= points.min(axis=0)).all()
        assert (points.max(axis=0) <= limits[1]).all()
        scale = np.log if axes.get_yscale() == "log" else np.asarray
        assert np.ptp(scale(points[:, 1])) > 0.8 * np.ptp(scale(limits[:, 1]))


def test_a_single_point_is_a_dot():
    loss, _ = LearningCurves().figure(reports()).axes
    assert style(loss, "test")[2] == "o"
    assert style(loss, "train")[2] == "None"


def test_the_legend_names_the_lines():
    _, score = LearningCurves().figure(reports(average="ema")).axes
    labels = {text.get_text() for text in score.get_legend().get_texts()}
    assert labels == lines(score).keys()


def test_texts_of_numbers_are_drawn_as_the_numbers(tmp_path):
    diverged = [
        record(0, **{"train/loss": 1.0, "train/accuracy": 0.5}),
        record(4, **{"train/loss": "NaN", "train/accuracy": 0.25}),
        record(8, **{"train/loss": "Infinity", "train/accuracy": "NaN"}),
    ]
    figure = LearningCurves().figure(diverged)
    loss, _ = figure.axes
    ((_, first), (_, second), (_, third)) = lines(loss)["train"]
    assert (first, third) == (1, math.inf)
    assert math.isnan(second)
    figure.savefig(tmp_path / "curves.png")  # without a warning
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("first", [0.5, 0.0, "NaN", "Infinity", "-Infinity"])
def test_a_picture_can_be_made_of_one_report(tmp_path, first):
    figure = LearningCurves().figure([record(0, **{"train/loss": first, "train/r2": first})])
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_search_s_history_is_a_staircase():
    points = [(1, 0.5), (2, "0.25"), (5, 0.125)]
    figure = search_history([{"step": k, "metrics": {"best": value}} for k, value in points])
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    assert lines(axes) == {line.get_label(): [[1, 0.5], [2, 0.25], [5, 0.125]]}
    assert line.get_drawstyle() == "steps-post"
    assert (axes.get_xlabel(), axes.get_title()) == ("trials", "best")


def test_drawing_needs_no_display_and_leaves_no_state(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    LearningCurves().figure(reports())
    search_history([{"step": 1, "metrics": {"best": 1.0}}])
    assert pyplot.get_fignums() == before


def diverging(values):
    return [
        record(k, **{"train/loss": value, "train/accuracy": value, "validation/loss": k})
        for k, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    "one",
    [
        reports(average="ema"),
        [record(k, **{"train/loss": 1e-9 * (k + 1), "train/r2": 1e6 - k}) for k in range(9)],
        [
            record(k, **{"train/loss": 3.0 + k, "se/train/loss": 9.0, "train/r2": 0.5})
            for k in range(3)
        ],
        diverging([1.0, "Infinity", "NaN"]),
        diverging(["NaN", "NaN", "NaN"]),
        diverging([0.0, -1.0, 0.0]),
    ],
    ids=["averaged", "small", "with a band", "diverged", "nothing", "negative"],
)
def test_a_picture_is_the_same_whatever_was_drawn_before_it(tmp_path, one):
    def scaled(factor):
        return [
            {
                **report,
                "metrics": {key: factor * float(value) for key, value in report["metrics"].items()},
            }
            for report in one
        ]

    alone, after = LearningCurves(), LearningCurves()
    alone.save(one, tmp_path / "alone.png")
    for before in (scaled(0.01), scaled(7), reports("r2"), scaled(1000)):
        after.save(before, tmp_path / "before.png")
    after.save(one, tmp_path / "after.png")
    assert (tmp_path / "after.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


def test_it_shows_what_the_figure_shows(tmp_path):
    """Ticks, labels and legend too; only what lies over what may differ at the edges."""
    LearningCurves().save(reports(average="ema"), tmp_path / "sheet.png")
    figure = LearningCurves().figure(reports(average="ema"))
    figure.savefig(tmp_path / "figure.png")
    sheet, whole = (
        np.asarray(Image.open(tmp_path / name).convert("RGB"), dtype=int)
        for name in ("sheet.png", "figure.png")
    )
    assert sheet.shape == whole.shape == (400, 1000, 3)
    assert (np.abs(sheet - whole).max(axis=-1) > 64).mean() < 1e-3
    assert (whole.min(axis=-1) < 128).mean() > 5e-3
