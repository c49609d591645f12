"""Windows on padded images: what moving and cropping have in common."""

import numpy as np

from nnlab.core.arrays import Array

AT_ONCE = 2**14
"""So many numbers are worked on at a time: they stay in a cache, and in memory that is there."""


def move(
    x: Array, shape: tuple[int, ...], most: int, reflect: bool, rng: np.random.Generator
) -> None:
    """Move each image in the rows of x down and right by whole numbers of pixels, each uniform on
    -most to most. What comes in at the edges is 0, or the image mirrored at its outermost pixels,
    as by `numpy.pad` with mode `reflect`."""
    m, (height, width), channels = len(x), shape[:2], x.shape[1] // (shape[0] * shape[1])
    images = x.reshape(m, height, width, channels, copy=False)
    top, left = rng.integers(0, 2 * most, (2, m), endpoint=True)
    at_once = min(m, max(1, AT_ONCE // x.shape[1]))
    padded = np.zeros((at_once, height + 2 * most, width + 2 * most, channels), x.dtype)
    inside = padded[:, most : most + height, most : most + width]
    windows = np.lib.stride_tricks.sliding_window_view(
        padded.reshape(*padded.shape[:2], -1, copy=False), (height, width * channels), (1, 2)
    )
    for start in range(0, m, at_once):
        some = slice(start, start + at_once)
        n = len(images[some])
        inside[:n] = images[some]
        if reflect:
            for axis in (1, 2):
                _mirror(padded.swapaxes(1, axis), most)
        cut = windows[np.arange(n), top[some], left[some] * channels]
        images[some] = cut.reshape(images[some].shape)


def _mirror(padded: Array, most: int) -> None:
    """Fill the first and last `most` places of axis 1 with what is inside, mirrored."""
    end = padded.shape[1] - most
    padded[:, :most] = padded[:, 2 * most : most : -1]
    padded[:, end:] = padded[:, end - 2 : end - 2 - most : -1]
