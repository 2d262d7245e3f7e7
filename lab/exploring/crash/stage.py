"""Let real processes do the steps of a crash: a kill is SIGKILL, and of a power failure the file is made.

Each worker is a process that does as many steps of the scenario as it is told, under the real lock, and then stands
still before its next one. One that is killed ends there; the kernel frees what it holds. Where the power fails all are
killed, and the units that are old on the disk are put back in the file: what a fresh process then recovers from is a
file that this failure may leave, made and not found.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from greenlet import getcurrent, greenlet

from lab.errors import UsageError
from lab.exploring.operation import SYNC, FileCall, FileLock, Operation, SteppedBytes
from lab.exploring.token import AGAIN, operations_of
from lab.exploring.trace import step_now, step_of, turn_of
from lab.exploring.worker import Shape, SteppedWorker
from lab.exploring.world import World
from lab.host.disks import single_pages
from lab.locking import Action, find_lock
from lab.memory import MAPPED
from lab.memory.named_files import NamedFile, NamedFiles, files_left, fill
from lab.processes.actor import SteppedProcess
from lab.processes.rpc import Gone
from lab.records import Damage, Step

from .judge import Image, Judge, Rounds
from .left import Old, what_is_old
from .recovery import AGAIN as AGAIN_ROUNDS
from .recovery import LONGEST, Dead, Recoveries, rounds_of
from .script import Event, Script
from .search import disk_of

Operations = list[list[str | int]]
"""Steps that were done: their words, first bytes and lengths."""


@dataclass
class Model:
    """What the model does with a script: the steps, the file after each, and what is wrong at the end."""

    world: World
    script: Script
    steps: list[Step] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.world.shape
        self.world.in_between = False
        self._disk = disk_of(shape, self.script.unit)
        self._recoveries = Recoveries(self.world, self._disk, "kill", AGAIN_ROUNDS)
        self.content = self.world.initial
        self.contents = [self.content]
        self._last = -1
        self._rounds = (0, 0)
        self._seen: list[tuple[str, str]] = []
        perform = {"x": self._work, "k": self._kill, "p": self._fail, "r": self._recover}
        for event in self.script.events:
            perform[event.kind](event)
        self.damage = self._judged()

    def _add(self, step: Step, content: bytes) -> None:
        self.steps.append(step)
        self.contents.append(content)

    def _work(self, event: Event) -> None:
        world, first = self.world, len(self.steps)
        for _ in range(event.steps):
            if event.worker >= len(world.at) or event.worker not in world.choices():
                raise self._unfit(f"worker {event.worker} cannot do step {len(self.steps) + 1}")
            step = step_now(world, event.worker, turn_of(world, self._last, event.worker))
            self._last = event.worker
            self._add(step, bytes(world.content))
        self.content = bytes(world.content)
        self._same(event, first)

    def _kill(self, event: Event) -> None:
        world, worker = self.world, event.worker
        if worker >= len(world.at):
            if worker != self.world.shape.workers:
                raise self._unfit(f"there is no worker {worker}")
            self._add(Step(worker, self.steps[-1].round, "killed", "", None, "free", 0, 0), self.content)
            return
        node = world.at[worker]
        self._add(Step(worker, node.round, "killed", "", None, "free", 0, 0), self.content)
        world.at[worker], world.state = (
            Dead(*rounds_of(node, world.shape.rounds)),
            world.locks.drop(world.state, worker),
        )

    def _fail(self, event: Event) -> None:
        before = self.content = self._disk.failed(self.content)
        for unit, number in event.old:
            if number >= len(self.contents) or unit >= self._disk.count:
                raise self._unfit(f"there is no unit {unit} as after step {number}")
            self.content = self._disk.put(self.content, unit, self.contents[number][self._disk.place(unit)])
        what = what_is_old(self.world.shape, self._disk, [Old(*each) for each in event.old], self.content, before)
        self._add(Step(-1, 0, "power", "", what, "free", 0, 0), self.content)

    def _recover(self, event: Event) -> None:
        shape, behaviour = self.world.shape, self._recoveries.behaviour(min(event.worker, AGAIN_ROUNDS))
        node, memory, first = behaviour.root, bytearray(self.content), len(self.steps)
        for _ in range(min(event.steps, LONGEST)):
            if node.operation is None:
                raise self._unfit("the one that recovers has fewer steps")
            met, following = behaviour.step_alone(node, memory)
            step = step_of(shape.memory, shape.workers, node, met, "same" if len(self.steps) > first else "free")
            self._add(step, bytes(memory))
            node = following
        self.content, self._rounds, self._seen = bytes(memory), rounds_of(node, event.worker), [*node.seen]
        self._same(event, first)

    def _same(self, event: Event, first: int) -> None:
        if operations_of(self.steps[first:]) != event.operations:
            raise self._unfit(f"from step {first + 1} on other operations are done than when it was made")

    def _unfit(self, what: str) -> UsageError:
        return UsageError(f"the token does not fit scenario {self.world.shape.found.name}: {what}; {AGAIN}")

    def _judged(self) -> list[Damage]:
        shape = self.world.shape
        pairs = [*(rounds_of(node, shape.rounds) for node in self.world.at), self._rounds]
        rounds = Rounds(tuple(finished for finished, _ in pairs), tuple(begun for _, begun in pairs))
        found, _ = Judge(shape, self._disk).damage(Image(self.content), rounds, self._seen)
        return [Damage(each.kind, each.count, each.of, list(each.evidence)) for each in found]


class Stepper:
    """A worker in a process of its own: it does so many steps and stands still before the next."""

    def __init__(self, shape: Shape, index: int, path: Path, again: int | None) -> None:
        self._shape = shape
        self._mapping = MAPPED.map(path, shape.layout.size)
        single_pages(self._mapping.descriptor)
        self._mapping.buffer.madvise(mmap.MADV_RANDOM)  # no page is read ahead into a larger folio
        self._files = NamedFiles(path) if shape.directory else None
        self._lock = find_lock(shape.lock)
        self._again = again
        memory = SteppedBytes(self._mapping.buffer, shape.line, self.step)
        self._worker = SteppedWorker(shape, index, memory, self._guard, [], self._files)
        self._left = 0
        self._counts = again is not None
        self._done: Operations = []
        if again is None:
            shape.scenario.start(self._worker)  # type: ignore[arg-type]
        self._counts = True
        self._hub = getcurrent()
        self._run = greenlet(self._life)

    def perform(self, steps: int) -> Operations:
        """Do so many steps; return the operations: their words, first bytes and lengths."""
        self._left, self._done = steps, []
        if steps and not self._run.dead:
            self._run.switch()
        return self._done

    def step(self, operation: Operation) -> Any:
        """Stand still before this step, once all that were asked for are done; return what a call returns."""
        if not self._counts:
            return None
        if not self._left:
            self._hub.switch()
        self._left -= 1
        self._done.append([operation.word, *operation.where])
        if operation.kind == SYNC:
            self._mapping.sync(operation.start, operation.span.length)
        return self._files.perform(operation.call) if self._files and isinstance(operation, FileCall) else None

    def _life(self) -> None:
        worker, scenario = self._worker, self._shape.scenario
        if self._again is not None:
            worker.round = -1
            scenario.start(worker)  # type: ignore[arg-type]
            scenario.recover(worker)  # type: ignore[arg-type]
        for worker.round in range(self._shape.rounds if self._again is None else self._again):
            scenario.work(worker)  # type: ignore[arg-type]

    def _guard(self, lock: Operation, unlock: Operation) -> _Held:
        descriptor, start, length = self._mapping.descriptor, lock.span.start, lock.span.length
        if self._files and isinstance(lock, FileLock):
            descriptor, start, length = self._files.descriptor(lock.call.slot), 0, 0
        acquire, release = self._lock.actions(descriptor, start, length, write=lock.write)
        return _Held(self, lock, unlock, acquire, release)


class _Held:
    """A real lock, of which taking and giving back are steps."""

    def __init__(self, stepper: Stepper, lock: Operation, unlock: Operation, acquire: Action, release: Action) -> None:
        self._stepper, self._lock, self._unlock = stepper, lock, unlock
        self._acquire, self._release = acquire, release

    def __enter__(self) -> None:
        self._stepper.step(self._lock)
        self._acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stepper.step(self._unlock)
        self._release()


class Diverged(Exception):  # noqa: N818 - a finding
    """The kernel or the scenario did otherwise than the model."""


@dataclass
class Stage:
    """The file and the processes of one performance. Of a power failure the file is made."""

    model: Model
    path: Path
    limit_s: float
    stops: Collection[int] = ()
    """The steps after which `stopped` is called, before the next step."""

    def perform(self) -> bytes:
        """Perform the script once; return what is left of the file. Raises Diverged."""
        with ExitStack() as ended:
            self.begin(ended)
            shape = self.model.world.shape
            self._processes = {worker: self._process(ended, worker, None) for worker in range(shape.workers)}
            for process in self._processes.values():
                self._asked(process, 0)
            self.started()
            number = 0
            for event in self.model.script.events:
                number += event.steps if event.kind in "xr" else 1
                if event.kind == "p":
                    self.fail(event, number)
                elif event.kind == "k":
                    self._processes.pop(event.worker).end()
                else:
                    self._steps(ended, number - event.steps, event)
            self.end_all()
            return self.left()

    def begin(self, ended: ExitStack) -> None:
        """Lay out the file."""
        mapping = MAPPED.map(self.path, self.model.world.shape.layout.size)
        ended.callback(mapping.close)
        self._buffer = mapping.buffer
        self._put(self.model.world.prepared)

    def started(self) -> None:
        """All workers stand before their first step."""

    def stopped(self, number: int) -> None:
        """Step `number`, one of the `stops`, is done."""

    def fail(self, event: Event, number: int) -> None:
        """Let the power fail, after so many steps, this one among them."""
        self.end_all()
        self._put(self.model.contents[number])  # the units that are old on the disk

    def left(self) -> bytes:
        """Return what is left of the file."""
        return bytes(self._buffer)

    def fits(self, left: bytes) -> bool:
        """Return True where that, and the files of the directory, are as the model has them."""
        shape, content = self.model.world.shape, self.model.content
        files = files_left(self.path) if shape.directory else {}
        return left == content[: shape.layout.size] and files == {**shape.files(content)}

    def _put(self, content: bytes) -> None:
        """Make the file, and the files of the directory, as they are in these bytes."""
        shape = self.model.world.shape
        self._buffer[:] = content[: shape.layout.size]
        if shape.directory:
            named = shape.directory.named_files(lambda start, end: content[start:end])
            fill(self.path, {name: NamedFile(*each) for name, each in named.items()})

    def _process(self, ended: ExitStack, index: int, again: int | None) -> SteppedProcess:
        made: list[Stepper] = []

        def perform(steps: int) -> Operations:
            if not made:
                made.append(Stepper(self.model.world.shape, index, self.path, again))
            return made[0].perform(steps)

        return ended.enter_context(SteppedProcess(perform))

    def _steps(self, ended: ExitStack, first: int, event: Event) -> None:
        """Let a worker, or the one that recovers, do its steps, and compare them with the model's."""
        worker = event.worker
        if event.kind == "r":
            self.end_all()
            worker = self.model.world.shape.workers
            self._processes[worker] = self._process(ended, worker, event.worker)
        done: Operations = []
        for number in range(first + 1, first + event.steps + 1):
            if number in self.stops or number == first + event.steps:
                done += self._asked(self._processes[worker], number - first - len(done))
                self.stopped(number)
        expected = self.model.steps[first : first + event.steps]
        for number, (step, each) in enumerate(zip(expected, done, strict=False), first + 1):
            if [step.operation, step.start, step.length] != each:
                raise Diverged(f"at step {number} it does {each[0]} {each[1]} where the model has {step.operation}")
        if len(done) < len(expected):
            raise Diverged(f"after step {first + len(done)} worker {worker} had ended, and the model goes on")

    def _asked(self, process: SteppedProcess, steps: int) -> Operations:
        process.begin(steps)
        try:
            done: Operations | None = process.result(self.limit_s)
        except Gone as error:
            raise Diverged(f"a worker ended by itself ({error.code})") from error
        if done is None:
            raise Diverged(f"a worker did not do its {steps} steps within {self.limit_s:g} s: its lock is not granted")
        return done

    def end_all(self) -> None:
        """Kill all processes."""
        for process in self._processes.values():
            process.end()
        self._processes.clear()
