"""Turn a recorded trial into what the page draws: columns of numbers, problems, and the last writer of each byte."""

from __future__ import annotations

from itertools import pairwise
from sys import byteorder
from typing import Any

from lab.analysis.accesses import ENDLESS, Access
from lab.analysis.lost_updates import NOBODY, origins
from lab.records import NEVER, Case, Recording

from .problems import Happened, Story

TOLD = 400
"""So many problems are described in words; of the others the page has the moment and the bytes."""

VALUE_BYTES = 8
"""The page shows so many bytes of an access."""


def recorded(case: Case) -> dict[str, Any] | None:
    """Return what the page needs of a case's recording."""
    recording = case.recording
    if recording is None:
        return None
    story = Story(recording, case.workers)
    happened = story.happened()
    return {
        "order": byteorder,
        "rounds": recording.rounds,
        "done": recording.done,
        "attempts": recording.attempts,
        "wall": recording.wall_ns,
        "size": recording.size,
        "lanes": _lanes(recording, story),
        "fields": [[each.name, each.start, each.size, each.kind, each.dimensions] for each in recording.fields],
        "blocks": [[block.start, block.after] for block in recording.blocks],
        "cut": _cut(recording, len(happened)),
        "holds": _holds(recording),
        "accesses": _accesses(story.accesses),
        "happened": [_happened(each) for each in happened[:TOLD]],
        "untold": _untold(happened[TOLD:]),
        "count": len(happened),
        "first": story.first(happened[:TOLD]),
        "origins": _origins(story),
        "damage": [f"{each.kind}: {each.count:,} of {each.of:,}" for each in recording.damage],
        "counted": sum(each.count for each in recording.damage),
        "failures": recording.failures,
    }


def _lanes(recording: Recording, story: Story) -> list[list[Any]]:
    """Return number and name of every worker, and of the second owners that did anything."""
    seen = {*range(len(recording.done)), *recording.holds.worker, *recording.accesses.worker}
    return [[number, story.who(number).replace("the second owner", "second owner")] for number in sorted(seen)]


def _cut(recording: Recording, happened: int) -> list[str]:
    """Return how much was left out for lack of room."""
    counts = {
        "accesses were not written down": recording.unrecorded_accesses,
        "holds were not written down: the file had been replaced, or the log was full": recording.unrecorded_holds,
        "further blocks of the file are not shown": recording.blocks_left_out,
        "of the moments marked below are not told in words": max(0, happened - TOLD),
    }
    return [f"{count:,} {what}" for what, count in counts.items() if count]


def _holds(recording: Recording) -> dict[str, list[int]]:
    columns = recording.holds
    return {
        "worker": columns.worker,
        "requested": _steps(columns.requested_ns),
        "waited": _lengths(columns.requested_ns, columns.granted_ns),
        "held": _lengths(columns.granted_ns, columns.released_ns),
        "start": columns.start,
        "length": columns.length,
        "write": columns.write,
    }


def _accesses(accesses: list[Access]) -> dict[str, list[Any]]:
    return {
        "worker": [each.worker for each in accesses],
        "round": [each.round for each in accesses],
        "kind": [each.what for each in accesses],
        "begun": _steps([each.begun_ns for each in accesses]),
        "took": [NEVER if each.ended_ns == ENDLESS else each.ended_ns - each.begun_ns for each in accesses],
        "start": [each.start for each in accesses],
        "length": [each.length for each in accesses],
        "bytes": [each.data[:VALUE_BYTES].hex() for each in accesses],
    }


def _steps(times: list[int]) -> list[int]:
    """Return each time as the distance from the one before it, which needs fewer digits."""
    return times[:1] + [later - earlier for earlier, later in pairwise(times)]


def _lengths(begins: list[int], ends: list[int]) -> list[int]:
    return [NEVER if end == NEVER else end - begin for begin, end in zip(begins, ends, strict=True)]


def _happened(each: Happened) -> list[Any]:
    return [
        each.kind, each.at_ns, each.since_ns, each.until_ns, each.start, each.end, each.workers, each.sentence,
        each.accesses,
    ]  # fmt: skip


def _untold(happened: list[Happened]) -> dict[str, list[Any]]:
    """Return the times, the kinds (indexes into `kinds`) and the bytes of the problems without a description."""
    kinds = list(dict.fromkeys(each.kind for each in happened))
    return {
        "kinds": kinds,
        "kind": [kinds.index(each.kind) for each in happened],
        "at": _steps([each.at_ns for each in happened]),
        "start": [each.start for each in happened],
        "end": [each.end for each in happened],
    }


def _origins(story: Story) -> list[list[Any]]:
    """Return runs of bytes: first, one past the last, whose store, over which, if the order is certain, if it fits.

    After these come the bytes that they overwrote, as hexadecimal digits, as far as the page shows them. Bytes that
    changed without a recorded store have no owner.
    """
    if not story.images:
        return []
    before, after = story.images
    found = []
    end = 0
    for each in origins(story.accesses, after):
        found += _changed(before, after, end, each.start)
        under = before if each.over == NOBODY else story.accesses[each.over]
        old = under.at(each.start, min(each.end, each.start + VALUE_BYTES)).hex()
        found.append([each.start, each.end, each.store, each.over, int(each.certain), int(each.agrees), old])
        end = each.end
    return found + _changed(before, after, end, after.end)


def _changed(before: Access, after: Access, start: int, end: int) -> list[list[Any]]:
    """Return the bytes in between that differ from what they were."""
    was, now = before.at(start, end), after.at(start, end)
    if was == now:
        return []
    changed = [at for at, (old, new) in enumerate(zip(was, now, strict=True), start) if old != new]
    return [[at, at + 1, NOBODY, NOBODY, 1, 0, before.at(at, at + 1).hex()] for at in changed]
