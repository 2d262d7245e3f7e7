"""Measure the costs that belong to the harness and the machine, and are in every figure that the lab prints.

The loops are the same in C, in CPython and in the lab: lock, add 1, unlock. None of them is a lock's own cost.

The wake-up is a byte through a pipe to another process that sleeps until it comes, without a lock. It is most of the
cost of a hand-off, and is the machine's, not the lock's: the time that a processor needs to leave its sleep changes
from minute to minute on a virtual machine.

Two more figures are how busy the machine is with other work meanwhile, and how fine its clock is.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from ctypes import c_uint64
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Protocol, cast

from lab.analysis.holds import Span
from lab.errors import CannotRunError
from lab.locking import NATIVE, find_lock
from lab.locking.kernel import bare_loop
from lab.memory import MAPPED, anonymous, enter, open_file
from lab.processes import WorkerPool, cpus_for
from lab.processes.rpc import ChildRpc, Gone
from lab.racing.recorder import CURSOR, FINISHED_NS, HEADER, Hold, Log, Segment

from .repeat import Failed, how_it_failed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SOURCE = Path(__file__).parents[2] / "tests" / "benchmarks" / "bare_loop.c"
TIME_LIMIT_S = 60.0
FIRST_ROUNDS = 20_000
MOST_ROUNDS = 1 << 20
"""The lab keeps room for this many holds."""

RunLoop = Callable[[int, c_uint64, int, Log], None]
"""The type of a function that runs all rounds, on a descriptor and the counter in its file."""


class Loop(Protocol):
    """One way to write the loop."""

    name: str

    def measure(self, slice_s: float) -> float:
        """Return ns for one pair, measured in about so much time. Raise CannotRunError where it cannot be measured."""


class CLoop:
    """The loop of tests/benchmarks/bare_loop.c, compiled in the folder.

    A child compiles it, because a process that forks starts no programs.
    """

    name = "C loop"

    def __init__(self, folder: Path, pin: str, opened: ExitStack) -> None:
        self._folder = folder
        self._cpus = cpus_for(pin)
        self._opened = opened
        self._child: ChildRpc | None = None
        self._rounds = FIRST_ROUNDS

    def measure(self, slice_s: float) -> float:
        """Return ns for one pair, as `Loop` describes."""
        if self._child is None:
            self._child = self._opened.enter_context(ChildRpc(self._answer))
            self._ask(b"compile")
        per_s = float(self._ask(b"%d" % self._rounds))
        self._rounds = max(1, int(per_s * slice_s))
        return 1e9 / per_s

    def _ask(self, question: bytes) -> bytes:
        try:
            return cast("ChildRpc", self._child).ask(question)
        except Gone as gone:
            raise CannotRunError(f"it ended with {gone.code}") from gone

    def _answer(self, question: bytes) -> bytes:
        program, file = "./bare_loop", "bare"  # in the folder, even if its path now leads elsewhere
        if question != b"compile":
            if cpus := self._cpus(0):
                os.sched_setaffinity(0, cpus)
            return _output(program, 1, int(question), file)
        compiler = shutil.which("cc")
        if not SOURCE.is_file():
            raise CannotRunError("its source comes with the project's repository: tests/benchmarks/bare_loop.c")
        if not compiler:
            raise CannotRunError("no C compiler is found (cc)")
        try:
            enter(self._folder)
            descriptor = open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open(descriptor, "wb") as made:  # noqa: PTH123 - a descriptor
                made.write(bytes(8))
        except OSError as error:
            raise CannotRunError(f"its file cannot be made ({error.strerror})") from error
        _output(compiler, "-O2", "-o", program, SOURCE, temporary=self._folder)
        return b"compiled"


def _output(*command: object, temporary: Path | None = None) -> bytes:
    """Return what a program prints. It ends when this process does. Raise CannotRunError where it fails.

    A compiler that is killed leaves what it has put into the folder for temporary files.
    """
    import subprocess

    from lab.processes.external import end_with

    try:
        return subprocess.run(
            list(map(str, command)),
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=True,
            env={**os.environ, "TMPDIR": str(temporary)} if temporary else None,
            preexec_fn=partial(end_with, os.getpid()),
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotRunError(f"it cannot be compiled and run here ({error})") from error


class PythonLoop:
    """A loop in a forked worker, on a mapped file of its own."""

    def __init__(self, name: str, loop: RunLoop, folder: Path, pin: str) -> None:
        self.name = name
        self._cpus = cpus_for(pin)
        self._loop = loop
        self._path = folder / "looped"
        self._rounds = FIRST_ROUNDS

    def measure(self, slice_s: float) -> float:
        """Return ns for one pair, as `Loop` describes."""
        log = Log(1, self._rounds)
        with MAPPED.share(self._path, bytes(8)) as shared:

            def prepare(index: int) -> Callable[[], None]:
                file = shared.open(self._path)
                counter = c_uint64.from_buffer(cast("WriteableBuffer", file.buffer))
                segment = log.segment(index)
                segment[CURSOR] = HEADER

                def run() -> None:
                    self._loop(file.guard, counter, self._rounds, log)
                    segment[FINISHED_NS] = monotonic_ns()

                return run

            with WorkerPool(1, prepare, self._cpus) as pool:
                pool.gather(TIME_LIMIT_S)
                released_ns = pool.release()
                exits = pool.wait(TIME_LIMIT_S + slice_s)
        (ended_ns,) = log.header(FINISHED_NS)
        if not ended_ns:
            raise Failed(how_it_failed(exits, TIME_LIMIT_S) or "its processes did not come to their end")
        pair_ns = (ended_ns - released_ns) / self._rounds
        self._rounds = max(1, min(MOST_ROUNDS, int(slice_s * 1e9 / pair_ns)))
        return pair_ns


def _in_python(descriptor: int, counter: c_uint64, rounds: int, log: Log) -> None:
    bare_loop(descriptor, counter, rounds)


def _in_the_lab(descriptor: int, counter: c_uint64, rounds: int, log: Log) -> None:
    """Run the loop of the lab, which records every hold."""
    acquire, release = find_lock("fcntl").actions(descriptor, 0, 8, write=True)
    hold = Hold(acquire, release, log.segment(0), Span(0, 8, write=True).pack())
    for _ in range(rounds):
        with hold:
            counter.value += 1


def _in_c(descriptor: int, counter: c_uint64, rounds: int, log: Log) -> None:
    """Run the loop of the lab in C, which records every hold."""
    assert NATIVE  # noqa: S101 - for the type checker
    acquire, release = find_lock("fcntl").actions(descriptor, 0, 8, write=True)
    hold = Hold(acquire, release, log.segment(0), Span(0, 8, write=True).pack())
    NATIVE.add_in_turn((hold,), (memoryview(counter).cast("B"),), memoryview(bytearray(8)), -1, rounds)


def loops(folder: Path, pin: str, opened: ExitStack, *, native: bool = False) -> list[Loop]:
    """Return the loops, in the order in which they are reported, on the processor of a first worker.

    There are three, and beside `native` cases that of the lab in C too.
    """
    return [
        CLoop(folder, pin, opened),
        PythonLoop("CPython loop", _in_python, folder, pin),
        PythonLoop("the lab", _in_the_lab, folder, pin),
        *([PythonLoop("the lab, native", _in_c, folder, pin)] if native else []),
    ]


PASSED, ENDED_NS, STOP = range(3)
"""The places of the words that the two processes and their parent share."""

ON, END = b".", b"!"


class WakeUp:
    """Two processes that wake each other up in turn, on the processors of the first two workers of a hand-off."""

    name = "wake-up"

    def __init__(self, pin: str) -> None:
        self._cpus = cpus_for(pin)

    def measure(self, slice_s: float) -> float:
        """Return ns from one process to the other, in about so much time. Raise Failed where it is not measured."""
        words = memoryview(anonymous(24)).cast("Q")
        ends = Ends()

        def prepare(index: int) -> Callable[[], None]:
            mine, other = ends.of(index)
            return _side(index, mine, other, words)

        try:
            with WorkerPool(2, prepare, self._cpus) as pool:
                ends.close()  # a process reads the end of its pipe when the other has ended, and does not block
                pool.gather(TIME_LIMIT_S)
                released_ns = pool.release()
                time.sleep(slice_s)
                words[STOP] = 1
                exits = pool.wait(TIME_LIMIT_S)
        finally:
            ends.close()
        if not words[ENDED_NS]:
            raise Failed(how_it_failed(exits, TIME_LIMIT_S) or "its processes did not come to their end")
        return (words[ENDED_NS] - released_ns) / words[PASSED]


class Ends:
    """Two pipes, one to each process; each process keeps only its own ends of them."""

    def __init__(self) -> None:
        """Make both pipes. Raise OSError where there are no descriptors left."""
        self._first = os.pipe()
        try:
            self._second = os.pipe()
        except OSError:
            _close(self._first)
            raise
        self._open = True

    def of(self, index: int) -> tuple[int, int]:
        """Return the descriptors for reading and writing in this process, which must call it; close the others."""
        pipes = (self._first, self._second)
        mine, other = pipes[index], pipes[1 - index]
        _close((mine[1], other[0]))
        return mine[0], other[1]

    def close(self) -> None:
        """Close the ends that are still open."""
        if self._open:
            self._open = False
            _close((*self._first, *self._second))


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _side(index: int, mine: int, other: int, words: Segment) -> Callable[[], None]:
    def first() -> None:
        rounds = 0
        while True:
            os.write(other, ON)
            if not os.read(mine, 1):
                return
            rounds += 1
            if words[STOP]:
                break
        words[PASSED], words[ENDED_NS] = 2 * rounds, time.monotonic_ns()
        os.write(other, END)

    def second() -> None:
        while os.read(mine, 1) == ON:
            os.write(other, ON)

    return second if index else first


READS = 2000


def busy_s() -> float:
    """Return the seconds that all processors have worked since the start, for others too (steal): proc_stat(5)."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_s() -> float:
    """Return the CPU seconds of this process and of its children that have ended: getrusage(2)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Others:
    """The number of processors that were busy with other processes, one figure for each lap."""

    def __init__(self) -> None:
        self.cores: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Begin the first lap."""
        self._last = (monotonic(), busy_s(), own_s())

    def lap(self) -> None:
        """End a lap and begin the next one."""
        now = (monotonic(), busy_s(), own_s())
        passed, busy, own = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        self.cores.append(round(max(0.0, busy - own) / passed, 3))


def clock() -> tuple[int, float]:
    """Return the smallest step seen between two reads of CLOCK_MONOTONIC, and what a read costs; in ns."""
    reads = [monotonic_ns() for _ in range(READS)]
    steps = [after - before for before, after in pairwise(reads)]
    return min((step for step in steps if step), default=0), round(median(steps), 1)
