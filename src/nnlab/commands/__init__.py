"""The doors: what each command of `nnlab` does and what it says."""
