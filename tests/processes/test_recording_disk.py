"""A disk that keeps a record, from which any crash of a real filesystem is rebuilt by sectors, and that fails once."""

from __future__ import annotations

import errno
import mmap
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.host.disks import single_pages
from lab.processes.guarded import Hung, Send, run_guarded
from lab.processes.recording_disk import FLUSH, SECTOR, recording_disk
from tests.helpers import PATIENCE_S, in_fresh_process

PAGE = 4096

pytestmark = [pytest.mark.mounts, pytest.mark.needs("power"), pytest.mark.needs("fuse")]


def recorded(kind: str) -> Any:
    """A page is stored into and synced, then again while the disk fails; what is in the record, and what crashes leave.

    The last is the page of each crash, by its sectors.
    """
    found: list[Any] = []

    def body(send: Send) -> None:
        with recording_disk(kind) as disk:
            path = disk.filesystem.folder / "f"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
            os.write(descriptor, b"o" * PAGE)
            os.fsync(descriptor)
            disk.filesystem.settle()
            single_pages(descriptor)
            mapping = mmap.mmap(descriptor, PAGE)
            before = len(disk.record())
            mapping[:] = b"N" * PAGE
            mapping.flush()
            record = disk.record()
            mapping[0] = ord("!")
            disk.fail_next_write()
            said = [failure(mapping), failure(mapping)]
            mapping.close()
            os.close(descriptor)
            disk.filesystem.unmount()
            (page,) = [number for number, each in enumerate(record) if number >= before and each.data == b"N" * PAGE]
            left = []
            for keeps in (
                lambda number, at: number < page,
                lambda number, at: True,
                lambda number, at: number != page or at // SECTOR % 2 == 0,
                lambda number, at: number != page or at % PAGE < 3 * SECTOR,
            ):
                with disk.crashed(record, keeps) as folder:
                    left.append((folder / "f").read_bytes()[::SECTOR].decode())
            send([said, FLUSH in record[page:], left])

    run_guarded(body, found.append, PATIENCE_S)
    return found[0]


def failure(mapping: mmap.mmap) -> str:
    try:
        mapping.flush()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "works"


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_crash_is_rebuilt_by_sectors_and_the_disk_fails_once(kind: str) -> None:
    said, flushed, left = in_fresh_process(recorded, kind)
    assert said == ["EIO", "works"]
    assert flushed
    assert left == ["oooooooo", "NNNNNNNN", "NoNoNoNo", "NNNooooo"]


def killed_server() -> list[Any]:
    """What the filesystem says once the process behind its disk is gone, and that nothing waits for it."""
    found: list[Any] = []

    def body(send: Send) -> None:
        with recording_disk("ext4") as disk:
            descriptor = os.open(disk.filesystem.folder / "f", os.O_RDWR | os.O_CREAT)
            (server,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            os.kill(int(server), 9)
            os.write(descriptor, b"x")
            try:
                os.fsync(descriptor)
            except OSError as error:
                send(errno.errorcode[error.errno or 0])
            os.close(descriptor)

    run_guarded(body, found.append, PATIENCE_S)
    return found


def test_a_disk_whose_server_is_killed_fails_and_does_not_hang() -> None:
    assert in_fresh_process(killed_server) == ["EIO"]


def stopped_server() -> list[Any]:
    """A disk that answers no more: what is said, and which processes and loop devices are left."""
    pids: list[int] = []

    def body(send: Send) -> None:
        with recording_disk("ext4") as disk:
            descriptor = os.open(disk.filesystem.folder / "f", os.O_RDWR | os.O_CREAT)
            (server,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            os.kill(int(server), signal.SIGSTOP)
            send([os.getpid(), int(server)])
            os.write(descriptor, b"x")
            os.fsync(descriptor)

    try:
        run_guarded(body, pids.extend, 1.0)
    except Hung as error:
        left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        return [len(pids), str(error), left]
    return ["answered"]


def test_a_disk_that_hangs_is_given_up_and_nothing_of_it_is_left() -> None:
    count, said, left = in_fresh_process(stopped_server)
    assert (count, left) == (2, [])
    assert said.startswith("nothing was done for 1 s")


def without_fuse() -> str:
    real = os.open

    def refused(path: Any, *rest: Any, **more: Any) -> int:
        if path == "/dev/fuse":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(path, *rest, **more)

    vars(os)["open"] = refused
    try:
        with recording_disk("ext4"):
            return "made"
    except CannotRunError as error:
        return str(error)


def test_where_there_is_no_fuse_it_says_so() -> None:
    assert in_fresh_process(without_fuse) == "/dev/fuse: Operation not permitted; run as root where FUSE is"
