"""The recorder: a lock over one byte range, entered and left with every interval written into shared memory.

It is written twice. `lab/racing/_recorder.c` is built where a compiler is found; `PurePythonHold` does the same
everywhere, and takes about twice as long for a lock and an unlock. A test holds the two to the same records, and an
import compares the words that they write to.

The memory is laid out before the fork: one segment a worker, all of 64-bit words, a header of `HEADER` words, then
records of `RECORD` words each,

    requested_ns, granted_ns, released_ns, span (`lab.analysis.holds.Span.pack`)

The cursor, in the header, is the word at which the next record starts. It moves when a lock is granted, so a
request that is still waiting shows as the record under the cursor with no grant in it.

A hold whose holder dies inside (`Worker.die`) ends there: just before, the holder writes the time with the bit `DIED`.
The kernel releases the lock after that, so the next grant of a lock that excludes comes later still. A holder that
ends in another way writes nothing; of its hold only the grant is known, and it counts as released when granted. The
moment at which its end was seen would not do: the lock was free before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from time import monotonic_ns
from types import TracebackType
from typing import NoReturn, Protocol

from lab.analysis.holds import Row, Span
from lab.analysis.statistics import BUCKETS, bucket
from lab.locking import NATIVE, Action, typed
from lab.memory import anonymous
from lab.memory.protocol import Held

HEADER = 8
RECORD = 4
REQUESTED_NS, GRANTED_NS, RELEASED_NS, SPAN = range(RECORD)
CURSOR, UNRECORDED, ROUNDS_DONE, FINISHED_NS, PRIVATE_BYTES, REFUSED, DEADLOCKS, GAVE_UP = range(8)
DIED = 1 << 63
WORD_BYTES = 8
SPARE_RECORDS = 256
"""Room for locks acquired outside rounds, or more of them a round than a short run foresees."""

LAYOUT = {
    name: globals()[name]
    for name in ("CURSOR", "UNRECORDED", "ROUNDS_DONE", "HEADER", "REQUESTED_NS", "GRANTED_NS", "RELEASED_NS", "SPAN",
                 "RECORD", "BUCKETS", "REFUSED", "DEADLOCKS")
}  # fmt: skip
"""The words that `_recorder.c` must write to as Python reads them."""

if NATIVE and NATIVE.LAYOUT != LAYOUT:
    raise ImportError(f"the compiled recorder writes to {NATIVE.LAYOUT}, Python reads {LAYOUT}; install again")

Segment = memoryview


def python_rounds(segment: Segment, rounds: int, first: int = 0) -> Iterator[int]:
    """Return the number of each round, which is in the header from its beginning on; all of them in the end."""
    for number in range(first, rounds):
        segment[ROUNDS_DONE] = number
        yield number
    segment[ROUNDS_DONE] = rounds


counted: Callable[[Segment, int], Iterator[int]] = NATIVE.Rounds if NATIVE else python_rounds


def end_holds(segment: Segment, first: int) -> None:
    """Record that the holds not released, of the records from the word `first` on, end now with their holder."""
    died_ns = DIED | monotonic_ns()
    for number, released in enumerate(segment[first : segment[CURSOR]][2::RECORD].tolist()):
        if not released:
            segment[first + RECORD * number + 2] = died_ns


@dataclass(frozen=True, slots=True)
class Stuck:
    """The spans that one worker held and waited for when it was ended."""

    holding: list[Span]
    waiting: Span | None


class Log:
    """The segments of all workers and, after them, of their twins (`Worker.twin`); `records` fit in each.

    With `helpers` a third row of segments follows, for processes that are killed in a worker's place.

    With `histograms` each segment has one beside it, for the waits of the holds that no longer fit. Where it is not
    `populated` its pages are made as they are written to: most segments may stay unused.
    """

    def __init__(
        self, workers: int, records: int, *, histograms: bool = False, helpers: bool = False, populated: bool = True
    ) -> None:
        self._words = HEADER + RECORD * (records + SPARE_RECORDS)
        self._workers = workers
        self._count = (3 if helpers else 2) * workers
        used = workers * self._words * WORD_BYTES
        self._memory = memoryview(
            anonymous(self._count * self._words * WORD_BYTES, populated=used if records and populated else 0)
        ).cast("Q")
        waits = anonymous(2 * workers * BUCKETS * WORD_BYTES) if histograms else None
        self._waits = None if waits is None else memoryview(waits).cast("Q")

    def segment(self, index: int) -> Segment:
        """Return the words of one worker: `Hold` writes to them."""
        return self._memory[index * self._words : (index + 1) * self._words]

    def histogram(self, index: int) -> Segment | None:
        """Return the waits of the holds beyond the segment of this index: a word a bucket of `lab.analysis.statistics`.

        None where the log was made without histograms.
        """
        return None if self._waits is None else self._waits[index * BUCKETS : (index + 1) * BUCKETS]

    def twin_of(self, index: int) -> int:
        """Return the segment that the twin of a worker writes to."""
        return self._workers + index

    def helper_of(self, index: int) -> int:
        """Return the segment of the helpers of a worker."""
        return 2 * self._workers + index

    def cursor(self, index: int) -> int:
        """Return the word at which the next record of this segment starts."""
        return self.segment(index)[CURSOR] or HEADER

    def is_waiting(self, index: int) -> bool:
        """Return True while a request is under the cursor of this segment, and not granted."""
        segment, at = self.segment(index), self.cursor(index)
        return at + RECORD <= len(segment) and segment[at] != 0 and segment[at + GRANTED_NS] == 0

    def forget_request(self, index: int) -> None:
        """Remove the request of a process that was killed while it waited."""
        if self.is_waiting(index):
            self.segment(index)[self.cursor(index)] = 0

    def header(self, word: int) -> list[int]:
        """Return one word of the header of every worker, by index."""
        stop = self._workers * self._words
        return self._memory[word:stop][:: self._words].tolist()

    def total(self, word: int) -> int:
        """Return the sum of one word of the header of every worker and every twin."""
        return sum(self._memory[word :: self._words].tolist())

    def holds(self) -> Iterator[Row]:
        """Yield every recorded hold as a `lab.analysis.holds.Row`; one not released counts as released at its grant."""
        for index in range(self._count):
            words = self._records(index)
            granted, released = words[1::RECORD], words[2::RECORD]
            if 0 in released or max(released, default=0) >= DIED:
                released = [end & ~DIED or start for start, end in zip(granted, released, strict=True)]
            yield from zip(granted, released, words[0::RECORD], repeat(index), words[3::RECORD], strict=False)

    def deaths(self) -> Iterator[tuple[int, int]]:
        """Yield the worker and the time in ns of each hold that ended with its holder."""
        for index in range(self._count):
            ends = self._records(index)[2::RECORD]
            yield from ((index % self._workers, end & ~DIED) for end in ends if end >= DIED)

    def requests(self) -> Iterator[Row]:
        """Yield rows as `holds` does, with 0 for an event that never came, and those that still wait."""
        for index in range(self._count):
            segment = self.segment(index)
            for slot in range(HEADER, max(HEADER, segment[CURSOR]) + 1, RECORD):
                requested, granted, released, span = segment[slot : slot + RECORD].tolist() or [0, 0, 0, 0]
                if requested:
                    yield granted, 0 if released & DIED else released, requested, index, span

    def stuck(self, index: int) -> Stuck:
        """Return what a worker held and waited for when it stopped writing."""
        words = self._records(index)
        holding = [Span.unpack(span) for end, span in zip(words[2::RECORD], words[3::RECORD], strict=True) if not end]
        segment = self.segment(index)
        cursor = segment[CURSOR]
        under = segment[cursor : cursor + RECORD].tolist() or [0, 0, 0, 0]
        return Stuck(holding, Span.unpack(under[3]) if under[0] else None)

    def _records(self, index: int) -> list[int]:
        segment = self.segment(index)
        return segment[HEADER : max(HEADER, segment[CURSOR])].tolist()


class MakeHold(Protocol):
    """A function that makes the recorder of one lock over one range."""

    def __call__(
        self, acquire: Action, release: Action, log: Segment, span: int, histogram: Segment | None = None
    ) -> Held:
        """See `PurePythonHold`."""


class PurePythonHold:
    """A context manager that acquires, records, and releases; not reentrant.

    `span` is the packed span that each record carries. A hold that finds the log full is only counted there, and its
    wait, in ns, in the `histogram`, if one is given. Raises what `acquire` raises, EDEADLK as `Deadlock`;
    ValueError for a log or a histogram that is too short.
    """

    __slots__ = ("_acquire", "_histogram", "_log", "_release", "_slot", "_span")

    def __init__(
        self, acquire: Action, release: Action, log: Segment, span: int, histogram: Segment | None = None
    ) -> None:
        if len(log) < HEADER:
            raise ValueError(f"a log has at least {HEADER} words")
        if histogram is not None and (len(histogram) != BUCKETS or histogram.readonly):
            raise ValueError(f"a histogram has {BUCKETS} words, to be written to")
        self._acquire = acquire
        self._release = release
        self._log = log
        self._span = span
        self._histogram = histogram
        self._slot = 0

    def __enter__(self) -> None:
        log = self._log
        slot = log[CURSOR]
        try:
            log[slot + 3] = self._span
            log[slot + 1] = 0
            log[slot] = monotonic_ns()
        except IndexError:
            return self._enter_unrecorded()
        try:
            self._acquire()
        except BaseException as error:
            log[slot] = 0
            _raise(error)
        log[slot + 1] = monotonic_ns()
        self._slot = slot
        log[CURSOR] = slot + RECORD
        return None

    def _enter_unrecorded(self) -> None:
        requested_ns = monotonic_ns()
        try:
            self._acquire()
        except OSError as error:
            _raise(error)
        if self._histogram is not None:
            self._histogram[bucket(monotonic_ns() - requested_ns)] += 1
        self._slot = 0
        self._log[UNRECORDED] += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._slot:
            self._log[self._slot + 2] = monotonic_ns()
        self._release()


def _raise(error: BaseException) -> NoReturn:
    """Raise the error, EDEADLK as `Deadlock`; any other keeps its cause."""
    raised = typed(error)
    if raised is error:
        raise error
    raise raised from None


class Unlocked:
    """A lock for `write_lock` where none was chosen: nothing is acquired and nothing recorded."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


UNLOCKED = Unlocked()

CompiledHold: MakeHold | None = NATIVE.Hold if NATIVE else None
Hold: MakeHold = CompiledHold or PurePythonHold


MANY_ROUNDS = 1000
"""From so many rounds on a hold is bound, and the methods of its own class are quicker to enter and to leave."""


def bound(hold: Held, rounds: int) -> Held:
    """Return a context manager that enters and leaves this hold, by methods that are bound beforehand.

    A `with` statement binds both methods of a compiled class anew each time it is entered, which is a twentieth of a
    short round. These are in the class itself and have nothing to bind. The class takes 10 us to make, so for few
    rounds, and for a hold in Python, the hold itself is returned.
    """
    if not CompiledHold or rounds < MANY_ROUNDS:
        return hold
    methods = {"__slots__": (), "__enter__": hold.__enter__, "__exit__": hold.__exit__}
    made: Held = type("BoundHold", (), methods)()
    return made
