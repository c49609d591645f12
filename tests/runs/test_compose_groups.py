"""A group is chosen by a name."""

import pytest

from nnlab.errors import UserError
from nnlab.runs.compose import compose


@pytest.mark.parametrize("value", ["null", "3", "{a:1}", "1.5"])
def test_a_group_without_a_name_is_bad_input(value):
    with pytest.raises(UserError, match="optimizer"):
        compose([f"optimizer={value}"])
