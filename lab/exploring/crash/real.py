"""Let the power of a real filesystem fail in a crash: what it leaves is found and not made.

The steps are those of `stage`, on a file of a filesystem in memory (`lab.host.disks`). The kernel may write a changed
page back at any moment: here it does so at the moments that the crash has, page by page. Then the filesystem is shut
down, all processes are killed, it is mounted anew, and the file that is there is compared with the model's. A fresh
process recovers from it, and may crash the same way.

A page that should be old must not have reached the disk when the power fails. Where something else made the kernel
write it, as sync(2) of any process does, the performance says nothing and is made again. A page that is dirty just
after the power was cut was not written before: nothing can be written any more.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from lab.errors import CannotRunError, UsageError
from lab.host.disks import Filesystem, available_kinds, is_dirty, loop_filesystem, single_pages, write_back
from lab.memory import open_file, remove_file
from lab.memory.workspace import create
from lab.model.disk import PAGE
from lab.processes.guarded import Send, run_guarded
from lab.processes.recording_disk import SECTOR, blank_disk, recording_disk
from lab.records import OnDisk

from .left import unit_name
from .script import Event, Script
from .search import disk_of
from .stage import Diverged, Model, Stage

PATIENCE_S = 60.0
"""The time, in seconds, after which a filesystem that has shown nothing is given up; mkfs(8) takes some of it."""

NAME = "replayed"
FIBMAP = 1
"""linux/fs.h: the block of the device at which a block of a file lies."""

AGAIN_AT_MOST = 20
"""A performance is made again so often where something else writes the pages back."""


class Disturbed(Exception):  # noqa: N818 - a finding
    """Something else wrote a page back that the crash needs dirty."""


class RealStage(Stage):
    """The file and the processes of one performance on a real filesystem, whose pages are lost."""

    def __init__(self, model: Model, disk: Filesystem, limit_s: float) -> None:
        self._writes, self._dirty = moments(model)
        super().__init__(model, disk.folder / NAME, limit_s, {*self._writes, *self._dirty})
        self._disk = disk
        self._unit = model.script.unit
        self._size = model.world.shape.layout.size
        self._descriptor = -1

    def begin(self, ended: ExitStack) -> None:
        """Lay the file out on the disk."""
        create(self.path, self.model.world.prepared, sparse=False)
        self._open()
        ended.callback(self._close)
        self._disk.settle()

    def started(self) -> None:
        """Write back what the workers laid out before their first step."""
        self._disk.settle()

    def stopped(self, number: int) -> None:
        """Let the kernel write back the pages that are to be old as after this step.

        Raises Disturbed where a page is on the disk that must not be there.
        """
        self._see_lost(self._dirty.get(number, ()))
        self._write_back(self._writes.get(number, ()))

    def fail(self, event: Event, number: int) -> None:
        """Write back all that is not old, cut the power, mount anew, and compare what is there with the model's file.

        Raises Disturbed where a page that is old is on the disk already, Diverged where another file is left.
        """
        old = dict(event.old)
        self._write_back(unit for unit in range(-(-self._size // self._unit)) if unit not in old)
        self._cut(old)
        self.path = self._disk.folder / NAME
        self._open()
        self._compare(self.left(), number)

    def left(self) -> bytes:
        """Return what is in the file."""
        return os.pread(self._descriptor, self._size, 0)

    def _cut(self, old: Collection[int]) -> None:
        self._disk.cut()
        try:
            self._see_lost(old)
        finally:
            self.end_all()
            self._close()
            self._disk.unmount()
            self._disk.mount()

    def _write_back(self, units: Iterable[int]) -> None:
        for page in sorted({unit * self._unit // PAGE for unit in units}):
            write_back(self._descriptor, page * PAGE, PAGE)

    def _see_lost(self, units: Iterable[int]) -> None:
        if any(is_dirty(self._descriptor, unit * PAGE, PAGE) is False for unit in units):
            raise Disturbed

    def _compare(self, left: bytes, number: int) -> None:
        expected, unit = self.model.contents[number], self._unit
        if left == expected:
            return
        if len(left) != len(expected):
            raise Diverged(f"the power failure at step {number} left {len(left):,} bytes of {len(expected):,}")
        first = next(at for at in range(0, len(left), unit) if left[at : at + unit] != expected[at : at + unit]) // unit
        place = slice(first * unit, (first + 1) * unit)
        known = [step for step, each in enumerate(self.model.contents[:number]) if each[place] == left[place]]
        found = f"as after step {known[-1]}" if known else "as after no step"
        name = unit_name(self.model.world.shape, disk_of(self.model.world.shape, unit), first)
        raise Diverged(f"the power failure at step {number} left {name} {found}, the model has it otherwise")

    def _open(self) -> None:
        self._descriptor = open_file(self.path, os.O_RDWR)
        single_pages(self._descriptor)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class SectorStage(RealStage):
    """The same on a disk that keeps a record, from which it is made again without the sectors that are lost.

    The filesystem writes whole pages; of each write of a page those sectors are left out that are older when the power
    fails.
    """

    def __init__(self, model: Model, blank: int, kind: str, limit_s: float, ended: ExitStack) -> None:
        self._kind = kind
        self._disks = ended.enter_context(ExitStack())
        self._recorder = self._disks.enter_context(recording_disk(kind, blank))
        super().__init__(model, self._recorder.filesystem, limit_s)
        self._written: dict[int, int] = {}

    def started(self) -> None:
        """Write back what the workers laid out, and begin to count the writes."""
        super().started()
        self._begin_life()

    def stopped(self, number: int) -> None:
        """Let the kernel write back the pages of which a sector is to be old as after this step."""
        units = self._writes.get(number, ())
        self._write_back(units)
        self._written.update(dict.fromkeys(units, len(self._recorder.record())))

    def _begin_life(self) -> None:
        self._first = len(self._recorder.record())
        self._written.clear()

    def _cut(self, old: Collection[int]) -> None:
        """Make the disk again: of an old sector it has the writes up to the moment after which it is old."""
        record = self._recorder.record()
        most = {self._on_disk(unit): self._written.get(unit, self._first) for unit in old}
        self.end_all()
        self._close()
        self._disk.unmount()
        memory = self._recorder.rebuilt(record, lambda number, at: number < most.get(at, len(record)))
        try:
            self._disks.close()
            self._recorder = self._disks.enter_context(recording_disk(self._kind, memory))
        finally:
            os.close(memory)
        self._disk = self._recorder.filesystem
        self._begin_life()

    def _on_disk(self, unit: int) -> int:
        """Return the first byte of a sector of the file on the disk (FIBMAP: blocks of 4,096 bytes)."""
        page, rest = divmod(unit * self._unit, PAGE)
        (block,) = struct.unpack("i", fcntl.ioctl(self._descriptor, FIBMAP, struct.pack("i", page)))
        return int(block) * PAGE + rest


Moments = dict[int, list[int]]
"""Units of the file, by the number of a step."""


def moments(model: Model) -> tuple[Moments, Moments]:
    """Return the units that are written back after a step, and those that must be dirty then and not on the disk.

    The first are old when the power fails, as after that step. The second are stored into once more by the next step:
    what was stored before must not reach the disk either.
    """
    writes: Moments = {}
    dirty: Moments = {}
    number = begun = 0
    for event in model.script.events:
        number += event.steps if event.kind in "xr" else 1
        for unit, step in event.old:
            if step > begun:  # else it has not changed on the disk since the failure before this one
                writes.setdefault(step, []).append(unit)
            page = slice(unit * model.script.unit, (unit + 1) * model.script.unit)
            pages = [each[page] for each in model.contents[max(step, begun) : number]]
            stores = [at for at in range(1, len(pages)) if pages[at] != pages[at - 1]]
            for at in stores[1:]:
                dirty.setdefault(max(step, begun) + at - 1, []).append(unit)
        begun = number if event.kind == "p" else begun
    return writes, dirty


def check_real(script: Script, asked: Sequence[str]) -> list[str]:
    """Return the filesystems on which the power is to fail: those that were asked for, else all that are there.

    Raises UsageError where the crash is none of the power or its units are no pages, CannotRunError where the machine
    lacks something.
    """
    if script.kind != "power":
        raise UsageError(
            "--real: a kill leaves all that was stored, on each filesystem; replay it without --real, on --dir"
        )
    if script.unit not in (PAGE, SECTOR):
        raise UsageError(
            f"--real: a disk writes whole sectors, and this crash has units of {script.unit} bytes; "
            "explore with --unit page or sector"
        )
    if mmap.PAGESIZE != PAGE:
        raise CannotRunError(f"--real: pages have {mmap.PAGESIZE:,} bytes here, those of the model {PAGE:,}")
    try:
        return available_kinds([] if list(asked) == ["all"] else asked)
    except (CannotRunError, UsageError) as error:
        raise type(error)(f"--real: {error}") from error


def perform_on(kinds: Sequence[str], model: Model, times: int, limit_s: float, keep: Callable[[OnDisk], None]) -> None:
    """Perform the crash so often on each of these filesystems, and `keep` the figures of each as they come.

    It stops where the model and the kernel part. Raises as `run_guarded`, and CannotRunError where a filesystem cannot
    be made, mounted or shut down.
    """

    def body(send: Send) -> None:
        for kind in kinds:
            with ExitStack() as ended:
                if model.script.unit == PAGE:
                    disk = ended.enter_context(loop_filesystem(kind))
                    stages = _on_pages(disk, model, limit_s)
                else:
                    blank = blank_disk(kind)
                    ended.callback(os.close, blank)
                    stages = _on_sectors(kind, blank, model, limit_s)
                ended.callback(stages.close)
                for each in _performances(kind, model, times, stages):
                    send(each)

    run_guarded(body, keep, max(PATIENCE_S, 2 * limit_s))


Stages = Generator[RealStage, None, None]


def _on_pages(disk: Filesystem, model: Model, limit_s: float) -> Stages:
    """Yield stages for one performance each, one after the other on one disk."""
    while True:
        yield RealStage(model, disk, limit_s)
        remove_file(disk.folder / NAME)


def _on_sectors(kind: str, blank: int, model: Model, limit_s: float) -> Stages:
    """Yield stages for one performance each, with a copy of the blank disk each."""
    while True:
        with ExitStack() as ended:
            yield SectorStage(model, blank, kind, limit_s, ended)


def _performances(kind: str, model: Model, times: int, stages: Stages) -> Iterator[OnDisk]:
    done = OnDisk(kind, 0, 0, "", 0)
    while done.times < times and not done.divergence:
        stage = next(stages)
        try:
            left = stage.perform()
            done = replace(done, times=done.times + 1, reproduced=done.reproduced + (left == model.content))
        except Diverged as error:
            done = replace(done, times=done.times + 1, divergence=str(error))
        except Disturbed:
            done = replace(done, disturbed=done.disturbed + 1)
            if done.disturbed > AGAIN_AT_MOST:
                raise CannotRunError("something on this machine writes all pages back (sync?); try again") from None
        yield done
