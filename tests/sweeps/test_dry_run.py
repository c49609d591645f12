"""What a dry run shows; and the constraints that are known before a trial."""

from itertools import count

import pytest

from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.constraints import Constraint, broken
from nnlab.sweeps.dry_run import DryRun, described
from nnlab.sweeps.reading import define
from nnlab.sweeps.search import Search
from nnlab.sweeps.space import Choices, Range

FILE = """
experiment: [data=iris, model=mlp, tracking=none, stopping.max_epochs.epochs=4]
metric: validation/loss
trials: 8
workers: 2
parameters:
  optimizer.lr: {low: 1e-3, high: 1, log: true}
  model.hidden: [[8], [4, 4], [100]]
"""


@pytest.fixture
def dry(sweep_file):
    """A dry run whose clock says how often it was looked at."""
    sweep_file("mine", FILE)

    def run(*arguments):
        definition = define("mine", list(arguments))
        return DryRun.of(definition, Candidates(definition), count(step=3.0).__next__)

    return run


def test_the_suggestions_are_those_of_the_sweep(dry):
    found = dry()
    search = Search(found.definition)
    assert found.suggestions == [search.ask(number) for number in range(5)]


def test_the_cost_is_that_of_one_trial_for_each(dry):
    found = dry()
    assert found.epochs == 4
    assert (
        found.seconds == 3.0 * 5
    )  # the clock is looked at once more after each report but the last
    assert found.total == 4 * found.seconds  # eight trials, two at once
    assert dry("seeds=3").seconds == 3 * found.seconds
    assert dry("time=20 seconds").total == 20 + found.seconds


def test_a_long_trial_is_cut_and_its_length_estimated(dry):
    found = dry("stopping.max_epochs.epochs=100")
    assert found.epochs == pytest.approx(100)
    assert 250 < found.seconds < 600  # 3 s for each of 100 epochs, and the end


def test_the_cost_of_a_vectorised_sweep_is_that_of_a_stack_on_each_worker(dry):
    stacks = ("engine=vectorized", "trials_per_worker=2", "trials=8", "model.hidden=[8]")
    found = dry(*stacks)
    assert found.seconds == 3.0 * 5  # both trials of the stack in each report
    assert found.total == 2 * found.seconds  # eight trials, two times two at once
    text = str(found)
    assert "8 trials, tpe sampler, median pruner, 4 at once on 2 workers" in text
    assert "cost: the first 2 trials take 15 s, 4 epochs each; 8 such trials on 2 workers" in text
    assert dry(*stacks, "timeout=60").seconds == 2 * found.seconds  # one after another
    assert dry(*stacks, "seeds=3").seconds == 6 * found.seconds
    two = ("model.hidden=[8],[4,4]", "sampler=grid", "optimizer.lr=0.1")
    assert dry(*stacks[:3], *two, "stopping.max_epochs.epochs=2").seconds == 2 * 3.0 * 3


def test_a_finite_space_bounds_the_trials(dry):
    found = dry("optimizer.lr=0.1")
    assert (found.trials, len(found.suggestions)) == (3, 3)


def test_what_is_shown(dry):
    text = str(dry("constraints={parameters: 200}", "pruner=none"))
    lines = text.splitlines()
    assert lines[0] == "sweep mine: 8 trials, tpe sampler, no pruner, 2 at once"
    assert lines[1:3] == ["minimize validation/loss", "where parameters <= 200"]
    assert "  optimizer.lr  0.001 to 1, log" in lines
    assert "  model.hidden  [8] | [4, 4] | [100]" in lines
    assert sum(line.startswith(("  0  ", "  4  ")) for line in lines) == 2
    assert "[100]" not in text.partition("first suggestions")[2]
    assert lines[-1].startswith("cost: trial 0 takes ")
    assert lines[-1].endswith("such trials on 2 workers about 60 s of training")


def test_constraints_that_nothing_keeps_are_said(dry):
    found = dry("constraints={parameters: 3}")
    assert not found.suggestions
    assert str(found).endswith("no point keeps to the constraints")


def test_the_number_of_parameters_is_known_before_a_trial(dry):
    definition = dry().definition
    candidates = Candidates(definition)
    count = {
        str(hidden): candidates.parameters({"model.hidden": hidden}) for hidden in ([8], [4, 4])
    }
    # iris: 4 inputs, 3 classes
    assert count == {"[8]": 4 * 8 + 8 + 8 * 3 + 3, "[4, 4]": 4 * 4 + 4 + 4 * 4 + 4 + 4 * 3 + 3}


PARAMETERS = {
    "0.001 to 1, log": Range(0.001, 1.0, log=True),
    "16 to 96, step 16, whole": Range(16, 100, step=16),
    "a | b  (when x=1 or 2 and y=z)": Choices(("a", "b"), when={"x": (1, 2), "y": ("z",)}),
}


@pytest.mark.parametrize(("text", "parameter"), PARAMETERS.items())
def test_a_parameter_in_words(text, parameter):
    assert described(parameter) == text


def test_what_is_broken_is_said():
    constraints = (
        Constraint("seconds", high=2.0),
        Constraint("accuracy", low=0.9),
        Constraint("loss", 0.0, 1.0),
    )
    assert broken(constraints, {"seconds": 2.0, "accuracy": 0.9, "loss": 0.5}) == []
    assert broken(constraints, {"seconds": 3.0, "accuracy": 0.5, "loss": float("nan")}) == [
        "seconds <= 2 does not hold: 3",
        "0.9 <= accuracy does not hold: 0.5",
        "0 <= loss <= 1 does not hold: nan",
    ]
    assert len(broken(constraints, {})) == 3  # what was not measured is not kept
