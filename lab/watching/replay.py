"""Run a watched program again so that the two calls of a fault come in the order that was seen, and in the other one.

The preloaded library holds each of the two processes at its call (`_replay.c`): the one that is to be first until the
other has come to its own call, and that one until the first has returned. Both map one file, which says which calls. A
call is known by its process (`Image.who`), its kind, its file, and its number among those; whether it came from the
same place again is seen in the new logs. Every wait has a limit.
"""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from struct import Struct

from lab.analysis.lock_faults import Finding
from lab.analysis.watched import Event, History, Kind
from lab.processes import Orphan
from lab.records import Outcome, Replayed, ReplayedOrder

from .log import read_logs
from .recorders import log_folder
from .symbols import Places

HEAD, SIDE = Struct("<1024sII"), Struct("<64sIIII")
"""The parts of `struct replay` and `struct side` in _replay.c."""

LIMIT_S = 5.0
"""So long one process waits for the other."""

CALLS = (Kind.READ, Kind.WRITE, Kind.TRUNCATE)
"""What is recorded before it is done, and so can be held; an open is recorded once it is done."""

RunAgain = Callable[[Path, Mapping[str, str]], tuple[list[Outcome], bool, list[Orphan]]]
"""Runs the copies, with logs in this folder and these variables; returns how they ended, whether they were interrupted,
and what ran on."""

CheckFile = Callable[[Path], list[str]]
"""Returns what is broken in a file."""


