"""What a power failure may leave of a directory, against a second implementation, which is written at any moment."""

from __future__ import annotations

from errno import EEXIST, ENOENT
from functools import partial
from random import Random
from typing import Any, NamedTuple

import pytest

from lab.errors import ScenarioError
from lab.model.directory import Call, Directory, Effect, Files, Load
from lab.model.disk import NO_VERSIONS, PAGE, Disk, images

FIRST = {"a": b"a", "b": None}
NAMES = [*FIRST]
PROGRAMS = 2_500
BASE = 8
"""The directory begins behind a mapped file of so many bytes."""

View = frozenset[tuple[str, bytes, frozenset[str]]]
"""What the names lead to: what the file holds, and by which names it is called."""


def drawn(random: Random) -> list[Call]:
    """Up to six calls, of which those on a file are on one that is open."""
    calls: list[Call] = []
    is_open = False
    for _ in range(random.randint(1, 6)):
        name, other = random.choice(NAMES), random.choice(NAMES)
        words = ["create", "open", "rename", "unlink", "sync"] + ["write", "write", "sync", "sync", "read"] * is_open
        word = random.choice(words)
        if word in ("create", "open"):
            is_open = True
        on_file = word in ("read", "write") or (word == "sync" and is_open and random.random() < 0.7)
        data = bytes([random.randint(1, 2)]) * random.randint(1, 2) if word == "write" else b""
        name = "" if word == "sync" and not on_file else name
        calls.append(Call(word, name, other, data, 0, (0,), exclusive=random.random() < 0.3))
    return calls


STAYS_OPEN = [
    Call("open", "a", open=(0,)), Call("unlink", "a", open=(0,)), Call("sync", open=(0,)), Call("read", "a", open=(0,)),
]  # fmt: skip
"""A file without a name lives on while it is open."""


class Memory(NamedTuple):
    """The directory in memory: the file of each name, the length and the bytes of each file, and what is open."""

    names: tuple[int | None, ...]
    files: tuple[tuple[int, bytes], ...]
    open: int | None


def done(memory: Memory, call: Call) -> tuple[Memory, bytes | int]:
    """The directory after this call, and its result, as the manual pages say it: without a model of bytes."""
    names, files, opened = list(memory.names), list(memory.files), memory.open
    at = NAMES.index(call.name) if call.name else -1
    if call.word == "create":
        if names[at] is not None and call.exclusive:
            return memory, -EEXIST
        if names[at] is None:
            files.append((0, b""))
            names[at] = len(files) - 1
        else:
            files[names[at] or 0] = (0, b"")
        return Memory(tuple(names), tuple(files), names[at]), 0
    if call.word in ("open", "rename", "unlink") and names[at] is None:
        return memory, -ENOENT
    if call.word == "open":
        return memory._replace(open=names[at]), 0
    if call.word == "read" and opened is not None:
        return memory, files[opened][1]
    if call.word == "write" and opened is not None:
        length, held = files[opened]
        files[opened] = length + len(call.data), held[:length] + call.data
    elif call.word == "unlink":
        names[at] = None
    elif call.word == "rename" and names[at] != names[NAMES.index(call.other)]:
        names[NAMES.index(call.other)], names[at] = names[at], None
    return Memory(tuple(names), tuple(files), opened), 0


def units(memory: Memory) -> dict[Any, Any]:
    """What is written back each for itself."""
    found: dict[Any, Any] = {("name", name): file for name, file in zip(NAMES, memory.names, strict=True)}
    for file, (length, held) in enumerate(memory.files):
        found |= {("length", file): length, ("bytes", file): held}
    return found


def view(disk: dict[Any, Any]) -> View:
    leads = {name: disk["name", name] for name in NAMES if disk["name", name] is not None}
    return frozenset(
        (name, disk["bytes", file].ljust(9, b"\0")[: disk["length", file]],
         frozenset(each for each, its in leads.items() if its == file))
        for name, file in leads.items()
    )  # fmt: skip


def written_at_any_moment(calls: list[Call]) -> list[set[View]]:
    """The directories that may be on the disk after each call."""
    memory = Memory((0, None), ((1, b"a"),), None)
    disks = {frozenset(units(memory).items())}
    found = [{view(dict(disk)) for disk in disks}]
    for call in calls:
        memory, _ = done(memory, call)
        now = units(memory)
        new = {key: 0 if key[0] == "length" else b"" for key in now if key[0] != "name"}
        disks = {frozenset((new | dict(disk)).items()) for disk in disks}
        if call.word == "sync":
            of = ("name",) if not call.name else ("length", "bytes")
            taken = {k: v for k, v in now.items() if k[0] in of and (not call.name or k[1] == memory.open)}
            disks = {frozenset((dict(disk) | taken).items()) for disk in disks}
        waiting = list(disks)
        while waiting:
            disk = dict(waiting.pop())
            for key, value in now.items():
                written = frozenset((disk | {key: value}).items())
                if written not in disks:
                    disks.add(written)
                    waiting.append(written)
        found.append({view(dict(disk)) for disk in disks})
    return found


def part(content: bytes, start: int, end: int) -> bytes:
    return content[start:end]


