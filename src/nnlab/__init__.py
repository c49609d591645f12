"""nnlab: a laboratory for small neural networks on NumPy.

Importing the package imports nothing else; each floor is imported where it is used.
"""

__version__ = "0.1.0"
