"""What the harness itself costs: the same loop, lock, add 1, unlock, bare in C and in CPython, beside the lab's.

None of them is a lock's price: what they differ by is in every figure that the lab prints.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from ctypes import c_uint64
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol, cast

from lab.errors import CannotRunError
from lab.locks import find_lock
from lab.locks.bare import bare_loop
from lab.model.holds import Span
from lab.processes import Crew, cpus_for
from lab.processes.partner import Gone, Partner
from lab.race.hold import Hold
from lab.race.log import CURSOR, FINISHED_NS, HEADER, Log
from lab.regions import MAPPED, enter, open_file

from .repeat import Failed, how_it_failed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SOURCE = Path(__file__).parents[2] / "tests" / "benchmarks" / "bare_loop.c"
TIME_LIMIT_S = 60.0
FIRST_ROUNDS = 20_000
MOST_ROUNDS = 1 << 20
"""As many holds as the lab keeps room for."""

RunLoop = Callable[[int, c_uint64, int, Log], None]
"""All rounds, on a descriptor and the counter in its file."""


class Loop(Protocol):
    """One way to write the loop."""

    name: str

    def measure(self, slice_s: float) -> float:
        """Ns a pair, in about so much time. Raises CannotRunError where it cannot be measured."""


class CLoop:
    """The loop of tests/benchmarks/bare_loop.c, compiled in the folder, by a child: who forks starts no programs."""

    name = "C loop"

    def __init__(self, folder: Path, pin: str, opened: ExitStack) -> None:
        self._folder = folder
        self._cpus = cpus_for(pin)
        self._opened = opened
        self._partner: Partner | None = None
        self._rounds = FIRST_ROUNDS

    def measure(self, slice_s: float) -> float:
        """See `Loop`."""
        if self._partner is None:
            self._partner = self._opened.enter_context(Partner(self._answer))
            self._ask(b"compile")
        per_s = float(self._ask(b"%d" % self._rounds))
        self._rounds = max(1, int(per_s * slice_s))
        return 1e9 / per_s

    def _ask(self, question: bytes) -> bytes:
        try:
            return cast("Partner", self._partner).ask(question)
        except Gone as gone:
            raise CannotRunError(f"it ended with {gone.code}") from gone

    def _answer(self, question: bytes) -> bytes:
        program, file = "./bare_loop", "bare"  # in the folder, whatever its path leads to now
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
    """What a program prints. It ends when this process does. Raises CannotRunError where it fails.

    A compiler that is killed leaves what it has put into the folder for temporary files.
    """
    import subprocess

    from lab.processes.interpreter import end_with

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
        """See `Loop`."""
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

            with Crew(1, prepare, self._cpus) as crew:
                crew.gather(TIME_LIMIT_S)
                released_ns = crew.release()
                exits = crew.wait(TIME_LIMIT_S + slice_s)
        (ended_ns,) = log.header(FINISHED_NS)
        if not ended_ns:
            raise Failed(how_it_failed(exits, TIME_LIMIT_S) or "its processes did not come to their end")
        pair_ns = (ended_ns - released_ns) / self._rounds
        self._rounds = max(1, min(MOST_ROUNDS, int(slice_s * 1e9 / pair_ns)))
        return pair_ns


def _in_python(descriptor: int, counter: c_uint64, rounds: int, log: Log) -> None:
    bare_loop(descriptor, counter, rounds)


def _in_the_lab(descriptor: int, counter: c_uint64, rounds: int, log: Log) -> None:
    """Every hold recorded."""
    acquire, release = find_lock("fcntl").actions(descriptor, 0, 8, write=True)
    hold = Hold(acquire, release, log.segment(0), Span(0, 8, write=True).pack())
    for _ in range(rounds):
        with hold:
            counter.value += 1


def loops(folder: Path, pin: str, opened: ExitStack) -> list[Loop]:
    """The three, in the order in which they are told, on the processor of a first worker."""
    return [
        CLoop(folder, pin, opened),
        PythonLoop("CPython loop", _in_python, folder, pin),
        PythonLoop("the lab", _in_the_lab, folder, pin),
    ]
