"""Perform a schedule with real processes on the real file, under the real lock, as often as requested.

The workers are forked once and wait for their turns (see `replay_worker`). A step that the model calls waiting is never
granted its turn, so that no worker sleeps in the kernel except where that is the purpose: the workers of a ring of
waiting requests, and one that releases a shared flock by requesting an exclusive one, are sent into the kernel one by
one, and are observed there, before the next step is taken. A schedule is reproduced when the file ends with the very
bytes that the model ends with, and the workers saw the same. It proves the order, not the timing: processes that wait
for their turn are not a race.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER
from lab.memory import MAPPED, anonymous, find_backing, new_file, workspace
from lab.memory.named_files import files_left, named_files, put
from lab.processes import Terminated, WorkerPool, cpus_for, stop_on_sigterm
from lab.processes.actor import SETTLED_S, LockWait, listed_requests
from lab.records import Replay, ReplayOptions, Step
from lab.scenario import Found, Scenario

from .calls import CallsWorld
from .reasons import story
from .replay_worker import BLOCK, DIVERGED, GO, SLOT, START, Pipes, Plan, Replayed, digest, plan_of, read_report
from .run import damage_records
from .simplify import Repair, world_of
from .token import AGAIN, Token, differs, read, scenario_of, with_calls
from .trace import trace
from .worker import Shape, shape_of
from .world import End, World, damage_of, end_of, invariant_damage

LOOK_AGAIN_S = 0.0005
TICK_MS = 50


@dataclass(slots=True)
class Result:
    """The number of times that the schedule was reproduced, the number of tries, and the first divergence."""

    times: int = 0
    reproduced: int = 0
    divergence: str = ""
    running_s: float = 0.0
    reports: list[tuple[str, str]] = field(default_factory=list)
    content: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)


class Diverged(Exception):  # noqa: N818 - a finding
    """The kernel or the scenario did otherwise than the model."""


def replay(plan: Plan, folder: Path, times: int, limit_s: float, result: Result) -> None:
    """Perform the plan on a new file in the folder; `result` is kept up to date.

    It stops at the first divergence. Raises CannotRunError where the file or the processes are refused.
    """
    path = folder / "replayed"
    size = plan.shape.layout.size
    # reserved: a store into a hole may meet a full disk (SIGBUS)
    with new_file(path, plan.prepared[:size], sparse=False), named_files(path, plan.shape.first_files):
        while result.times < times and not result.divergence:
            with _Stage(plan, path, limit_s) as stage:
                stage.perform(times if not plan.stuck else result.times + 1, result)


class _Stage:
    """The pool, its pipes, and the parent's own view of the file."""

    def __init__(self, plan: Plan, path: Path, limit_s: float) -> None:
        self._plan = plan
        self._limit_s = limit_s
        self._workers = plan.shape.workers
        self._pipes = Pipes.make(self._workers)
        self._size = plan.shape.layout.size
        self._path = path
        self._mapping = MAPPED.map(path, self._size)
        self._inode = os.fstat(self._mapping.descriptor).st_ino
        memory = memoryview(anonymous(self._workers * (SLOT + 16)))
        self._slots = [memory[16 * self._workers + i * SLOT :][:SLOT] for i in range(self._workers)]
        self._board = memory[: 16 * self._workers].cast("q")
        self._blank = memoryview(bytes(len(self._board) * 8)).cast("q")
        self._starts = type(plan.shape.scenario).start is not Scenario.start
        self._stops = [turn for turn in plan.turns if turn.waiters]
        self._digests = [digest(own) for own in plan.reports]
        self._raised = tuple(text.partition(":")[0] for text in plan.raised)
        self._poll = select.poll()
        self._poll.register(self._pipes.reading[-1], select.POLLIN)
        self._pool = WorkerPool(self._workers, self._worker(str(path)), cpus_for("none"))
        self._affinity: set[int] = set()

    def _worker(self, path: str) -> Callable[[int], Callable[[], None]]:
        def prepare(index: int) -> Callable[[], None]:
            return Replayed(self._plan, index, path, self._pipes, self._slots[index], self._board).serve

        return prepare

    def __enter__(self) -> _Stage:
        self._share_a_processor()
        try:
            self._pool.__enter__()
        except BaseException:
            self._leave_it()
            raise
        try:
            self._pool.gather(self._limit_s)
            self._pids = {index: pid for pid, index in self._pool.pids.items()}
            self._pool.release()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _share_a_processor(self) -> None:
        """Keep this process, and those that it forks from now on, on one processor.

        One of them runs at a time, so nothing is lost; and a turn passes without a wake-up of another processor, which
        takes longer than all else that a turn does.
        """
        self._affinity = os.sched_getaffinity(0)
        with suppress(OSError):
            os.sched_setaffinity(0, cpus_for("one")(0) or self._affinity)

    def _leave_it(self) -> None:
        with suppress(OSError):  # the processors that this process may use were taken from it meanwhile
            os.sched_setaffinity(0, self._affinity)

    def __exit__(self, *raised: object) -> None:
        self._leave_it()
        self._pool.__exit__(None, None, None)
        self._pipes.close()
        self._mapping.close()

    def perform(self, times: int, result: Result) -> None:
        """Perform schedule after schedule until so many have been performed."""
        started = time.monotonic()
        try:
            while result.times < times:
                self._once()
                result.reproduced += self._compare(result)
                result.times += 1
        except Diverged as error:
            result.times += 1
            result.divergence = str(error)
        finally:
            result.running_s += time.monotonic() - started

    def _once(self) -> None:
        plan = self._plan
        self._mapping.buffer[:] = plan.prepared[: self._size]
        if plan.shape.directory:
            put(self._path, plan.shape.first_files)
        self._board[:] = self._blank
        if self._starts:
            for worker in range(self._workers):
                self._send(worker, START)
                self._heard()
        self._send(plan.turns[0].worker, GO)
        for turn in self._stops:
            self._heard()
            for waiter in turn.waiters:
                self._make_wait(waiter)
            self._send(turn.worker, GO)
        self._heard()
        for worker in plan.last:
            self._make_wait(worker)

    def _send(self, worker: int, message: bytes) -> None:
        os.write(self._pipes.writing[worker], message)

    def _heard(self) -> None:
        """Wait until the turn comes back. Raises Diverged where a worker found a difference, or no answer comes."""
        deadline = time.monotonic() + self._limit_s
        while not self._poll.poll(TICK_MS):
            self._see_all_alive()
            if time.monotonic() > deadline:
                raise Diverged(self._silence())
        if os.read(self._pipes.reading[-1], 1) == DIVERGED:
            raise Diverged(
                next(filter(None, (read_report(slot)["divergence"] for slot in self._slots)), "a worker gave up")
            )

    def _see_all_alive(self) -> None:
        """Raise ScenarioError where a worker ended, which none does before it is ordered to."""
        for ended in self._pool.gone():
            code = ended.code or 0
            how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
            raise ScenarioError(f"worker {ended.index} {how} at step {self._board[ended.index]}; race it instead")

    def _silence(self) -> str:
        """Say why a turn did not come back: the kernel does not grant a lock that the model grants, or worse."""
        progress = list(self._board[: self._workers])
        number = max(progress)
        worker = progress.index(number)
        step = next((step for step in self._plan.steps[worker] if step.number == number), None)
        told = f"{step.word} {step.start}" if step else "its first step"
        waits = listed_requests(self._pids[worker], [self._inode]) > 0
        what = "the model grants it, the kernel lets it wait" if waits else "it neither came back nor waits for a lock"
        return f"at step {number} worker {worker} did not return from {told} within {self._limit_s:g} s: {what}"

    def _make_wait(self, worker: int) -> None:
        """Send a worker into the kernel, to wait for its lock, and observe it there.

        Raises Diverged where the lock is granted.
        """
        wait = LockWait(self._pids[worker], lambda: [self._inode])
        self._board[self._workers + worker] = 0
        self._send(worker, BLOCK)
        while not wait.is_blocked(SETTLED_S) and wait.seconds < self._limit_s:
            time.sleep(LOOK_AGAIN_S)
            self._see_all_alive()
            if self._board[self._workers + worker]:
                raise Diverged(f"worker {worker} is granted a lock by the kernel for which the model lets it wait")

    def _compare(self, result: Result) -> bool:
        """Return whether the file and the workers ended as in the model; the last end that did not is kept."""
        plan = self._plan
        content = os.pread(self._mapping.descriptor, self._size, 0)
        files = files_left(self._path) if plan.shape.directory else {}
        left = [read_report(slot) for slot in self._slots]
        kinds = tuple(each["raised"].partition(":")[0] for each in left)
        result.content, result.files = content, files
        same = content == plan.final[: self._size] and files == {**plan.shape.files(plan.final)}
        result.reports = [(kind, text) for each in left for kind, text in each["seen"]]
        if plan.stuck:
            return same
        return same and [each["digest"] for each in left] == self._digests and kinds == self._raised


