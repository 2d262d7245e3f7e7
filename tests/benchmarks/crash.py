"""What real filesystems keep when the power fails: the measurement behind the tables of docs/crash.md.

    sudo python tests/benchmarks/crash.py [--times 30]

Each filesystem is made in memory. A crash is a copy of what its device has got at that moment, mounted after the
original was unmounted: no ioctl of the filesystem has a part in it, unlike in `lab replay --real`. The first table has
what is left of two pages that were stored into, once in blocks that were written before and once in blocks that were
only reserved. The second has how many files of the model can be made: pages that were written back at one moment and
stored into again later. The third has what is under a name after rename(2), at each write of the disk.
"""

from __future__ import annotations

import argparse
import mmap
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from random import Random

from lab.host import disks
from lab.host.disks import Filesystem, loop_filesystem, mount_nowhere, single_pages, write_back
from lab.memory import calls
from lab.processes.guarded import Send, run_guarded
from lab.processes.recording_disk import _copied, recording_disk

PAGE = 4096
MOUNTS = {
    "ext4": ("ext4", ""),
    "ext4 data=journal": ("ext4", "data=journal"),
    "ext4 data=writeback": ("ext4", "data=writeback"),
    "xfs": ("xfs", ""),
    "btrfs": ("btrfs", ""),
    "btrfs nodatacow": ("btrfs", "nodatacow"),
}
disks.MEBIBYTES["btrfs"], disks.OPTIONS["btrfs"] = 128, ()
disks.PACKAGES["btrfs"] = "btrfs-progs"


class Options(Filesystem):
    """A filesystem that is mounted with these options."""

    options = ""

    def mount(self) -> None:
        named = (each.partition("=") for each in self.options.split(",") if each)
        self._mount = mount_nowhere(self.kind, source=self._device, **{name: value for name, _, value in named})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="files of the model for each filesystem")
    asked = parser.parse_args()
    print(f"Linux {platform.release()}, {platform.machine()}\n")
    for table in (survival, lambda: images(asked.times), renames):
        run_guarded(lambda send, table=table: each_line(table, send), print, 120)  # type: ignore[misc]
        print()


def each_line(table: Callable[[], Iterator[str]], send: Send) -> None:
    for line in table():
        send(line)


@contextmanager
def crashed(kind: str, options: str, work: Callable[[Path], object]) -> Iterator[Path]:
    """Do the work on a new filesystem, and yield the root of the one that a crash leaves just after it."""
    memory = os.memfd_create("lab-disk-benchmark")
    os.ftruncate(memory, disks.MEBIBYTES[kind] << 20)
    loop = disks.Loop(memory)
    made = Options(kind, loop.path)
    made.options = options
    made.make()
    made.mount()
    kept = work(made.folder)
    left = _copied(memory)
    del kept
    made.unmount()
    loop.close()
    os.close(memory)
    with loop_filesystem(kind, left) as disk:
        yield disk.folder
    os.close(left)


# What survives


def nothing(descriptor: int, address: int) -> None: ...


def msync_async(descriptor: int, address: int) -> None:
    calls.msync(address, 2 * PAGE, calls.MS_ASYNC)


def unmapped(descriptor: int, address: int) -> None:
    calls.munmap(address, 2 * PAGE)


def written_back(descriptor: int, address: int) -> None:
    write_back(descriptor, 0, 2 * PAGE)


def msync_first(descriptor: int, address: int) -> None:
    calls.msync(address, PAGE)


def fdatasync(descriptor: int, address: int) -> None:
    os.fdatasync(descriptor)


def fsync(descriptor: int, address: int) -> None:
    os.fsync(descriptor)


WAYS = {
    "nothing, exit": nothing,
    "munmap(), close()": unmapped,
    "msync(MS_ASYNC)": msync_async,
    "sync_file_range()": written_back,
    "msync(MS_SYNC) of the first": msync_first,
    "fdatasync()": fdatasync,
    "fsync()": fsync,
}


def survival() -> Iterator[str]:
    yield f"what is left of two pages: {'; '.join(WAYS)}"
    for name, (kind, options) in MOUNTS.items():
        for before in ("written", "reserved"):
            found = []
            for way in WAYS.values():

                def work(folder: Path, way: Callable[[int, int], None] = way, before: str = before) -> None:
                    in_child(lambda: stores(folder / "f", way, before))

                with crashed(kind, options, work) as folder:
                    content = (folder / "f").read_bytes()
                    found.append(" ".join(what(content, at) for at in (0, PAGE)))
            yield f"{name:24} blocks {before:10} {'; '.join(found)}"


