"""Many experiments: a search space, the search over it, and the driver that runs its trials."""
