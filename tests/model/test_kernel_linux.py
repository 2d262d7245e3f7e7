"""The model of the kernel held against the kernel: random programs of real processes, call by call."""

from __future__ import annotations

import errno
import fcntl
import os
import select
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from random import Random

import pytest

from lab.locks.posix import F_OFD_SETLKW, FLOCK
from lab.model.files import Table
from lab.model.kernel import Kernel
from lab.model.record_locks import Record
from lab.model.requests import READ, UNLOCK, WRITE, Answer, Request
from tests.helpers import OtherProcess, wait_until

PROCESSES = (1, 2, 3)
STEPS = 400
WAITING_STEPS = 150
COMMANDS = {
    "posix_set": fcntl.F_SETLK,
    "posix_get": fcntl.F_GETLK,
    "ofd_set": F_OFD_SETLKW - 1,
    "ofd_get": F_OFD_SETLKW - 2,
}
KINDS = {READ: fcntl.F_RDLCK, WRITE: fcntl.F_WRLCK, UNLOCK: fcntl.F_UNLCK}
FLOCKS = {READ: fcntl.LOCK_SH, WRITE: fcntl.LOCK_EX, UNLOCK: fcntl.LOCK_UN}
MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}


def opened(path: str, mode: str) -> int:
    """Here and below: one call, made in the other process."""
    return os.open(path, MODES[mode] | os.O_CREAT)


def duplicated(number: int) -> int:
    return os.dup(number)


def closed(number: int) -> None:
    os.close(number)


def moved(number: int, position: int) -> None:
    os.lseek(number, position, os.SEEK_SET)


def locked(number: int, command: int, kind: int, start: int, length: int, whence: int, pid: int) -> list[int]:
    """The errno, and what the call left in struct flock; whence is numbered as by lseek(2)."""
    try:
        answer = fcntl.fcntl(number, command, FLOCK.pack(kind, whence, start, length, pid))
    except OSError as error:
        return [error.errno or -1]
    return [0, *FLOCK.unpack(answer)]


def flocked(number: int, operation: int) -> list[int]:
    try:
        fcntl.flock(number, operation | fcntl.LOCK_NB)
    except OSError as error:
        return [error.errno or -1]
    return [0]


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
            locked, self.numbers[process, number], COMMANDS[name], KINDS.get(kind, kind), start, length, whence, pid
        )
        assert answer.errno == code, (name, request)
        if name.endswith("get") and not code:
            found = answer.found
            free = [fcntl.F_UNLCK, whence, start, length, pid]
            assert report == ([*self.reported(*found)] if found else free), (name, request)
        return answer

    def reported(self, pid: int, span: tuple[int, int, bool]) -> Iterator[int]:
        start, length, write = span
        yield from (KINDS[WRITE if write else READ], os.SEEK_SET, start, length)
        yield pid if pid < 0 else self.others[pid].pid

    def flock(self, process: int, number: int, kind: int) -> Answer:
        answer = self.kernel.flock(process, number, kind)
        assert [answer.errno] == self.others[process].call(flocked, self.numbers[process, number], FLOCKS[kind])
        return answer


@pytest.fixture
def others() -> Iterator[dict[int, OtherProcess]]:
    with ExitStack() as stack:
        yield {process: stack.enter_context(OtherProcess()) for process in PROCESSES}


def random_request(random: Random) -> Request:
    kind = random.choice([READ, READ, WRITE, WRITE, UNLOCK, UNLOCK, UNLOCK] * 3 + [9])
    start, length = random.randrange(-1, 9), random.choice([1, 1, 2, 3, 4, 0, -1, -3])
    whence = random.choice([0] * 12 + [1, 1, 1, 2, 7])
    return Request(kind, start, length, whence, random.choice([0] * 9 + [5]))


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_that_do_not_wait_answer_as_the_kernel_does(
    seed: int, others: dict[int, OtherProcess], tmp_path: Path
) -> None:
    twins, random, seen = Twins(tmp_path / "shared", others), Random(seed), set()
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


def has_answered(other: OtherProcess) -> bool:
    assert other._process.stdout
    return bool(select.select([other._process.stdout], [], [], 0)[0])


