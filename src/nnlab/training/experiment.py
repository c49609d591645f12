"""An experiment: everything that decides the bits of a training, as typed components."""

from dataclasses import dataclass

from nnlab.core.averaging import Averaging
from nnlab.core.clipping import Clipping, NoClipping
from nnlab.core.durations import Duration
from nnlab.core.initialisers import He, Initialiser
from nnlab.core.laws import law, one_of
from nnlab.core.losses import Loss
from nnlab.core.model import Model
from nnlab.core.objective import Analytic, Gradient
from nnlab.core.optimizers import Optimizer
from nnlab.core.penalties import Penalty
from nnlab.core.schedules import Schedule
from nnlab.core.smoothing import NoSmoothing, Smoothing
from nnlab.core.warmup import NoWarmup, Warmup
from nnlab.core.weighting import NoWeighting, Weighting
from nnlab.data.augmentation.augmentation import Augmentation
from nnlab.data.dataset import Splits
from nnlab.data.features.feature import Feature
from nnlab.data.preparation.pipeline import Preparation
from nnlab.data.preparation.step import Resampling, Step
from nnlab.data.sources.source import Source
from nnlab.data.validation import Holdout, Validation
from nnlab.training.stopping import Rule


@dataclass(frozen=True)
class Experiment:
    """A model, how it is trained and on what."""

    model: Model
    loss: Loss
    penalty: Penalty
    optimizer: Optimizer
    schedule: Schedule
    data: Source
    averaging: Averaging
    stopping: tuple[Rule, ...]
    initialiser: Initialiser = He()
    label_smoothing: Smoothing = NoSmoothing()
    weighting: Weighting = NoWeighting()
    gradient: Gradient = Analytic()
    clipping: Clipping = NoClipping()
    warmup: Warmup = NoWarmup()
    validation: Validation = Holdout()
    features: tuple[Feature, ...] = ()
    preparation: tuple[Step | Resampling, ...] = ()
    augmentation: tuple[Augmentation, ...] = ()
    seed: int = 0
    batch_size: int = 32
    dtype: str = "float32"
    evaluate_every: str = "1 epoch"
    seeds: int = 1
    """Repetitions with the seeds `seed`, `seed` + 1, ..."""

    def __post_init__(self) -> None:
        law("seed >= 0", self.seed >= 0, seed=self.seed)
        law("seeds >= 1", self.seeds >= 1, seeds=self.seeds)
        law("batch_size >= 1", self.batch_size >= 1, batch_size=self.batch_size)
        one_of(("float32", "float64"), dtype=self.dtype)
        Duration.parse(self.evaluate_every, "evaluate_every")
        law("at least one rule ends a run", len(self.stopping) > 0, stopping=self.stopping)

    def split(self) -> Splits:
        """The data, divided and prepared."""
        preparation = Preparation(self.features, self.preparation, self.dtype)
        return self.data.split(self.validation, preparation)
