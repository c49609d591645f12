"""Arrays in, arrays out: the mathematics of training. Imports NumPy alone."""
