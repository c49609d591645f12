"""The data as a training uses them: what is trained on, and what is measured."""

from nnlab.core.laws import law
from nnlab.core.losses import Loss
from nnlab.core.model import Network
from nnlab.core.objective import Batch
from nnlab.data.dataset import Part, Splits
from nnlab.training.experiment import Experiment
from nnlab.training.metrics import Evaluator


def training_batch(
    experiment: Experiment, loss: Loss, splits: Splits, measured: Evaluator
) -> Batch:
    """Every training example, encoded for the loss that is minimised, with its weight.

    x, which is large, is shared with what is measured.
    """
    classes, y, own = len(splits.classes), splits.train.y, splits.train.weights
    weights = experiment.weighting.of(y, classes, experiment.dtype)
    if own is not None:
        law("every weight >= 0, and one > 0", own.min() >= 0 < own.max(), weights=own)
        weights = own.astype(experiment.dtype) * (1 if weights is None else weights)
    encoded = loss.encode(y, classes, experiment.dtype) if classes else measured.encoded.y
    return Batch(measured.encoded.x, encoded, weights)


def evaluators(experiment: Experiment, network: Network, splits: Splits) -> dict[str, Evaluator]:
    """What measures each part: the loss itself, neither smoothed nor weighted nor penalised."""
    loss, dtype, classes = experiment.loss, experiment.dtype, len(splits.classes)

    def evaluator(part: Part) -> Evaluator:
        y = loss.encode(part.y, classes, dtype) if classes else part.y.astype(dtype)
        encoded = Batch(part.x.astype(dtype), y)
        return Evaluator(network, loss, encoded, part.y if classes else None)

    return {
        name: evaluator(part) for name, part in zip(Splits._fields[:3], splits[:3], strict=True)
    }
