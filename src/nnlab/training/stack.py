"""Several trainings that differ in numbers alone, stepped together in one theta `(K, P)`.

Each has the bits that it has alone. Between two steps each has its own whole state: it reports, is
saved and ends by itself, and one that has left changes nothing for the others.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, nan
from time import perf_counter

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, Workspace
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.data.batches import Gathered
from nnlab.data.memory import available
from nnlab.training.alike import NUMBERS, merged, number, shape_of
from nnlab.training.experiment import Experiment
from nnlab.training.memory import footprint
from nnlab.training.pause import Pause
from nnlab.training.state import TrainingState
from nnlab.training.steps import Steps
from nnlab.training.trainer import Training, WatchedOracle, norm

_AHEAD = 4
"""So many times at most steps are made for one that has not asked for the first of them."""
_HELD = 2.0
"""So many times what a training holds alone does it hold in a stack: its own state, and that which
is stepped (measured: 1.1 to 2.0)."""


def together(training: Training, stacks: int = 1) -> int:
    """How many trainings like that one fit into memory in each of so many stacks, as things are
    now: one always does."""
    alone = footprint(training.experiment, training.network, training.splits)
    return max(1, int(available() // (stacks * _HELD * alone.total)))


class Stack:
    """Trainings that advance together wherever they are at the same step.

        stack = Stack()
        for training, state in members:
            stack.join(training, state)
        streams = [training.run(state) for training, state in members]
        first = [next(stream) for stream in streams]

    Whoever is asked for its next step first makes it for all of them; what the others have not
    been asked for yet is kept for them.
    """

    def __init__(self) -> None:
        self._members: list[_Member] = []
        self._work = Workspace()
        self._size = 0

    def join(self, training: Training, state: TrainingState, pause: Pause | None = None) -> None:
        """Have the stack step that training, unless its data are streamed."""
        if not isinstance(training.inputs, Gathered):
            return
        member = _Member(training, state, pause or Pause())
        self._members.append(member)

        def advance(
            state: TrainingState, oracle: Oracle, upto: int, deadline: float, pause: Pause
        ) -> bool:
            return self._advance(member, oracle, upto)

        training.advancing = advance

    def like(self, experiment: Experiment) -> Training | None:
        """A training in it that this one could share data with."""
        shape = shape_of(experiment)
        for member in self._members:
            if shape_of(member.training.experiment) == shape:
                return member.training
        return None

    def leave(self, training: Training) -> None:
        """The training has ended, or goes on by itself."""
        training.advancing = None
        self._members = [one for one in self._members if one.training is not training]

    def catch_up(self, training: Training) -> None:
        """Give a training that goes on what is made for it already, as far as no report is due
        before: it is to be saved now."""
        for member in self._members:
            if member.training is training:
                while member.ahead and member.ahead[0].finite and not member.ahead[0].watched:
                    member.ahead.popleft().give(member.state)

    def _advance(self, member: "_Member", oracle: Oracle, upto: int) -> bool:
        watched = isinstance(oracle, WatchedOracle)
        if not member.has(upto, watched):
            member.ahead.clear()
            group = [one for one in self._members if one is member or one.goes_with(member)]
            if len(group) == 1:
                return member.training.advance(member.state, oracle, upto, inf, member.pause)
            try:
                self._leg(group, member, upto, watched)
            except MemoryError:  # by itself it takes less, and is trained to the same bits
                self.leave(member.training)
                return member.training.advance(member.state, oracle, upto, inf, member.pause)
        made = member.ahead.popleft()
        made.give(member.state)
        if isinstance(oracle, WatchedOracle):
            oracle.norm = made.norm
        return made.finite

    def _leg(self, group: list["_Member"], asking: "_Member", upto: int, watched: bool) -> None:
        """Make the steps of all of them until `upto`, or until one of them is to pause or is not
        finite."""
        step = asking.state.step
        if len(group) != self._size:
            self._size, self._work = len(group), Workspace()
        later = (one.pause.step for one in group if one.pause.step > step)
        several = _Together(group)
        how = (several.objective, self._work, several.experiment.clipping)
        oracle = _WatchedRows(*how) if watched else Oracle(*how)
        several.advance(
            several.state, oracle, int(min(upto, *later)), inf, _Earliest(group, asking)
        )
        norms = oracle.norms if isinstance(oracle, _WatchedRows) else [nan] * len(group)
        made = [several.made(k, watched, gradient) for k, gradient in enumerate(norms)]
        for one, its in zip(group, made, strict=True):
            one.ahead.append(its)


@dataclass
class _Made:
    """What some steps made of one training, which it is still to be given."""

    theta: Array
    optimizer: State
    averaging: State
    batches: Array
    step: int
    watched: bool
    norm: float
    """Of the gradient, where it was watched."""
    finite: bool

    def give(self, state: TrainingState) -> None:
        """Let the training's state be that."""
        state.theta, state.batches, state.step = self.theta, self.batches, self.step
        state.optimizer.update(self.optimizer)
        state.averaging.update(self.averaging)


