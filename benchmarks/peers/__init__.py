"""nnlab beside other frameworks: the same trainings, timed in turn."""
