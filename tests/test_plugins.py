"""Plugins in this process: what may register, what is loaded, what is recorded of it."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, fields, make_dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pytest

from nnlab import plugins
from nnlab.commands.options import plugged as plugged_options
from nnlab.core.arrays import Hyper
from nnlab.core.laws import LawError
from nnlab.core.optimizers import SGD, GradientStep, Optimizer
from nnlab.core.penalties import NoPenalty
from nnlab.data.sources.source import Source
from nnlab.errors import UserError
from nnlab.plugins import EditedError, check_unchanged, load, load_same, register
from nnlab.runs import plugged, registry
from nnlab.runs.compose import choices, compose
from nnlab.runs.config import LISTS, parse
from nnlab.runs.contract import CONTRACTS, check_component, choice
from nnlab.runs.environment import capture
from nnlab.runs.plugged import MissingComponentError, made_with
from nnlab.runs.registry import GROUPS
from nnlab.training.stopping import Memoryless

BUILT_IN = [(group, name) for group, known in GROUPS.items() for name in known]


class Step(GradientStep):
    """What an optimizer needs besides its dataclass."""

    def init(self, theta):
        return {}

    def step(self, theta, state, oracle, scale):
        return oracle(theta)[0]


@dataclass(frozen=True)
class Own(Step):
    """An optimizer with fields of every kind."""

    lr: Hyper = 0.1
    rate: float = 1
    steps: int = 3
    sure: bool = True
    word: str = "of ${data.name}"
    sizes: tuple[int, ...] = (1, 2)
    pairs: tuple[tuple[int, ...], ...] = ((1,), (2, 3))
    either: str | int = 4
    made: tuple[str, ...] = field(default_factory=lambda: ("a",))


@pytest.fixture(autouse=True)
def as_before(monkeypatch, tmp_path):
    """What a test registers, loads and puts on the path is gone after it; it runs in its folder."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    groups = {group: dict(known) for group, known in registry._groups.items()}
    modules = set(sys.modules)
    Plugins.instance()  # those of Hydra store choices of theirs
    store = ConfigStore.instance()
    ours = {key: dict(one) if isinstance(one, dict) else one for key, one in store.repo.items()}
    monkeypatch.setattr(store, "repo", ours)
    monkeypatch.setattr(plugged, "_plugins", {})
    monkeypatch.setattr(plugged, "_choices", {})
    monkeypatch.setattr(plugins, "_registered", [])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    for group, known in groups.items():
        registry._groups[group].clear()
        registry._groups[group].update(known)
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


PLUGIN = """
from dataclasses import dataclass

from nnlab.core.optimizers import SGD
from nnlab.plugins import register


@register("optimizer", "mine")
@dataclass(frozen=True)
class Mine(SGD):
    lr: float = 0.25
"""


def write(folder, name, text=PLUGIN):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_every_group_has_a_contract():
    assert CONTRACTS.keys() == GROUPS.keys()


@pytest.mark.parametrize(("group", "name"), BUILT_IN)
def test_what_comes_with_nnlab_keeps_its_contract(group, name):
    check_component(group, name, GROUPS[group][name])


@pytest.mark.parametrize("group", sorted(CONTRACTS))
def test_a_class_of_nothing_keeps_none(group):
    @dataclass(frozen=True)
    class Empty:
        name: ClassVar[str] = "empty"

    if group in ("runtime", "data"):
        expected = "is no subclass of"
    elif group == "tracking":
        expected = "has no uri; has no experiment"
    else:
        expected = "has no "
    with pytest.raises(LawError, match=rf"component of {group} must follow .* {expected}"):
        register(group, "empty")(Empty)
    assert "empty" not in GROUPS[group]


def test_a_component_is_chosen_like_any_other():
    assert register("optimizer", "own")(Own) is Own
    assert GROUPS["optimizer"]["own"] is Own
    assert "own" in choices("optimizer")
    config = compose(["optimizer=own", "optimizer.steps=7", "data=iris"])
    assert config["optimizer"] == {
        "name": "own",
        "lr": 0.1,
        "rate": 1.0,
        "steps": 7,
        "sure": True,
        "word": "of ${data.name}",
        "sizes": [1, 2],
        "pairs": [[1], [2, 3]],
        "either": 4,
        "made": ["a"],
    }
    assert parse(config).experiment.optimizer == Own(steps=7)


