"""A study as Optuna's own file, read back by Optuna."""

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nnlab.errors import UserError
from nnlab.plots.study import Study, Trial
from nnlab.sweeps.export import export

SPACE = {
    "optimizer": ["sgd", "momentum"],
    "optimizer.lr": {"low": 1e-3, "high": 1.0, "log": True},
    "batch_size": {"low": 16, "high": 64, "step": 16},
    "optimizer.momentum": {
        "low": 0.5,
        "high": 0.99,
        "log": False,
        "when": {"optimizer": ["momentum"]},
    },
}
MOMENTUM = {"optimizer": "momentum", "optimizer.lr": 0.1, "batch_size": 32}
TRIALS = (
    Trial(0, {"optimizer": "sgd", "optimizer.lr": 0.5, "batch_size": 64}, "COMPLETE", (0.25,)),
    Trial(1, MOMENTUM | {"optimizer.momentum": 0.9}, "PRUNED", (), ((0, 2.0), (40, 1.5))),
    Trial(2, {"optimizer": "sgd", "optimizer.lr": 1.0, "batch_size": 16}, "FAILED", run="ab"),
)
STUDY = Study("digits", "5e4d", ("validation/loss",), ("minimize",), SPACE, TRIALS)


def test_optuna_reads_what_was_written(tmp_path):
    file = tmp_path / "study.log"
    export(STUDY, file)
    storage = JournalStorage(JournalFileBackend(str(file)))
    study = optuna.load_study(study_name="digits-5e4d", storage=storage)
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.state for trial in study.trials] == states
    assert [trial.params for trial in study.trials] == [dict(trial.values) for trial in TRIALS]
    assert (study.best_trial.number, study.best_value) == (0, 0.25)
    assert study.trials[1].intermediate_values == {1: 2.0, 2: 1.5}
    assert study.trials[2].user_attrs["run"] == "ab"
    assert study.trials[0].distributions["optimizer.lr"].log


def test_a_file_that_is_there_is_kept(tmp_path):
    file = tmp_path / "study.log"
    file.write_text("mine")
    with pytest.raises(UserError, match=r"exists already.*--optuna"):
        export(STUDY, file)
    assert file.read_text() == "mine"
