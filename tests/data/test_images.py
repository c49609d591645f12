"""Folders of images, as Pillow reads them."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nnlab.core.laws import LawError
from nnlab.data.dataset import REST, TEST, VALIDATION
from nnlab.data.sources.images import Images

CLASSES = ("cat", "dog", "emu")


def pixels(seed, shape=(9, 7, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def fill(folder, classes=CLASSES, images=4, ending=".png", start=0):
    """Images in folders of their classes, and what they hold in the order of the names."""
    made = []
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for k in range(images):
            made.append(pixels(start + number * images + k))
            Image.fromarray(made[-1]).save(folder / name / f"{k}{ending}")
    return np.array(made)


def test_images_are_their_pixels(tmp_path):
    made = fill(tmp_path)
    (tmp_path / "README.txt").write_text("not an image, and in no class")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    dataset = Images(path=str(tmp_path)).load()
    np.testing.assert_array_equal(dataset.x, made)
    assert dataset.x.dtype == np.uint8
    assert dataset.classes == CLASSES
    assert dataset.y.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.parts is None
    assert dataset.fingerprint == Images(path=f"{tmp_path}/.").load().fingerprint
    splits = Images(path=str(tmp_path), test=0.25).split()
    assert splits.shape == (9, 7, 3)
    assert splits.test.x[:].max() <= 1


@pytest.mark.parametrize(
    "ending", [".png", ".bmp", ".gif", ".JPG", ".jpeg", ".webp", ".tif", ".ppm"]
)
@pytest.mark.parametrize("mode", ["grey", "rgb"])
@pytest.mark.parametrize("size", [(), (5, 12)])
def test_images_are_what_pillow_makes_of_them(ending, mode, size, tmp_path):
    fill(tmp_path, ending=ending)
    dataset = Images(path=str(tmp_path), mode=mode, size=size).load()
    files = [file for name in CLASSES for file in sorted((tmp_path / name).iterdir())]
    for file, image in zip(files, dataset.x, strict=True):
        with Image.open(file) as opened:
            expected = opened.convert({"grey": "L", "rgb": "RGB"}[mode])
            if size:
                expected = expected.resize(size[::-1], Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(image, np.asarray(expected))


def test_parts_are_folders(tmp_path):
    made = [
        fill(tmp_path / name, CLASSES, images, start=start)
        for name, images, start in (("train", 3, 0), ("validation", 1, 50), ("test", 2, 90))
    ]
    dataset = Images(path=str(tmp_path)).load()
    np.testing.assert_array_equal(dataset.x, np.concatenate(made))
    assert dataset.parts.tolist() == [REST] * 9 + [VALIDATION] * 3 + [TEST] * 6
    assert dataset.y.tolist()[9:] == [0, 1, 2, 0, 0, 1, 1, 2, 2]


def test_an_image_is_turned_as_its_exif_says(tmp_path):
    fill(tmp_path, images=1)
    image = Image.fromarray(pixels(0, (7, 9, 3)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is at the right of what is stored
    image.save(tmp_path / "cat" / "0.png", exif=exif)
    dataset = Images(path=str(tmp_path)).load()
    np.testing.assert_array_equal(dataset.x[0], np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_kinds_of_pixels_are_converted(mode, tmp_path):
    fill(tmp_path, images=1)
    image = Image.fromarray(pixels(7)).convert(mode)
    file = tmp_path / "cat" / ("0.tif" if mode == "CMYK" else "0.png")
    (tmp_path / "cat" / "0.png").unlink()
    image.save(file)
    np.testing.assert_array_equal(
        Images(path=str(tmp_path)).load().x[0], np.asarray(image.convert("RGB"))
    )


def bomb(side):
    """A PNG of a few bytes that claims side x side pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def sixteen_bits(folder):
    Image.fromarray(np.zeros((9, 7), np.uint16)).save(folder / "dog" / "0.png")