def test_a_component_of_a_list_is_named_by_its_class():
    @dataclass(frozen=True)
    class Never(Memoryless):
        metric: str = "train/loss"
        name: ClassVar[str] = "never"

        def check(self, report, memory):
            return None

    register("stopping", "never")(Never)
    config = compose(["stopping=[max_epochs,never]"])
    assert config["stopping"]["never"] == {"metric": "train/loss"}
    assert parse(config).experiment.stopping[1] == Never()
    with pytest.raises(LawError, match=r"stopping ever has name='never': write name: ClassVar"):
        register("stopping", "ever")(Never)


def test_a_file_of_the_working_directory_comes_before_the_defaults(tmp_path):
    write(tmp_path, "conf/optimizer/small.yaml", "name: small\nlr: 0.0625\n")

    @dataclass(frozen=True)
    class Small(Step):
        lr: Hyper = 0.5

    register("optimizer", "small")(Small)
    assert compose(["optimizer=small"])["optimizer"] == {"name": "small", "lr": 0.0625}


def test_a_field_without_a_default_must_be_given():
    @dataclass(frozen=True)
    class Open(Step):
        lr: float

    register("optimizer", "open")(Open)
    with pytest.raises(UserError, match=r"optimizer\.lr has no default: give optimizer\.lr=\.\.\."):
        compose(["optimizer=open"])
    assert compose(["optimizer=open", "optimizer.lr=3"])["optimizer"]["lr"] == 3


class Plain(Step):
    lr = 0.1


@dataclass
class Thawed(Step):
    lr: float = 0.1


class Undecorated(SGD):
    momentum: float = 0.5


@dataclass(frozen=True)
class Halting(GradientStep):
    lr: float = 0.1

    def init(self, theta):
        return {}


@dataclass(frozen=True)
class Short(Step):
    lr: float = 0.1

    def step(self, theta, state):
        return 0.0


@dataclass(frozen=True)
class Declared(GradientStep, Optimizer):
    lr: float = 0.1

    def init(self, theta):
        return {}


@dataclass(frozen=True)
class Rateless(Step):
    pass


REFUSED = {
    "not frozen": (Thawed, "must be a frozen dataclass, but optimizer new is the class"),
    "no dataclass": (Plain, "must be a frozen dataclass"),
    "a base is one": (Undecorated, "write @dataclass(frozen=True) between"),
    "no class": (SGD(), "optimizer new is SGD SGD(lr=0.1)"),
    "no method": (Halting, "has no step(self, theta, state, oracle, scale)"),
    "the Protocol's own": (Declared, "has no step(self, theta, state, oracle, scale)"),
    "other arguments": (
        Short,
        "has step(self, theta, state) where (self, theta, state, oracle, scale) is called",
    ),
    "no lr": (Rateless, "has no lr"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_class_that_cannot_stand_there_is_refused(why):
    component, message = REFUSED[why]
    with pytest.raises(LawError) as raised:
        register("optimizer", "new")(component)
    assert message in str(raised.value)
    assert "new" not in GROUPS["optimizer"] and "new" not in choices("optimizer")


def of_field(kind, **settings):
    return make_dataclass(
        "Made", [("lr", float, 0.1), ("x", kind, field(**settings))], bases=(Step,), frozen=True
    )


FIELDS = {
    "a dict": (of_field(dict, default_factory=dict), "optimizer.x is dict"),
    "an array": (of_field(np.ndarray, default=None), "optimizer.x is ndarray"),
    "None": (of_field(int | None, default=None), "optimizer.x is"),
    "of two lengths": (of_field(tuple[int, int], default=(1, 2)), "optimizer.x is tuple"),
    "unknown": (of_field("Nowhere", default=1), "name 'Nowhere' is not defined"),
    "another default": (
        of_field(int, default="one"),
        "x must be a whole number, but got optimizer.x='one' (its default)",
    ),
    "no argument": (of_field(int, default=1, init=False), "optimizer.x: it has init=False"),
    "name": (
        make_dataclass(
            "Made", [("lr", float, 0.1), ("name", str, "n")], bases=(Step,), frozen=True
        ),
        "`name` is how a config names the component",
    ),
}


@pytest.mark.parametrize("why", FIELDS)
def test_a_field_that_no_config_can_say_is_refused(why):
    component, message = FIELDS[why]
    with pytest.raises(LawError) as raised:
        register("optimizer", "new")(component)
    assert message in str(raised.value)
    assert "new" not in GROUPS["optimizer"]


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        ("optimizer", "sgd", r"optimizer sgd is nnlab\.core\.optimizers\.SGD: choose another"),
        ("optimiser", "new", r"group must be one of .*did you mean optimizer\?"),
        ("optimizer", "New", r"small letters, digits and _.* but got name='New'"),
        ("optimizer", "../x", r"but got name='\.\./x'"),
        ("optimizer", 3, r"but got name=3"),
    ],
)
def test_a_name_must_be_free_and_plain(group, name, message):
    with pytest.raises(LawError, match=message):
        register(group, name)


