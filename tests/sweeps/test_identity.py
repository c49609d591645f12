"""What makes two sweeps the same search."""

import pytest

from nnlab.runs.environment import code_version
from nnlab.sweeps import identity
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.identity import Identity
from nnlab.sweeps.reading import define

TEXT = """
experiment: [data=iris, tracking=none]
metric: validation/loss
trials: 4
parameters:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
"""


@pytest.fixture
def of(sweep_file):
    """The identity of a sweep with some arguments."""

    def found(*arguments, text=TEXT):
        sweep_file("mine", text)
        definition = define("mine", arguments)
        return Identity.of(definition, Candidates(definition).check())

    return found


def test_how_long_and_where_a_sweep_is_worked_on_is_not_in_it(of):
    again = of(
        "trials=9",
        "workers=1",
        "time=1 minute",
        "epochs=7",
        "timeout=3",
        "retries=2",
        "max_failures=1",
        "fail_fast=true",
        "register=best digits",
        "store=elsewhere",
    )
    assert again == of()
    assert again.sha256 == of().sha256


OTHERS = {
    "experiment": (["batch_size=16"], "experiment.batch_size: 32 -> 16"),
    "sampler": (["sampler=random"], "sweep.sampler.name: tpe -> random"),
    "pruner": (["pruner=none"], "sweep.pruner.name: median -> none"),
    "seed": (["sweep.seed=1"], "sweep.seed: 0 -> 1"),
    "metric": (["metric=validation/accuracy"], "sweep.metric: validation/loss -> validation/accu"),
    "direction": (["direction=maximize"], "sweep.direction: minimize -> maximize"),
    "order": (["deterministic=true"], "sweep.deterministic: False -> True"),
    "space": (["optimizer.lr=interval(0.1,1)"], "sweep.space.optimizer.lr.low: 0.001 -> 0.1"),
    "data": (["data=wine"], "experiment.data.name: iris -> wine"),
}


@pytest.mark.parametrize(("arguments", "line"), OTHERS.values(), ids=OTHERS)
def test_another_search_is_told_apart_and_the_difference_said(of, arguments, line):
    then, now = of(), of(*arguments)
    assert then != now
    assert then.sha256 != now.sha256
    assert any(one.startswith(line) for one in then.differences(now)), then.differences(now)
    if arguments == ["data=wine"]:
        assert any(one.startswith("data: ") for one in then.differences(now))


def test_the_code_is_in_it_by_its_content(of, monkeypatch):
    then = of()
    assert then.parts["code"] == code_version()
    monkeypatch.setattr(identity, "code_version", lambda: "0" * 64)
    assert of().differences(then) == [f"code: 000000000000... -> {code_version()[:12]}..."]


def test_it_is_what_the_record_says(of):
    now = of()
    assert Identity.recorded({"identity": now.plain}) == now
    assert Identity.recorded({}).parts == {}


def test_the_files_of_a_searched_group_are_in_it(of, tmp_path):
    text = TEXT + "  optimizer: [sgd, adam]\n"
    then = of(text=text)
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "adam.yaml").write_text(
        "name: adam\nlr: 0.5\nbeta1: 0.9\nbeta2: 0.999\nepsilon: 1e-8\n"
    )
    changed = [line.partition(":")[0] for line in then.differences(of(text=text))]
    assert changed == ["conf/optimizer"]
