"""The model of the disk against ext4 and xfs: what it allows can be made, and what they leave it allows."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from lab.host.disks import Filesystem, is_dirty, loop_filesystem, single_pages, write_back
from lab.memory.workspace import create
from lab.model.disk import NO_VERSIONS, PAGE, Disk, Versions
from lab.processes.guarded import Send, run_guarded
from tests.helpers import PATIENCE_S, in_fresh_process

pytestmark = [pytest.mark.mounts, pytest.mark.needs("power")]

PAGES = 4
SIZE = PAGES * PAGE
IMAGES, WRITEBACKS = 30, 100

VOID = 5
"""How often all is done again where something else on the machine wrote back what should be lost (sync(2))."""


class Call(NamedTuple):
    """A store of so many bytes of this letter, or a sync of as many."""

    stores: bool
    start: int
    length: int
    letter: int


def drawn(random: Random) -> list[Call]:
    calls = []
    for number in range(random.randint(3, 10)):
        length = random.choice((8, 100, PAGE))
        calls.append(Call(random.random() < 0.7, random.randrange(SIZE - length), length, ord("A") + number))
    return calls


class SyncsTooMuch(Disk):
    """It takes the whole file, and forgets what is still in memory only."""

    def synced(self, versions: Versions, start: int, end: int) -> Versions:
        return NO_VERSIONS


class SyncsTooLittle(Disk):
    """It takes only the first page of those that were asked for."""

    def synced(self, versions: Versions, start: int, end: int) -> Versions:
        return super().synced(versions, start, start + 1)


class ForgetsAVersion(Disk):
    """Of the contents that a page has had it knows two at most."""

    def stored(self, versions: Versions, before: Any, after: Any, start: int, end: int) -> Versions:
        known = super().stored(versions, before, after, start, end)
        firsts = {unit: versions.get(unit, frozenset((bytes(before[unit * PAGE :][:PAGE]),))) for unit in known}
        return {unit: frozenset((min(firsts[unit]), bytes(after[unit * PAGE :][:PAGE]))) for unit in known}


def contents(calls: list[Call]) -> list[bytes]:
    """The file at first, and after each call."""
    found = [b"o" * SIZE]
    for stores, start, length, letter in calls:
        before = found[-1]
        found.append(before[:start] + bytes([letter]) * length + before[start + length :] if stores else before)
    return found


def modelled(calls: list[Call], disk: Disk) -> Versions:
    """What each page may be on the disk after all calls, where it is not what is in memory."""
    files, versions = contents(calls), NO_VERSIONS
    for number, (stores, start, length, _) in enumerate(calls):
        if stores:
            versions = disk.stored(versions, files[number], files[number + 1], start, start + length)
        else:
            versions = disk.synced(versions, start, start + length)
    return versions


class Plan(NamedTuple):
    """A program, the pages that are written back after each call, and the file that is expected, if one is."""

    calls: list[Call]
    moments: dict[int, list[int]]
    old: list[int]
    expected: bytes = b""


def image(calls: list[Call], disk: Disk, random: Random) -> Plan:
    """One of the files that the model has, and when which page has to be written back to leave it."""
    files = contents(calls)
    left = files[-1]
    moments: dict[int, list[int]] = {}
    old: list[int] = []
    for unit, known in sorted(modelled(calls, disk).items()):
        place = slice(unit * PAGE, (unit + 1) * PAGE)
        chosen = random.choice(sorted(known))
        if chosen == files[-1][place]:
            continue
        moment = max(number for number, each in enumerate(files) if each[place] == chosen)
        moments.setdefault(moment, []).append(unit)
        left, old = disk.put(left, unit, chosen), [*old, unit]
    moments.setdefault(len(calls), []).extend(unit for unit in range(PAGES) if unit not in old)
    return Plan(calls, moments, old, left)


def different_images(disk: Disk, seed: int) -> list[Plan]:
    """So many of them, no two alike, and each with a page that is lost."""
    random = Random(seed)
    found: dict[bytes, Plan] = {}
    while len(found) < IMAGES:
        plan = image(drawn(random), disk, random)
        if plan.old:
            found[plan.expected] = plan
    return list(found.values())


def at_random(seed: int) -> list[Plan]:
    random, plans = Random(seed), []
    for _ in range(WRITEBACKS):
        calls = drawn(random)
        moments: dict[int, list[int]] = {}
        for _ in range(random.randint(0, 8)):
            moments.setdefault(random.randint(0, len(calls)), []).append(random.randrange(PAGES))
        plans.append(Plan(calls, moments, []))
    return plans


def cut(disk: Filesystem, plans: list[Plan], *, whole: bool = False) -> tuple[list[bytes], bool]:
    """Do all programs, each on a file of its own, then cut the power once.

    What is left of each file, and whether all that should be lost was in memory only until then. `whole` leaves the
    files as they are written, in large folios.
    """
    with ExitStack() as ends:
        opened = []
        for number in range(len(plans)):
            create(path := disk.folder / f"{number}", b"o" * SIZE, sparse=False)
            opened.append(os.open(path, os.O_RDWR))
            ends.callback(os.close, opened[-1])
        disk.settle()
        lost = True
        for plan, descriptor in zip(plans, opened, strict=True):
            mapping, each = perform(plan, descriptor, whole=whole)
            ends.callback(mapping.close)
            lost = lost and each
        disk.cut()
        for plan, descriptor in zip(plans, opened, strict=True):
            lost = lost and all(not_written(descriptor, unit) for unit in plan.old)
    disk.unmount()
    disk.mount()
    return [Path(disk.folder, f"{number}").read_bytes() for number in range(len(plans))], lost


def not_written(descriptor: int, unit: int) -> bool:
    """That a dirty page is dirty still, as far as the kernel says."""
    return is_dirty(descriptor, unit * PAGE, PAGE) is not False


def perform(plan: Plan, descriptor: int, *, whole: bool) -> tuple[mmap.mmap, bool]:
    """The mapping, and whether no page was written back that is to be lost, before it is stored into once more."""
    if not whole:
        single_pages(descriptor)
    mapping = mmap.mmap(descriptor, SIZE)
    if not whole:
        mapping.madvise(mmap.MADV_RANDOM)
    dirty: set[int] = set()
    lost = True
    for number in range(len(plan.calls) + 1):
        for unit in plan.moments.get(number, ()):
            write_back(descriptor, unit * PAGE, PAGE)
            dirty.discard(unit)
        if number < len(plan.calls):
            stores, start, length, letter = plan.calls[number]
            units = set(range(start // PAGE, (start + length - 1) // PAGE + 1))
            if stores:
                lost = lost and all(not_written(descriptor, unit) for unit in dirty.intersection(units, plan.old))
                mapping[start : start + length] = bytes([letter]) * length
                dirty |= units
            else:
                mapping.flush(start // PAGE * PAGE, length + start % PAGE)
                dirty -= units
    return mapping, lost


def on_a_disk(kind: str, body: Callable[[Filesystem], Any]) -> Any:
    """What the body returns for a filesystem of this kind."""
    found: list[Any] = []

    def run(send: Send) -> None:
        with loop_filesystem(kind) as disk:
            send(body(disk))

    run_guarded(run, found.append, PATIENCE_S)
    return found[0]


def made(kind: str, model: str) -> int:
    """How many of the model's files the filesystem left, byte for byte."""
    plans = different_images(globals()[model](PAGE, SIZE), 20)

    def body(disk: Filesystem) -> int:
        for _ in range(VOID):
            left, lost = cut(disk, plans)
            if lost or model != "Disk":
                break
            clear(disk)
        else:
            pytest.fail("something on this machine writes all pages back, again and again")
        return sum(each == plan.expected for each, plan in zip(left, plans, strict=True))

    found: int = on_a_disk(kind, body)
    return found