def test_a_name_is_taken_by_a_plugin_as_well():
    register("optimizer", "own")(Own)
    with pytest.raises(LawError, match=r"optimizer own is .*test_plugins\.Own: choose another"):
        register("optimizer", "own")


def test_a_source_says_how_it_is_loaded():
    @dataclass(frozen=True)
    class Silent(Source):
        pass

    with pytest.raises(LawError, match=r"has no load\(self\)"):
        register("data", "silent")(Silent)


def test_the_registry_is_closed_but_to_register():
    with pytest.raises(TypeError):
        GROUPS["optimizer"]["new"] = SGD
    assert all(isinstance(known, MappingProxyType) for known in GROUPS.values())


def test_what_is_loaded_is_recorded(tmp_path):
    file = write(tmp_path, "lab_one.py", PLUGIN + '__version__ = "2.1"\n')
    said = f"lab_one.py {file.stat().st_size}\n".encode() + file.read_bytes()
    assert load("lab_one") == sha256(said).hexdigest()
    assert capture().facts["plugins"] == {
        "lab_one": {"version": "2.1", "sha256": sha256(said).hexdigest()}
    }
    assert compose(["optimizer=mine"])["optimizer"] == {"name": "mine", "lr": 0.25}


def test_the_hash_is_of_the_whole_package(tmp_path):
    write(tmp_path, "lab_two/__init__.py", "")
    write(tmp_path, "lab_two/parts/optimizers.py")
    helper = write(tmp_path, "lab_two/numbers.py", "one = 1\n")
    write(tmp_path, "lab_two/notes.txt", "not code")
    before = load("lab_two.parts.optimizers")
    check_unchanged()
    write(tmp_path, "lab_two/notes.txt", "still not code")
    check_unchanged()
    helper.write_text("one = 2\n")
    with pytest.raises(EditedError, match=r"but lab_two\.parts\.optimizers was edited: undo that"):
        check_unchanged()
    helper.write_text("one = 1\n")
    load_same({"lab_two.parts.optimizers": before})
    with pytest.raises(EditedError, match=r"lab_two\.parts\.optimizers was edited"):
        load_same({"lab_two.parts.optimizers": "0" * 64})


def test_no_bytecode_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    write(tmp_path, "lab_three/__init__.py")
    load("lab_three")
    assert not list(tmp_path.rglob("*.pyc"))
    assert sys.dont_write_bytecode is False


def test_a_plugin_may_register_what_another_module_holds(tmp_path):
    write(tmp_path, "lab_four.py", "import lab_four_parts\n")
    write(tmp_path, "lab_four_parts.py")
    load("lab_four")
    load("lab_four")
    load("lab_four_parts")
    assert [*plugged.plugins()] == ["lab_four", "lab_four_parts"]


RAISING = {
    "an error": ("x = 1\n\nx / 0\n", "ZeroDivisionError: division by zero (broken.py, line 3)"),
    "no syntax": ("x = 1\nx = = 2\n", "SyntaxError: invalid syntax (broken.py, line 2)"),
    "the end": ("import sys\nsys.exit(0)\n", "SystemExit: 0 (broken.py, line 2)"),
    "in a library": ("import json\njson.loads('')\n", "Expecting value"),
    "a missing library": ("\nimport nowhere_at_all\n", "No module named 'nowhere_at_all'"),
    "a law": (
        "from nnlab.plugins import register\nregister('optimizer', 'sgd')\n",
        "cannot be imported: a name in a group must be free, but optimizer sgd is",
    ),
}


@pytest.mark.parametrize("why", RAISING)
def test_what_raises_is_said_with_its_own_line(tmp_path, why):
    text, message = RAISING[why]
    write(tmp_path, "broken.py", text)
    with pytest.raises(UserError) as raised:
        load("broken")
    assert str(raised.value).startswith("the plugin broken cannot be imported: ")
    assert message in str(raised.value)
    lines = len(text.splitlines())
    assert str(raised.value).endswith(f"(broken.py, line {lines})")
    assert plugged.plugins() == {}


