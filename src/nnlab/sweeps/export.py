"""A study as a file that Optuna's own tools read: optuna-dashboard, a notebook."""

import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from nnlab.errors import UserError
from nnlab.plots.study import Study, Trial
from nnlab.sweeps.drawing import distribution
from nnlab.sweeps.parameters import parse_space
from nnlab.sweeps.space import Space

_STATES = {
    "COMPLETE": TrialState.COMPLETE,
    "PRUNED": TrialState.PRUNED,
    "FAILED": TrialState.FAIL,
}


def export(study: Study, file: Path) -> None:
    """Write the study to a journal of Optuna's, a new file, under the name of its run.

    The evaluations of a trial are numbered from 1, as pruners count them.
    """
    if file.exists():
        raise UserError(f"{file} exists already; name a new file (--optuna)")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = parse_space(study.space)
    try:
        storage = JournalStorage(JournalFileBackend(str(file)))
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror} (--optuna)") from error
    directions = [StudyDirection[one.upper()] for one in study.directions]
    made = optuna.create_study(
        storage=storage, study_name=f"{study.name}-{study.run}", directions=directions
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        made.set_metric_names(list(study.metrics))
    made.add_trials([_frozen(trial, space) for trial in study.trials])


def _frozen(trial: Trial, space: Space) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=_STATES[trial.state],
        values=list(trial.objectives) if trial.state == "COMPLETE" else None,
        params={key: space[key].suggestion(value) for key, value in trial.values.items()},
        distributions={key: distribution(space[key]) for key in trial.values},
        intermediate_values={k: value for k, (_, value) in enumerate(trial.curve, start=1)},
        user_attrs={"run": trial.run, "reason": trial.reason, "seconds": trial.seconds},
    )
