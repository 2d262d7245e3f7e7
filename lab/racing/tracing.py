"""Record a trial (`--record`): every load, store and report of damage, with its times; and make a document of it.

The records lie in shared memory laid out before the fork, like the holds (`lab.racing.recorder`): one segment a worker
and one for its twin or children, each a header of `HEADER` words, records of `RECORD` words, and the bytes that were
loaded and stored. The cursor moves before the access itself, so the record of a worker that is killed in an access
shows when it began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ctypes import Array, Structure, Union, sizeof
from operator import itemgetter
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Literal

from lab.analysis.accesses import ENDLESS, LOAD, REPORT, STORE, Access
from lab.analysis.holds import Row, Span, as_held
from lab.host.environment import anonymous_text
from lab.locking import nested
from lab.memory import anonymous
from lab.memory.struct_proxy import ByteAccess, fields_of
from lab.records import NEVER, Accesses, Block, Damage, Field, Holds, Recording

from .recorder import ROUNDS_DONE, WORD_BYTES, Log, Segment
from .recorder import UNRECORDED as UNRECORDED_HOLDS

if TYPE_CHECKING:
    from .trial import Result
    from .worker import Job


HEADER = 4
CURSOR, UNRECORDED, FILLED = range(3)
RECORD = 6
BEGUN_NS, ENDED_NS, ROUND, WHAT, START, LENGTH = range(RECORD)
KEPT_BITS = 32
WHAT_MASK = (1 << KEPT_BITS) - 1
ACCESSES = 1 << 15
"""The number of records of all workers together; their twins and children have as many again."""
CONTENT_BYTES = 1 << 22
"""The number of bytes of all their accesses together."""
KEPT_AT_MOST = 1 << 14
"""The most bytes of one access that are kept."""


class Track:
    """The records of one process; the worker writes its round into the words `rounds`."""

    __slots__ = ("_content", "_rounds", "_words")

    def __init__(self, words: Segment, content: memoryview, rounds: Segment) -> None:
        self._words = words
        self._content = content
        self._rounds = rounds
        words[CURSOR] = words[CURSOR] or HEADER

    def begin(self, what: int, start: int, length: int) -> int:
        """Record that an access begins now; return its slot, 0 where there is no room."""
        words = self._words
        slot = words[CURSOR]
        if slot + RECORD > len(words):
            words[UNRECORDED] += 1
            return 0
        words[slot + ROUND] = self._rounds[ROUNDS_DONE]
        words[slot + WHAT] = what
        words[slot + START] = start
        words[slot + LENGTH] = length
        words[slot + ENDED_NS] = 0
        words[CURSOR] = slot + RECORD
        words[slot] = monotonic_ns()
        return slot

    def keep(self, slot: int, data: bytes | memoryview) -> None:
        """Keep the bytes of an access, as many as there is room for."""
        filled = self._words[FILLED]
        kept = min(len(data), KEPT_AT_MOST, len(self._content) - filled)
        self._content[filled : filled + kept] = data if kept == len(data) else data[:kept]
        self._words[FILLED] = filled + kept
        self._words[slot + WHAT] |= kept << KEPT_BITS

    def end(self, slot: int) -> None:
        """Record that the access has ended."""
        self._words[slot + ENDED_NS] = monotonic_ns()

    def report(self, text: str) -> None:
        """Record damage that the worker saw."""
        if slot := self.begin(REPORT, 0, 0):
            self.end(slot)
            self.keep(slot, text.encode("utf-8", "backslashreplace"))


class RecordedBytes:
    """Shared bytes whose loads and stores are recorded."""

    __slots__ = ("_access", "_track")

    def __init__(self, access: ByteAccess, track: Track) -> None:
        self._access = access
        self._track = track

    def load(self, start: int, length: int) -> bytes:
        """Load, and read the clock before and after."""
        track = self._track
        if not (slot := track.begin(LOAD, start, length)):
            return self._access.load(start, length)
        data = self._access.load(start, length)
        track.end(slot)
        track.keep(slot, data)
        return data

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store, and read the clock before and after."""
        track = self._track
        if not (slot := track.begin(STORE, start, len(data))):
            return self._access.store(start, data)
        track.keep(slot, data)
        self._access.store(start, data)
        track.end(slot)
        return None


def recording(access: ByteAccess, track: Track | None) -> ByteAccess:
    """Return the bytes, recorded where there is a track."""
    return RecordedBytes(access, track) if track else access


