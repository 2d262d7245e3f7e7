"""Define the scenario: the work of the workers on the file, and the check of what must hold afterwards.

`Worker` is what a scenario may use of the worker that runs it: every world offers this and nothing else. Exceptions of
a scenario and mistakes in what its check returns are reported to its author from here.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from ctypes import Structure, c_ubyte, sizeof
from dataclasses import dataclass, field
from itertools import islice
from operator import index
from reprlib import repr as shortened
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from lab.errors import ScenarioError, error_line, is_theirs
from lab.memory import find_backing

if TYPE_CHECKING:
    from random import Random

    from .files import File


class Bytes(Protocol):
    """A writable run of bytes in the shared memory: `view[:]` loads, `view[:] = data` stores in one copy."""

    def __getitem__(self, where: slice) -> Any: ...
    def __setitem__(self, where: slice, data: Any) -> None: ...
    def __len__(self) -> int: ...


class Joinable(Protocol):
    """A child process of a worker."""

    def wait(self) -> int:
        """Wait for its end; return the exit code, or minus the signal that ended it."""


class Worker(Protocol):
    """One process that runs rounds of a scenario, or its simulated twin."""

    index: int
    """The number of this worker, from 0."""
    workers: int
    """The number of workers."""
    round: int
    """The number of the present round, from 0."""
    rounds: int
    """The number of rounds that each worker runs."""
    memory: Any
    """The scenario's `Memory` over the shared file: loads and stores go straight to the page."""
    local: SimpleNamespace
    """The worker's private notes."""
    path: str
    """The file's name: for counterexamples about files."""

    @property
    def random(self) -> Random:
        """Return the worker's generator, seeded from the run's seed, the trial and the index.

        Its draws are the same in every run of that seed.
        """

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """Return the exclusive lock on a field's bytes; with an index, on `count` elements of an array field.

        Without a field, it covers the whole file and what may be appended to it (start 0, length 0). Waits on entering.
        Entering raises `Deadlock` where the kernel notices one. Raises ScenarioError for a range outside the field. Do
        not hold two overlapping ranges in one worker: for the kernel the inner unlock frees the bytes of both
        (fcntl(2)), so other workers are rightly granted bytes that this worker believes to hold, and that is reported
        as an overlap.
        """

    def read_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """Return a lock on the same range that is shared with other readers (F_RDLCK)."""

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> Bytes:
        """Return the bytes of a field, or of `count` elements of an array field from `index`."""

    def damaged(self, kind: str, evidence: str = "") -> None:
        """Report one operation that this worker saw go wrong, such as a torn read."""

    def sync(self, field: Any = None, index: int | None = None, count: int = 1) -> None:
        """Write a field's bytes to the disk and wait until they are there; the range is as in `write_lock`.

        The whole pages on which they lie are written (msync(2), MS_SYNC; fdatasync(2) where nothing is mapped). Raises
        OSError where the disk refuses.
        """

    def create(self, name: str, *, exclusive: bool = False) -> File:
        """Make and open a file of the scenario's `files` (open(2), O_CREAT); one that is there is emptied (O_TRUNC).

        An `exclusive` one must not be there yet (O_EXCL). Raises OSError, FileExistsError where it is.
        """

    def open(self, name: str) -> File:
        """Open a file. Raises OSError, FileNotFoundError where there is none of that name."""

    def rename(self, old: str, new: str) -> None:
        """Give a file a new name, in place of the file that has it (rename(2)). Raises OSError."""

    def unlink(self, name: str) -> None:
        """Remove a name; the file lives on while it is open (unlink(2)). Raises OSError."""

    def sync_directory(self) -> None:
        """Wait until all names are on the disk (fsync(2) of the directory)."""

    def pause(self) -> None:
        """Yield the processor once, as I/O or a page fault would (sched_yield(2))."""

    def reopen(self) -> None:
        """Open and map the file anew by its name, as a program that has just started does.

        Call it only while no lock is held: it closes the open file through which the lock would be released.
        """

    def stale(self) -> bool:
        """Return True when the name now belongs to another inode than the open file (fstat(2), stat(2))."""

    def twin(self) -> Worker:
        """Return a second worker in this same process with an open file of its own: for counterexamples about threads.

        Its round is the round of this worker at the latest call.
        """

    def child(self, body: Callable[[Worker], None]) -> Joinable:
        """Fork a child that runs `body` with an open file of its own and ends; one at a time, and none beside a twin.

        Its round, and a copy of the notes in `local`, are those of its parent; its random draws are its own, the same
        in every run of a seed. It reports through the memory: what it reports by `damaged` is lost.
        """

    def die(self) -> None:
        """End this process at once, as SIGKILL does. What it holds counts as held until then."""


EVERY_LOCK = "*"
"""This key of `Scenario.expects` stands for every lock."""