def check_mapped(shape: Shape) -> None:
    """Raise CannotRunError for a scenario that shares its bytes in another way than a replay does."""
    found, backing = shape.found, find_backing(shape.scenario.backing)
    if backing is not MAPPED:
        raise CannotRunError(
            f"scenario {found.name}: its backing is {backing.name}, a replay has {MAPPED.name}; race it"
        )


def reproduce(options: ReplayOptions, found: Found | None = None) -> Replay:
    """Reproduce the token's schedule `times` times on a new file in the directory.

    It is one of the scenario that the token names, or of that found where one is given: whoever gives it may have
    changed it, and only its operations have to be those of the token. The performances before an interrupt are kept.
    Raises UsageError for a token that does not fit, CannotRunError where the directory, the lock or the processes are
    refused.
    """
    token = read(options.token)
    world = _world(token, found or scenario_of(token))
    schedule = token.schedule
    steps, end = trace(world, schedule)
    if difference := differs(token, steps):
        raise UsageError(f"the token does not fit scenario {world.shape.found.name}: {difference}; {AGAIN}")
    plan = plan_of(world, schedule)
    check_mapped(plan.shape)
    result, interrupted = Result(), False
    begun = RunStart()
    with workspace(Path(options.directory)) as folder:
        try:
            with stop_on_sigterm():
                replay(plan, folder, options.times, options.time_limit_s, result)
        except (KeyboardInterrupt, Terminated):
            interrupted = True
        where = environment(folder, begun.load, RECORDER)
    left = end if plan.stuck or any(plan.raised) else _left(world, result, end)
    damage = damage_records(left)
    return Replay(
        **begun.header(where, interrupted=interrupted),
        options=ReplayOptions(options.token, options.times, anonymous_text(options.directory), options.time_limit_s),
        scenario=token.scenario,
        lock=token.lock,
        workers=token.workers,
        rounds=token.rounds,
        line_bytes=token.line,
        times=result.times,
        reproduced=result.reproduced,
        divergence=result.divergence,
        schedules_per_s=round(result.times / result.running_s, 1) if result.running_s else 0.0,
        damage=damage,
        headline=_headline(world, schedule, steps, left) if damage else "no damage",
        steps=steps,
    )


