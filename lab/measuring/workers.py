"""Prepare and run the processes of one repeat, with their files.

From the start barrier on, each worker repeats its loop until the parent sets the word `stop`. Workers look at it after
each pair, so each makes at least one, however short the time.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import TypeVar

from lab.analysis.holds import Span
from lab.errors import CannotRunError
from lab.locking import NATIVE, Lock, prepared
from lab.memory import MAPPED, OpenFile, Shared, find_backing
from lab.memory.protocol import Held
from lab.processes import private_bytes
from lab.racing.mailbox import Mailbox, Report
from lab.racing.recorder import CURSOR, FINISHED_NS, HEADER, PRIVATE_BYTES, Hold, Log, Segment
from lab.racing.trial import trial_file

from .cases import Case

Loop = Callable[[], None]


def pairs(hold: Held, stop: Segment) -> Loop:
    """Return a loop that locks and unlocks."""

    def run() -> None:
        while True:
            with hold:
                pass
            if stop[0]:
                return

    return run


def busy_pairs(hold: Held, stop: Segment, inside: Loop, think_ns: int) -> Loop:
    """Return a loop that locks, does its work inside, unlocks, and thinks."""

    def run() -> None:
        while True:
            with hold:
                inside()
            if stop[0]:
                return
            spin(think_ns)

    return run


def ring(holds: Sequence[Held], index: int, stop: Segment, inside: Sequence[Loop] = ()) -> Loop:
    """Return a loop around locks, of which there is one more than workers: request the next, release the one held.

    For each lock, the work `inside` is done before the other one is released.

    Each worker starts with the lock of its own index, acquired here. The next is then either the one that is free or
    the neighbour's, so every grant follows the release of the same lock by another worker. Source: ping_pong of ctdb.
    """
    take = [hold.__enter__ for hold in holds]
    give = [hold.__exit__ for hold in holds]
    take[index]()

    def run() -> None:
        at = index
        while True:
            then = (at + 1) % len(holds)
            take[then]()
            if inside:
                inside[then]()
            give[at](None, None, None)
            at = then
            if stop[0]:
                break
        give[at](None, None, None)

    return run


def spin(ns: int) -> None:
    """Use the processor for so long."""
    until = monotonic_ns() + ns
    while monotonic_ns() < until:
        pass


def addition(file: OpenFile, start: int) -> Loop:
    """Return a function that adds 1 to the 8 bytes there."""

    def add() -> None:
        value = int.from_bytes(file.load(start, 8), "little") + 1
        file.store(start, value.to_bytes(8, "little"))

    return add


APART = 64
"""The bytes from one range or counter to the next: a cache line."""

HELD_FROM = 1 << 20
LOOK_AGAIN_S = 0.002

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Place:
    """One file, by its name in each folder, the backing of its bytes, and the lock as it was prepared for it."""

    paths: tuple[str, ...]
    shared: Shared
    lock: Lock


@contextmanager
def places_of(case: Case, folders: Sequence[Path]) -> Iterator[list[Place]]:
    """Yield the files of a case, with room for the workers' ranges and one more.

    A hand-off has as many files where the lock has no ranges.
    """
    count = case.workers + 1 if case.price == "hand-off" and not case.lock.has_ranges else 1
    backing = find_backing(case.backing) if case.backing else MAPPED
    with ExitStack() as opened:
        made = []
        for number in range(count):
            content = bytes(APART * (case.workers + 1))
            paths, shared = opened.enter_context(trial_file(backing, number, folders, content, sparse=False))
            made.append(Place(paths, shared, opened.enter_context(prepared(case.lock, paths[0]))))
        yield made


@contextmanager
def files_to_be_had() -> Iterator[None]:
    """Turn a refusal to open one more file in the block (EMFILE or ENFILE) into an error that says what to do."""
    try:
        yield
    except (OSError, CannotRunError) as error:
        cause = error.__cause__ if isinstance(error, CannotRunError) else error
        if not isinstance(cause, OSError) or cause.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise CannotRunError(
            f"no more files can be open ({cause.strerror}); lower --workers or raise the limit (ulimit -n)"
        ) from cause


@dataclass(frozen=True, slots=True)
class Work:
    """The data that all processes of the pool work on."""

    case: Case
    places: list[Place]
    log: Log
    stop: Segment
    mailbox: Mailbox

    def prepare(self, index: int) -> Loop:
        """Prepare a process of the pool before the barrier, and return what it does after it."""
        member = self._reported(index, lambda: Member(self, index))
        return lambda: self._reported(index, member.live)

    def _reported(self, index: int, body: Callable[[], Given]) -> Given:
        """Return the result of the body; send what it raises to the mailbox."""
        try:
            with files_to_be_had():
                return body()
        except (Exception, SystemExit) as error:
            self.mailbox.send(Report(index, {}, f"{type(error).__name__}: {error}", type(error).__name__))
            raise SystemExit(1) from error


class Member:
    """A worker, or the process behind the last worker, which holds ranges. Its files stay open as long as it exists."""

    def __init__(self, work: Work, index: int) -> None:
        self._work = work
        self._index = index
        self._files = [place.shared.open(place.paths[index % len(place.paths)]) for place in work.places]
        if index == work.case.workers:
            self._loop = self._holding_many()
        else:
            self._segment = work.log.segment(index)
            self._segment[CURSOR] = HEADER
            self._loop = self._working()

    def live(self) -> None:
        """Work from the start barrier to the end."""
        self._loop()
        if self._index < self._work.case.workers:
            self._segment[FINISHED_NS] = time.monotonic_ns()
            self._segment[PRIVATE_BYTES] = private_bytes()

    def _working(self) -> Loop:
        case, stop = self._work.case, self._work.stop
        if case.native:
            return self._in_c()
        if case.price == "hand-off":
            numbers = range(case.workers + 1)
            added = [self._addition(number) for number in numbers] if case.backing else ()
            return ring([self._hold(number) for number in numbers], self._index, stop, added)
        number = self._index if case.ranges == "disjoint" else 0
        inside = _inside(case, self._addition(number) if case.backing else None)
        hold = self._hold(number)
        return busy_pairs(hold, stop, inside, case.think_ns) if inside else pairs(hold, stop)

    def _in_c(self) -> Loop:
        """Return the same loop in C, with an addition inside; in a ring of hand-offs one lock is acquired here."""
        case, stop = self._work.case, self._work.stop
        assert NATIVE  # noqa: S101 - for the type checker
        rings = case.price == "hand-off"
        numbers = range(case.workers + 1) if rings else [self._index if case.ranges == "disjoint" else 0]
        holds = tuple(self._hold(number) for number in numbers)
        if rings:
            holds[self._index].__enter__()
        words = tuple(self._word(number) for number in numbers)
        return partial(NATIVE.add_in_turn, holds, words, stop, self._index if rings else -1)

    def _word(self, number: int) -> memoryview:
        """Return the 8 bytes to which 1 is added inside a lock, in the mapped file."""
        mapped = self._files[number % len(self._files)].buffer
        assert mapped is not None  # noqa: S101 - for the type checker
        return memoryview(mapped)[number * APART : number * APART + 8]

    def _addition(self, number: int) -> Loop:
        return addition(self._files[number % len(self._files)], number * APART)

    def _hold(self, number: int) -> Held:
        at = number % len(self._files)
        acquire, release = self._work.places[at].lock.actions(self._files[at].guard, number * APART, 1, write=True)
        span = Span(number * APART, 1, write=True).pack()
        return self._files[at].around(
            Hold(acquire, release, self._segment, span, self._work.log.histogram(self._index))
        )

    def _holding_many(self) -> Loop:
        lock, file, stop = self._work.places[0].lock, self._files[0], self._work.stop
        for number in range(self._work.case.held):
            lock.actions(file.guard, HELD_FROM + 2 * number, 1, write=True)[0]()

        def wait() -> None:
            while not stop[0]:
                time.sleep(LOOK_AGAIN_S)

        return wait


def _inside(case: Case, add: Loop | None) -> Loop | None:
    """Return what each pair does while it holds the lock; None where it does nothing and does not think either."""

    def busy() -> None:
        if add:
            add()
        spin(case.hold_ns)

    return busy if case.hold_ns or case.think_ns else add
