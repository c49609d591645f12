"""Which inputs are images."""

from nnlab.core.laws import LawError


def check_images(shape: tuple[int, ...], what: str) -> None:
    """Raise `LawError` unless inputs of that shape are images."""
    if len(shape) not in (2, 3):
        raise LawError(
            f"{what} needs images, height x width or height x width x channels, but the inputs "
            f"have shape {shape}; leave it out of augmentation, or choose data of images",
            f"augmentation.{what}",
        )


def check_within(shape: tuple[int, ...], what: str, **most: int) -> None:
    """Raise `LawError` where moving images of that shape by so many pixels could leave nothing."""
    ((field, pixels),) = most.items()
    height, width = shape[:2]
    if pixels >= min(height, width):
        raise LawError(
            f"`{field} < height, width` must hold, but got {field}={pixels} for images of "
            f"{height} x {width}",
            f"augmentation.{what}.{field}",
        )