def test_the_line_is_that_of_the_plugin_where_it_calls_others(tmp_path):
    write(tmp_path, "deep/__init__.py", "import deep.inner\n")
    write(tmp_path, "deep/inner.py", "def f():\n    import json\n    json.loads('')\n\n\nf()\n")
    with pytest.raises(UserError, match=r"\(deep/inner\.py, line 3\)"):
        load("deep")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("nowhere_at_all", "there is no module nowhere_at_all in the working directory"),
        ("empty.inner", "there is no module empty.inner in"),
        ("empty", "but empty registers none: put @register(GROUP, NAME)"),
        ("os", "but os registers none"),
        ("nnlab.core.optimizers", "but nnlab.core.optimizers registers none"),
        ("a/b.py", "--plugin takes the name of a module, as in `import my_package.optimizers`"),
        ("os;", "but got --plugin 'os;'"),
        ("", "but got --plugin ''"),
        ("empty.", "but got --plugin 'empty.'"),
        (".empty", "but got --plugin '.empty'"),
        ("my-package", "but got --plugin 'my-package'"),
        ("class", "but got --plugin 'class'"),
    ],
)
def test_what_is_no_plugin_is_refused(tmp_path, module, message):
    write(tmp_path, "empty.py", "")
    with pytest.raises(UserError) as raised:
        load(module)
    assert message in str(raised.value)
    assert plugged.plugins() == {}


@pytest.mark.parametrize("given", [["--plugin"], ["--plugin="], ["--plugin", "--multirun"]])
def test_the_option_needs_a_module(given):
    with pytest.raises(UserError, match="--plugin needs the name of a module, as in --plugin my"):
        plugged_options(["optimizer=sgd", *given])


def test_the_option_may_be_anywhere_and_there_again(tmp_path):
    write(tmp_path, "lab_six.py")
    write(tmp_path, "lab_seven.py", PLUGIN.replace('"mine"', '"other"'))
    given = ["--plugin=lab_six", "a=1", "--plugin", "lab_seven", "-m", "--plugin", "lab_six"]
    assert plugged_options(given) == ["a=1", "-m"]
    assert [*plugged.plugins()] == ["lab_six", "lab_seven"]


def test_a_missing_component_names_the_plugins_of_its_run(tmp_path):
    write(tmp_path, "lab_five.py")
    config = {**compose([]), "optimizer": {"name": "theirs", "lr": 1.0}}
    recorded = {"plugins": {"lab_five": {}, "gone.away": {}, "os; rm -rf ~": {}, 3: {}}}
    again = r"the run was made with --plugin lab_five --plugin gone\.away: give it again$"
    with pytest.raises(MissingComponentError, match=again) as raised, made_with(recorded):
        parse(config)
    assert "rm -rf" not in str(raised.value) and "MODULE" not in str(raised.value)
    assert "lab_five" not in sys.modules
    load("lab_five")
    with (
        pytest.raises(MissingComponentError, match=r"with --plugin gone\.away: give"),
        made_with(recorded),
    ):
        parse(config)


@pytest.mark.parametrize("recorded", [{}, {"plugins": {}}, {"plugins": None}, {"plugins": "os"}])
def test_where_nothing_was_recorded_the_option_is_told(recorded):
    config = {**compose([]), "optimizer": {"name": "theirs", "lr": 1.0}}
    message = r"but got optimizer\.name='theirs'; components of your own need --plugin MODULE$"
    with pytest.raises(MissingComponentError, match=message), made_with(recorded):
        parse(config)


def test_an_error_of_another_kind_is_left_as_it_is():
    config = {**compose([]), "seed": -1}
    with (
        pytest.raises(UserError, match=r"`seed >= 0` must hold, but got seed=-1"),
        made_with({"plugins": {"lab": {}}}),
    ):
        parse(config)


def test_a_name_near_a_known_one_is_taken_for_a_slip():
    with pytest.raises(UserError) as raised:
        compose(["optimizer=adamm"])
    assert "did you mean adam?" in str(raised.value) and "--plugin" not in str(raised.value)
    with pytest.raises(UserError, match="components of your own need --plugin MODULE"):
        compose(["optimizer=mine"])


def test_no_variable_imports_anything(tmp_path):
    write(tmp_path, "lab_six.py")
    code = "import json, sys, nnlab.runs.registry; print(json.dumps('lab_six' in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"NNLAB_PLUGIN": "lab_six", "NNLAB_PLUGINS": "lab_six"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) is False


@pytest.mark.parametrize(("group", "name"), BUILT_IN)
def test_what_is_generated_says_every_default(group, name):
    content = choice(group, name, GROUPS[group][name])
    values = content[name] if group in LISTS else {**content}
    assert values.pop("name", name) == name
    said = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
    assert said == {one.name: one.default for one in fields(GROUPS[group][name])}


def test_a_penalty_needs_no_lr():
    @dataclass(frozen=True)
    class Nothing(NoPenalty):
        pass

    register("penalty", "nothing")(Nothing)
    assert parse(compose(["penalty=nothing"])).experiment.penalty == Nothing()
