import numpy as np
import pytest
from PIL import Image

from nnlab.plots.curves import save
from nnlab.plots.examples import sheet


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (32, 32, 3), (5, 9, 1)])
@pytest.mark.parametrize("number", [1, 7, 25])
def test_every_image_is_there_with_its_title(shape, number):
    images = np.random.default_rng(0).integers(0, 256, (number, *shape), np.uint8)
    figure = sheet(images, [f"class {k}" for k in range(number)])
    drawn = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_title() for axes in drawn] == [f"class {k}" for k in range(number)]
    for axes, image in zip(drawn, images, strict=True):
        shown = np.asarray(axes.get_images()[0].get_array())
        np.testing.assert_allclose(
            shown * (255 if len(shape) == 3 and shape[2] == 3 else 1),
            (image.reshape(shape[:2]) if shape[2:] in ((), (1,)) else image),
        )


def test_bytes_are_drawn_as_bytes_and_numbers_from_least_to_greatest():
    grey = sheet(np.full((1, 4, 4), 7, np.uint8), ["a"]).axes[0].get_images()[0]
    assert grey.get_clim() == (0, 255)
    numbers = np.linspace(-3, 5, 32).reshape(2, 4, 4)
    assert sheet(numbers, ["a", "b"]).axes[0].get_images()[0].get_clim() == (-3, 5)
    constant = sheet(np.zeros((1, 4, 4, 3)), ["a"]).axes[0].get_images()[0]
    assert not np.asarray(constant.get_array()).any()


def test_the_picture_has_the_colours_of_the_images(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    images = np.array([np.tile(colour, (32, 32, 1)) for colour in colours], np.uint8)
    save(sheet(images, ["red", "green", "blue"]), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        found = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert found >= set(colours)
