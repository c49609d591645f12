import io
import tarfile

import numpy as np
import pytest
from sklearn.datasets import _california_housing

from nnlab.data.sources.california import MEMBER, CaliforniaHousing
from nnlab.errors import UserError


@pytest.fixture(scope="module")
def table():
    """Numbers such as the published ones: 20,640 blocks."""
    rng = np.random.default_rng(0)
    low = [-124.35, 32.54, 1, 2, 1, 3, 1, 0.4999, 14999]
    high = [-114.31, 41.95, 52, 39320, 6445, 35682, 6082, 15.0001, 500001]
    return np.round(rng.uniform(low, high, (20_640, 9)), 4)


def text(table):
    held = io.StringIO()
    np.savetxt(held, table, delimiter=",", fmt="%.6f")
    return held.getvalue().encode()


def pack(content, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, data in (("CaliforniaHousing/cal_housing.domain", b"..."), (MEMBER, content)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_it_is_what_scikit_learn_makes_of_the_same_archive(table, data_home, tmp_path, monkeypatch):
    archive = pack(text(table), data_home / "california_housing" / "cal_housing.tgz")

    def fetched(*arguments, **options):
        copy = tmp_path / "copy.tgz"
        copy.write_bytes(archive.read_bytes())
        return copy

    monkeypatch.setattr(_california_housing, "_fetch_remote", fetched)
    theirs = _california_housing.fetch_california_housing(data_home=tmp_path / "sklearn")
    ours = CaliforniaHousing().load()
    np.testing.assert_array_equal(ours.x, theirs.data)
    np.testing.assert_array_equal(ours.y, theirs.target[:, None])
    assert ours.names == tuple(theirs.feature_names)
    assert ours.classes == ()


def test_it_may_be_unpacked(table, data_home):
    packed = pack(text(table), data_home / "cal_housing.tgz")
    expected = CaliforniaHousing().load()
    packed.unlink()
    folder = data_home / "CaliforniaHousing"
    folder.mkdir()
    (folder / "cal_housing.data").write_bytes(text(table))
    assert CaliforniaHousing().load().fingerprint == expected.fingerprint


def test_targets_are_standardized_by_the_training_part(table, data_home):
    pack(text(table), data_home / "cal_housing.tgz")
    train = CaliforniaHousing().split().train.y
    assert (train.mean(), train.std()) == pytest.approx((0, 1), abs=1e-12)
    assert CaliforniaHousing(standardize_target=False).split().train.y.min() > 0.1


BAD = {
    "fewer rows": (
        lambda content: content[: content.rindex(b"\n", 0, -1) + 1],
        "must have the shape",
    ),
    "a text": (lambda content: b"x" + content, "is not the table of numbers: could not convert"),
    "a ragged row": (lambda content: b"1," + content, "is not the table of numbers"),
    "not a number": (
        lambda content: b"nan" + content[content.index(b",") :],
        "line 1 must have finite numbers",
    ),
    "empty": (lambda content: b" ", "but is empty"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_a_bad_table_is_refused_by_name(table, data_home, change, said):
    path = pack(change(text(table)), data_home / "cal_housing.tgz")
    with pytest.raises(UserError, match=said) as error:
        CaliforniaHousing().load()
    assert str(error.value).startswith(str(path))
