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

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from lab.errors import CannotRunError, UsageError
from lab.host.disks import Filesystem, available_kinds, is_dirty, loop_filesystem, single_pages, write_back
from lab.memory import open_file, remove_file
from lab.memory.workspace import create
from lab.model.disk import PAGE
from lab.processes.guarded import Send, run_guarded
from lab.records import OnDisk

from .left import unit_name
from .script import Event, Script
from .search import disk_of
from .stage import Diverged, Model, Stage

PATIENCE_S = 60.0
"""The time, in seconds, after which a filesystem that has shown nothing is given up; mkfs(8) takes some of it."""

AGAIN_AT_MOST = 20
"""A performance is made again so often where something else writes the pages back."""


class Disturbed(Exception):  # noqa: N818 - a finding
    """Something else wrote a page back that the crash needs dirty."""


class RealStage(Stage):
    """The file and the processes of one performance on a real filesystem."""

    def __init__(self, model: Model, disk: Filesystem, limit_s: float) -> None:
        self._writes, self._dirty = moments(model)
        super().__init__(model, disk.folder / "replayed", limit_s, {*self._writes, *self._dirty})
        self._disk = disk
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

    def _write_back(self, units: Iterable[int]) -> None:
        for unit in units:
            write_back(self._descriptor, unit * PAGE, PAGE)

    def _see_lost(self, units: Iterable[int]) -> None:
        if any(is_dirty(self._descriptor, unit * PAGE, PAGE) is False for unit in units):
            raise Disturbed

    def fail(self, event: Event, number: int) -> None:
        """Write back all that is not old, cut the power, mount anew, and compare what is there with the model's file.

        Raises Disturbed where a page that is old is on the disk already, Diverged where another file is left.
        """
        old = dict(event.old)
        self._write_back(unit for unit in range(-(-self._size // PAGE)) if unit not in old)
        self._disk.cut()
        try:
            self._see_lost(old)
        finally:
            self.end_all()
            self._close()
            self._disk.unmount()
            self._disk.mount()
        self.path = self._disk.folder / "replayed"
        self._open()
        self._compare(self.left(), number)

    def left(self) -> bytes:
        """Return what is in the file."""
        return os.pread(self._descriptor, self._size, 0)

    def _compare(self, left: bytes, number: int) -> None:
        expected = self.model.contents[number]
        if left == expected:
            return
        if len(left) != len(expected):
            raise Diverged(f"the power failure at step {number} left {len(left):,} bytes of {len(expected):,}")
        unit = next(at for at in range(0, len(left), PAGE) if left[at : at + PAGE] != expected[at : at + PAGE]) // PAGE
        page = slice(unit * PAGE, (unit + 1) * PAGE)
        known = [step for step, each in enumerate(self.model.contents[:number]) if each[page] == left[page]]
        found = f"as after step {known[-1]}" if known else "as after no step"
        name = unit_name(self.model.world.shape, disk_of(self.model.world.shape, PAGE), unit)
        raise Diverged(f"the power failure at step {number} left {name} {found}, the model has it otherwise")

    def _open(self) -> None:
        self._descriptor = open_file(self.path, os.O_RDWR)
        single_pages(self._descriptor)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


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
            page = slice(unit * PAGE, (unit + 1) * PAGE)
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
    if script.unit != PAGE:
        raise UsageError(
            f"--real: the kernel writes whole pages, and this crash has units of {script.unit} bytes; "
            "explore with --unit page"
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
            with loop_filesystem(kind) as disk:
                for each in _performances(disk, model, times, limit_s):
                    send(each)

    run_guarded(body, keep, max(PATIENCE_S, 2 * limit_s))


def _performances(disk: Filesystem, model: Model, times: int, limit_s: float) -> Iterator[OnDisk]:
    done = OnDisk(disk.kind, 0, 0, "", 0)
    while done.times < times and not done.divergence:
        stage = RealStage(model, disk, limit_s)
        try:
            left = stage.perform()
            done = replace(done, times=done.times + 1, reproduced=done.reproduced + (left == model.content))
        except Diverged as error:
            done = replace(done, times=done.times + 1, divergence=str(error))
        except Disturbed:
            done = replace(done, disturbed=done.disturbed + 1)
            if done.disturbed > AGAIN_AT_MOST:
                raise CannotRunError("something on this machine writes all pages back (sync?); try again") from None
        remove_file(disk.folder / "replayed")
        yield done
