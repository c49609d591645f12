"""Where examples come from. Every source ends in the same `Dataset`."""