def listed_waiters(path: Path) -> set[int]:
    """The processes that wait for a lock on the file (proc_locks(5))."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    inode = str(path.stat().st_ino)
    return {int(line[5]) for line in lines if line[6].rpartition(":")[2] == inode}


class Waiting:
    """Real processes that may wait in F_SETLKW, and every state of the model that agrees with their answers so far."""

    def __init__(self, path: Path, others: dict[int, OtherProcess]) -> None:
        self.path = path
        self.others = others
        self.busy: dict[int, OtherProcess] = {}
        self.numbers = {process: other.call(opened, str(path), "rw") for process, other in others.items()}
        kernel = Kernel()
        for process in others:
            kernel.start(process)
            kernel.open(process, "shared")
        self.possible = [kernel]

    def call(self, process: int, request: Request) -> dict[int, int]:
        """Make the call; the errno of every process whose call has ended by then."""
        kind, start, length, whence, pid = request
        other = self.busy[process] = self.others[process]
        other.start(locked, self.numbers[process], fcntl.F_SETLKW, KINDS[kind], start, length, whence, pid)
        wait_until(self.is_quiet, "every call has ended or waits")
        ended = {p: other.answer()[0] for p, other in list(self.busy.items()) if has_answered(other)}
        for p in ended:
            del self.busy[p]
        self.agree(process, request, ended)
        return ended

    def is_quiet(self) -> bool:
        pids = {other.pid for other in self.busy.values() if not has_answered(other)}
        return pids <= listed_waiters(self.path)

    def agree(self, process: int, request: Request, ended: dict[int, int]) -> None:
        agreeing = []
        for kernel in self.possible:
            answer = kernel.posix_set(process, 0, request, wait=True)
            own = {} if answer.waits else {process: answer.errno}
            agreeing += [after for after, others in woken(kernel) if own | others == ended]
        assert agreeing, (process, request, ended)
        self.possible = list({shape(kernel): kernel for kernel in agreeing}.values())


def woken(kernel: Kernel) -> Iterator[tuple[Kernel, dict[int, int]]]:
    """Every state in which nobody can be woken any more, and how the calls ended on the way."""
    if not kernel.wakeable():
        yield kernel, {}
    for process in kernel.wakeable():
        after = deepcopy(kernel)
        answer = after.wake(process)
        for end, answers in woken(after):
            yield end, {process: answer.errno} | answers


def shape(kernel: Kernel) -> str:
    """Equal for states that behave alike: deep copies have owners of their own."""
    inode = next(iter(kernel._names.values()))
    held = [told(record) for own in inode.ranges._held.values() for record in own]
    waits = [(process, call.on and told(call.on)) for process, call in kernel._queue._calls.items()]
    return repr((held, waits))


def told(record: Record) -> tuple[int, int, int, bool]:
    assert isinstance(record.owner, Table)
    return record.owner.pid, *record[1:]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("processes", "kinds", "lengths"),
    [(PROCESSES[:2], [READ, READ, WRITE, WRITE, UNLOCK], [1, 1, 2, 3]), (PROCESSES, [WRITE, WRITE, UNLOCK], [1])],
    ids=["two processes", "write locks of one byte"],
)
def test_calls_that_wait_end_as_the_kernel_ends_them(
    processes: tuple[int, ...],
    kinds: list[int],
    lengths: list[int],
    seed: int,
    others: dict[int, OtherProcess],
    tmp_path: Path,
) -> None:
    """Only where a call waits for one holder: with several Linux may follow another one of them than the model."""
    waiting, random = Waiting(tmp_path / "shared", {process: others[process] for process in processes}), Random(seed)
    seen: set[tuple[bool, int | None]] = set()
    for _ in range(WAITING_STEPS):
        process = random.choice([process for process in processes if process not in waiting.busy])
        ended = waiting.call(process, Request(random.choice(kinds), random.randrange(4), random.choice(lengths)))
        seen |= {(p == process, code) for p, code in ended.items()}
        seen.add((process in ended, None))
    for process in waiting.busy:
        others[process].kill()
    assert seen >= {(True, 0), (False, 0), (True, errno.EDEADLK), (False, None), (True, None)}
