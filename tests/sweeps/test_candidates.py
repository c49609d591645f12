"""Every choice is checked before the first trial."""

import pytest

from nnlab.errors import UserError
from nnlab.sweeps.definition import Candidates, Definition
from nnlab.sweeps.space import Choices


@pytest.mark.parametrize(
    ("space", "metric", "overrides"),
    [
        ({"averaging": Choices(("ema", "none"))}, "validation/loss_ema", ("data=iris",)),
        ({"data": Choices(("diabetes", "iris"))}, "validation/r2", ("loss=mse",)),
        ({"loss": Choices(("mse", "hinge"))}, "validation/loss", ("data=diabetes",)),
    ],
)
def test_every_choice_is_checked_whole(space, metric, overrides):
    with pytest.raises(UserError):
        Candidates(Definition("x", space, metric, overrides=overrides)).check()
