"""The Pareto front: the trials that no other one beats in every objective."""

from collections.abc import Sequence


def front(values: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """The indices of the vectors that no other dominates, in their order.

    One dominates another if it is nowhere worse and somewhere better; equal ones do not.

    >>> front([(1, 5), (2, 2), (5, 1), (3, 3)], ["minimize", "minimize"])
    [0, 1, 2]
    """
    signs = [1 if direction == "minimize" else -1 for direction in directions]
    small = [tuple(s * v for s, v in zip(signs, one, strict=True)) for one in values]
    return [
        index
        for index, one in enumerate(small)
        if not any(
            other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in small
        )
    ]
