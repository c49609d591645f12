import gzip
import io
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.data.formats.archive import REST, read_members
from nnlab.errors import UserError


def packed(**files):
    """A tar of these files, not compressed."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return held.getvalue()


TAR = packed(readme=b"read me", d__a=b"first", d__b=b"second", rest=b"...")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "it.tar.gz"
    path.write_bytes(gzip.compress(TAR))
    return path


def test_members_are_read_by_name_in_any_order(archive):
    expected = {"d/a": b"first", "d/b": b"second"}
    assert read_members(archive, ["d/b", "d/a"], 6) == expected
    assert list(archive.parent.iterdir()) == [archive]


def test_the_published_order_of_folders_and_links_does_not_matter(tmp_path):
    """Only files count: not a folder nor a link of that name, wherever it points."""
    path = tmp_path / "it.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("a")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("a")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"ok"))
    assert read_members(path, ["a"], 10) == {"a": b"ok"}


BAD = {
    "a member is missing": (gzip.compress(TAR), ["d/a", "d/c"], "has no d/c"),
    "a member is too large": (gzip.compress(TAR), ["d/b"], "d/b must have at most 5 bytes"),
    "not gzip": (TAR, ["d/a"], "cut or not a .tar.gz: Not a gzipped file"),
    "not a tar": (gzip.compress(b"x" * 2000), ["d/a"], "cut or not a .tar.gz|has no d/a"),
    "gzip cut": (gzip.compress(TAR)[:60], ["d/a", "d/b"], "cut or not a .tar.gz"),
    "tar cut": (gzip.compress(TAR[:1540]), ["d/a"], "cut or not a .tar.gz|has no d/a"),
    "empty": (b"", ["d/a"], "cut or not a .tar.gz|has no d/a"),
}


@pytest.mark.parametrize(("content", "names", "said"), BAD.values(), ids=BAD)
def test_a_bad_archive_is_refused_by_name(tmp_path, content, names, said):
    path = tmp_path / "it.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_members(path, names, 5)
    assert str(error.value).startswith(str(path))


def test_an_archive_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"it\.tar\.gz is cut or not .*No such file"):
        read_members(tmp_path / "it.tar.gz", ["a"], 5)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_bomb_is_not_unpacked(tmp_path, kind):
    """Whatever an archive begins with: a large file, or a header that claims to be large."""
    member = tarfile.TarInfo("x")
    member.size, member.type = 300_000_000, kind
    path = tmp_path / "it.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(member.tobuf())
        for _ in range(300):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(UserError, match="holds more than the files it is published with"):
        read_members(path, ["a"], 1000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * REST


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2600), new=st.binary(max_size=12), end=st.integers(0, len(TAR)))
def test_fuzz_the_members_or_an_error(tmp_path_factory, at, new, end):
    path = tmp_path_factory.mktemp("fuzz") / "it.tar.gz"
    path.write_bytes(gzip.compress((TAR[:at] + new + TAR[at + len(new) :])[: max(end, 1)], 1))
    try:
        found = read_members(path, ["d/a", "d/b"], 6)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert found.keys() == {"d/a", "d/b"}
        assert all(len(content) <= 6 for content in found.values())
