"""What differs between two environments, and can it change bits?"""

import copy

import pytest

from nnlab.commands import judgement as table
from nnlab.errors import UserError
from nnlab.reproduction.causes import environment
from nnlab.reproduction.environment import checked, environment_differences, judged
from nnlab.runs.environment import capture

from .conftest import FACTS


def changed(path, value, facts=FACTS):
    """The facts with another value, at a path of keys and places."""
    made = copy.deepcopy(facts)
    at = made
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


CASES = {
    "nnlab": (("nnlab",), "0.2.0", False),
    "git.commit": (("git", "commit"), "2" * 40, False),
    "git.dirty": (("git", "dirty"), True, False),
    "code": (("code",), "other", True),
    "python": (("python",), "3.11.7", True),
    "packages.numpy": (("packages", "numpy"), "1.0.0", True),
    "packages.scipy": (("packages", "scipy"), "1.0.0", True),
    "packages.mlflow": (("packages", "mlflow"), "1.0.0", False),
    "installed.pyarrow": (("installed", "pyarrow"), "1.0", True),
    "installed.rich": (("installed", "rich"), "1.0", False),
    "blas.0.num_threads": (("blas", 0, "num_threads"), 2, True),
    "blas.0.architecture": (("blas", 0, "architecture"), "Zen", True),
    "blas.0.version": (("blas", 0, "version"), "0.3.0", True),
    "cpu_features": (("cpu_features",), ["X86_V2"], True),
    "libc": (("libc",), "glibc 2.28", True),
    "machine": (("machine",), "aarch64", True),
    "system": (("system",), "Linux 5.0", False),
    "cpus": (("cpus",), 64, False),
}


@pytest.mark.parametrize(("key", "path", "value", "can"), [(k, *v) for k, v in CASES.items()])
def test_each_fact_that_differs_is_one_row_and_is_judged(key, path, value, can):
    (row,) = judged(changed(path, value), FACTS)
    assert (row.key, row.can_change_bits) == (key, can)
    assert row.then == (value if isinstance(value, str) else " ".join(value)
                        if isinstance(value, list) else str(value))  # fmt: skip
    assert row.why


def test_every_fact_that_is_recorded_is_judged():
    facts = capture().facts
    assert judged(facts, facts) == []
    missing = facts.keys() - {key.partition(".")[0] for key in CASES}
    assert missing == set() or missing == {"plugins"}
    unknown = judged({**facts, "weather": "rain"}, {**facts, "weather": "sun"})
    assert [(row.key, row.can_change_bits) for row in unknown] == [("weather", True)]


@pytest.mark.parametrize("key", ["code", "libc", "installed", "cpu_features"])
def test_what_an_older_run_did_not_record_is_unknown(key):
    rows = {row.key: row for row in judged(changed((key,), None), FACTS)}
    assert rows[key].then == "not recorded"
    assert rows[key].can_change_bits is None


def test_without_the_hash_of_the_code_another_commit_can_change_bits():
    rows = judged(changed(("git", "commit"), "2" * 40, changed(("code",), None)), FACTS)
    assert {row.key: row.can_change_bits for row in rows} == {"git.commit": True, "code": None}


def test_another_diff_of_the_same_code_changes_nothing():
    (row,) = judged(FACTS, FACTS, ("diff --git a/README b/README", ""))
    assert (row.key, row.now, row.can_change_bits) == ("git.diff", "none", False)
    assert judged(FACTS, FACTS, ("x", "x")) == []
    rows = judged(changed(("code",), "other"), FACTS, ("x", "y"))
    assert {row.key: row.can_change_bits for row in rows} == {"code": True, "git.diff": False}


def test_another_system_is_more_than_another_release():
    (row,) = judged(changed(("system",), "Darwin 23"), FACTS)
    assert row.can_change_bits


def test_a_second_library_that_only_one_had_loaded_changes_nothing():
    more = {**FACTS, "blas": [*FACTS["blas"], {**FACTS["blas"][0], "architecture": "Zen"}]}
    assert {row.can_change_bits for row in judged(more, FACTS)} == {False}
    assert {row.can_change_bits for row in judged({**FACTS, "blas": []}, FACTS)} == {None}


def test_a_fact_of_blas_that_is_absent_is_no_number_of_threads():
    rows = judged(changed(("blas", 0, "num_threads"), None), FACTS)
    assert list(environment(rows)) == ["BLAS: num_threads was absent then and is 1 now"]


