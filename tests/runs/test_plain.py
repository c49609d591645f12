import math
import struct
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnlab.errors import UserError
from nnlab.runs.plain import dump, flatten, load

texts = st.text(max_size=10)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def same(one, two):
    """Equal in value, type and, for floats, in every bit (but which NaN it is)."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float):
        bits = struct.pack("<d", one), struct.pack("<d", two)
        return bits[0] == bits[1] or (math.isnan(one) and math.isnan(two))
    return one == two


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("plain") / "config.yaml"


def reloaded(file, config):
    file.write_text(dump(config), encoding="utf-8")
    return load(file)


@settings(max_examples=50, deadline=None)
@given(config=st.dictionaries(texts, values, max_size=4))
@example(
    config={"text": ["1e-3", "1:30", "0x1f", "off", "~", "null", "2001-01-01", "${x}", "!!int"]}
)
@example(config={"text": ["", " ", "\n", "a: b", "#", "\r\n", "\x85", "\u2028", "é", "\ufeff"]})
def test_what_is_dumped_is_loaded_again(file, config):
    assert same(reloaded(file, config), config)


@settings(max_examples=100, deadline=None)
@given(value=st.floats())
@example(value=1e-300)
@example(value=5e-324)
@example(value=1e22)
@example(value=1e-5)
@example(value=-0.0)
@example(value=math.inf)
@example(value=-math.inf)
@example(value=math.nan)
def test_a_float_comes_back_with_the_same_bits(file, value):
    assert same(reloaded(file, {"lr": value}), {"lr": value})


def test_keys_keep_their_order(file):
    assert list(reloaded(file, {"z": 1, "a": 2, "m": {"y": 1, "b": 2}})) == ["z", "a", "m"]


BAD = {  # what is in the file: what the message must say
    "- 1\n- 2\n": "mapping.*list",
    "text": "mapping.*str",
    "": "mapping.*NoneType",
    "a: [1": "cannot be read",
    "a: b: c": "cannot be read",
    "\tx: 1": "cannot be read",
    "a: !!python/object/apply:os.system [ls]": "cannot be read.*python/object",
    "a: !!python/name:os.system": "cannot be read",
    "a: *unknown": "cannot be read",
    "a: \x00": "cannot be read",
    # what PyYAML's constructors do not take
    "a: 2024-13-45": "cannot be read.*line 1: a is a date",
    "a: 0x_": "cannot be read.*line 1: a is no int",
    "a: !!int x": "cannot be read",
    "a: !!bool x": "cannot be read",
    "a: !!timestamp x": "cannot be read",
    "a: " + 5000 * "9": "cannot be read.*digits",
    "a: " + 3000 * "[": "cannot be read",
}


@pytest.mark.parametrize("text", BAD, ids=[repr(text)[:40] for text in BAD])
def test_what_is_no_plain_mapping_is_refused(file, text):
    file.write_text(text)
    with pytest.raises(UserError, match=rf"^config\.yaml .*{BAD[text]}"):
        load(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml cannot be read"):
        load(tmp_path / "latin.yaml")


def test_nothing_is_interpolated(file):
    file.write_text("a: ${oc.env:HOME}\nb: ${a}\n")
    assert load(file) == {"a": "${oc.env:HOME}", "b": "${a}"}


def test_only_plain_data_is_dumped():
    with pytest.raises(yaml.YAMLError):
        dump({"a": object()})


def test_flatten_gives_dotted_keys_and_texts():
    config = {"a": 1e-8, "b": {"c": [1, "x"], "d": {"e": None}}, "f": {}, "g": True}
    assert list(flatten(config)) == [
        ("a", "1e-08"),
        ("b.c", "[1, 'x']"),
        ("b.d.e", "None"),
        ("f", "{}"),
        ("g", "True"),
    ]


keys = st.from_regex(r"[a-z_0-9][a-z_0-9./-]{0,9}", fullmatch=True)  # as configs have them
of_keys = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(config=st.dictionaries(keys, of_keys, max_size=4))
@example(config={"0": {"0": {"0": "\x1f\x1f\x1f" + 6 * "\U00010000" + "0"}}})
@example(config={"long": "a b " * 60, "list": [[1, [2]], {"a": [{"b": 1}]}], "empty": [{}, []]})
def test_the_text_is_that_of_plain_python(config):
    assert dump(config) == yaml.safe_dump(config, sort_keys=False, width=1_000_000)


def test_without_libyaml_it_is_plain_python(monkeypatch):
    import nnlab.runs.plain as module

    assert module.Dumper is yaml.CSafeDumper
    with monkeypatch.context() as patch:
        patch.delattr(yaml, "CSafeDumper")
        source = Path(module.__file__).read_text(encoding="utf-8")
        names = {"__name__": "plain"}
        exec(source, names)
    assert names["Dumper"] is yaml.SafeDumper
    assert names["dump"]({"a": [1, "x: y"]}) == dump({"a": [1, "x: y"]})
