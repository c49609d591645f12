"""Laws between the parts of an experiment: what does not go together, or would do nothing."""

from nnlab.core.clipping import NoClipping
from nnlab.core.gradients import Numerical
from nnlab.core.laws import LawError
from nnlab.core.losses import BinaryHinge, CrossEntropy, OnNumbers
from nnlab.core.model import IDENTITY, Network
from nnlab.core.normalisation import BatchNorm
from nnlab.core.objective import Analytic
from nnlab.core.smoothing import NoSmoothing
from nnlab.core.weighting import NoWeighting
from nnlab.training.experiment import Experiment

ALWAYS_ENOUGH = 10**9


def check_one_training(experiment: Experiment) -> None:
    """Raise `LawError` where an experiment is several trainings."""
    if experiment.seeds > 1:
        raise LawError(
            f"{experiment.seeds} seeds are {experiment.seeds} trainings, not one", "seeds"
        )


def check_batches(network: Network, batch_size: int, examples: int) -> None:
    """Raise `LawError` where a batch would hold too few examples for a layer."""
    size = min(batch_size, examples)
    alone = size == 1 or examples % size == 1
    if alone and any(isinstance(layer, BatchNorm) for layer in network.layers):
        raise LawError(
            "batch normalisation needs two examples in each batch, but got "
            f"batch_size={batch_size}, which leaves one of {examples} examples alone",
            "batch_size",
        )


def check_targets(experiment: Experiment, classes: int) -> None:
    """Raise `LawError` where a part needs class labels and there are none."""
    if classes:
        return
    if not experiment.loss.regression:
        raise LawError(
            "the loss needs class labels, but the data have regression targets; "
            "choose loss=mse or other data",
            "loss",
        )
    if not isinstance(experiment.label_smoothing, NoSmoothing):
        raise LawError(
            "label smoothing needs class labels, but the data have regression targets; "
            "choose label_smoothing=none or other data",
            "label_smoothing",
        )


def check_scores(experiment: Experiment) -> None:
    """Raise `LawError` where a loss that needs raw scores would get squashed ones."""
    output = experiment.model.output
    if experiment.loss.on_scores and output != IDENTITY:
        raise LawError(
            f"the loss needs raw scores, but got model.output={output}; "
            f"choose model.output={IDENTITY}, or loss=half_mse",
            "model.output",
        )


def check_gradients(experiment: Experiment, examples: int) -> None:
    """Raise `LawError` where the optimizer does not get the gradients it needs, or would not
    use what is done to them."""
    optimizer = experiment.optimizer
    if optimizer.full_batch and experiment.batch_size < examples:
        raise LawError(
            f"the optimizer needs all {examples} training examples in each batch, but got "
            f"batch_size={experiment.batch_size}; batch_size={ALWAYS_ENOUGH} always is enough",
            "batch_size",
        )
    clipped = not isinstance(experiment.clipping, NoClipping)
    if clipped and (optimizer.full_batch or optimizer.gradient_free):
        why = "uses no gradient" if optimizer.gradient_free else "needs the gradient as it is"
        raise LawError(f"the optimizer {why}; choose clipping=none", "clipping")
    if optimizer.gradient_free and not isinstance(experiment.gradient, Analytic):
        raise LawError("the optimizer uses no gradient; choose gradient=analytic", "gradient")
    if isinstance(experiment.gradient, Numerical) and experiment.dtype != "float64":
        raise LawError(
            "differences of values need float64; choose dtype=float64, but got "
            f"dtype={experiment.dtype}",
            "gradient",
        )


def check_augmentation(experiment: Experiment, shape: tuple[int, ...], weighted: bool) -> None:
    """Raise `LawError` where the inputs are not what an augmentation changes, or the loss does not
    take the targets that it makes. `weighted` says that the data weigh their examples."""
    for change in experiment.augmentation:
        change.check(shape)
        weighted = weighted or not isinstance(experiment.weighting, NoWeighting)
        if change.mixes_targets and weighted:
            raise LawError(
                f"{change.name} makes examples between two, which may have different weights; "
                f"choose weighting=none or leave {change.name} out",
                f"augmentation.{change.name}",
            )
        loss = experiment.loss
        between = isinstance(loss, CrossEntropy | OnNumbers) and not isinstance(loss, BinaryHinge)
        if change.mixes_targets and not between:
            raise LawError(
                f"{change.name} makes targets between two labels, which the loss does not take; "
                "choose loss=cross_entropy or loss=mse",
                f"augmentation.{change.name}",
            )


def check_averaging(first: int, total: int | None) -> None:
    """Raise `LawError` where the first step that is averaged comes after the last one."""
    if total is not None and first > total:
        raise LawError(
            f"the averaging must begin within the run of {total} steps, but its first update "
            f"would be at step {first}",
            "averaging.start",
        )
