from math import sqrt

import pytest

from nnlab.core.initialisers import He, Normal, Xavier, Zeros
from nnlab.core.laws import LawError

HAND_WORKED = {  # initialiser: (an instance, {(fan_in, fan_out, gain): deviation})
    # sqrt(2) / sqrt(8) = 1/2 before a ReLU
    He: (He(), {(8, 3, sqrt(2)): 0.5, (8, 99, sqrt(2)): 0.5, (9, 3, 1.0): 1 / 3, (4, 1, 3.0): 1.5}),
    # sqrt(2 / 8) = 1/2
    Xavier: (Xavier(), {(3, 5, 1.0): 0.5, (5, 3, 1.0): 0.5, (1, 1, 1.0): 1.0, (3, 5, 3.0): 1.5}),
    Normal: (Normal(0.25), {(7, 7, 1.0): 0.25, (1, 9, 5.0): 0.25}),
    Zeros: (Zeros(), {(7, 7, 1.0): 0.0, (1, 9, 5.0): 0.0}),
}


def test_every_initialiser_is_in_the_table(initialiser_class):
    assert initialiser_class in HAND_WORKED


def test_deviations_by_hand(initialiser_class):
    initialiser, rows = HAND_WORKED[initialiser_class]
    for arguments, expected in rows.items():
        assert initialiser.deviation(*arguments) == pytest.approx(expected, rel=1e-15)


def test_a_normal_initialiser_has_a_deviation_of_one_hundredth_by_default():
    assert Normal().deviation(8, 8, sqrt(2)) == 0.01


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_the_deviation_is_positive(std):
    with pytest.raises(LawError, match="`std > 0` must hold, but got std="):
        Normal(std)