BAD = {  # what is done to good folders: (what is said, its field)
    "an image of another size": (
        lambda folder: Image.fromarray(pixels(0, (8, 7, 3))).save(folder / "dog" / "1.png"),
        "0.png 9 x 7 and {}/dog/1.png 8 x 7; resize them with data.size=[9,7]",
        "size",
    ),
    "an image that is cut": (
        lambda folder: (folder / "emu" / "2.png").write_bytes(
            (folder / "emu" / "2.png").read_bytes()[:90]
        ),
        "{}/emu/2.png cannot be read: ",
        "path",
    ),
    "no image": (
        lambda folder: (folder / "cat" / "0.png").write_text("hello"),
        "{}/cat/0.png cannot be read: cannot identify image file",
        "path",
    ),
    "an empty file": (
        lambda folder: (folder / "cat" / "0.png").write_bytes(b""),
        "{}/cat/0.png cannot be read",
        "path",
    ),
    "another file": (
        lambda folder: (folder / "cat" / "notes.txt").write_text("hello"),
        "{}/cat/notes.txt is no image; in the folder of a class there are files that end in .png",
        "path",
    ),
    "a folder in a class": (
        lambda folder: (folder / "cat" / "more.png").mkdir(),
        "{}/cat/more.png is no image",
        "path",
    ),
    "an empty class": (
        lambda folder: (folder / "fox").mkdir(),
        "{}/fox is empty: the class fox has no images",
        "path",
    ),
    "an image in no class": (
        lambda folder: Image.fromarray(pixels(0)).save(folder / "1.png"),
        "{}/1.png is in no folder of a class",
        "path",
    ),
    "more pixels than is sensible": (
        lambda folder: (folder / "cat" / "0.png").write_bytes(bomb(8_000)),
        "{}/cat/0.png claims more than 50,000,000 pixels; make it smaller",
        "path",
    ),
    "a decompression bomb": (
        lambda folder: (folder / "cat" / "0.png").write_bytes(bomb(60_000)),
        "{}/cat/0.png claims more than 50,000,000 pixels; make it smaller",
        "path",
    ),
    "more than eight bits": (sixteen_bits, "{}/dog/0.png has more than 8 bits per value", "path"),
    "a part beside classes": (
        lambda folder: fill(folder / "train"),
        "{} has a folder train, so cat must be one of train, validation, test",
        "path",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_folders_are_refused(what, tmp_path):
    change, said, field = BAD[what]
    fill(tmp_path)
    change(tmp_path)
    with pytest.raises(LawError) as error:
        Images(path=str(tmp_path)).load()
    assert said.format(tmp_path) in str(error.value)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nothre", "does not exist (did you mean nothere?)"),
        ("nothere", "is empty: it must have a folder for each class"),
        ("one", "one has one class only, cat: a folder for each class is needed"),
        ("one/cat/0.png", "is a file; images are read from a folder"),
        ("tested", "the class dig has no images for training (did you mean dog?)"),
    ],
)
def test_folders_that_are_not_laid_out_so(path, said, tmp_path):
    (tmp_path / "nothere").mkdir()
    fill(tmp_path / "one", ("cat",))
    fill(tmp_path / "tested" / "train")
    fill(tmp_path / "tested" / "test", ("cat", "dig"))
    with pytest.raises(LawError) as error:
        Images(path=str(tmp_path / path)).load()
    assert said in str(error.value)


@pytest.mark.parametrize("inside", ["", "cat"])
def test_a_name_that_is_not_utf8_is_refused(inside, tmp_path):
    fill(tmp_path)
    try:
        (tmp_path / inside / os.fsdecode(b"\xff")).mkdir()
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")
    with pytest.raises(LawError, match=r"holds b'\\xff', whose name is not UTF-8") as error:
        Images(path=str(tmp_path)).load()
    assert error.value.field == "path"
    str(error.value).encode()


def test_what_does_not_fit_the_memory(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setattr("nnlab.data.memory.available", lambda: 100)
    with pytest.raises(LawError, match=r"12 x 9 x 7 x 3.*choose a smaller data\.size"):
        Images(path=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("field", "bad", "said"),
    [
        ("path", " ", "path names a folder"),
        ("mode", "gray", "mode must be one of grey, rgb, but got mode=gray (did you mean grey?)"),
        ("size", (5,), "size is [height, width] in pixels"),
        ("size", (99_999_999_999, 1), "each from 1 to 65,535"),
        ("size", (60_000, 60_000), "height * width <= 50,000,000"),
        ("size", (5, 0), "size is [height, width] in pixels"),
        ("test", 1.0, "0 <= test < 1"),
    ],
)
def test_a_field_out_of_range_is_refused(field, bad, said):
    with pytest.raises(LawError) as error:
        Images(**{"path": "x", field: bad})
    assert said in str(error.value)
    assert error.value.field == field
