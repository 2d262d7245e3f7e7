"""A scenario: what the workers do to the file and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ctypes import Structure
from dataclasses import dataclass
from typing import Any, ClassVar

from lab.regions import find_region

from .worker import Worker

EVERY_LOCK = "*"
"""In `Scenario.expects`: whatever the lock is."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What a check found broken: its kind in the field's words, `count` of `of` operations, and the evidence.

    A count of 0 is no damage. Evidence is text that a person can check: which worker's bytes lie where.
    """

    kind: str
    count: int
    of: int
    evidence: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known when the check runs: `rounds` done by all workers together, and by each of them."""

    rounds: int
    by_worker: Sequence[int]

    @property
    def workers(self) -> int:
        """How many workers raced."""
        return len(self.by_worker)


class Scenario:
    """One race, written once for every world: subclass it, lay out the memory, do a round, check the rest.

    Worker-private state lives on the worker (`w.local`), not on the scenario: worlds may run all workers of a
    scenario in one process. A second class in the same file that subclasses the first is its cured variant
    and runs beside it as `name:cured`.
    """

    Memory: Any
    """The file's layout, a `ctypes.Structure`; give `layout` instead where it depends on workers and rounds."""

    expects: ClassVar[Mapping[str, str]] = {"none": "damaged"}
    """The verdict to expect by lock ("damaged" or "timeout"); a lock that is not named must leave it clean."""

    lets_two_in: ClassVar[frozenset[str]] = frozenset()
    """The locks that, for the reason this lesson teaches, let two in; under any other that is the lock's failure."""

    locks: ClassVar[Sequence[str]] = ("none", "fcntl")
    """The locks that a run without `--lock` shows."""

    why: ClassVar[str] = ""
    """For a lesson, "locked, and broken all the same": why it breaks and what cures it."""

    region: ClassVar[str] = "mapped"
    """How the workers share the bytes unless the user says; `lab list` shows all regions."""

    by_name: ClassVar[bool] = False
    """True for one that saves its bytes by the file's name: regions whose bytes are no file are refused."""

    unshared: ClassVar[str] = "damaged"
    """The verdict to expect where each worker's stores stay with it (region "private"); "clean" if none is missed."""

    worlds: ClassVar[frozenset[str]] = frozenset({"race", "explore", "replay", "check"})
    """Where this scenario can run; a lesson about processes or files cannot be simulated."""

    rounds: ClassVar[int] = 1000
    """Rounds a worker and trial where the user does not say."""

    holds_per_round: ClassVar[int] = 2
    """How many locks one round takes at most; holds beyond that are counted, not recorded."""

    time_limit: ClassVar[float | None] = None
    """Seconds after which a trial that is expected to hang counts as hung, where the user's limit is not shorter."""

    pin: ClassVar[str] = "none"
    """Where the workers run ("none", "spread", "one") unless the user says."""

    workers_at_most: ClassVar[int | None] = None
    """The largest number of workers that the layout has room for, where there is one."""

    sparse: ClassVar[bool] = False
    """True leaves the file full of holes instead of reserving its blocks."""

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        """The struct laid over the file for this many workers and rounds each."""
        memory: type[Structure] = self.Memory
        return memory

    def prepare(self, memory: Any) -> None:
        """Write the first content of the file, which starts as zeros. Runs once a trial, before the workers."""

    def start(self, w: Worker) -> None:
        """What one worker builds before the start barrier, so that no round has to."""

    def work(self, w: Worker) -> None:
        """One round of one worker."""
        raise NotImplementedError(f"{type(self).__name__} does no work; define work(self, w)")

    def check(self, memory: Any, outcome: Outcome) -> Damage | Iterable[Damage]:
        """What is broken in the memory that the workers left; an empty list or counts of 0 when nothing is."""
        raise NotImplementedError(f"{type(self).__name__} checks nothing; define check(self, memory, outcome)")

    def expected(self, lock: str, region: str = "") -> str:
        """The verdict to expect under this lock, in this region or the scenario's own.

        Where stores are not shared, what is saved by the file's name still is, and who hangs still hangs.
        """
        verdict = self.expects.get(lock, self.expects.get(EVERY_LOCK, "clean"))
        shared = self.by_name or find_region(region or self.region).shares
        return verdict if shared or verdict == "timeout" else self.unshared
