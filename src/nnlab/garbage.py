"""How often Python looks for cyclic garbage in processes of ours.

What is imported stays: looking through it again and again takes 15 % of the time that importing
MLflow takes, and 6 % of what comes before the first training step.
"""

OBJECTS = 50_000
"""So many new objects come before it looks (Python 3.11 does after 700)."""