VERDICTS = ("clean", "damaged", "died", "timeout", "unsupported")
"""These verdicts may be expected of a race: all of `lab.records.Verdict` but "inconclusive"."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A kind of damage that a check found: its name in the field's words, `count` of `of` operations, and the evidence.

    A count of 0 is no damage. Evidence is text that a person can check: which worker's bytes lie where.
    """

    kind: str
    count: int
    of: int
    evidence: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts that are known when the check runs: `rounds` done by all workers together, and by each of them.

    After a crash `begun` has more: a round that was begun and not finished may have left its change or not. The check
    must hold for some number of rounds between those finished and those begun, so it is asked for each: `rounds` and
    `by_worker` say which of them count.
    """

    rounds: int
    by_worker: Sequence[int]
    begun: Sequence[int] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What each file of the scenario's directory holds; a name that leads to none is not there."""

    def __post_init__(self) -> None:
        if not self.begun:
            object.__setattr__(self, "begun", self.by_worker)

    @property
    def workers(self) -> int:
        """Return how many workers raced."""
        return len(self.by_worker)


class Scenario:
    """One race, written once for every world: subclass it, lay out the memory, do a round, check the rest.

    Worker-private state lives on the worker (`w.local`), not on the scenario: worlds may run all workers of a
    scenario in one process. A second class in the same file that subclasses the first is its fixed variant
    and runs beside it as `name:fixed`.
    """

    Memory: Any
    """The file's layout, a `ctypes.Structure`; give `layout` instead where it depends on workers and rounds."""

    expects: ClassVar[Mapping[str, str]] = {"none": "damaged"}
    """The verdict to expect by lock ("damaged" or "timeout"); a lock that is not named must leave it clean."""

    allows_overlaps: ClassVar[frozenset[str]] = frozenset()
    """The locks that grant falsely for the reason that this counterexample shows; any other fails by itself."""

    locks: ClassVar[Sequence[str]] = ("none", "fcntl")
    """The locks that a run without `--lock` shows."""

    after_crash: ClassVar[Mapping[str, str]] = {}
    """What to expect by kind of crash ("kill", "power"): "damaged"; one that is not named must leave it clean."""

    why: ClassVar[str] = ""
    """For a counterexample: the reason why it breaks although it is locked, and what fixes it."""

    order: ClassVar[int] = 0
    """The place of a built-in scenario among the default set or the counterexamples; no other needs one."""

    backing: ClassVar[str] = "mapped"
    """The backing unless the user chooses: it says how the workers share the bytes; `lab list` shows all backings."""

    by_name: ClassVar[bool] = False
    """Return True for one that saves its bytes by the file's name: backings whose bytes are no file are refused."""

    unshared: ClassVar[str] = "damaged"
    """The verdict to expect where each worker's stores stay with it (backing "private"); "clean" if none is missed."""

    worlds: ClassVar[frozenset[str]] = frozenset({"race", "explore", "replay", "check"})
    """The worlds in which this scenario can run; a counterexample about processes or files cannot be simulated."""

    rounds: ClassVar[int] = 1000
    """Rounds a worker and trial where the user does not choose."""

    holds_per_round: ClassVar[int] = 2
    """The most locks that one round acquires; holds beyond that are counted, not recorded."""

    time_limit: ClassVar[float | None] = None
    """Seconds after which a trial that is expected to hang counts as hung, where the user's limit is not shorter."""

    pin: ClassVar[str] = "none"
    """The processors on which the workers run ("none", "spread", "one") unless the user chooses."""

    workers_at_most: ClassVar[int | None] = None
    """The largest number of workers that the layout has room for, where there is one."""

    sparse: ClassVar[bool] = False
    """True leaves the file full of holes instead of reserving its blocks."""

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        """Return the struct laid over the file for this many workers and rounds each."""
        memory: type[Structure] = self.Memory
        return memory

    def files(self, workers: int, rounds: int) -> Mapping[str, bytes | None]:
        """Return the files of the scenario's own directory by their names, each with what it holds at first.

        None stands for a name that a worker may make. Only these names can be used, by `w.create` and `w.open`.
        """
        return {}

    def prepare(self, memory: Any) -> None:
        """Write the first content of the file, which starts as zeros. Runs once a trial, before the workers."""

    def start(self, w: Worker) -> None:
        """Build what one worker needs, before the start barrier, so that no round has to."""

    def work(self, w: Worker) -> None:
        """Do one round of one worker."""
        raise NotImplementedError(f"{type(self).__name__} does no work; define work(self, w)")

    def recover(self, w: Worker) -> None:
        """Do what a program does when it starts after a crash: before anything else, on a file that may be half done.

        `explore --crash` lets one more worker do this, and then a round of its work.
        """

    def check(self, memory: Any, outcome: Outcome) -> Damage | Iterable[Damage]:
        """Return what is broken in the memory that the workers left; an empty list or counts of 0 when nothing is."""
        raise NotImplementedError(f"{type(self).__name__} checks nothing; define check(self, memory, outcome)")

    def invariant(self, memory: Any) -> Damage | Iterable[Damage] | None:
        """Return what is broken in the memory at a moment when no worker is inside; None where nothing is.

        A worker is inside while it holds a lock; without a lock, while it is in a round. `explore` asks at every such
        moment, a race under a lock on the whole file, and both once more at the end. `memory` is a copy.
        """
        return None

    def expected(self, lock: str, backing: str = "") -> str:
        """Return the verdict to expect under this lock, in this backing or the scenario's own.

        Where stores are not shared, what is saved by the file's name is still shared, and a worker that hangs still
        hangs.
        """
        verdict = self.expects.get(lock, self.expects.get(EVERY_LOCK, "clean"))
        shared = self.by_name or find_backing(backing or self.backing).shares
        return verdict if shared or verdict == "timeout" else self.unshared


