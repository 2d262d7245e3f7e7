"""Step a program of the tour as a process of its own, one call at a time; each result is an observation.

The tour itself maps nothing and touches no mapping: a call that kills, kills one of these processes.

A `Step` is one claim of the tutorial, and the calls that show it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType

from lab.errors import CannotRunError, out_of_descriptors
from lab.memory import Folder, open_file
from lab.processes.actor import SETTLED_S, SteppedProcess
from lab.processes.rpc import Gone
from lab.records import Observation

from . import calls
from .calls import Call, Program, how_it_ended, perform_call, perform_in_child

ANSWER_S = 10.0
"""The time, in seconds, after which a call is reported as not answered."""


class Lacking(Exception):  # noqa: N818 - a finding
    """The machine lacks what a step needs; the text says what."""


WAITS = "waits"


def observation(call: str, expected: str, observed: str) -> Observation:
    """Return an observation; it agrees where it is one of the results in "X or Y"."""
    return Observation(call, expected, observed, observed in expected.split(" or "))


class Process:
    """The process that runs the program, on this file; it ends with the block."""

    def __init__(self, path: Path, name: str = "") -> None:
        self._name = name
        self._program = Program(str(path))
        self._process = SteppedProcess(self._perform)
        self._at_once: str | None = None
        self.pid = self._process.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.end()

    def do(self, call: Call) -> str:
        """Make the call and return its result, which is not recorded as an observation."""
        self._process.begin(*_step(call))
        return self._answered()

    def does(self, call: Call, expected: str = calls.WORKS) -> Observation:
        """Make the call in the process."""
        return observation(f"{self._mark()}{call}", expected, self.do(call))

    def risks(self, call: Call, expected: str, *, who: str = "") -> Observation:
        """Make the call in a child that the process forks for it: the memory is the same, and only the child dies."""
        self._process.begin(*_step(call, forked=True))
        return observation(f"{self._mark(who)}{call}", expected, self._answered())

    def begins(self, call: Call) -> Observation:
        """Begin a call that should wait: return "waits" once it is blocked on a lock, else its result."""
        try:
            self._at_once = self._process.try_step(*_step(call), settle_s=SETTLED_S, limit_s=ANSWER_S)
        except Gone as gone:
            self._at_once = how_it_ended(gone.code)
        return observation(f"{self._mark()}{call}", WAITS, self._at_once or WAITS)

    def goes_on(self, expected: str = calls.WORKS) -> Observation:
        """Return the result of the call that was begun, now that it need not wait any more."""
        return observation(f"{self._mark()}the call that waited", expected, self._at_once or self._answered())

    def exits(self) -> Observation:
        """End the process as exit(3) does, with what it has mapped, opened and locked."""
        self._process.begin("exit", False)
        return observation(f"{self._mark()}exit(0)", "exit 0", self._end(ANSWER_S) or "lives on")

    def is_killed(self) -> Observation:
        """Kill the process (SIGKILL)."""
        self._process.kill()
        return observation(
            "kill(A, SIGKILL)".replace("A", self._name or "A"), "SIGKILL", self._end(ANSWER_S) or "lives on"
        )

    def _mark(self, who: str = "") -> str:
        return f"{who or self._name}: " if who or self._name else ""

    def _answered(self) -> str:
        """Return the result of the call; a process that does not answer is given up."""
        result = self._end(ANSWER_S)
        if result is None:
            self._process.kill()
        return result or f"no answer within {ANSWER_S:g} s"

    def _end(self, timeout_s: float) -> str | None:
        try:
            result: str | None = self._process.result(timeout_s)
        except Gone as gone:
            return how_it_ended(gone.code)
        return result

    def _perform(self, name: str, forked: bool, *numbers: int) -> str:
        """Make the call, in the process itself."""
        if name == "exit":
            os._exit(0)
        call: Call = getattr(calls, name)(*numbers)
        return (perform_in_child if forked else perform_call)(call, self._program)


def _step(call: Call, *, forked: bool = False) -> list[object]:
    return [type(call).__name__, forked, *astuple(call)]  # type: ignore[call-overload]


class Stage:
    """The place of a step: it makes files in a folder, and processes that end with the step."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self._folder = folder
        self._ends = ends

    def file(self, content: bytes) -> Path:
        """Make a new file. Raises CannotRunError where there is no room."""
        path = self._folder / "foo"
        try:
            Folder.at(self._folder).unlink(path.name)
            descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
        except OSError as error:
            raise out_of_descriptors(error) or CannotRunError(
                f"--dir {self._folder.parent}: no file ({error.strerror}); give another"
            ) from error
        return path

    def process(self, path: Path, name: str = "") -> Process:
        """Start a process that works on the file; its name stands before what it does."""
        return self._ends.enter_context(Process(path, name))


@dataclass(frozen=True, slots=True)
class Step:
    """A claim in one sentence, the calls that show it, and what they cannot show."""

    name: str
    claim: str
    perform: Callable[[Stage], Iterator[Observation]]
    note: str = ""