class FirstContents:
    """What the files that a command names had in them before it ran; `folder` has their copies."""

    def __init__(self, commands: Sequence[Sequence[str]], globs: Sequence[str], folder: Path) -> None:
        """Copy them. Raises OSError."""
        self._copies: dict[Path, Path | None] = {}
        whole = [word for command in commands for word in command[1:]] + [each for each in globs if not has_magic(each)]
        parts = [part for word in whole for part in re.split(r"[\s=;&|<>'\"]+", word)]
        matched = [path for each in globs for path in glob(each, recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute ones
        for word in [*whole, *parts, *matched]:
            with suppress(ValueError, OSError, RuntimeError):
                path = Path(word).resolve()
                if path not in self._copies and path.is_file():
                    self._copies[path] = Path(shutil.copyfile(path, folder / str(len(self._copies))))
                elif path not in self._copies and word in whole and not path.exists():
                    self._copies[path] = None

    def __contains__(self, path: Path) -> bool:
        return path in self._copies

    def restore(self) -> None:
        """Put them back; a file that stays keeps its inode. Raises OSError."""
        for path, copy in self._copies.items():
            if copy is None:
                if path.is_file():
                    path.unlink()
            elif not path.is_file() or not filecmp.cmp(path, copy, shallow=False):
                shutil.copyfile(copy, path)


@dataclass(frozen=True, slots=True)
class _Call:
    """One of the two calls: how it is known again, and what the report says of it."""

    who: str
    kind: Kind
    number: int
    place: str
    words: str


@dataclass(frozen=True, slots=True)
class Again:
    """What it takes to run the copies again: `run` them, the `contents` to put back, and a `check` of the file.

    `before` is how the copies ended when nothing was held.
    """

    run: RunAgain
    contents: FirstContents
    check: CheckFile | None
    before: Sequence[Outcome]


def replay(
    fault: int,
    history: History,
    groups: Sequence[Sequence[Finding]],
    words: Callable[[Event], str],
    again: Again,
) -> Replayed:
    """Replay the fault of this number in both orders; the `groups` are those of the report, for each fault one.

    `words` says what a call did. Raises OSError where the files cannot be put back, and what the check raises.
    """
    if not 1 <= fault <= len(groups):
        have = f"there are {len(groups)}" if len(groups) > 1 else "there is 1" if groups else "there is none"
        return Replayed(fault, refused=f"there is no fault of this number; {have}")
    pair = next(filter(None, map(_pair, groups[fault - 1])), None)
    if pair is None:
        why = "it is not about two reads or writes of two processes, which could come in another order"
        return Replayed(fault, refused=why)
    if refused := _why_refused(history, pair, again.contents):
        return Replayed(fault, refused=refused)
    places, path = Places(history), Path(history.files[pair[0].file].path)
    first, second = (_call(history, places, event, words(event)) for event in pair)
    orders, left = [], []
    for calls in ((first, second), (second, first)):
        again.contents.restore()
        why_not, failed = _made(calls, path, again)
        broken = again.check(path) if again.check and not why_not else []
        damage = [*failed, *broken] if not why_not and (again.check or failed) else None
        orders.append(ReplayedOrder(calls[0].words, calls[1].words, why_not, damage))
        left.append(None if why_not else _digest(path))
    seen, other = orders
    return Replayed(fault, seen, other, same_bytes=None if None in left else left[0] == left[1])


def _why_refused(history: History, pair: tuple[Event, Event], contents: FirstContents) -> str:
    """Return why these two calls cannot be replayed; nothing where they can."""
    for event in pair:
        if not history.images[event.stack[0]].who:
            pid = history.processes[event.process].pid
            return f"process {pid} runs a program that a child executed; start each program as a copy (-n)"
    path = Path(history.files[pair[0].file].path)
    return "" if path in contents else f"what {path.name} had in it before the run is not known; add --file {path.name}"


def _call(history: History, places: Places, event: Event, words: str) -> _Call:
    image, place = event.stack[0], places.place(event)
    like = _calls_like(history, image, event.kind, history.files[event.file].path)
    who, number = history.images[image].who, like.index(event) + 1
    return _Call(who, event.kind, number, place, f"{place} ({words})" if place else words)


def _pair(found: Finding) -> tuple[Event, Event] | None:
    """Return the two calls of two processes that could come in either order."""
    calls = [event for event in found.events if event.kind in CALLS]
    second = next((event for event in calls if event.process != calls[0].process), None)
    return (calls[0], second) if second else None


def _calls_like(history: History, image: int, kind: Kind, path: str) -> list[Event]:
    """Return the calls of one kind of a process, on a file of this name, in the order of its log."""
    return [
        event
        for event in history.events.of_kinds([kind])
        if event.stack[0] == image and history.files[event.file].path == path
    ]


def _made(calls: tuple[_Call, _Call], path: Path, again: Again) -> tuple[str, list[str]]:
    """Run the copies with the calls in this order; return why it could not be made, and how copies failed in it."""
    with log_folder() as folder:
        state = folder / "order"
        sides = [SIDE.pack(each.who.encode(), each.kind, each.number, 0, 0) for each in calls]
        head = HEAD.pack(str(path).encode(errors="surrogateescape"), round(LIMIT_S * 1000), 0)
        state.write_bytes(head + b"".join(sides))
        outcomes, interrupted, _ = again.run(folder, {"LAB_WATCH_REPLAY": str(state)})
        if interrupted:
            return "interrupted", []
        why_not = _why_not(calls, path, state.read_bytes(), read_logs(folder))
    return why_not, list(_failed(outcomes, again.before))


def _why_not(calls: tuple[_Call, _Call], path: Path, state: bytes, history: History) -> str:
    """Return why the calls did not come in this order; nothing where they did."""
    given_up = HEAD.unpack_from(state)[2]
    first, second = (SIDE.unpack_from(state, HEAD.size + number * SIDE.size) for number in (0, 1))
    for call, side in zip(calls, (first, second), strict=True):
        if not side[3]:
            return f"{call.words} was not reached within {LIMIT_S:g} s, while the other process was held"
    if given_up or not first[4]:
        return f"{calls[0].words} did not return within {LIMIT_S:g} s, while the other process was held"
    places, found = Places(history), []
    for call in calls:
        image = next((number for number, each in enumerate(history.images) if each.who == call.who), -1)
        like = _calls_like(history, image, call.kind, str(path))
        if len(like) < call.number or places.place(like[call.number - 1]) != call.place:
            return f"the process of {call.place} did other calls this time"
        found.append(like[call.number - 1])
    if found[0].finish > found[1].begin:
        return "a buffered file read or wrote there, which is seen only once it is done"
    return ""


def _failed(outcomes: Sequence[Outcome], before: Sequence[Outcome]) -> Iterator[str]:
    """Yield how copies failed that had not failed so before."""
    for now, then in zip(outcomes, before, strict=True):
        if now.hung and not then.hung:
            yield f"copy {now.copy} did not end"
        elif not now.hung and now.signal and now.signal != then.signal:
            yield f"copy {now.copy} was ended by signal {now.signal}"
        elif now.exit_code and now.exit_code != then.exit_code:
            yield f"copy {now.copy} ended with exit code {now.exit_code}"


def _digest(path: Path) -> bytes:
    """Return what tells the bytes of a file from others; nothing where there is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
