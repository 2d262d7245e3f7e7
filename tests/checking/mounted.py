"""What the tests of mounted filesystems share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.checking import asker
from tests.checking.mounts import FILESYSTEMS
from tests.helpers import OtherProcess, wait_until


@contextmanager
def filesystem(name: str) -> Iterator[list[Path]]:
    """One empty file, as a path through each of the filesystem's directories; skips where it cannot be had."""
    with ExitStack() as stack:
        directories = stack.enter_context(FILESYSTEMS[name]())
        stack.callback(asker.close_all)
        (directories[0] / "file").touch()
        yield [directory / "file" for directory in directories]


def state_of(pid: int) -> str:
    """The letter of its state (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def start_waiting(other: OtherProcess, file: Path, how: str) -> None:
    """Have it wait for what somebody else holds, and then give that back; a SIGUSR1 ends the wait."""
    other.call(asker.notice_signals)
    assert other.call(asker.ask, file, how) == errno.EAGAIN
    other.start(asker.take_turn, file, how)
    see_waiting(other, file)


def see_waiting(other: OtherProcess, file: Path) -> None:
    """Wait until its request for a lock has reached the server; the file must have been opened there before."""
    wait_until(lambda: waits_for_the_server(other.pid), "it waits for the lock")
    os.statvfs(file)  # requests are read in their order: once this one is answered, the server has read that


def waits_for_the_server(pid: int) -> bool:
    """True while a request of the process to a FUSE server is not answered."""
    return Path(f"/proc/{pid}/wchan").read_text() == "request_wait_answer"


def waiting_for(file: Path) -> int:
    """How many wait in the kernel for a lock on the backing file of an honest server (proc_locks(5))."""
    stat = file.parent.with_name("backing").joinpath(file.name).stat()
    name = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum("->" in line and name in line for line in lines)


def is_free(file: Path, how: str) -> bool:
    """Whether this process is granted the lock, which it gives back."""
    return asker.ask(file, how) == 0 == asker.give_back(file, how)
