"""Turn the shared memory in which a trial was recorded into its part of the results document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ctypes import Array, Structure, Union, sizeof
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from lab.analysis.accesses import ENDLESS, REPORT, Access
from lab.analysis.holds import Row, Span, as_held
from lab.host.environment import anonymous_text
from lab.locking import nested
from lab.memory.layout import fields_of
from lab.records import NEVER, Accesses, Block, Damage, Field, Holds, Recording

from .recorder import UNRECORDED

if TYPE_CHECKING:
    from .trial import Result
    from .worker import Job

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
        unrecorded_holds=job.log.total(UNRECORDED),
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