def clear(disk: Filesystem) -> None:
    for path in disk.folder.glob("[0-9]*"):
        path.unlink()


def allowed(kind: str) -> dict[str, int]:
    """How many of the files that random writebacks left are among those of each model."""
    plans = at_random(21)
    left, _ = on_a_disk(kind, lambda disk: cut(disk, plans))
    models = (Disk, SyncsTooMuch, SyncsTooLittle, ForgetsAVersion)
    return {model.__name__: sum(map(has, plans, left, [model(PAGE, SIZE)] * len(plans))) for model in models}


def has(plan: Plan, left: bytes, disk: Disk) -> bool:
    return all(page in known for page, known in zip(pages(left), known_pages(plan, disk), strict=True))


def pages(content: bytes) -> Iterator[bytes]:
    return (content[start : start + PAGE] for start in range(0, SIZE, PAGE))


def known_pages(plan: Plan, disk: Disk) -> Iterator[frozenset[bytes]]:
    versions = modelled(plan.calls, disk)
    return (versions.get(unit, frozenset((page,))) for unit, page in enumerate(pages(contents(plan.calls)[-1])))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_each_file_of_the_model_is_made_for_real_byte_for_byte(kind: str) -> None:
    assert in_fresh_process(made, kind, "Disk") == IMAGES
    assert in_fresh_process(made, kind, "SyncsTooLittle") < IMAGES, "a model that forgets a sync is seen"


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_random_writebacks_leave_is_in_the_model(kind: str) -> None:
    found = in_fresh_process(allowed, kind)
    assert found.pop("Disk") == found.pop("SyncsTooLittle") == WRITEBACKS
    assert max(found.values()) < WRITEBACKS, "models that allow too little are seen"
    assert min(found.values()) > 0


def in_large_folios(kind: str) -> list[bool]:
    """A sync of one page, where the file was written in one call: is the page beside it kept? And in single pages?"""
    plan = Plan([Call(True, 0, SIZE, ord("N")), Call(False, 0, 1, 0)], {}, [])
    found = []
    for whole in (True, False):
        ((left,), _) = on_a_disk(kind, partial(cut, plans=[plan], whole=whole))
        found.append(left[PAGE:] == b"N" * (SIZE - PAGE))
    return found


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_large_folio_hides_that_a_page_is_not_synced(kind: str) -> None:
    hidden, in_single_pages = in_fresh_process(in_large_folios, kind)
    assert hidden or kind == "ext4", "ext4 has large folios since Linux 6.16"
    assert not in_single_pages
