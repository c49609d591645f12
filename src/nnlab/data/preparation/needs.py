"""What steps need of the training part, and how they refuse what they cannot do."""

from numpy.typing import DTypeLike

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.memory import fits
from nnlab.data.view import View


def check_labels(step: str, classes: int) -> None:
    """Raise `LawError` where the targets are numbers, not labels."""
    if not classes:
        raise LawError(
            f"{step} needs class labels, but the targets are numbers; leave it out of preparation",
            "preparation",
        )


def check_in_memory(step: str, train: View, cure: str = "") -> None:
    """Raise `LawError` where the examples are not in memory; `cure` is one more way out."""
    if not train.in_memory:
        raise LawError(
            f"{step} needs all training examples in memory, and these are read from disk; "
            f"choose data.window=0 where there is room for them{cure}, or leave {step} out",
            "preparation",
        )


def for_covariance(step: str, train: View) -> Array:
    """All training examples `(n, features)`, for a step that takes their covariance apart.

    Raises `LawError` where they are not in memory, and where that would not fit.
    """
    check_in_memory(step, train)
    cure = f"choose smaller images, or features of them, or leave {step} out"
    check_covariance(train.shape, train.dtype, step, "preparation", cure)
    return train[:]


def check_covariance(
    shape: tuple[int, int], dtype: DTypeLike, what: str, field: str, cure: str
) -> None:
    """Raise `LawError` unless examples `(n, features)` and their covariance fit into memory."""
    features = shape[1]
    fits(shape, dtype, what, field, cure)
    # itself, its eigenvectors, and what LAPACK's syevd works in: a copy and 2 features^2
    fits((5, features, features), dtype, f"the covariance of {what}", field, cure)
