"""What a power failure may leave, against a second implementation: a disk that is written at any moment."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest

from lab.model.disk import NO_VERSIONS, Disk, Versions, how_many, images

UNIT, PAGE, SIZE = 2, 4, 8
PROGRAMS = 5_000


class Call(NamedTuple):
    """A store of these bytes, or a sync of as many."""

    stores: bool
    start: int
    data: bytes


def drawn(random: Random) -> list[Call]:
    calls = []
    for _ in range(random.randint(1, 6)):
        length = random.randint(1, 3)
        data = bytes(random.randint(0, 2) for _ in range(length))
        calls.append(Call(random.random() < 0.7, random.randint(0, SIZE - length), data))
    return calls


def written_at_any_moment(calls: list[Call]) -> list[set[bytes]]:
    """The disks that are possible after each call: a unit is written back whole, at any moment, as often as it may."""
    found: list[set[bytes]] = [set() for _ in range(len(calls) + 1)]
    waiting, seen = [(0, bytes(SIZE), bytes(SIZE))], set()
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        at, memory, disk = state
        found[at].add(disk)
        for start in range(0, SIZE, UNIT):
            waiting.append((at, memory, disk[:start] + memory[start : start + UNIT] + disk[start + UNIT :]))
        if at < len(calls):
            stores, start, data = calls[at]
            end = start + len(data)
            first, last = start // PAGE * PAGE, -(-end // PAGE) * PAGE
            after = memory[:start] + data + memory[end:] if stores else memory
            waiting.append((at + 1, after, disk if stores else disk[:first] + memory[first:last] + disk[last:]))
    return found


def modelled(calls: list[Call], disk: Disk) -> list[set[bytes]]:
    content, versions = bytes(disk.size), NO_VERSIONS
    found = [set(images(disk, content, versions))]
    for stores, start, data in calls:
        end = start + len(data)
        if stores:
            before, content = content, content[:start] + data + content[end:]
            versions = disk.stored(versions, before, content, start, end)
        else:
            versions = disk.synced(versions, start, end)
        found.append(set(images(disk, content, versions)))
        assert len(found[-1]) == how_many(versions)
    return found


def test_the_files_that_may_be_left_are_those_of_a_disk_that_is_written_at_any_moment() -> None:
    random, count = Random(20), 0
    for _ in range(PROGRAMS):
        calls = drawn(random)
        left = modelled(calls, Disk(UNIT, SIZE, PAGE))
        assert left == written_at_any_moment(calls), calls
        count += sum(map(len, left))
    assert count > 15 * PROGRAMS


class Forgets(Disk):
    """Keeps of each unit its latest content and the one before."""

    def stored(
        self, versions: Versions, before: bytes | bytearray, after: bytes | bytearray, start: int, end: int
    ) -> Versions:
        return (
            super().stored({}, before, after, start, end)
            if versions
            else super().stored(versions, before, after, start, end)
        )


class SyncsAll(Disk):
    """A sync of any bytes takes all."""

    def synced(self, versions: Versions, start: int, end: int) -> Versions:
        return {}


class SyncsUnits(Disk):
    """A sync takes the units of its bytes, and not the rest of the page."""

    def synced(self, versions: Versions, start: int, end: int) -> Versions:
        touched = range(start // self.unit, -(-end // self.unit))
        return {number: each for number, each in versions.items() if number not in touched}


@pytest.mark.parametrize("mutant", [Forgets, SyncsAll, SyncsUnits])
def test_a_disk_that_is_modelled_wrongly_is_noticed(mutant: type[Disk]) -> None:
    random = Random(20)
    programs = [drawn(random) for _ in range(200)]
    assert any(modelled(calls, mutant(UNIT, SIZE, PAGE)) != written_at_any_moment(calls) for calls in programs)


def test_the_whole_file_as_one_unit_is_written_in_the_order_of_the_stores() -> None:
    calls = [Call(True, 0, b"\1"), Call(True, 6, b"\2"), Call(False, 7, b"\0"), Call(True, 3, b"\3")]
    contents = [bytes(8), bytes([1, *[0] * 7]), bytes([1, 0, 0, 0, 0, 0, 2, 0]), bytes([1, 0, 0, 3, 0, 0, 2, 0])]
    left = modelled(calls, Disk(0, SIZE))
    assert left == [{contents[0]}, {*contents[:2]}, {*contents[:3]}, {contents[2]}, {*contents[2:]}]