def modelled(calls: list[Call], directory: Directory) -> list[set[View]]:
    disk = Disk(PAGE, BASE, PAGE, directory.parts(PAGE), directory.volatile)
    content, versions = bytes(BASE) + directory.first(), NO_VERSIONS
    memory = Memory((0, None), ((1, b"a"),), None)

    def seen() -> set[View]:
        return {of_image(directory, disk.failed(image)) for image in images(disk, content, versions)}

    found = [seen()]
    for call in calls:
        if memory.open is None and (call.word in ("read", "write") or (call.word == "sync" and call.name)):
            found.append(found[-1])  # the worker has no such file
            continue
        effect = directory.perform(call, 0, partial(part, content))
        memory, met = done(memory, call)
        assert (effect.met if isinstance(met, bytes) else min(int(effect.met), 0)) == met, calls
        before = content
        for start, data in effect.stores:
            content = content[:start] + data + content[start + len(data) :]
        for start, data in effect.stores:
            versions = disk.stored(versions, before, content, start, start + len(data))
        for start, end in effect.syncs:
            versions = disk.synced(versions, start, end)
        assert of_image(directory, content) == view(units(memory))
        found.append(seen())
    return found


def of_image(directory: Directory, image: bytes) -> View:
    load = partial(part, image)
    leads = directory.numbers(load)
    files = Files(directory, load)
    assert {*files} == {*leads}
    assert len(files) == len(leads)
    return frozenset(
        (name, files[name], frozenset(each for each, its in leads.items() if its == number))
        for name, number in leads.items()
    )


def directory_of(kind: type[Directory] = Directory) -> Directory:
    return kind(FIRST, BASE, 1, 6)


def test_the_directories_that_may_be_left_are_those_of_a_disk_that_is_written_at_any_moment() -> None:
    random, count = Random(20), 0
    for calls in [STAYS_OPEN, *(drawn(random) for _ in range(PROGRAMS))]:
        left = modelled(calls, directory_of())
        assert left == written_at_any_moment(calls), calls
        count += sum(map(len, left))
    assert count > 8 * PROGRAMS


class SyncsTheName(Directory):
    """A sync of a file takes the names along, as ext4 and xfs do and POSIX does not say."""

    def _sync(self, call: Call, worker: int, load: Load) -> Effect:
        effect = super()._sync(call, worker, load)
        return effect._replace(syncs=(*effect.syncs, (self.base, self.names_end)))


class SyncsFiles(Directory):
    """A sync of the directory takes all that is in it."""

    def _sync(self, call: Call, worker: int, load: Load) -> Effect:
        effect = super()._sync(call, worker, load)
        return effect if call.name else effect._replace(syncs=((self.base, self.end),))


class OneUnit(Directory):
    """The length of a file and its bytes reach the disk together: no file is zeros."""

    def parts(self, unit: int) -> list[slice]:
        found = super().parts(unit)
        names, rest = found[: len(self.names)], found[len(self.names) :]
        return names + [slice(one.start, two.stop) for one, two in zip(rest[::2], rest[1::2], strict=True)]


class NamesTogether(Directory):
    """A rename reaches the disk as one change."""

    def parts(self, unit: int) -> list[slice]:
        return [slice(self.base, self.names_end), *super().parts(unit)[len(self.names) :]]


class FreesTooEarly(Directory):
    """A file without a name is gone at once, though the disk may have an old name of it."""

    def _rename(self, call: Call, worker: int, load: Load) -> Effect:
        lost = self.number(load, call.other)
        effect = super()._rename(call, worker, load)
        if not lost or not effect.stores:
            return effect
        start, length = self.lock_range(lost)
        return effect._replace(stores=(*effect.stores, (start, bytes(length))), syncs=((start, start + length),))


class ForgetsOpen(Directory):
    """A file without a name is gone once the directory is synced, though a worker has it open."""

    def _sync(self, call: Call, worker: int, load: Load) -> Effect:
        def with_none_open(start: int, end: int) -> bytes:
            return b"\0" if self.volatile.start <= start < self.volatile.stop else load(start, end)

        return super()._sync(call, worker, load if call.name else with_none_open)


def is_noticed(mutant: type[Directory], calls: list[Call]) -> bool:
    """Whether the mutant leaves something else, or answers otherwise."""
    try:
        return modelled(calls, directory_of(mutant)) != written_at_any_moment(calls)
    except AssertionError:
        return True


@pytest.mark.parametrize("mutant", [SyncsTheName, SyncsFiles, OneUnit, NamesTogether, FreesTooEarly, ForgetsOpen])
def test_a_directory_that_is_modelled_wrongly_is_noticed(mutant: type[Directory]) -> None:
    random = Random(20)
    programs = [STAYS_OPEN, *(drawn(random) for _ in range(300))]
    assert any(is_noticed(mutant, calls) for calls in programs)


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ([Call("create", "c")], "there is no file 'c'"),
        ([Call("open", "a"), Call("write", "a", data=bytes(64), open=(0,))], "would hold 65 bytes"),
        ([Call("create", "b"), Call("unlink", "b")] * 8, "more than 8 files"),
    ],
)
def test_what_a_directory_has_no_room_for_is_refused(calls: list[Call], error: str) -> None:
    with pytest.raises(ScenarioError, match=error):
        modelled(calls, directory_of())