def _headline(world: World, schedule: bytes, steps: Sequence[Step], left: End) -> str:
    """Return what the exploration said of the schedule."""
    fixes = Repair(world, schedule).fixes
    return story(steps, damage_records(left), world.shape.lock, fixes=fixes, by_invariant=left.by_invariant).headline


def _world(token: Token, found: Found) -> World:
    """Return the simulated world of the token, in which its schedule can run."""
    found.check_world("replay")
    found = with_calls(found, token)
    world = world_of(shape_of(found, token.lock, token.workers, token.rounds, token.line))
    done = world.try_to_follow(token.schedule)
    if done < len(token.schedule):
        worker = token.schedule[done]
        raise UsageError(
            f"the token does not fit scenario {found.name}: worker {worker} cannot do step {done + 1}; {AGAIN}"
        )
    if world.choices():
        raise UsageError(
            f"the token does not fit scenario {found.name}: workers go on after the last of its {len(token.schedule)} "
            f"steps; {AGAIN}"
        )
    world.back_to(0)
    return world


def _left(world: World, result: Result, end: End) -> End:
    """Return the damage that the last performance really left in the file."""
    if not result.content or isinstance(world, CallsWorld):  # of calls the results are judged, which are the model's
        return end
    try:
        damage = damage_of(world.shape, result.content, result.reports, result.files)
        return end_of(damage, invariant_damage(world.shape, result.content))
    except ScenarioError:  # the check raises on these bytes, as it did on the model's
        return end
