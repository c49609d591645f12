import json
from contextlib import closing

import numpy as np
import pytest

from nnlab.data.leaks import Leaks, leaks_of
from nnlab.errors import UserError
from nnlab.runs.about import DATA, NAMED, PREPARATION, described, shared
from nnlab.runs.config import parse, prepare
from nnlab.runs.execution import Execution
from nnlab.runs.journal import read
from nnlab.runs.run import Run

KFOLD = {"validation": {"name": "kfold", "folds": 3}}


def trained(checked, environment, values=None):
    """The run of a whole training."""
    config = checked(values)
    execution = Execution(config)
    with Run.of(config, "train", environment=environment) as run:
        with execution.recorded(run) as reports:
            list(reports)
        execution.keep_weights(run)
    return run


def told(path):
    """What the journal and the file say, which is the same."""
    (record,) = [one for one in read(path / "journal.jsonl") if one["type"] == "data"]
    content = {key: value for key, value in record.items() if key not in ("n", "time", "type")}
    assert content == json.loads((path / DATA).read_text())
    return content


def test_what_a_run_says_of_the_irises(checked, environment):
    run = trained(checked, environment)
    data = told(run.path)
    each = {"train": 34, "validation": 8, "test": 8}
    assert data == {
        "name": "iris",
        "origin": "",
        "files": 0,
        "read_from": {},
        "fingerprint": prepare(checked()).splits.fingerprint,
        "examples": 150,
        "inputs": {
            "shape": [4],
            "dtype": "float64",
            "named": 4,
            "names": [
                f"{part} {what} (cm)" for part in ("sepal", "petal") for what in ("length", "width")
            ],
            "kinds": [],
        },
        "targets": {"shape": [], "dtype": "int64"},
        "classes": {"number": 3, "names": ["setosa", "versicolor", "virginica"]},
        "parts": {
            part: {"examples": 3 * number, "classes": [number] * 3} for part, number in each.items()
        },
        "leaks": {part: {"same_target": 0, "another_target": 0} for part in ("validation", "test")},
        "preparation": ["standard"],
        "trained": {"examples": 102, "classes": [34] * 3, "features": 4},
    }
    assert read(run.path / "journal.jsonl")[1]["type"] == "data"  # before anything is measured


def test_what_was_learnt_to_prepare_the_inputs_can_be_used_without_nnlab(checked, environment):
    run = trained(checked, environment)
    splits = prepare(checked()).splits
    raw = checked().experiment.data.load()
    with np.load(run.path / PREPARATION, allow_pickle=False) as arrays:
        assert set(arrays) == {"0.standard.shift", "0.standard.scale"}
        mean, scale = arrays["0.standard.shift"], arrays["0.standard.scale"]
        prepared = (raw.x - mean) / scale
    every = np.concatenate([part.x for part in splits[:3]])
    assert sorted(map(bytes, prepared)) == sorted(map(bytes, every))


def test_a_resampled_training_part_is_told_besides(checked):
    config = checked({"preparation": {"subset": {"n": 10}}})
    data = described(config.plain, prepare(config).splits)
    assert (data["parts"]["train"]["examples"], data["trained"]["examples"]) == (102, 10)
    assert sum(data["trained"]["classes"]) == 10
    assert data["preparation"] == ["standard", "subset"]


def test_numbers_to_predict_have_no_classes(checked):
    values = {"data": {"name": "diabetes", "standardize_target": True}, "loss": {"name": "mse"}}
    values["data"] |= {"scale": "standard", "test": 0.15, "split_seed": 0}
    config = checked(values)
    data = described(config.plain, prepare(config).splits)
    assert data["classes"] == {"number": 0, "names": []}
    assert data["targets"] == {"shape": [1], "dtype": "float64"}
    assert data["parts"]["test"] == {"examples": 66, "classes": []}


def test_many_names_are_counted(checked):
    config = checked()
    splits = prepare(config).splits
    names = tuple(f"column {k}" for k in range(3 * NAMED))
    about = splits.about.__class__(**{**vars(splits.about), "names": names})
    data = described(config.plain, splits._replace(about=about))
    assert (len(data["inputs"]["names"]), data["inputs"]["named"]) == (NAMED, 3 * NAMED)


def test_a_file_of_the_user_s_own_names_the_data(config, tmp_path):
    plain = config({"store": str(tmp_path)})
    splits = prepare(parse(plain)).splits
    data = described({**plain, "data": {"name": "table", "path": "a/b/titanic.csv"}}, splits)
    assert data["name"] == "titanic.csv"


def test_members_tell_their_own_parts_and_the_run_what_they_share(checked, environment):
    run = trained(checked, environment, KFOLD)
    members = [one["run"] for one in read(run.journal.path) if one["type"] == "member"]
    nested = [told(run.path.with_name(member)) for member in members]
    assert [one["parts"]["validation"]["examples"] for one in nested] == [42, 42, 42]
    whole = told(run.path)
    assert whole == shared(nested)
    assert whole["fingerprint"] == nested[0]["fingerprint"]
    assert not (run.path / PREPARATION).exists()


def test_leaks_come_back_as_they_were():
    description = {"leaks": {"test": {"same_target": 2, "another_target": 1}}}
    assert leaks_of(description) == {"test": Leaks(2, 1)}
    assert leaks_of({"leaks": None}) is None
    assert leaks_of({}) is None


@pytest.fixture
def interrupted(checked, environment):
    """A run whose process died before its first checkpoint."""
    config = checked({"checkpoint_every": "never", "stopping.max_epochs.epochs": 4})
    run = Run.of(config, "train", environment=environment)
    with pytest.raises(ZeroDivisionError), run, Execution(config).recorded(run) as reports:
        for report in reports:
            if report.step:
                raise ZeroDivisionError
    return config, run


def test_a_run_that_goes_on_says_it_once(interrupted, environment):
    config, run = interrupted
    before = (run.path / DATA).stat()
    again, execution = Run.reopen(run.path, environment), Execution(config)
    execution.restore(again)
    with again, execution.recorded(again) as reports:
        list(reports)
    told(run.path)
    assert (run.path / DATA).stat().st_mtime_ns == before.st_mtime_ns


def test_a_run_does_not_go_on_with_other_data(interrupted, environment, monkeypatch):
    config, run = interrupted
    source = type(config.experiment.data)
    original = source.load

    def load(self):
        whole = original(self)
        x = whole.x.copy()
        x[7, 1] += 0.1
        return whole.__class__(x, whole.y, whole.classes)

    monkeypatch.setattr(source, "load", load)
    again = Run.reopen(run.path, environment)
    records = len(read(run.journal.path))
    with closing(again.journal), pytest.raises(UserError, match="is of other data: their") as error:
        Execution(config).restore(again)
    assert prepare(config).splits.fingerprint in str(error.value)
    assert len(read(run.journal.path)) == records
