"""Define the stepped worker, which does one step at a time: simulated in explore, a real process in replay."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from ctypes import Structure
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from lab.errors import CannotRunError, ScenarioError, UsageError, error_line
from lab.histories.automaton import freeze
from lab.locking.registry import OWN
from lab.memory.named_files import NamedFiles
from lab.memory.struct_proxy import BytesProxy, drop_attributes, has_attributes, struct_proxy
from lab.model.directory import Call, Directory, Files, Load, Result
from lab.scenario import Found, Layout, Scenario
from lab.scenario.files import CREATED_PER_ROUND, File, FileUser, files_of

from .operation import LOCK, UNLOCK, FileCall, FileLock, Operation, SteppedBytes
from .sandbox import bypass

if TYPE_CHECKING:
    from random import Random

Guard = Callable[[Operation, Operation], AbstractContextManager[object]]
"""A function that makes the hold of one range from its lock and its unlock."""


class Unguarded:
    """A lock that excludes none; `contextlib.nullcontext` takes three times as long."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: object) -> None:
        pass


UNGUARDED = Unguarded()


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape that is explored: a scenario under a lock, so many workers with so many rounds each, and the line.

    Its `prepare` and its `check` are broken off after `limit_s`.
    """

    found: Found
    scenario: Scenario
    memory: type[Structure]
    layout: Layout
    lock: str
    workers: int
    rounds: int
    line: int
    limit_s: float = 10.0
    directory: Directory | None = None
    """The directory of the scenario's files; its bytes are behind those of the memory."""
    crashes: bool = False
    """True where workers crash: then syncs are steps, and one more worker comes afterwards, for whom there is room."""

    @property
    def everybody(self) -> int:
        """Return the number of workers that the memory is laid out for."""
        return self.workers + self.crashes

    @property
    def first_files(self) -> Mapping[str, bytes | None]:
        """Return the files that the scenario has at first."""
        return self.directory.files if self.directory else {}

    def files(self, content: bytes | bytearray) -> Mapping[str, bytes]:
        """Return the files in these bytes of the memory and the directory."""
        return self.files_of(lambda start, end: bytes(content[start:end]))

    def files_of(self, load: Load) -> Mapping[str, bytes]:
        """Return the files in bytes that are loaded so."""
        return Files(self.directory, load) if self.directory else {}

    @property
    def size(self) -> str:
        """Return workers and rounds in words."""
        return f"{self.workers:,} worker{'s' * (self.workers > 1)} x {self.rounds:,} round{'s' * (self.rounds > 1)}"


def shape_of(found: Found, lock: str, workers: int, rounds: int, line: int, *, crashes: bool = False) -> Shape:
    """Return the shape, with the memory laid out for it. Raises UsageError where the scenario does not fit."""
    everybody = workers + crashes
    found.check_workers(everybody)
    try:
        scenario = found.kind()
        scenario.Memory = memory = scenario.layout(everybody, rounds)
        layout, files, directory = Layout(memory), files_of(scenario, everybody, rounds), None
        if files:
            directory = Directory(files, layout.size, everybody, everybody * (rounds + 1) * CREATED_PER_ROUND)
        return Shape(found, scenario, memory, layout, lock, workers, rounds, line, directory=directory, crashes=crashes)
    except (CannotRunError, ScenarioError):
        raise
    except Exception as error:
        raise UsageError(f"scenario {found.name}: cannot be laid out: {error_line(error)}") from error


def _do_nothing() -> None:
    """Do nothing."""


