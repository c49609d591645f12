"""Optuna's memory, as a trial sees it: what older trials told, and nothing that came later."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class Hindsight(InMemoryStorage):
    """Optuna's storage in memory. Within `seen_by` it shows one trial and those up to another,
    so that what is decided about a trial does not depend on how far the younger ones have come."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[int, int] | None = None

    @contextmanager
    def seen_by(self, number: int, youngest: int) -> Iterator[None]:
        """Show the trial `number` and the ones up to `youngest`."""
        self._shown = number, youngest
        try:
            yield
        finally:
            self._shown = None

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy, states)
        if self._shown is None:
            return trials
        number, youngest = self._shown
        return [one for one in trials if one.number <= youngest or one.number == number]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        if self._shown is None:
            return super().get_best_trial(study_id)
        complete = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        if not complete:
            raise ValueError("no trial is complete")
        (direction,) = self.get_study_directions(study_id)
        best = max if direction == StudyDirection.MAXIMIZE else min
        return best(complete, key=_value)


def _value(trial: FrozenTrial) -> Any:
    return trial.value
