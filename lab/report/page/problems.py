"""Read a recording, find what went wrong in it, in the order of time, and describe each problem in a sentence."""

from __future__ import annotations

import struct
import sys
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from lab.analysis.accesses import ENDLESS, LOAD, REPORT, STORE, Access
from lab.analysis.holds import Hold, Overlap, Span, sweep
from lab.analysis.lost_updates import LostUpdate, lost_updates
from lab.analysis.torn import BEFORE, Torn, torn_at_the_end, torn_loads
from lab.records import NEVER, Field, Recording, Request

IMAGE_AT_MOST = 1 << 22
"""Files of up to so many bytes are laid out to be looked at whole."""


def accesses_of(recording: Recording) -> list[Access]:
    """Return the accesses of a recording, with their bytes. Raise ValueError for content that cannot be unpacked."""
    import zlib

    columns = recording.accesses
    try:
        content = zlib.decompressobj().decompress(a2b_base64(columns.content), max(1, sum(columns.kept)))
    except zlib.error as error:
        raise ValueError(f"the content of its accesses: {error}") from error
    at = list(accumulate(columns.kept, initial=0))
    return [
        Access(
            begun_ns=columns.begun_ns[number],
            ended_ns=ENDLESS if ended_ns == NEVER else ended_ns,
            worker=columns.worker[number],
            round=columns.round[number],
            what=columns.kind[number],
            start=columns.start[number],
            length=columns.length[number],
            data=content[at[number] : at[number + 1]],
        )
        for number, ended_ns in enumerate(columns.ended_ns)
    ]


