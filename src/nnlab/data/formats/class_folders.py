"""Folders of images, one for each class, and above them perhaps one for each part."""

from pathlib import Path

from nnlab.core.laws import LawError
from nnlab.data.dataset import PARTS, REST
from nnlab.names import nearest

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".pgm": "PPM",
    ".ppm": "PPM",
}
"""Endings of images, and what Pillow calls their formats."""
NOT_OURS = ("thumbs.db", "desktop.ini")
"""Files that file managers leave."""


def found_in(folder: Path) -> list[tuple[str, Path, int]]:
    """Class, file and part of every image: part by part, class by class, sorted by name.

    Folders of the names `PARTS` hold those of the classes; without them the folder itself does.

    Raises `LawError` where the folder is not laid out so, `OSError` where it cannot be read.
    """
    if not folder.exists():
        there = [one.name for one in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise LawError(f"{folder} does not exist{nearest(folder.name, there)}", "path")
    if not folder.is_dir():
        raise LawError(
            f"{folder} is a file; images are read from a folder that has one for each class", "path"
        )
    inside = _folders(folder)
    named = {path.name: path for path in inside if path.name in PARTS}
    if "train" not in named:
        return _of_classes(folder, inside, REST)
    other = next((path for path in inside if path.name not in PARTS), None)
    if other:
        raise LawError(
            f"{folder} has a folder train, so {other.name} must be one of {', '.join(PARTS)}"
            f"{nearest(other.name, PARTS)}",
            "path",
        )
    return [
        image
        for name, part in PARTS.items()
        if name in named
        for image in _of_classes(named[name], _folders(named[name]), part)
    ]


def _of_classes(folder: Path, classes: list[Path], part: int) -> list[tuple[str, Path, int]]:
    loose = next((path for path in _entries(folder) if path.suffix.lower() in FORMATS), None)
    if loose and not loose.is_dir():
        raise LawError(
            f"{loose} is in no folder of a class; put it into one that is named as its class",
            "path",
        )
    if not classes:
        raise LawError(f"{folder} is empty: it must have a folder for each class", "path")
    found = []
    for one in classes:
        images = _entries(one)
        if not images:
            raise LawError(f"{one} is empty: the class {one.name} has no images", "path")
        for image in images:
            if image.suffix.lower() not in FORMATS or not image.is_file():
                raise LawError(
                    f"{image} is no image; in the folder of a class there are files that end in "
                    f"{', '.join(FORMATS)} alone",
                    "path",
                )
            found.append((one.name, image, part))
    return found


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name, but for what is hidden.

    Raises `LawError` for a name that is no text: it could be neither shown nor kept.
    """
    paths = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in NOT_OURS
    ]
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            shown = path.name.encode("utf-8", "surrogateescape")
            raise LawError(
                f"{folder} holds {shown!r}, whose name is not UTF-8; rename it", "path"
            ) from error
    return sorted(paths, key=lambda path: path.name)