class SteppedWorker(FileUser):
    """`lab.Worker` over stepped bytes; see there for what each method guarantees.

    A real process has real `files`.
    """

    def __init__(
        self,
        shape: Shape,
        index: int,
        memory: SteppedBytes,
        guard: Guard,
        seen: list[tuple[str, str]],
        files: NamedFiles | None = None,
    ) -> None:
        self._index = index
        self.knows_itself = False
        self.workers = shape.everybody
        self.rounds = shape.rounds
        self.round = 0
        self.memory: Any = struct_proxy(shape.memory, memory, memory.numbers)
        self.local = SimpleNamespace()
        self.open_files = {}
        self._layout = shape.layout
        self._directory = shape.directory
        self._calls: dict[Call, FileCall] = {}
        self._files = files
        self._locked = shape.lock != "none"
        self._ranges = not OWN[shape.lock].whole_file
        self._memory = memory
        self._guard = guard
        self._syncs = shape.crashes
        self._seen = seen
        self.touched = False
        self.results: list[Hashable] = []
        self.paused: Callable[[], None] = _do_nothing
        self._random: Random | None = None
        self._holds: dict[Any, AbstractContextManager[object]] = {}
        self._bytes: dict[Any, BytesProxy] = {}
        self._own = frozenset((*vars(self), "_own"))

    @property
    def index(self) -> int:
        """See `lab.Worker.index`; once it was read, `knows_itself` says so: the worker may differ from the others."""
        self.knows_itself = True
        return self._index

    def renew(self) -> None:
        """Bring the worker back to before its first round."""
        self.round = 0
        self.local.__dict__.clear()
        self.open_files.clear()
        self.results.clear()
        self._random = None
        for name in vars(self).keys() - self._own:
            delattr(self, name)
        drop_attributes(self.memory)

    @property
    def random(self) -> Random:
        """See `lab.Worker.random`: the same draws in every schedule."""
        if self._random is None:
            from random import Random

            self._random = Random(f"explore/{self.index}")  # noqa: S311 - repeatable draws, not secrets
        return self._random

    def draws(self) -> Hashable:
        """Return what decides the next draws; None before the first."""
        return self._random.getstate() if self._random else None

    def has_more_attributes(self) -> bool:
        """Return True where the scenario has given the worker, or its memory, attributes of their own."""
        return len(vars(self)) != len(self._own) or has_attributes(self.memory)

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """See `lab.Worker.write_lock`."""
        return self._hold(field, index, count, write=True) if self._locked else UNGUARDED

    def read_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """See `lab.Worker.read_lock`."""
        return self._hold(field, index, count, write=False) if self._locked else UNGUARDED

    def _hold(self, field: Any, index: int | None, count: int, *, write: bool) -> AbstractContextManager[object]:
        key = field, index, count, write
        try:
            return self._holds[key]
        except KeyError:
            start, length = self._layout.extent(field, index, count)
            if not self._ranges:
                start, length = 0, 0
            elif self._directory and not length:  # what is behind the memory stands for files
                length = self._directory.base - start
            lock, unlock = (Operation(kind, start, length, write=write) for kind in (LOCK, UNLOCK))
            made = self._holds[key] = self._guard(lock, unlock)
            return made

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> BytesProxy:
        """See `lab.Worker.bytes`."""
        key = field, index, count
        if key not in self._bytes:
            self._bytes[key] = BytesProxy(self._memory, *self._layout.extent(field, index, count))
        return self._bytes[key]

    def damaged(self, kind: str, evidence: str = "") -> None:
        """See `lab.Worker.damaged`."""
        self._seen.append((kind, f"worker {self._index}, round {self.round}: {evidence}"))

    def sync(self, field: Any = None, index: int | None = None, count: int = 1) -> None:
        """See `lab.Worker.sync`; where nothing crashes, it changes nothing that anybody can see."""
        if self._syncs:
            self._memory.sync(*self._layout.extent(field, index, count))

    def perform_call(self, call: Call) -> Result:
        """See `FileUser.perform_call`: it is a step."""
        if call not in self._calls:
            if self._directory is None:
                raise ScenarioError(f"{call.about}: the scenario has no files; define files(self, workers, rounds)")
            self._calls[call] = FileCall(self._directory, call, self._index)
        return self._memory.call(self._calls[call])

    def sync_file(self, call: Call) -> None:
        """See `FileUser.sync_file`: no step where nothing crashes."""
        if self._syncs:
            self.call_file(call)

    def close_file(self, slot: int) -> None:
        """See `FileUser.close_file`: of a real process a file is closed."""
        if self._files:
            self._files.close(slot)

    def lock_file(self, file: File, *, write: bool) -> AbstractContextManager[object]:
        """See `FileUser.lock_file`; the model of a lock on whole files has one file only."""
        if not self._locked:
            return UNGUARDED
        if not self._ranges:
            raise CannotRunError(
                f"it locks the file {file.name} by its name, which is simulated for locks on byte ranges only (fcntl, "
                "ofd); race it instead (lab race)"
            )
        assert self._directory is not None  # noqa: S101 - a file is open
        key = file.name, file.slot, file.number, write
        if key not in self._holds:
            call = Call("lock", file.name, slot=file.slot)
            lock, unlock = (FileLock(each, self._directory, file.number, call, write=write) for each in (LOCK, UNLOCK))
            self._holds[key] = self._guard(lock, unlock)
        return self._holds[key]

    def call(self, number: int, make: Callable[[], Any]) -> None:
        """Make one call of `lab.Operations`; its result is kept. Who takes the steps says that one was `touched`."""
        self.touched = False
        result = make()
        if not self.touched:
            self._memory.touch_nothing()
        self.results.append(freeze(result, ordered=False))

    def pause(self) -> None:
        """See `lab.Worker.pause`: whoever owns the steps is told, and needs no help to switch."""
        self.paused()

    @property
    def path(self) -> str:
        """Refuse: what goes around `w.memory` is not seen, and a proof that did not see it would be false."""
        self._refuse("path")

    def _refuse(self, name: str) -> NoReturn:
        raise bypass(f"asks for w.{name}")

    def reopen(self) -> None:
        """Refuse, as for all that the simulated memory does not cover."""
        self._refuse("reopen")

    def stale(self) -> bool:
        """Refuse."""
        self._refuse("stale")

    def twin(self) -> NoReturn:
        """Refuse."""
        self._refuse("twin")

    def child(self, body: object) -> NoReturn:
        """Refuse."""
        self._refuse("child")

    def die(self) -> None:
        """Refuse."""
        self._refuse("die")
