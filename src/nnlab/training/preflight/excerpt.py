"""An excerpt of data that are larger than memory: the checks look at some examples, not at all."""

from dataclasses import dataclass, field, replace

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.dataset import Dataset
from nnlab.data.preparation.scaling import Affine
from nnlab.data.preparation.step import Step
from nnlab.data.sources.source import Source
from nnlab.data.stream.held import Held
from nnlab.training.experiment import Experiment
from nnlab.training.preflight.line import Line

EXAMPLES, BYTES = 20_000, 1 << 24
"""So many examples at most, and bytes of inputs."""
RUNS = 20
"""They are taken from so many places of the file."""
EACH = 4
"""The first examples of each class, which are there beside: every part gets one."""


@dataclass(frozen=True)
class Excerpt(Source):
    """Some examples of a source, divided, prepared and read as it does with all."""

    source: Source = field(default_factory=Source)
    dataset: Dataset | None = None
    standardize_target: bool = True

    def load(self) -> Dataset:
        assert self.dataset is not None
        return self.dataset

    def repairs(self, dataset: Dataset) -> list[Step]:
        return self.source.repairs(dataset)

    def target_scaler(self, train: Array) -> Affine | None:
        return self.source.target_scaler(train) if self.standardize_target else None


def excerpt(experiment: Experiment) -> tuple[Experiment, Line]:
    """The same with data that can be looked at from all sides, and a line that says so."""
    source = experiment.data
    whole = source.load()
    assert not isinstance(whole.x, np.ndarray)
    width = max(1, whole.x.raw.itemsize * int(np.prod(whole.x.shape[1:])))
    rows = some(whole, max(1, min(EXAMPLES, BYTES // width)))
    room = max(len(rows) // 4, experiment.batch_size)  # several windows, as in the training
    window = min(whole.x.window, room)
    dataset = replace(
        whole,
        x=Held(whole.x, rows, window),
        y=whole.y[rows],
        weights=None if whole.weights is None else whole.weights[rows],
        parts=None if whole.parts is None else whole.parts[rows],
        files=(),
    )
    part = Excerpt(source.scale, source.test, source.split_seed, source, dataset)
    detail = f"{len(rows):,} of {len(whole.y):,} examples, from all over the file"
    return replace(experiment, data=part), Line(
        "looked at", True, f"{detail}: the lines below speak of these"
    )


def some(whole: Dataset, count: int) -> Array:
    """Rows of about `count` examples: runs at equal distances, and the first of each class and
    each part that the data name."""
    n = len(whole.y)
    if count >= n:
        return np.arange(n)
    starts = np.linspace(0, n - count // RUNS, RUNS).astype(np.intp)
    chosen = [np.arange(start, min(start + max(1, count // RUNS), n)) for start in starts]
    parts = np.zeros(n, np.int8) if whole.parts is None else whole.parts
    for part in np.unique(parts):
        inside = parts == part
        for label in range(max(1, len(whole.classes))):
            of = inside & (whole.y == label) if whole.classes else inside
            chosen.append(np.flatnonzero(of)[:EACH])
    return np.unique(np.concatenate(chosen))
