"""What 10 to 10,000 processes cost that wait for one lock of one host: docs/scale.md shows the tables and pictures.

    python tests/benchmarks/scale.py [--waiters 10,100,1000] [--draw docs]

All waiters are forked once for each size, and wait for each lock in turn. The time of a request is the processor time
of the process that makes it, so that other work on the machine does not count. Nothing about time is asserted.
Ends with 3 and one line where the machine does not have so many processes.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path
from signal import SIGKILL
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab.locking.kernel import F_OFD_SETLKW, FLOCK
from lab.processes import fork_child
from tests.benchmarks.scale_plots import draw

SIZES = (10, 100, 1_000, 10_000)
LIMIT_S = 300.0
"""No step of a size takes longer, or the size is given up."""

A_PROCESS = 1 << 20
"""The memory that must be free for each waiter, in bytes: it uses about half of that."""

TIMES = 200
REQUESTED, GRANTED, RELEASED, CPU = range(4)
WORDS = 4


class CannotRun(Exception):  # noqa: N818 - as lab.errors.CannotRunError
    """The machine cannot have so many processes."""


Request = Callable[[int, int, bool], None]
"""A request on an open file: F_RDLCK, F_WRLCK or F_UNLCK, and whether it waits."""


def by_range(command: int) -> Request:
    def request(file: int, kind: int, waits: bool) -> None:
        fcntl.fcntl(file, command - (not waits), FLOCK.pack(kind, os.SEEK_SET, 0, 1, 0))

    return request


def whole(file: int, kind: int, waits: bool) -> None:
    operation = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}[kind]
    fcntl.flock(file, operation if waits else operation | fcntl.LOCK_NB)


LOCKS: dict[str, Request] = {
    "fcntl": by_range(fcntl.F_SETLKW), "ofd": by_range(F_OFD_SETLKW), "flock": whole,
}  # fmt: skip
PHASES = [(lock, kind) for lock in LOCKS for kind in (fcntl.F_WRLCK, fcntl.F_RDLCK)]


class Crowd:
    """So many processes that wait for a lock of one file, phase by phase; none of them is left after the block."""

    def __init__(self, size: int, path: Path) -> None:
        check_room(size)
        self.size, self.path, self.pids = size, path, list[int]()
        self.times = memoryview(mmap(-1, size * WORDS * 8)).cast("Q")
        self._gates = [os.pipe() for _ in PHASES]

    def __enter__(self) -> Crowd:
        gc.collect()
        gc.freeze()  # a collection in a child would copy the memory that it shares
        begun = time.monotonic()
        try:
            for number in range(self.size):
                self.pids.append(fork_child(lambda number=number: self._wait(number)))  # type: ignore[misc]
        except OSError as error:
            self._end()
            raise CannotRun(
                f"{self.size:,} waiters: fork refused after {len(self.pids):,} ({error.strerror}); raise ulimit -u, "
                "kernel.pid_max or the container's limit of pids"
            ) from error
        except BaseException:
            self._end()
            raise
        self.fork_s = time.monotonic() - begun
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        for pid in self.pids:
            os.waitpid(pid, 0)
        for gate in self._gates:
            for end in gate:
                os.close(end)

    def open_gate(self, phase: int) -> None:
        """Let every process make the request of this phase."""
        self.times[:] = memoryview(bytes(self.times.nbytes)).cast("Q")
        left = self.size
        while left:
            left -= os.write(self._gates[phase][1], b"." * min(left, 4096))

    def column(self, word: int) -> list[int]:
        return self.times[word::WORDS].tolist()

    def wait_for(self, what: str, reached: Callable[[], bool]) -> None:
        until = time.monotonic() + LIMIT_S
        while not reached():
            if time.monotonic() > until:
                raise CannotRun(f"{self.size:,} waiters: not all of them {what} within {LIMIT_S:g} s; use fewer")
            time.sleep(0.02)

    def _wait(self, number: int) -> None:
        """Live as one waiter: pass each gate, request, be granted, release."""
        file = os.open(self.path, os.O_RDWR)
        times = self.times[number * WORDS : (number + 1) * WORDS]
        for (lock, kind), (gate, _) in zip(PHASES, self._gates, strict=True):
            request = LOCKS[lock]
            os.read(gate, 1)
            times[REQUESTED] = time.monotonic_ns()
            used_ns = time.process_time_ns()
            request(file, kind, True)
            granted_ns = time.monotonic_ns()
            times[CPU] = time.process_time_ns() - used_ns
            request(file, fcntl.F_UNLCK, True)
            times[RELEASED] = time.monotonic_ns()
            times[GRANTED] = granted_ns
        os.read(self._gates[0][0], 1)  # until it is ended: its end costs the others nothing


def check_room(size: int) -> None:
    """Raise CannotRun where so many processes, or the memory for them, cannot be there."""
    limits = [resource.getrlimit(resource.RLIMIT_NPROC)[0], int(Path("/proc/sys/kernel/pid_max").read_text())]
    most = min(limit for limit in limits if limit != resource.RLIM_INFINITY)
    if size + 100 > most:
        raise CannotRun(f"{size:,} waiters: at most {most:,} processes; raise ulimit -u or kernel.pid_max")
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(memory["MemAvailable"].split()[0]) << 10
    if size * A_PROCESS > free:
        raise CannotRun(f"{size:,} waiters: take about {size * A_PROCESS >> 20:,} MB, {free >> 20:,} are free")


def waiting(inode: int) -> int:
    """Return how many requests /proc/locks lists that wait for a lock of this file."""
    with open("/proc/locks", "rb") as listed:  # noqa: PTH123 - the fewest calls
        return sum(b" -> " in line and b":%d " % inode in line for line in listed)


def measure(crowd: Crowd, phase: int, held: int) -> dict[str, Any]:
    """Let all wait for a lock that this process holds, look at it, and release it."""
    lock, kind = PHASES[phase]
    request, inode = LOCKS[lock], os.fstat(held).st_ino
    request(held, fcntl.F_WRLCK, True)
    crowd.open_gate(phase)
    crowd.wait_for("wait", lambda: waiting(inode) == crowd.size)
    texts = list[bytes]()  # a reading may leave out lines of a list that others change
    listed_us = median(timed(lambda: texts.append(Path("/proc/locks").read_bytes())) for _ in range(5))
    refused_us = refused(request, crowd.path)
    begun = time.monotonic_ns()
    unlock_us = timed(lambda: request(held, fcntl.F_UNLCK, True))
    crowd.wait_for("are granted it", lambda: all(crowd.column(GRANTED)))
    last = max(crowd.column(GRANTED))
    return {
        "lock": lock,
        "kind": "write" if kind == fcntl.F_WRLCK else "read",
        "request_us": sum(crowd.column(CPU)) / crowd.size / 1e3,
        "refused_us": refused_us,
        "unlock_us": unlock_us,
        "last_ms": (last - begun) / 1e6,
        "list_ms": listed_us / 1e3,
        "list_mb": max(map(len, texts)) / 1e6,
    }


def timed(act: Callable[[], object]) -> float:
    """Return the processor time of a call, in us."""
    begun = time.process_time_ns()
    act()
    return (time.process_time_ns() - begun) / 1e3


def refused(request: Request, path: Path) -> float:
    """Return the median time in us of a request of another process that does not wait, and is refused."""
    answer = memoryview(mmap(-1, 8)).cast("d")

    def ask() -> None:
        file = os.open(path, os.O_RDWR)

        def once() -> None:
            with suppress(BlockingIOError, PermissionError):
                request(file, fcntl.F_WRLCK, False)

        answer[0] = median(timed(once) for _ in range(TIMES))

    os.waitpid(fork_child(ask), 0)
    return answer[0]


def ranges(path: Path, count: int) -> Iterator[dict[str, Any]]:
    """Lock and unlock a byte beyond so many ranges, which this process or another holds."""
    for lock, command in (("fcntl", fcntl.F_SETLK), ("ofd", F_OFD_SETLKW - 1)):
        for whose in ("own", "of another"):
            with holding(path, command, count) as held, open(path, "r+b", buffering=0) as other:  # noqa: PTH123
                file = held if whose == "own" else other.fileno()
                if lock == "fcntl" and whose == "of another":
                    found = in_child(lambda: pairs(path, command, 2 * count))  # noqa: B023 - it is called at once
                else:
                    found = pairs_of(file, command, 2 * count)
                yield {"lock": lock, "whose": whose, "held": count, "pair_us": found}


@contextmanager
def holding(path: Path, command: int, count: int) -> Iterator[int]:
    """Hold every other byte, so many of them, from the end to the beginning: each is inserted at the first place."""
    file = os.open(path, os.O_RDWR)
    try:
        for at in reversed(range(count)):
            fcntl.fcntl(file, command, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 2 * at, 1, 0))
        yield file
    finally:
        os.close(file)


def pairs(path: Path, command: int, at: int) -> float:
    file = os.open(path, os.O_RDWR)
    return pairs_of(file, command, at)


def pairs_of(file: int, command: int, at: int) -> float:
    """Return the median processor time, in us, of locking and unlocking this byte."""
    lock, unlock = (FLOCK.pack(kind, os.SEEK_SET, at, 1, 0) for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK))

    def pair() -> None:
        fcntl.fcntl(file, command, lock)
        fcntl.fcntl(file, command, unlock)

    return median(timed(pair) for _ in range(TIMES))


def in_child(act: Callable[[], float]) -> float:
    answer = memoryview(mmap(-1, 8)).cast("d")

    def run() -> None:
        answer[0] = act()

    os.waitpid(fork_child(run), 0)
    return answer[0]


def measured(sizes: Sequence[int], folder: Path) -> dict[str, Any]:
    """Measure all sizes; raise CannotRun where the machine does not have so many processes."""
    found: dict[str, Any] = {"waiters": [], "ranges": []}
    for size in sizes:
        check_room(size)
    for size in sizes:
        path = folder / f"lock-{size}"
        path.touch()
        found["ranges"] += ranges(path, size)
        held = os.open(path, os.O_RDWR)
        with Crowd(size, path) as crowd:
            for phase in range(len(PHASES)):
                row = {"waiters": size, **measure(crowd, phase, held)}
                found["waiters"].append(row)
                print(line_of(row), flush=True)
        os.close(held)
    return found


HEADER = "waiters  lock   asks   request us  refused us  unlock us   last ms  list ms  list MB"


def line_of(row: dict[str, Any]) -> str:
    return (
        f"{row['waiters']:7,}  {row['lock']:5}  {row['kind']:5}{row['request_us']:12,.1f}{row['refused_us']:12,.1f}"
        f"{row['unlock_us']:11,.1f}{row['last_ms']:10,.1f}{row['list_ms']:9,.1f}{row['list_mb']:9,.2f}"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--waiters", default=",".join(map(str, SIZES)), help="how many processes, with commas")
    parser.add_argument("--draw", metavar="DIR", type=Path, help="write the pictures there")
    parser.add_argument("--json", metavar="PATH", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(HEADER)
    with TemporaryDirectory(dir="/dev/shm") as folder:
        try:
            found = measured([int(each) for each in options.waiters.split(",")], Path(folder))
        except CannotRun as reason:
            print(f"scale: {reason}", file=sys.stderr)
            return 3
    print("\nranges held  lock   by          lock and unlock us")
    for row in found["ranges"]:
        print(f"{row['held']:11,}  {row['lock']:5}  {row['whose']:10}{row['pair_us']:20,.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.draw:
        draw(found, options.draw)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
