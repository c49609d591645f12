"""What long tests found is shown in tables at the end, wherever they ran."""

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # machines are shared: nothing is timed here
settings.load_profile("untimed")


@pytest.fixture
def shown(record_property):
    """Adds a row to the table of this test's folder: `shown("10 kills", "0 duplicates")`."""
    return lambda what, held: record_property("shown", (what, held))
