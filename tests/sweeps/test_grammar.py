"""Hydra's grammar on the command line, and Hydra's own reading of it."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from nnlab.errors import UserError
from nnlab.sweeps.grammar import fixed_value, parameter_of
from nnlab.sweeps.space import Choices, Range

PARAMETERS = {
    "x=interval(1e-4,1)": Range(1e-4, 1.0),
    "x=interval(1,8)": Range(1.0, 8.0),
    "x=tag(log,interval(1e-4, 1))": Range(1e-4, 1.0, log=True),
    "x=tag(log, interval(start=1e-4, end=1))": Range(1e-4, 1.0, log=True),
    "x=int(interval(1,8))": Range(1, 8),
    "x=tag(log,int(interval(1,8)))": Range(1, 8, log=True),
    "x=choice(a,b)": Choices(("a", "b")),
    "x=a,b": Choices(("a", "b")),
    "x=1,2.5,true,null": Choices((1, 2.5, True, None)),
    "x=[8],[16,16],[]": Choices(([8], [16, 16], [])),
    "x='a b','c'": Choices(("a b", "c")),
    "x=choice(a)": Choices(("a",)),
    "x=sort(3,1,2)": Choices((1, 2, 3)),
    "x=range(4)": Range(0, 3),
    "x=range(1,9,2)": Range(1, 7, step=2),
    "x=range(1,8,2)": Range(1, 7, step=2),
    "x=range(8,0,-3)": Range(2, 8, step=3),
    "x=range(0,1,0.25)": Range(0.0, 0.75, step=0.25),
    "x=range(0.1,0.5,0.1)": Range(0.1, 0.4, step=0.1),
    "x=sort(range(1,5),reverse=true)": Range(1, 4),
    "x=range(5,6)": Choices((5,)),
    "x.y=range(3)": Range(0, 2),
}


@pytest.mark.parametrize(("argument", "parameter"), PARAMETERS.items(), ids=PARAMETERS)
def test_a_parameter_is_read(argument, parameter):
    key, found = parameter_of(argument)
    assert key == argument.partition("=")[0]
    assert found == parameter
    assert [type(end) for end in found.ends()] == [type(end) for end in parameter.ends()]


DISCRETE = [argument for argument in PARAMETERS if "interval" not in argument]


@pytest.mark.parametrize("argument", DISCRETE)
def test_the_values_are_those_that_hydra_s_basic_sweeper_runs(argument):
    override = OverridesParser.create().parse_override(argument)
    theirs = list(override.sweep_iterator())
    ours = parameter_of(argument)[1]
    values = [ours.at_index(k) for k in range(int(ours.points))]
    plain = [getattr(value, "text", value) for value in theirs]
    if isinstance(ours, Range):
        assert values == pytest.approx(sorted(plain))  # 0.1, 0.2, 0.30000000000000004
    else:
        assert sorted(map(str, values)) == sorted(map(str, plain))


@pytest.mark.parametrize(
    "argument", ["x=1", "x=a", "x=[1,2]", "+x=1", "~x", "x={a: 1}", "x='a,b'", "x=sort([2,1])"]
)
def test_a_plain_override_is_no_parameter(argument):
    assert parameter_of(argument) is None


def test_a_glob_has_the_choices_of_the_group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "mine.yaml").write_text("name: constant\n")
    _, every = parameter_of("schedule=glob(*)")
    assert {"mine", "constant", "cosine"} <= set(every.values)
    assert parameter_of("schedule=glob([c*,m*],exclude=cos*)")[1] == Choices(("constant", "mine"))


def test_a_plain_override_has_a_value():
    assert fixed_value("x.y=[1,a]") == ("x.y", [1, "a"])
    assert fixed_value("x='1'") == ("x", "1")


BAD = {
    "x=interval(1,0)": "`low < high` must hold, but got low=1.0, high=0.0",
    "x=interval(1,1)": "`low < high` must hold, but got low=1.0, high=1.0",
    "x=interval(0,inf)": "an interval has finite ends, but got 0.0, inf",
    "x=tag(log,interval(0,1))": "`low > 0` must hold where log is true, but got low=0.0",
    "x=tag(log,choice(1,2))": "log is for intervals, not for choices",
    "x=tag(log,range(1,9))": (
        "a range has equal steps: write tag(log,interval(...)), or int(interval(...)) for whole "
        "numbers"
    ),
    "x=tag(linear,interval(0,1))": "the only tag is log, but got linear",
    "x=range(1,1)": "the range is empty: its end 1 is not included",
    "x=range(1,0)": "the range is empty: its end 0 is not included",
    "x=range(1,2,0)": "`step != 0` must hold, but got step=0",
    "x=shuffle(1,2,3)": (
        "the order is the sampler's: write sampler=random or sampler=grid instead of shuffle"
    ),
    "x=shuffle(range(3))": (
        "the order is the sampler's: write sampler=random or sampler=grid instead of shuffle"
    ),
    "x=1,1": "a choice is there twice",
    "x=1,'1'": "a choice is there twice",
}


@pytest.mark.parametrize(("argument", "message"), BAD.items(), ids=BAD)
def test_what_is_no_parameter_is_refused_with_the_argument(argument, message):
    with pytest.raises(UserError) as error:
        parameter_of(argument)
    assert str(error.value) == f"{message} ({argument})"


@pytest.mark.parametrize(
    "argument", ["x=interval(1", "x=interval(a,b)", "x=choice()", "x=tag(log,3)"]
)
def test_what_hydra_cannot_read_is_refused_with_its_reason(argument):
    with pytest.raises(UserError) as error:
        parameter_of(argument)
    assert str(error.value).startswith(f"{argument!r} is not an override: ")


def test_a_parameter_is_not_added():
    with pytest.raises(UserError) as error:
        parameter_of("+x=1,2")
    assert str(error.value) == (
        "a parameter changes a key that is there: write x=..., but got +x=1,2"
    )


def test_a_glob_without_a_choice_is_refused():
    with pytest.raises(UserError, match=r"no choice of optimizer fits optimizer=glob\(zzz\)"):
        parameter_of("optimizer=glob(zzz)")
