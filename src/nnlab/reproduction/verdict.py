"""The verdict on a reproduction: identical, environment differs, or different, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nnlab.reproduction import causes
from nnlab.reproduction.comparison import TOLERANCE, Compared, Hash, Stopped
from nnlab.reproduction.contradictions import contradictions
from nnlab.reproduction.environment import Row
from nnlab.reproduction.logged import Logged
from nnlab.reproduction.parameters import Weights

IDENTICAL, ENVIRONMENT, DIFFERENT = "identical", "environment differs", "different"
CODES = {IDENTICAL: 0, ENVIRONMENT: 3, DIFFERENT: 1}
"""The exit codes."""


@dataclass(frozen=True)
class Reproduction:
    """A run, and what came of training it again."""

    logged: Logged
    new: str
    """The id of the new run."""
    compared: Compared
    stopped: Stopped
    hashes: Mapping[str, Hash]
    weights: Weights
    environment: Sequence[Row]
    files: Sequence[str] | None = None
    """The source files that differ; None where nobody knows."""
    tolerance: float = TOLERANCE

    @property
    def equal(self) -> bool:
        """Is every bit that was compared equal, and was there something to compare?"""
        return (
            self.compared.points > 0
            and not self.compared.differing
            and self.stopped.equal
            and self.weights.first is None
            and not any(one.equal is False for one in self.hashes.values())
        )

    @property
    def can_change_bits(self) -> list[Row]:
        """What differs in the environment and can change bits."""
        return [row for row in self.environment if row.can_change_bits]

    @cached_property
    def inconsistent(self) -> list[str]:
        """Where what the tracker has of the original contradicts itself."""
        return [*contradictions(self.logged, self.weights)]

    @cached_property
    def given_another(self) -> list[str]:
        """What the new run was given that the original was not: data, code."""
        return [*causes.data(self.logged, self.hashes), *causes.code(self.environment, self.files)]

    @property
    def verdict(self) -> str:
        """IDENTICAL where every bit is equal, nothing differs that can change bits, and the
        tracker does not contradict itself.

        ENVIRONMENT where something does: either every bit is equal all the same, or nothing else
        was another. Another code that gives other bits is DIFFERENT, as other data are; and a
        tracker that contradicts itself is, whatever it is compared with.
        """
        if self.inconsistent or (not self.equal and self.given_another):
            return DIFFERENT
        if self.can_change_bits:
            return ENVIRONMENT
        return IDENTICAL if self.equal else DIFFERENT

    @property
    def cause(self) -> list[str]:
        """Why bits differ, or may, the most specific first; empty of an identical run."""
        if self.verdict == IDENTICAL:
            return []
        found = [*self.inconsistent, *self.given_another, *causes.environment(self.environment)]
        if not self.equal:
            found += causes.batches(self.hashes, known=bool(found))
            found += causes.beyond(self.stopped)
            if not found:
                found += causes.unknown(self.logged, self.compared, self.environment)
        return found

    @property
    def notes(self) -> list[str]:
        """What was not compared of a run that came to its end, though every bit is equal."""
        if not self.equal or self.logged.status != "FINISHED":
            return []
        notes = []
        if not self.weights.parameters:
            notes.append(f"no array of the weights was compared: {self.weights.damage}")
        if self.logged.journal is None and not self.logged.damage:
            why = self.logged.not_compared or "the tracker has no journal.jsonl of it"
            notes.append(
                f"{why}: nothing shows that what MLflow says of the run is what was logged"
            )
        return notes

    @property
    def largest_relative(self) -> float:
        """Of all metric points and parameters."""
        every = (one.largest_relative for one in self.weights.parameters.values())
        return max(self.compared.largest_relative, *every, 0.0)

    @property
    def within(self) -> bool:
        """Did both end at the same step, and is no difference larger than the tolerance?"""
        same_end = self.stopped.then.step == self.stopped.now.step
        return same_end and self.largest_relative <= self.tolerance

    def __str__(self) -> str:
        match self.verdict:
            case "identical":
                return "identical: the run is reproduced bit for bit"
            case "different" if self.equal and self.inconsistent:
                return (
                    "different: every bit that was compared is equal, but the tracker contradicts "
                    "itself"
                )
            case "different":
                return "different: the run is not reproduced"
        if self.equal:
            return (
                "environment differs: every bit is equal all the same, "
                "but what differs can change bits"
            )
        than = "is within" if self.within else "exceeds"
        return (
            f"environment differs: the largest relative difference {self.largest_relative:.2g} "
            f"{than} the tolerance of {self.tolerance:g}"
        )
