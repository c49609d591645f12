"""Settings on the command line that YAML cannot read."""

import pytest

from nnlab.errors import UserError
from nnlab.sweeps.definition import define


@pytest.mark.parametrize("text", ["[", "{a", "'x", "a: b: c"])
def test_a_setting_that_is_no_yaml_is_bad_input(text):
    with pytest.raises(UserError) as error:
        define("digits", [f"trials={text}"])
    assert "trials" in str(error.value) and "\n" not in str(error.value)
