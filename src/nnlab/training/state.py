"""What changes during a training."""

from dataclasses import dataclass

from nnlab.core.arrays import Array, State


@dataclass
class TrainingState:
    """All that changes during a training, as plain arrays: saved and restored, it goes on."""

    theta: Array
    buffers: Array
    """Running statistics of batch normalisation `(B,)`, mostly empty."""
    optimizer: State
    averaging: State
    averaging_buffers: State
    schedule: State
    rules: list[State]
    batches: Array
    """SHA-256 `(32,)` of the rows of all batches so far: of the hash before and a batch's rows."""
    step: int = 0
    reports: int = 0
    """Reports yielded so far."""
    seconds: float = 0.0
    """Time trained so far."""