@dataclass
class _Member:
    """A training of a stack, and what is made for it already, oldest first."""

    training: Training
    state: TrainingState
    pause: Pause
    ahead: deque[_Made] = field(default_factory=deque)

    @property
    def last(self) -> "TrainingState | _Made":
        """As far as it is made."""
        return self.ahead[-1] if self.ahead else self.state

    def goes_with(self, other: "_Member") -> bool:
        """Is it made as far as the other one has come, with no report due before it goes on? Where
        examples are weighted, the batches must be the same."""
        if len(self.ahead) >= _AHEAD:
            return False
        if self.ahead and (self.ahead[-1].watched or not self.ahead[-1].finite):
            return False
        weighted, (ours, theirs) = (
            self.training.batch.weights is not None,
            (one.training.experiment.seed for one in (self, other)),
        )
        return self.last.step == other.state.step and (ours == theirs or not weighted)

    def has(self, upto: int, watched: bool) -> bool:
        """Is what it asks for made already, or a part of it?"""
        if not self.ahead or self.ahead[0].watched != watched:
            return False
        return self.state.step < self.ahead[0].step <= upto


class _Earliest(Pause):
    """The earliest moment that one of several trainings is to pause at, also of one that is asked
    to while they are stepped. One that is late already pauses when it is its turn: the one that
    `asks` has had its own."""

    def __init__(self, members: Sequence[_Member], asks: _Member) -> None:
        now = perf_counter()
        self._pauses = [one.pause for one in members if one is asks or one.pause.at > now]

    @property
    def at(self) -> float:  # type: ignore[override]
        return min([one.at for one in self._pauses])


class _Together(Steps):
    """The steps of K trainings, from copies of their states."""

    def __init__(self, members: Sequence[_Member]) -> None:
        self._trainings = [member.training for member in members]
        first = self._trainings[0]
        experiments = [training.experiment for training in self._trainings]
        parts = {
            name: merged([getattr(experiment, name) for experiment in experiments])
            for name in NUMBERS
        }
        self.experiment = replace(first.experiment, **parts)
        self.scale = first.scale
        self.average_from, self.average_every = first.average_from, first.average_every
        self.objective = NetworkObjective(first.network, first.loss, self.experiment.penalty)
        self._same_batches = len({experiment.seed for experiment in experiments}) == 1
        self._factor = number(
            [
                training.held(member.state)
                for training, member in zip(self._trainings, members, strict=True)
            ]
        )
        self._value: Array = np.zeros(len(members))
        last = [member.last for member in members]
        self.state = TrainingState(
            theta=np.stack([one.theta for one in last]),
            buffers=first.network.initial_buffers(first.experiment.dtype),
            optimizer=_stacked([one.optimizer for one in last]),
            averaging=_stacked([one.averaging for one in last]),
            averaging_buffers={},
            schedule={},
            rules=[],
            batches=np.stack([one.batches for one in last]),
            step=last[0].step,
        )

    def made(self, k: int, watched: bool, gradient: float) -> _Made:
        """What became of training k."""
        state = self.state
        return _Made(
            state.theta[k].copy(),
            _slice(state.optimizer, k),
            _slice(state.averaging, k),
            state.batches[k].copy(),
            state.step,
            watched,
            gradient,
            bool(np.isfinite(self._value[k])),
        )

    def _gather(self, state: TrainingState, work: Workspace) -> Batch:
        first, step = self._trainings[0], state.step
        x, y, weights = first.batch[:3]
        rows = first.order.rows(step)
        m, k = len(rows), len(self._trainings)
        if self._same_batches:
            chosen = work.get("x", (m, *x.shape[1:]), x.dtype)
            targets = work.get("t", (m, *y.shape[1:]), y.dtype)
            first.gather(step, rows, state.batches[0], chosen, targets)
            state.batches[1:] = state.batches[0]
        else:
            chosen = work.get("x", (k, m, *x.shape[1:]), x.dtype)
            targets = work.get("t", (k, m, *y.shape[1:]), y.dtype)
            for each, training in enumerate(self._trainings):
                rows = training.order.rows(step)
                training.gather(step, rows, state.batches[each], chosen[each], targets[each])
        if weights is not None:  # then the batches are the same
            weights = weights.take(rows, 0, work.get("weights", (m,), weights.dtype), "clip")
        return Batch(chosen, targets, weights)

    def _finite(self, value: Array) -> bool:
        self._value = value
        return bool(np.isfinite(value).all())

    def held(self, state: TrainingState) -> Hyper:
        return self._factor


class _WatchedRows(Oracle):
    """An oracle that remembers the norm of each model's last gradient, before it was clipped."""

    norms: Sequence[float] = ()

    def look(self, grad: Array) -> None:
        self.norms = [norm(one) for one in grad]


def _stacked(states: Sequence[State]) -> State:
    """The states of K models in one; a number, such as a count of updates, is that of them all."""
    return {
        key: np.stack([state[key] for state in states]) if array.ndim else array.copy()
        for key, array in states[0].items()
    }


def _slice(state: State, k: int) -> State:
    return {key: (array[k] if array.ndim else array).copy() for key, array in state.items()}
