"""Several trials in one process, trained together in one theta."""

from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from nnlab.runs.interrupts import Halt, heed
from nnlab.sweeps.trial import (
    LISTEN_SECONDS,
    Attempt,
    Evaluation,
    Job,
    Outcome,
    Said,
    begin_process,
)
from nnlab.training.stack import Stack, together


def run_trials(jobs: Sequence[Job], channel: Connection, workers: int = 1) -> None:
    """Run jobs whose experiments can be stacked, one of so many workers; talk over the channel.

    What is sent is what `run_trial` sends, and what is received are its answers, each in a pair
    with the trial's number before it.
    """
    begin_process()
    _Trials(jobs, channel, workers).run()


class _Trials:
    """The attempts of one process, in rounds: in each, all train until their next evaluation. Those
    that do not fit into memory begin when others have ended."""

    def __init__(self, jobs: Sequence[Job], channel: Connection, workers: int = 1) -> None:
        self._channel = channel
        self._workers = workers
        self._halt, self._stack = Halt(), Stack()
        self._waiting = deque(jobs)
        self._most = 0
        """At once; 0 before it is known."""
        self._going: dict[int, Attempt] = {}
        self._unanswered: set[int] = set()
        self._answers: dict[int, bool | None] = {}

    def run(self) -> None:
        """Run them all to their ends."""
        try:
            heed()
            with self._halt:
                while self._begun():
                    for number in list(self._going):
                        self._go_on(number)
                    self._listen()
        except KeyboardInterrupt as error:
            torn = error
            for number in list(self._going):
                self._have(number, lambda attempt: attempt.raised(torn))

    def _begun(self) -> bool:
        """Begin as many as fit into memory; does any train?"""
        while self._room:
            job = self._waiting.popleft()
            attempt = self._going[job.number] = Attempt(job, self._halt, self._stack)
            self._have(job.number, Attempt.start)
            if attempt.training and not self._most:
                self._most = together(attempt.training, self._workers)
        return bool(self._going)

    @property
    def _room(self) -> bool:
        """Is another trial to begin?"""
        if not self._waiting or self._halt.number:
            return False
        return not self._going or len(self._going) < self._most

    def _go_on(self, number: int) -> None:
        training = self._going[number].training
        if self._halt.number and training and number not in self._unanswered:
            self._stack.catch_up(training)
        answer = self._answers.pop(number, None)
        self._have(number, lambda attempt: attempt.go_on(answer))

    def _ends(self, number: int) -> None:
        """The trial trains no more: no steps are to be made for it with the others'."""
        if training := self._going[number].training:
            self._stack.leave(training)

    def _listen(self) -> None:
        """Hear all answers; an attempt without one sees now and then whether it is to end."""
        while self._unanswered:
            if self._channel.poll(LISTEN_SECONDS):
                number, self._answers[number] = self._channel.recv()
                self._unanswered.discard(number)
                if not self._answers[number]:
                    self._ends(number)
                continue
            for number in list(self._unanswered):
                self._go_on(number)

    def _have(self, number: int, act: Callable[[Attempt], Said | Outcome]) -> None:
        """Have an attempt act, and pass on what it says."""
        said = act(self._going[number])
        if isinstance(said, Evaluation):
            self._unanswered.add(number)
            if said.report.stop:
                self._ends(number)
        elif isinstance(said, Outcome):
            self._unanswered.discard(number)
            del self._going[number]
        if said is not None:
            self._channel.send((number, said))
