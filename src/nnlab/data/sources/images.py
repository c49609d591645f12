"""Your own images, in folders: one for each class."""

import warnings
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law, one_of
from nnlab.data.dataset import REST, Dataset
from nnlab.data.formats.class_folders import FORMATS, found_in
from nnlab.data.memory import fits
from nnlab.data.sources.once import once
from nnlab.data.sources.source import Source
from nnlab.errors import first_line
from nnlab.names import nearest

MODES = {"grey": "L", "rgb": "RGB"}
PIXELS = 50_000_000
"""A picture with more is not decoded (a file of a few bytes may claim them), and not made."""
SIDE = 65_535
"""Of an image that is made: a JPEG has no longer one."""


@dataclass(frozen=True)
class Images(Source):
    """Images (PNG, JPEG, BMP, GIF, WebP, TIFF, PGM, PPM) in folders named as their classes.

    They are turned upright as their EXIF data say; of several frames the first is taken, and
    transparency is dropped. Bytes (uint8).
    """

    path: str = ""
    mode: str = "rgb"
    """grey: (n, height, width); rgb: (n, height, width, 3)."""
    size: tuple[int, ...] = ()
    """[height, width] that every image is resized to (bilinear); none where all are of one size."""
    scale: str = "unit"

    def __post_init__(self) -> None:
        super().__post_init__()
        law("path names a folder", self.path.strip(), path=repr(self.path))
        one_of(MODES, mode=self.mode)
        sides = len(self.size) in (0, 2) and all(1 <= side <= SIDE for side in self.size)
        said = f"size is [height, width] in pixels, each from 1 to {SIDE:,}"
        law(said, sides, size=list(self.size))
        law(f"height * width <= {PIXELS:,}", prod(self.size) <= PIXELS, size=list(self.size))

    def load(self) -> Dataset:
        """Raises `LawError` with the file where an image cannot be read or is of another size."""
        folder = Path(self.path)
        try:
            found = found_in(folder)
        except OSError as error:
            raise LawError(f"{error.filename} cannot be read: {error.strerror}", "path") from error
        return once(self, (file for _, file, _ in found), lambda: self._read(folder, found))

    @property
    def own(self) -> dict[str, Path]:
        return {"path": Path(self.path)}

    def _read(self, folder: Path, found: list[tuple[str, Path, int]]) -> Dataset:
        classes = sorted({name for name, _, part in found if part == REST})
        if len(classes) < 2:
            raise LawError(
                f"{folder} has one class only, {', '.join(classes) or 'or none'}: a folder for "
                "each class is needed",
                "path",
            )
        for name, file, _ in found:
            if name not in classes:
                raise LawError(
                    f"{file.parent}: the class {name} has no images for training"
                    f"{nearest(name, classes)}",
                    "path",
                )
        parts = np.array([part for _, _, part in found], np.int8)
        return Dataset(
            self._pixels([file for _, file, _ in found]),
            np.array([classes.index(name) for name, _, _ in found], np.int64),
            tuple(classes),
            parts=parts if (parts != REST).any() else None,
            origin=str(folder),
        )

    def _pixels(self, files: list[Path]) -> Array:
        first = self._image(files[0])
        shape = (len(files), *first.shape)
        fits(shape, np.uint8, self.path, "size", "choose a smaller data.size=[height,width]")
        x = np.empty(shape, np.uint8)
        for k, file in enumerate(files):
            image = self._image(file)
            if image.shape != first.shape:
                sizes = " and ".join(
                    f"{path} {shown.shape[0]} x {shown.shape[1]}"
                    for path, shown in ((files[0], first), (file, image))
                )
                raise LawError(
                    f"images must be of one height and width, but got {sizes}; resize them with "
                    f"data.size=[{first.shape[0]},{first.shape[1]}]",
                    "size",
                )
            x[k] = image
        return x

    def _image(self, file: Path) -> Array:
        """The pixels of a file; raises `LawError` where it is no image or too large a one."""
        from PIL import Image, ImageOps

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of EXIF data and transparency that are not used
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                with Image.open(file, formats=sorted(set(FORMATS.values()))) as opened:
                    _check(opened, file)
                    upright = ImageOps.exif_transpose(opened)
                    image = upright.convert(MODES[self.mode])
            except LawError:
                raise
            except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                raise _too_large(file) from error
            except Exception as error:  # Pillow raises whatever a damaged file makes it stumble on
                raise LawError(f"{file} cannot be read: {first_line(error)}", "path") from error
        if self.size:
            height, width = self.size
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)


def _check(image: Any, file: Path) -> None:
    """Raise `LawError` unless an image that is not decoded yet is of a size and kind to use."""
    if image.width * image.height > PIXELS:
        raise _too_large(file)
    if image.mode.startswith(("I", "F")):
        raise LawError(
            f"{file} has more than 8 bits per value ({image.mode}); convert it to 8 bits", "path"
        )


def _too_large(file: Path) -> LawError:
    return LawError(f"{file} claims more than {PIXELS:,} pixels; make it smaller", "path")
