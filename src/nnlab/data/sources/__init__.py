"""Sources: where data sets come from. Each one ends in a `Dataset`."""
