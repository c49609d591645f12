import re

import pytest

from nnlab.core.laws import LawError
from nnlab.training.report import Stop

LAWS = {  # field: (what the message says, values that break it, values that do not)
    "seed": ("`seed >= 0`", [-1], [0, 2**63 - 1]),
    "batch_size": ("`batch_size >= 1`", [0, -32], [1, 10**9]),
    "dtype": ("float32, float64", ["float16", "int64", "flot32"], ["float32", "float64"]),
    "evaluate_every": (
        "duration above zero",
        ["", "soon", "0 steps", "-1 epochs", "5", "5 minutes", "nan%"],
        ["1 step", "10 steps", "0.5 epochs", "2%", " 3 epochs "],
    ),
    "stopping": ("at least one rule", [()], []),
}


@pytest.mark.parametrize("field", LAWS)
def test_a_value_that_breaks_a_law_is_refused(experiment, field):
    said, bad_values, good_values = LAWS[field]
    for bad in bad_values:
        with pytest.raises(LawError, match=re.escape(said)) as error:
            experiment(**{field: bad})
        assert error.value.field == field
        assert f"{field}={bad}" in str(error.value).replace("'", "")
    for good in good_values:
        assert getattr(experiment(**{field: good}), field) == good


def test_a_stop_knows_whether_it_is_a_divergence():
    assert Stop("diverged", "a value is not finite").diverged
    assert not Stop("max_steps", "10 steps are done").diverged