PLUGIN = {"mine": {"version": "1", "sha256": "aa"}}


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"plugins": PLUGIN}, {"plugins": {"mine": {"version": "1", "sha256": "bb"}}}),
        ({"plugins": PLUGIN}, {"plugins": {}}),
        ({"plugins": PLUGIN}, {}),
        ({}, {"plugins": PLUGIN}),
    ],
)
def test_a_plugin_that_is_another_can_change_bits(then, now):
    rows = judged(FACTS | then, FACTS | now)
    assert "plugins.mine.sha256" in {row.key for row in rows if row.can_change_bits}
    assert None not in {row.can_change_bits for row in rows}


def test_with_plugins_any_package_may_compute():
    there = FACTS | {"plugins": PLUGIN}
    (row,) = judged(changed(("installed", "rich"), "1.0", there), there)
    assert row.can_change_bits is None


def test_what_can_change_bits_comes_first():
    then = changed(("cpus",), 8, changed(("packages", "numpy"), "1", changed(("libc",), None)))
    assert [row.can_change_bits for row in judged(then, FACTS)] == [True, None, False]


@pytest.mark.parametrize("name", ["numpy", "scipy", "scikit_learn"])
def test_without_packages_on_one_side_what_is_installed_tells(name):
    installed = {"numpy": "2.4.6", "scipy": "1.17.1", "scikit_learn": "1.8", "numpydoc": "1"}
    facts = FACTS | {"packages": {"numpy": "2.4.6"}, "installed": installed}
    then = changed(("installed", name), "1.0", changed(("packages",), None, facts))
    rows = {row.key: row for row in judged(then, facts)}
    assert rows["packages"].can_change_bits is None
    told = rows[f"installed.{name}"]
    assert (told.then, told.now, told.can_change_bits) == ("1.0", installed[name], True)
    assert len(rows) == 2
    (row,) = judged(changed(("installed", "numpydoc"), "2", facts), facts)
    assert row.can_change_bits is False


def test_a_package_is_said_once_unless_the_two_lists_contradict_each_other():
    then = changed(("packages", "numpy"), "1", changed(("installed", "numpy"), "1"))
    assert [row.key for row in judged(then, FACTS)] == ["packages.numpy"]
    then = changed(("installed", "numpy"), "1")
    assert [(r.key, r.can_change_bits) for r in judged(then, FACTS)] == [("installed.numpy", True)]
    absent = changed(("packages", "scipy"), None)
    absent["packages"]["scipy"] = None
    now = changed(("installed", "scipy"), "1.17.1")
    assert [row.key for row in judged(absent, now)] == ["packages.scipy"]


def test_what_runs_record_has_the_right_shape():
    for facts in ({}, FACTS, capture().facts, FACTS | {"plugins": PLUGIN, "weather": [1]}):
        assert checked(facts) == facts
    assert checked({"git": {"commit": None, "dirty": None, "diff": None}, "libc": None})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("installed", [1]),
        ("installed", {"numpy": {}}),
        ("plugins", "x"),
        ("plugins", {"mine": "x"}),
        ("packages", ["numpy"]),
        ("git", None),
        ("git", {"commit": [1]}),
        ("blas", {"version": "1"}),
        ("blas", [[1]]),
        ("cpu_features", "AVX2"),
        ("code", {"a": {}}),
        ("cpus", "2"),
    ],
)
def test_another_shape_is_refused_by_its_key(key, value):
    with pytest.raises(UserError, match=rf"environment\.json: `{key}` must be .+, but it is "):
        checked(FACTS | {key: value})


def test_the_table_is_short_however_much_differs():
    then = FACTS | {f"fact{k}": "a" for k in range(100)}
    then = changed(("installed",), {f"p{k}": "1" for k in range(50)}, then)
    rows = judged(then, FACTS)
    assert sum(row.can_change_bits is False for row in rows) > table.ROWS
    cells = [str(cell) for cell in table.judged(rows, "there").columns[0].cells]
    assert len(cells) == 2 * table.ROWS + 2
    can = sum(row.can_change_bits is not False for row in rows)
    assert cells[-2] == f"  and {can - table.ROWS} more: there"


def test_hostile_facts_are_no_harm():
    then = {"blas": 7, "packages": ["numpy"], "installed": "x", "git": None, "code": {"a": {}}}
    assert all(len(row.then) <= 500 for row in judged({**then, "x": "y" * 10_000}, FACTS))


def test_differences_as_lines():
    assert list(environment_differences(changed(("packages", "numpy"), "2.3"), FACTS)) == [
        "packages.numpy: 2.3 -> 2.4.6"
    ]
