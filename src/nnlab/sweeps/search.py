"""The search: which values to try next, which trials to stop early, what was learned.

An Optuna study in memory, by ask and tell. Its randomness comes from (study seed, trial number),
and in a deterministic sweep trial k sees the results of the trials up to k - lag alone, in the
order of their numbers; so a search that is told the same again goes on as if never stopped.
"""

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nnlab.sweeps import points
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.drawing import distribution, draw, maker, remembers, sequence, take_notes
from nnlab.sweeps.novelty import Novelty
from nnlab.sweeps.points import Values
from nnlab.sweeps.pruners import Hyperband, NoPruning, Patient, Wilcoxon
from nnlab.sweeps.storage import Hindsight
from nnlab.sweeps.verdict import optuna_pruner, worse_than

_DRAWS = 5
"""By the sampler, for a point that was not there yet; then any new point is taken."""
_STATES = {
    "COMPLETE": TrialState.COMPLETE,
    "PRUNED": TrialState.PRUNED,
    "FAILED": TrialState.FAIL,
}


class Search:
    """What a driver asks and tells; everything is in memory.

    search = Search(definition, candidates.allowed)
    values = search.ask(0)
    if search.should_prune(0, evaluation=1, value=0.7): ...
    search.tell(0, "COMPLETE", [0.5], {"seconds": 3.0})
    """

    def __init__(
        self,
        definition: Definition,
        allowed: Callable[[Mapping[str, Any]], bool] = lambda values: True,
    ) -> None:
        """`allowed` refuses points that are no candidates: they never become trials."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.definition = definition
        self._space = definition.space
        self._storage = Hindsight()
        self._study = optuna.create_study(
            study_name=definition.name,
            storage=self._storage,
            directions=[StudyDirection[one.upper()] for one in definition.directions],
            pruner=optuna.pruners.NopPruner(),  # it is asked by us
        )
        self._make = maker(definition.sampler, self._space)
        self._points: Iterator[Values] = sequence(definition.sampler, self._space, definition.seed)
        self._novelty = Novelty(self._space, allowed)
        self._ids: list[int] = []
        self._known = 0
        self._waiting: dict[int, tuple[str, Sequence[float] | None, Mapping[str, float]]] = {}
        self._applied = 0
        """In a deterministic search: the trials before this one are what Optuna has been told."""
        self._first_complete: tuple[int, int] | None = None
        """Its number, and how many evaluations it had."""
        self._members: dict[int, dict[int, Sequence[float]]] = {}

    def ask(self, number: int) -> Values | None:
        """The values of trial `number`: 0, 1, 2, ... in this order. None where no point of the
        space is left that is new and allowed."""
        self._catch_up(number)
        if self._novelty.exhausted:
            return None
        trial = self._begin(number)
        values = self._fresh(number, trial)
        if values is None:
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
            self._ids.pop()
            return None
        self._note(trial, values)
        return values

    def asked(self, number: int, values: Mapping[str, Any]) -> None:
        """The same trial as it was asked before an interruption: nothing is drawn."""
        self._catch_up(number)
        trial = self._begin(number)
        if self._make and remembers(self.definition.sampler):
            take_notes(self._make(self._seed(number)), self._study, self._storage.get_trial(trial))
        self._note(trial, values)

    def should_prune(
        self, number: int, evaluation: int, value: float, members: Sequence[float] = ()
    ) -> bool:
        """Is the trial, after this evaluation, to be stopped? The value is remembered either way.

        `members` are the values of its seeds and folds, of which `value` is the mean.
        """
        trial = self._ids[number]
        if evaluation not in self._storage.get_trial(trial).intermediate_values:
            self._storage.set_trial_intermediate_value(trial, evaluation, value)
        pruner = self.definition.pruner
        if isinstance(pruner, NoPruning):
            return False
        if isinstance(pruner, Wilcoxon):
            self._members.setdefault(number, {})[evaluation] = tuple(members)
        if not self.definition.delay:
            return self._verdict(number, evaluation, math.inf)
        youngest = number - self.definition.delay
        with self._storage.seen_by(number + self._known, youngest + self._known):
            return self._verdict(number, evaluation, youngest)

    def tell(
        self,
        number: int,
        state: str,
        values: Sequence[float] | None,
        measured: Mapping[str, float] | None = None,
    ) -> None:
        """How the trial ended: COMPLETE with the value of each objective, PRUNED or FAILED.

        `measured` is what its constraints are about: its metrics, `seconds`, `parameters`.
        """
        if self.definition.delay:
            self._waiting[number] = (state, values, measured or {})
        else:
            self._apply(number, state, values, measured or {})

    def know(
        self,
        values: Mapping[str, Any],
        outcome: Sequence[float],
        curve: Sequence[tuple[int, float]] = (),
    ) -> bool:
        """Learn from a complete trial of another study, before the first is asked.

        False if it is no point of this space: then nothing can be learned from it.
        """
        if self._ids:
            raise RuntimeError("what is known is said before the first trial is asked")
        if not points.contains(self._space, values) or not self._novelty.new(values):
            return False
        self._study.add_trial(
            optuna.trial.create_trial(
                params={key: self._space[key].suggestion(one) for key, one in values.items()},
                distributions=self._distributions(values),
                values=[float(one) for one in outcome],
                intermediate_values=dict(curve),
            )
        )
        self._novelty.add(values)
        self._known += 1
        return True

    def settle(self) -> optuna.Study:
        """Optuna's study with everything that was told; no trial is asked after this."""
        for number in sorted(self._waiting):
            self._apply(number, *self._waiting.pop(number))
        return self._study

    def importances(self) -> dict[str, float]:
        """How much each parameter tells the best tenth of the trials from the rest, by the first
        metric, greatest first, adding up to 1; empty where too few trials are complete.

        PED-ANOVA (Watanabe et al. 2023), which takes milliseconds; fANOVA's forest takes 6 s for
        40 trials and minutes for 2,000.
        """
        study = self.settle()
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 2 or len({trial.values[0] for trial in complete}) < 2:
            return {}
        importance = _importance()
        evaluator = importance.PedAnovaImportanceEvaluator()
        sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
        with warnings.catch_warnings():  # that of a target it takes the lowest for the best
            warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes", UserWarning)
            found: dict[str, float] = importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: sign * trial.values[0]
            )
        return found

    def _begin(self, number: int) -> int:
        if number != len(self._ids):
            raise RuntimeError(f"trial {len(self._ids)} is asked next, not {number}")
        self._study._thread_local.cached_all_trials = None  # as Study.ask does
        trial = self._storage.create_new_trial(self._study._study_id)
        self._ids.append(trial)
        return trial

    def _fresh(self, number: int, trial: int) -> Values | None:
        """A point that was not there yet, by the sampler if it finds one."""
        if self._make is None:
            values = self._novelty.first(self._points)
            if values is not None:
                return values
        else:
            for attempt in range(_DRAWS):
                sampler = self._make(self._seed(number, attempt))
                values = draw(sampler, self._study, self._storage.get_trial(trial), self._space)
                if self._novelty.new(values):
                    return values
        return self._novelty.any(np.random.default_rng(self._seed(number, _DRAWS)))

    def _note(self, trial: int, values: Mapping[str, Any]) -> None:
        self._novelty.add(values)
        for key, kind in self._distributions(values).items():
            internal = kind.to_internal_repr(self._space[key].suggestion(values[key]))
            self._storage.set_trial_param(trial, key, internal, kind)

    def _distributions(self, values: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        return {key: distribution(self._space[key]) for key in values}

    def _seed(self, number: int, attempt: int = 0) -> int:
        again = f"/{attempt}" if attempt else ""
        text = f"{self.definition.seed}/{number}{again}"
        return int.from_bytes(sha256(text.encode()).digest()[:4])

    def _catch_up(self, number: int) -> None:
        """Tell Optuna what a trial of this number may see."""
        while self.definition.delay and self._applied <= number - self.definition.delay:
            if self._applied not in self._waiting:
                raise RuntimeError(f"trial {self._applied} is told before {number} is asked")
            self._apply(self._applied, *self._waiting.pop(self._applied))
            self._applied += 1

    def _apply(
        self,
        number: int,
        state: str,
        values: Sequence[float] | None,
        measured: Mapping[str, float],
    ) -> None:
        trial = self._storage.get_trial(self._ids[number])
        if state != "COMPLETE":
            self._members.pop(number, None)
        elif self._first_complete is None and trial.intermediate_values:
            self._first_complete = number, max(trial.intermediate_values)
        if state != "FAILED":
            for one in self.definition.constraints:
                violation = one.violation(measured.get(one.quantity, math.nan))
                optuna.Trial(self._study, trial._trial_id).set_constraint(one.quantity, violation)
        told = [float(one) for one in values or ()] if state == "COMPLETE" else None
        self._study.tell(number + self._known, told, _STATES[state])

    def _verdict(self, number: int, evaluation: int, youngest: float) -> bool:
        pruner = self.definition.pruner
        if isinstance(pruner, Wilcoxon):
            return evaluation >= pruner.warmup and self._worse(pruner, number, evaluation)
        inner = pruner.pruner if isinstance(pruner, Patient) else pruner
        last = None
        if isinstance(inner, Hyperband) and self._first_complete is not None:
            first, evaluations = self._first_complete
            last = evaluations if first <= youngest else None
        trial = self._storage.get_trial(self._ids[number])
        return optuna_pruner(pruner, last).prune(self._study, trial)

    def _worse(self, pruner: Wilcoxon, number: int, evaluation: int) -> bool:
        try:
            best = self._study.best_trial.number - self._known
        except ValueError:  # none is complete, or none feasible
            return False
        theirs = self._members.get(best, {}).get(evaluation, ())
        mine = self._members[number][evaluation]
        minimize = self.definition.direction == "minimize"
        return len(theirs) > 0 and worse_than(pruner, mine, theirs, minimize)


def _importance() -> Any:
    """`optuna.importance`. For evaluators that are not used here it imports scikit-learn, which
    takes 2 s, and does without where that is not installed: so it seems to be, meanwhile. (Those
    evaluators then say so as long as the process lives.)"""
    if "sklearn" not in sys.modules:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        from optuna import importance as lazy

        lazy.get_param_importances  # noqa: B018  # imports it
    finally:
        if sys.modules["sklearn"] is None:
            del sys.modules["sklearn"]
    return lazy