def stores(path: Path, way: Callable[[int, int], None], before: str) -> None:
    """Store in two pages of a settled file; go this way; exit without anything else."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    if before == "written":
        os.pwrite(descriptor, b"o" * 2 * PAGE, 0)
    else:
        os.posix_fallocate(descriptor, 0, 2 * PAGE)
    os.fsync(descriptor)
    settle(path.parent)
    single_pages(descriptor)
    address = calls.mmap(2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor)
    calls.madvise(address, 2 * PAGE)
    for page in range(2):
        calls.store(address + page * PAGE, b"N" * PAGE)
    way(descriptor, address)


def what(content: bytes, start: int) -> str:
    if not content:
        return "empty"
    part = content[start : start + 1]
    return {b"N": "stays", b"o": "lost", b"\0": "lost"}.get(part, repr(part))


def in_child(body: Callable[[], None]) -> None:
    pid = os.fork()
    if not pid:
        try:
            body()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


# Files of the model


def images(times: int) -> Iterator[str]:
    yield f"files of the model that were left, of {times}; pages that came too soon, or too late"
    for name, (kind, options) in MOUNTS.items():
        random = Random(1)
        plans = [[random.choice("ABC") for _ in range(4)] for _ in range(times)]

        def work(folder: Path, plans: Sequence[Sequence[str]] = plans) -> list[mmap.mmap]:
            return [page_by_page(folder, *each) for each in enumerate(plans)]

        with crashed(kind, options, work) as folder:
            found = [(folder / f"{number}").read_bytes()[::PAGE].decode() for number in range(times)]
        same = sum(left == "".join(plan) for left, plan in zip(found, plans, strict=True))
        pairs = [(a, b) for left, plan in zip(found, plans, strict=True) for a, b in zip(left, plan, strict=True)]
        newer, older = sum(age(a) > age(b) for a, b in pairs), sum(age(a) < age(b) for a, b in pairs)
        examples = ", ".join(f"{''.join(plan)} left {left}" for left, plan in list(zip(found, plans, strict=True))[:3])
        yield f"{name:24} {same:3} of {times}; {newer} pages newer, {older} older ({examples})"


def age(letter: str) -> int:
    return "oABC".index(letter)


def page_by_page(folder: Path, number: int, plan: Sequence[str]) -> mmap.mmap:
    """Store A, B and C in turn in all pages, and have each page written back where it has its letter of the plan."""
    descriptor = os.open(folder / f"{number}", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b"o" * len(plan) * PAGE, 0)
    os.fsync(descriptor)
    settle(folder)
    single_pages(descriptor)
    mapping = mmap.mmap(descriptor, len(plan) * PAGE)
    mapping.madvise(mmap.MADV_RANDOM)
    for letter in b"ABC":
        mapping[:] = bytes([letter]) * len(mapping)
        for page, each in enumerate(plan):
            if ord(each) == letter:
                write_back(descriptor, page * PAGE, PAGE)
    os.close(descriptor)
    return mapping


# Names


def renames() -> Iterator[str]:
    yield "what is under a name after rename(2), at each write of the disk"
    for kind in ("ext4", "xfs"):
        for over in (True, False):
            for synced in (False, True):
                with recording_disk(kind) as disk:
                    folder = disk.filesystem.folder
                    if over:
                        write(folder / "doc", b"o" * PAGE, synced=True)
                    disk.filesystem.settle()
                    before = len(disk.record())
                    write(folder / "tmp", b"N" * 3 * PAGE, synced=synced)
                    (folder / "tmp").rename(folder / "doc")
                    time.sleep(0.1)
                    write(folder / "other", b"x", synced=True)
                    disk.filesystem.settle()
                    record = disk.record()
                    disk.filesystem.unmount()
                    found = []
                    for most in range(before, len(record) + 1):
                        with disk.crashed(record, lambda number, _, most=most: number < most) as folder:  # type: ignore[misc]
                            found.append(under(folder / "doc"))
                seen = ", ".join(f"{name} {len(list(each))}x" for name, each in groupby(found))
                how = f"{'over an old file' if over else 'a new name'}, {'fsync' if synced else 'no fsync'}"
                yield f"{kind:5} {how:28} {seen}"


def write(path: Path, content: bytes, *, synced: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, content)
    if synced:
        os.fsync(descriptor)
    os.close(descriptor)


def under(path: Path) -> str:
    if not path.exists():
        return "no file"
    content = path.read_bytes()
    return {b"o": "the old", b"N": "the new", b"": "empty", b"\0": "zeros"}[content[:1]]


if __name__ == "__main__":
    main()