class Tape:
    """The segments of all workers and, after them, of their twins and children; `before` is the file at the start."""

    def __init__(self, log: Log, workers: int, before: bytes | bytearray) -> None:
        self.before = before
        self._log = log
        self._workers = workers
        self._words = HEADER + RECORD * (ACCESSES // workers)
        self._bytes = self._words * WORD_BYTES + CONTENT_BYTES // workers
        used = workers * self._bytes
        self._memory = memoryview(anonymous(2 * used, populated=used))

    def track(self, index: int, worker: int, *, whole: bool) -> Track:
        """Return the track of the process of this segment; where it is not to be kept whole, it only counts."""
        words, content = self._segment(index)
        return Track(words if whole else words[:HEADER], content, self._log.segment(worker))

    def accesses(self) -> list[Access]:
        """Return all that was recorded, in the order in which it began."""
        every = [access for index in range(2 * self._workers) for access in self._of(index)]
        return sorted(every)

    @property
    def unrecorded(self) -> int:
        """Return how many accesses were not recorded."""
        return sum(self._segment(index)[0][UNRECORDED] for index in range(2 * self._workers))

    def _segment(self, index: int) -> tuple[Segment, memoryview]:
        begin = index * self._bytes
        words = begin + self._words * WORD_BYTES
        return self._memory[begin:words].cast("Q"), self._memory[words : begin + self._bytes]

    def _of(self, index: int) -> Iterator[Access]:
        words, content = self._segment(index)
        filled = 0
        for slot in range(HEADER, words[CURSOR], RECORD):
            begun, ended, round, what, start, length = words[slot : slot + RECORD].tolist()
            kept = what >> KEPT_BITS
            data = bytes(content[filled : filled + kept])
            filled += kept
            yield Access(begun, ended or ENDLESS, index, round, what & WHAT_MASK, start, length, data)


BLOCK = 64
BLOCKS_KEPT = 1024


def transcript(job: Job, released_ns: int, result: Result) -> Recording:
    """Return the recording of a trial that has ended, whose file is still there."""
    tape = job.tape
    assert tape  # noqa: S101 - only a recorded trial has a transcript
    accesses = tape.accesses()
    after = job.shared.read_back()
    blocks = list(_blocks(tape.before, after, accesses))
    return Recording(
        rounds=job.rounds,
        done=result.rounds_done,
        attempts=1,
        wall_ns=result.wall_ns,
        size=job.layout.size,
        fields=list(values_of(job.memory)),
        blocks=blocks[:BLOCKS_KEPT],
        holds=_holds(sorted(as_held(list(job.log.requests()), nested(job.lock)), key=itemgetter(2)), released_ns),
        accesses=_accesses(accesses, released_ns),
        damage=[_anonymous(each) for each in result.damage],
        failures=[anonymous_text(f"worker {each.worker} {each.reason}") for each in result.failures],
        blocks_left_out=len(blocks[BLOCKS_KEPT:]),
        unrecorded_holds=job.log.total(UNRECORDED_HOLDS),
        unrecorded_accesses=tape.unrecorded,
    )


def values_of(
    kind: Any, name: str = "", start: int = 0, dimensions: tuple[tuple[int, int], ...] = ()
) -> Iterator[Field]:
    """Yield the plain values in a struct, union or array of ctypes."""
    if issubclass(kind, Structure | Union):
        for field in fields_of(kind, parts=False):
            dotted = f"{name}.{field.name}" if name else field.name
            yield from values_of(field.kind, dotted, start + field.offset, dimensions)
    elif issubclass(kind, Array):
        yield from values_of(kind._type_, f"{name}[]", start, (*dimensions, (kind._length_, sizeof(kind._type_))))
    else:
        yield Field(name, start, sizeof(kind), _kind_of(kind), list(dimensions))


def _kind_of(kind: Any) -> Literal["unsigned", "signed", "real", "text"]:
    code = getattr(kind, "_type_", "")
    if code in tuple("fdg"):
        return "real"
    if code in tuple("cu"):
        return "text"
    return "signed" if code in tuple("bhilq") else "unsigned"


def _anonymous(damage: Any) -> Damage:
    return Damage(damage.kind, damage.count, damage.of, [anonymous_text(text) for text in damage.evidence])


def _blocks(before: bytes | bytearray, after: bytearray, accesses: Iterable[Access]) -> Iterator[Block]:
    """Return the blocks that hold anything or were stored to, in the order of the file."""
    touched = {
        number
        for access in accesses
        if access.what != REPORT and access.length
        for number in range(access.start // BLOCK, (access.end - 1) // BLOCK + 1)
    }
    for number in range(-(-len(after) // BLOCK)):
        start = number * BLOCK
        then, now = bytes(before[start : start + BLOCK]), bytes(after[start : start + BLOCK])
        if number in touched or then.strip(b"\0") or now.strip(b"\0"):
            yield Block(start, then.hex(), now.hex())


def _holds(rows: list[Row], released_ns: int) -> Holds:
    spans = [Span.unpack(row[4]) for row in rows]

    def since(at: int) -> int:
        return at - released_ns if at else NEVER

    return Holds(
        worker=[row[3] for row in rows],
        requested_ns=[since(row[2]) for row in rows],
        granted_ns=[since(row[0]) for row in rows],
        released_ns=[since(row[1]) for row in rows],
        start=[span.start for span in spans],
        length=[span.length for span in spans],
        write=[int(span.write) for span in spans],
    )


def _accesses(accesses: list[Access], released_ns: int) -> Accesses:
    import zlib
    from binascii import b2a_base64

    accesses = [_without_names(access) for access in accesses]
    content = b"".join(access.data for access in accesses)
    return Accesses(
        worker=[access.worker for access in accesses],
        round=[access.round for access in accesses],
        kind=[access.what for access in accesses],
        begun_ns=[access.begun_ns - released_ns for access in accesses],
        ended_ns=[access.ended_ns - released_ns if access.ended_ns != ENDLESS else NEVER for access in accesses],
        start=[access.start for access in accesses],
        length=[access.length for access in accesses],
        kept=[len(access.data) for access in accesses],
        content=b2a_base64(zlib.compress(content), newline=False).decode(),
    )


def _without_names(access: Access) -> Access:
    """Remove the user's name from a report."""
    if access.what != REPORT:
        return access
    return access._replace(data=anonymous_text(access.data.decode("utf-8", "replace")).encode())
