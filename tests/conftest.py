"""What long tests found is shown in tables at the end, wherever they ran."""

import pytest


@pytest.fixture
def shown(record_property):
    """Adds a row to the table of this test's folder: `shown("10 kills", "0 duplicates")`."""
    return lambda what, held: record_property("shown", (what, held))