def images(recording: Recording) -> tuple[Access, Access] | None:
    """Return the whole file as loads: before the first access and after the last. None where parts are not known."""
    if recording.size > IMAGE_AT_MOST or recording.blocks_left_out:
        return None
    before, after = bytearray(recording.size), bytearray(recording.size)
    for block in recording.blocks:
        for image, digits in ((before, block.before), (after, block.after)):
            image[block.start : block.start + len(digits) // 2] = bytes.fromhex(digits)
    size, end = recording.size, ENDLESS - 1
    return (
        Access(-ENDLESS, -ENDLESS, NEVER, 0, LOAD, 0, size, bytes(before)),
        Access(end, end, NEVER, 0, LOAD, 0, size, bytes(after)),
    )


def holds_of(recording: Recording) -> Iterator[Hold]:
    """Yield the locks that were granted; one that was not released counts as released when granted."""
    for each in recording.holds.requests():
        if each.was_granted:
            released_ns = max(each.granted_ns, each.released_ns)
            yield Hold(each.granted_ns, released_ns, each.requested_ns, each.worker, each.span.pack())


SHOWN = 8
"""So many bytes of a longer run are written out."""

LARGE = 1 << 32
"""From this size on numbers are more than a count, and are shown by their digits in base 16."""


class Value(NamedTuple):
    """The plain value that a byte is part of: its field, its name, its first byte."""

    field: Field
    name: str
    start: int


def value_at(fields: Sequence[Field], at: int) -> Value | None:
    """Return the value that holds this byte, or None where the layout leaves a gap."""
    for each in fields:
        found = _within(each, at)
        if found:
            return found
    return None


def _within(field: Field, at: int) -> Value | None:
    name, rest = field.name, at - field.start
    for count, stride in field.dimensions:
        index, rest = divmod(rest, stride)
        if not 0 <= index < count:
            return None
        name = name.replace("[]", f"[{index}]", 1)
    return Value(field, name, at - rest) if 0 <= rest < field.size else None


def name_of(fields: Sequence[Field], start: int, end: int) -> str:
    """Return the name of a run of bytes: a value, a whole field, or from one value to another."""
    first, last = value_at(fields, start), value_at(fields, end - 1)
    if not first or not last:
        return f"bytes {start:,} to {end - 1:,}"
    if first == last:
        return first.name if (start, end) == (first.start, first.start + first.field.size) else f"part of {first.name}"
    return _elements(first.field, start, end) if first.field == last.field else f"{first.name} to {last.name}"


def _elements(field: Field, start: int, end: int) -> str:
    """Name several values of one field: the whole array, some of its elements, or from one value to another."""
    count, stride = field.dimensions[0]
    index, rest = divmod(start - field.start, stride)
    several, cut = divmod(end - start, stride)
    name = field.name.partition("[]")[0]
    if rest or cut:
        return f"bytes {start:,} to {end - 1:,} in {name}"
    if several == count:
        return name
    return f"{name}[{index}]" if several == 1 else f"{name}[{index}] to {name}[{index + several - 1}]"


def value_of(fields: Sequence[Field], start: int, data: bytes) -> str:
    """Write bytes of the file in words: the number, where they are one value, else the first of them."""
    found = value_at(fields, start)
    if found and found.start == start and found.field.size == len(data) and found.field.kind != "text":
        return _number(found.field, data)
    shown = data[:SHOWN].hex(" ")
    return f"{len(data):,} bytes ({shown} ...)" if len(data) > SHOWN else shown


def _number(field: Field, data: bytes) -> str:
    if field.kind == "real":
        code = {4: "f", 8: "d"}.get(len(data))
        return f"{struct.unpack(code, data)[0]:g}" if code else data.hex(" ")
    number = int.from_bytes(data, sys.byteorder, signed=field.kind == "signed")
    return f"{number:#x}" if abs(number) >= LARGE else f"{number:,}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its time, its bytes, its workers, and the accesses that show it, by number.

    It is to be looked at from `since_ns` to `until_ns`.
    """

    kind: str
    at_ns: int
    since_ns: int
    until_ns: int
    start: int
    end: int
    workers: list[int]
    sentence: str
    accesses: list[int] = field(default_factory=list)


class Story:
    """The problems in one recording, and the sentences about them."""

    def __init__(self, recording: Recording, workers: int) -> None:
        self.accesses = accesses_of(recording)
        self.images = images(recording)
        self._recording = recording
        self._fields = recording.fields
        self._workers = workers

    def problems(self) -> list[Problem]:
        """Return all problems, earliest first."""
        before, after = self.images or (None, None)
        found = [self._lost(each) for each in lost_updates(self.accesses)]
        found += [self._torn(each) for each in torn_loads(self.accesses, before)]
        if after and not self._recording.unrecorded_accesses:
            found += [self._torn_left(each) for each in torn_at_the_end(self.accesses, before, after)]
        found += [self._overlap(each) for each in sweep(holds_of(self._recording)).overlaps]
        found += [self._reported(number) for number, each in enumerate(self.accesses) if each.what == REPORT]
        found += self._ended_inside()
        return sorted(found, key=lambda each: each.at_ns)

    def first(self, problems: list[Problem]) -> int | None:
        """Return the index of the problem to look at first: corruption reported by workers, where there is any."""
        kinds = [each.kind for each in problems]
        numbers = [number for number, kind in enumerate(kinds) if kind in ("reported", "torn read")]
        return next(iter(numbers if "reported" in kinds else range(len(kinds))), None)

    def who(self, worker: int) -> str:
        """Return the name of a worker in sentences."""
        return f"worker {worker}" if worker < self._workers else f"the second owner in worker {worker - self._workers}"

    def _lost(self, lost: LostUpdate) -> Problem:
        mine, theirs = self.accesses[lost.store], self.accesses[lost.lost]
        numbers = sorted({lost.look, lost.lost, lost.store, lost.look if lost.their_look is None else lost.their_look})
        sentence = self._over(lost, mine, theirs) if lost.their_look is None else self._at_once(lost, mine, theirs)
        workers = [mine.worker, theirs.worker]
        return self._problem("lost update", mine.begun_ns, lost.start, lost.end, workers, sentence, numbers)

    def _over(self, lost: LostUpdate, mine: Access, theirs: Access) -> str:
        look = self.accesses[lost.look]
        saw = "it had loaded" if look.what == LOAD else "its last look was its own store of"
        return (
            f"{_big(self.who(mine.worker))} stored {self._value(mine, lost)} to "
            f"{name_of(self._fields, lost.start, lost.end)} (round {mine.round + 1}, {moment(mine.begun_ns)}) over the "
            f"{self._value(theirs, lost)} of {self.who(theirs.worker)} (round {theirs.round + 1}, "
            f"{moment(theirs.begun_ns)}), which it had not seen: {saw} {self._value(look, lost)} at "
            f"{moment(look.begun_ns)}."
        )

    def _at_once(self, lost: LostUpdate, mine: Access, theirs: Access) -> str:
        return (
            f"{_big(self.who(mine.worker))} stored {self._value(mine, lost)} and {self.who(theirs.worker)} stored "
            f"{self._value(theirs, lost)} to {name_of(self._fields, lost.start, lost.end)} at times that overlap "
            f"({_during(mine)} and {_during(theirs)}), in this or the other order. Neither had seen the other's: "
            "either way one of the two is lost."
        )

    def _problem(
        self, kind: str, at_ns: int, start: int, end: int, workers: list[int], sentence: str, numbers: list[int]
    ) -> Problem:
        """Return the problem that these accesses show, to be looked at from the first to the last of them."""
        accesses = [self.accesses[number] for number in numbers]
        since = min(each.begun_ns for each in accesses)
        until = max(each.begun_ns if each.ended_ns == ENDLESS else each.ended_ns for each in accesses)
        return Problem(kind, at_ns, since, until, start, end, workers, sentence, numbers)

    def _value(self, access: Access, lost: LostUpdate) -> str:
        return value_of(self._fields, lost.start, access.at(lost.start, lost.end)) or "bytes that were not kept"

    def _torn(self, torn: Torn) -> Problem:
        load = self.accesses[torn.load]
        sentence = (
            f"{_big(self.who(load.worker))} loaded {name_of(self._fields, load.start, load.end)} "
            f"(round {load.round + 1}, {moment(load.begun_ns)}) and met {self._parts(torn)}."
        )
        workers = list(dict.fromkeys([load.worker, *self._authors(torn)]))
        numbers = sorted(number for number in (torn.one, torn.other, torn.load) if number != BEFORE)
        return self._problem("torn read", load.ended_ns, load.start, load.end, workers, sentence, numbers)

    def _torn_left(self, torn: Torn) -> Problem:
        stores = [self.accesses[number] for number in (torn.one, torn.other) if number != BEFORE]
        start, end = max(each.start for each in stores), min(each.end for each in stores)
        at_ns = max(each.begun_ns for each in stores)
        sentence = f"{_big(name_of(self._fields, start, end))} was left with {self._parts(torn)}."
        numbers = sorted(number for number in (torn.one, torn.other) if number != BEFORE)
        return self._problem("torn bytes left", at_ns, start, end, self._authors(torn), sentence, numbers)

    def _authors(self, torn: Torn) -> list[int]:
        return list(dict.fromkeys(self.accesses[n].worker for n in (torn.one, torn.other) if n != BEFORE))

    def _parts(self, torn: Torn) -> str:
        (one, at), (other, there) = sorted(((torn.one, torn.one_at), (torn.other, torn.other_at)), key=lambda x: x[1])
        return f"{self._bytes_of(one)} at {self._byte(at)} and {self._bytes_of(other)} at {self._byte(there)}"

    def _bytes_of(self, number: int) -> str:
        if number == BEFORE:
            return "what had lain there before"
        store = self.accesses[number]
        return f"bytes of {self.who(store.worker)} (round {store.round + 1}, stored {moment(store.begun_ns)})"

    def _byte(self, at: int) -> str:
        found = value_at(self._fields, at)
        return found.name if found and found.field.size == 1 else f"byte {at:,}"

    def _overlap(self, overlap: Overlap) -> Problem:
        first, second, _ = overlap
        span, other = Span.unpack(first.word), Span.unpack(second.word)
        start, end = max(span.start, other.start), min(span.end, other.end, self._recording.size)
        sentence = (
            f"{_big(self.who(second.worker))} was granted the {_lock(other)} at {moment(second.granted_ns)}, while "
            f"{self.who(first.worker)} held the {_lock(span)} (from {moment(first.granted_ns)} to "
            f"{moment(first.released_ns)}): two were in that may not be together."
        )
        until = min(first.released_ns, second.released_ns)
        workers = [second.worker, first.worker]
        return Problem("overlap", second.granted_ns, first.granted_ns, until, start, max(start, end), workers, sentence)

    def _reported(self, number: int) -> Problem:
        access = self.accesses[number]
        text = access.data.decode("utf-8", "replace") or "damage, of whose words none found room"
        sentence = f"{_big(self.who(access.worker))} saw in round {access.round + 1}: {text}."
        last = self._last_before(number)
        start, end = (self.accesses[last].start, self.accesses[last].end) if last is not None else (0, 0)
        return self._problem("reported", access.begun_ns, start, end, [access.worker], sentence, [number])

    def _last_before(self, number: int) -> int | None:
        """Return the worker's last load before its report."""
        worker = self.accesses[number].worker
        loads = (n for n in range(number - 1, -1, -1) if self.accesses[n].worker == worker)
        return next((n for n in loads if self.accesses[n].what == LOAD), None)

    def _ended_inside(self) -> Iterator[Problem]:
        """Yield holds that were never released: by workers that were killed, or that waited for each other."""
        for request in self._recording.holds.requests():
            if not request.was_granted or request.was_released:
                continue
            worker, granted, start, end = request.worker, request.granted_ns, request.start, self._end_of(request)
            held = f"held the lock on {name_of(self._fields, start, end)} (granted at {moment(granted)})"
            waited = self._waited(worker)
            freed = "The kernel gave the lock back; what had been stored, stayed."
            what = f"{held} and waited for {waited} when it was ended." if waited else f"ended while it {held}. {freed}"
            sentence = f"{_big(self.who(worker))} {what}"
            if waited:
                yield Problem("stuck", granted, granted, granted, start, end, [worker], sentence)
            else:
                stayed = self._stored_since(worker, granted, start)
                until = max([granted, *(self.accesses[number].begun_ns for number in stayed)])
                yield Problem("ended inside", granted, granted, until, start, end, [worker], sentence, stayed)

    def _stored_since(self, worker: int, granted: int, start: int) -> list[int]:
        """Return the stores of a worker under its last lock; a second owner in its place asks for the same lock."""
        same = (each for each in self._recording.holds.requests() if (each.worker, each.start) == (worker, start))
        end = min((each.requested_ns for each in same if each.requested_ns > granted), default=ENDLESS)
        stores = (n for n, each in enumerate(self.accesses) if (each.worker, each.what) == (worker, STORE))
        return [n for n in stores if granted <= self.accesses[n].begun_ns < end]

    def _waited(self, worker: int) -> str:
        """Return what a worker waited for at its end."""
        waits = [each for each in self._recording.holds.requests() if each.worker == worker and not each.was_granted]
        return f"the one on {name_of(self._fields, waits[-1].start, self._end_of(waits[-1]))}" if waits else ""

    def _end_of(self, request: Request) -> int:
        return request.start + request.length if request.length else self._recording.size


def moment(ns: int) -> str:
    """Return a time since the release of the barrier, in microseconds: recorded trials take milliseconds."""
    return f"{ns / 1000:,.2f} us"


def _during(access: Access) -> str:
    return f"{moment(access.begun_ns)} to {moment(access.ended_ns)}" if access.ended_ns != ENDLESS else "never ended"


def _lock(span: Span) -> str:
    mode = "write" if span.write else "read"
    return (
        f"{mode} lock on bytes {span.start:,} to {span.end - 1:,}" if span.length else f"{mode} lock on the whole file"
    )


def _big(text: str) -> str:
    return text[:1].upper() + text[1:]