PAGE = 4096
"""The bytes of a page: a sync writes whole pages."""


def paged(*fields: tuple[str, type[Any]]) -> Any:
    """Return a `ctypes.Structure` with these fields, each of which begins on a page of its own.

    What lies on one page reaches the disk together, and a sync of one field takes the others on its page along.
    """
    laid: list[tuple[str, type[Any]]] = []
    for name, kind in fields:
        laid.append((name, kind))
        if rest := -sizeof(kind) % PAGE:
            laid.append((f"_after_{name}", c_ubyte * rest))
    return type("Memory", (Structure,), {"_fields_": laid})


def has_invariant(kind: type[Scenario]) -> bool:
    """Return True where the scenario says what must hold while no worker is inside."""
    return kind.invariant is not Scenario.invariant


def counterexample_of(kind: type[Scenario], *, locked: bool) -> str:
    """Return the reason why a scenario breaks though locked; empty without a lock, and for a variant that is fixed."""
    return kind.why if locked and not _fixed(kind) else ""


def _fixed(kind: type[Scenario]) -> bool:
    """Return True for a variant that has its reason from the counterexample before it, in the same file."""
    return any(base.__module__ == kind.__module__ and getattr(base, "why", "") == kind.why for base in kind.__mro__[1:])


MOST_DAMAGE = 10_000
"""The number of kinds of damage that are listed; a check that never ends is stopped there."""

MOST = 1 << 62
"""The bound of a count, which no real count reaches."""


class Endless(ScenarioError):  # noqa: N818 - a finding about the scenario
    """A method had not ended when its time was over."""


def exception_text(error: BaseException) -> str:
    """Return the type and text of an exception, and the place in the scenario's file; the lab's own frames are left
    out.
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if is_theirs(frame.filename)] or frames
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    return f"{error_line(error)}{where}"


def endless_error(method: str, error: BaseException, limit_s: float) -> Endless:
    """Return the error for a method that was stopped after so many seconds."""
    _, _, where = exception_text(error).partition(" (")
    at = f" ({where}" if where else ""
    return Endless(f"{method} was still at work after {limit_s:g} s{at}; fix the file, or allow it more time")


def _checked(damage: Damage, check: Callable[..., object]) -> Damage:
    """Return the damage with plain integers: a comparison counts as 0 or 1, and numpy has its own integers.

    Raises ScenarioError, naming the check's place, for values of a damage that are none.
    """
    wrong = ""
    numbers: list[int] = []
    for name in ("count", "of"):
        value = getattr(damage, name)
        try:
            numbers.append(index(value))
        except TypeError:
            numbers.append(MOST)
        if not -MOST < numbers[-1] < MOST:
            wrong = wrong or f"{name} {shortened(value)}, which is to be a whole number"
    evidence = damage.evidence
    if not isinstance(damage.kind, str):
        wrong = f"kind {shortened(damage.kind)}, which is to be a text"
    elif isinstance(evidence, str) or not isinstance(evidence, Sequence) or set(map(type, evidence)) - {str}:
        wrong = wrong or f"evidence {shortened(evidence)}, which is to be a list of texts"
    if wrong:
        name = _name(check)
        raise ScenarioError(f"{name} returned Damage with {wrong}{_place(check)}; fix the {name}")
    count, of = numbers
    if count < 0:
        what = f"{_name(check)} counted {count:,} of {damage.kind!r}{_place(check)}"
        raise ScenarioError(f"{what}; count what is broken, 0 where nothing is")
    return Damage(damage.kind, count, of, evidence)


def _name(check: Callable[..., object]) -> str:
    return "invariant" if getattr(check, "__name__", "") == "invariant" else "check"


def _place(check: Callable[..., object]) -> str:
    code = getattr(check, "__code__", None)
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""


def broken_invariant(scenario: Scenario, memory: Any) -> list[Damage]:
    """Return what the scenario's invariant finds broken in the memory; raises as `listed_damage` does."""
    found = scenario.invariant(memory)
    damage = [] if found is None else listed_damage(found, scenario.invariant)
    return [each for each in damage if each.count]


def listed_damage(found: Any, check: Callable[..., object]) -> list[Damage]:
    """Return the result of a check, or of an invariant, as a list.

    Raises ScenarioError, naming the check's place, for what is no damage, for wrong types, and for a negative count.
    """
    several = isinstance(found, Iterable) and not isinstance(found, str | bytes)
    damage = list(islice(found, MOST_DAMAGE)) if several else [found]
    if all(isinstance(each, Damage) for each in damage):
        return [_checked(each, check) for each in damage]
    given = found if damage == [found] else damage
    message = f"{_name(check)} returned {shortened(given)}{_place(check)}"
    raise ScenarioError(f"{message}; return Damage(...), or a list of them, [] for none")
