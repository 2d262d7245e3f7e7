"""The model of the kernel held against the kernel, call by call, down to which lock F_GETLK reports.

Calls that wait are held against it in tests/checking/test_fuzz.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lab.model.files import READ, UNLOCK, WRITE, Answer, Request
from lab.model.kernel import Kernel
from tests.helpers import OtherProcess
from tests.model.calls import GET_OFD, KINDS, SET_OFD, closed, duplicated, flocked, locked, moved, opened

PROCESSES = (1, 2, 3)
STEPS = 400
COMMANDS = {"posix_set": fcntl.F_SETLK, "posix_get": fcntl.F_GETLK, "ofd_set": SET_OFD, "ofd_get": GET_OFD}
LOCKS = {READ: KINDS["read"], WRITE: KINDS["write"], UNLOCK: KINDS["unlock"]}
FLOCKS = {READ: fcntl.LOCK_SH, WRITE: fcntl.LOCK_EX, UNLOCK: fcntl.LOCK_UN}


class Twins:
    """The same calls made on the model and by real processes; their answers must be the same."""

    def __init__(self, path: Path, others: dict[int, OtherProcess]) -> None:
        self.kernel = Kernel()
        self.path = path
        self.others = others
        self.numbers: dict[tuple[int, int], int] = {}
        """The real descriptor for each process and descriptor of the model."""
        for process in others:
            self.kernel.start(process)

    def open(self, process: int, mode: str) -> None:
        number = self.kernel.open(process, str(self.path), mode)
        self.numbers[process, number] = self.others[process].call(opened, str(self.path), mode)

    def dup(self, process: int, number: int) -> None:
        real = self.others[process].call(duplicated, self.numbers[process, number])
        self.numbers[process, self.kernel.dup(process, number)] = real

    def close(self, process: int, number: int) -> None:
        self.kernel.close(process, number)
        self.others[process].call(closed, self.numbers.pop((process, number)))

    def unlink(self) -> None:
        self.kernel.unlink(str(self.path))
        self.path.unlink()

    def move(self, process: int, number: int, position: int) -> None:
        self.kernel.description(process, number).position = position
        self.others[process].call(moved, self.numbers[process, number], position)

    def lock(self, process: int, number: int, name: str, request: Request) -> Answer:
        answer: Answer = getattr(self.kernel, name)(process, number, request)
        kind, start, length, whence, pid = request
        code, *report = self.others[process].call(
            locked, self.numbers[process, number], COMMANDS[name], LOCKS.get(kind, kind), start, length, whence, pid
        )
        assert answer.errno == code, (name, request)
        if name.endswith("get") and not code:
            found = answer.found
            free = [fcntl.F_UNLCK, whence, start, length, pid]
            assert report == ([*self.reported(*found)] if found else free), (name, request)
        return answer

    def reported(self, pid: int, span: tuple[int, int, bool]) -> Iterator[int]:
        start, length, write = span
        yield from (LOCKS[WRITE if write else READ], os.SEEK_SET, start, length)
        yield pid if pid < 0 else self.others[pid].pid

    def flock(self, process: int, number: int, kind: int) -> Answer:
        answer = self.kernel.flock(process, number, kind)
        assert [answer.errno] == self.others[process].call(flocked, self.numbers[process, number], FLOCKS[kind])
        return answer


@pytest.fixture
def twins(others: list[OtherProcess], tmp_path: Path) -> Twins:
    return Twins(tmp_path / "shared", dict(zip(PROCESSES, others, strict=True)))


def random_request(random: Random) -> Request:
    kind = random.choice([READ, READ, WRITE, WRITE, UNLOCK, UNLOCK, UNLOCK] * 3 + [9])
    start, length = random.randrange(-1, 9), random.choice([1, 1, 2, 3, 4, 0, -1, -3])
    whence = random.choice([0] * 12 + [1, 1, 1, 2, 7])
    return Request(kind, start, length, whence, random.choice([0] * 9 + [5]))


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_that_do_not_wait_answer_as_the_kernel_does(seed: int, twins: Twins) -> None:
    random, seen = Random(seed), set()
    for _ in range(STEPS):
        process = random.choice(PROCESSES)
        own = [number for owner, number in twins.numbers if owner == process]
        step = random.choice(["open", "close", "dup", "move", "flock", "flock", "unlink"] + ["lock"] * 18)
        if step == "open" or not own:
            twins.open(process, random.choice(["r", "w", "rw", "rw"]))
            continue
        number = random.choice(own)
        if step == "close" or len(own) > 5:
            twins.close(process, number)
        elif step == "dup":
            twins.dup(process, number)
        elif step == "move":
            twins.move(process, number, random.randrange(5))
        elif step == "unlink" and twins.path.exists() and random.random() < 0.2:
            twins.unlink()
        elif step == "flock":
            seen.add((step, twins.flock(process, number, random.choice([READ, WRITE, UNLOCK])).errno))
        elif step == "lock":
            name = random.choice(list(COMMANDS))
            seen.add((name, twins.lock(process, number, name, random_request(random)).errno))
    gets = {(name, code) for name in ("posix_get", "ofd_get") for code in (0, errno.EINVAL)}
    sets = {(name, c) for name in ("posix_set", "ofd_set") for c in (0, errno.EINVAL, errno.EAGAIN, errno.EBADF)}
    assert seen == gets | sets | {("flock", 0), ("flock", errno.EWOULDBLOCK)}


@pytest.mark.parametrize("seed", [1, 2])
def test_flock_is_converted_or_lost_as_by_the_kernel(seed: int, twins: Twins) -> None:
    """One description each, so that both happen often: what was lost, the next requests of the others show."""
    random, conversions = Random(seed), set()
    for process in PROCESSES:
        twins.open(process, "rw")
    for _ in range(120):
        process, number = random.choice(list(twins.numbers))
        kind = random.choice([READ, READ, WRITE, WRITE, UNLOCK])
        description = twins.kernel.description(process, number)
        held = description.inode.whole.holds(description)
        code = twins.flock(process, number, kind).errno
        if held is not None and kind != UNLOCK and held != (kind == WRITE):
            conversions.add((kind, code))
            assert description.inode.whole.holds(description) == (None if code else kind == WRITE)
    assert conversions == {(READ, 0), (WRITE, 0), (WRITE, errno.EWOULDBLOCK)}
