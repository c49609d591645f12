"""Is an experiment sound? What can be checked in a second, before money is spent on it."""
