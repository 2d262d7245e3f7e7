"""Race the copies of a program while one kind of fault is made, for as long as the fault's row may take.

The rounds are fewer than in the ordinary row, so that a trial is short. Where nothing was broken and the fault could
not be made, the row says why it was not tried.

A pause holds one copy between two of its system calls, at places that its first trial has shown. In the first trial one
copy is started before the others, and its calls on files of the trial's folder are learnt. In each later trial one copy
is held before such calls. The first of these places comes while the copy is alone: only then are the others started,
and they meet what it has left half made, a file that has no size yet for example. The copy goes on once they have
arrived at the start or have ended, or after three times as long as they took without a fault. At the other places it is
held for some milliseconds while the others race on. The places are drawn from the seed among those that were learnt,
each kind of call on each file once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from time import monotonic
from types import TracebackType

from lab.errors import CannotRunError
from lab.processes import GroupReaper, WorkerPool
from lab.processes.ptrace import allow_tracer
from lab.processes.tracer import GO_ON, RELEASED, Call, Order, Place, Tracer
from lab.racing.fault_plan import until
from lab.racing.faults import Fault
from lab.racing.trial import Result
from lab.racing.worker import Setting
from lab.records import Case as Row

from .cases import NAME, run_alone
from .launch import Start
from .meddle import Isolated, KilledHolder, KilledWaiter, Meddler, Signalled, Stopped
from .samples import Samples

TRIAL_S, PAUSED_TRIAL_S = 0.3, 1.0
"""The time, in seconds, that the rounds of one trial take; a trial with pauses goes on for longer than they last."""

PATIENCE_S, SLACK = 4.0, 10
"""A trial hangs after this time and so many times as long as it takes without a fault."""

TRACED_S = 12.0
"""The time, in seconds, that tracing a copy may add."""

UNMADE_S = 2.0
"""So many seconds more are raced where the fault could not be made yet: a busy machine takes several trials."""

FEWEST_PLANS = 2
"""The fewest trials with pauses, also where they take longer than the fault's time."""

MEDDLERS: dict[tuple[str, str], type[Meddler]] = {
    ("holder", "stop"): Stopped,
    ("holder", "kill"): KilledHolder,
    ("waiter", "kill"): KilledWaiter,
    ("waiter", "signal"): Signalled,
    ("worker", "isolate"): Isolated,
}
UNSEEN = "no copy was seen to {} a lock of the kernel"
NEVER_MADE = {
    ("holder", "stop"): "no copy was found that the others wait for",
    ("holder", "kill"): UNSEEN.format("hold"),
    ("waiter", "kill"): UNSEEN.format("wait for"),
    ("waiter", "signal"): "no copy was found waiting",
    ("worker", "pause"): "no call on a file of the trial's folder was seen",
}

BY_CHILDREN = "a process that a copy started locked, such as flock(1), and not the copy itself"


class NotMade(CannotRunError):  # noqa: N818 - a finding
    """The fault could not be made."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not tried: {why}")


def setting_with_fault(setting: Setting, ordinary: Row) -> Setting:
    """Return the setting of a fault's trials: their rounds and time limit follow the speed of the ordinary row."""
    fault = setting.fault
    assert fault  # noqa: S101 - what this module is for
    assert setting.program  # noqa: S101 - copies of it race
    wall_s = ordinary.wall_s / max(1, ordinary.trials)
    trial_s = PAUSED_TRIAL_S if fault.what == "pause" else TRIAL_S
    rounds = max(1, min(setting.rounds, int(setting.rounds * trial_s / max(wall_s, 1e-9))))
    if "rounds" in setting.program.used:
        wall_s *= rounds / setting.rounds
    limit_s = PATIENCE_S + SLACK * wall_s + (TRACED_S if fault.what == "pause" else 0.0)
    return replace(
        setting,
        rounds=rounds,
        time_limit_s=round(fault.stop_s + min(setting.time_limit_s, limit_s), 1),
        watcher=None,
        seed=f"{setting.seed}/{fault.name}",
    )


def faulty_trials(setting: Setting, folders: Sequence[Path], ordinary: Row) -> Iterator[Result]:
    """Yield trials until the fault's time is over, or until something broke.

    None is raced for a death of a holder where the `ordinary` row has seen none.

    Raises NotMade where nothing broke and the fault could not be made, and what `run_alone` raises.
    """
    fault = setting.fault
    assert fault  # noqa: S101 - what this module is for
    if fault.kills and _is_locked(ordinary) is False:
        raise NotMade(NEVER_MADE[fault.whom, fault.what])
    begun, made = monotonic(), 0
    for number, make in enumerate(_paused(setting) if fault.what == "pause" else _others(fault)):
        used: list[Meddler] = []

        def meddle(file: Path, make: Make = make, number: int = number, used: list[Meddler] = used) -> Meddler:
            used.append(make(f"{setting.seed}/{number}", file))
            return used[0]

        result = run_alone(setting, number, folders, meddle=meddle)
        if result.failures and isinstance(used[0], Signalled) and used[0].is_order:
            raise NotMade(f"a copy ended, as it may: {used[0].note}")
        yield result
        made += result.faults_made
        if result.damage:
            return
        if used[0].refused:
            raise NotMade(used[0].refused)
        over_s = monotonic() - begun - fault.seconds
        if over_s >= (0.0 if made else UNMADE_S) and (fault.what != "pause" or number >= FEWEST_PLANS):
            break
    if not made:
        theirs = fault.kills and _is_locked(ordinary)
        raise NotMade(BY_CHILDREN if theirs else NEVER_MADE.get((fault.whom, fault.what), ""))


def _is_locked(ordinary: Row) -> bool | None:
    """Return whether the ordinary row shows a lock of the kernel; None where it shows nothing of locks."""
    if ordinary.watched:
        return any(row.lock != "lock file" and row.granted for row in ordinary.watched.locked)
    return bool(ordinary.sampled.held) if ordinary.sampled else None


Make = Callable[[str, Path], Meddler]
"""A function that makes the meddler of a trial from its seed and its file."""


def _others(fault: Fault) -> Iterator[Make]:
    while True:
        yield partial(MEDDLERS[fault.whom, fault.what], seconds=fault.stop_s)


def _paused(setting: Setting) -> Iterator[Make]:
    """Yield the maker for the trial that learns, and then one for each plan, which come from what that has learnt."""
    assert setting.program  # noqa: S101 - copies of it race
    learnt = Learnt()
    paused = partial(Paused, limit_s=setting.time_limit_s, copies=setting.programs, learnt=learnt)
    yield partial(paused, plan=None)
    draws = Random(setting.seed)  # noqa: S311 - a plan, no secret
    while learnt.calls:
        for plan in planned(learnt.calls, NAME, waits=setting.program.waits, draws=draws):
            yield partial(paused, plan=plan)


ALONE_S = 3.0
"""The longest time, in seconds, for which the first copy runs alone."""

HELD_S = 0.02
"""The time, in seconds, for which a copy is held while the others race."""

SHORTEST_S, LONGEST_S = 0.1, 1.5
"""The limits, in seconds, of the time for which the others have to arrive while the first copy is held."""

ARRIVALS = 3
"""The factor for the time that the others took to arrive in the first trial."""

MAKING = 12
"""Without a start signal so many calls of a copy count as its start."""

IN_THE_RACE = 6
"""A copy is held so often after the release in one trial."""

TOLD_S = 1.0
"""The time, in seconds, in which the tracer tells what it learnt of a copy that has ended."""

OPENS = ("open", "openat", "openat2", "creat")


@dataclass(slots=True)
class Learnt:
    """The facts that the first trial has shown: the calls of a copy, and how long the others took to arrive."""

    calls: Sequence[Call] = ()
    arrival_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """The plan of one trial: the place where the first copy waits for the others, and places in the race."""

    alone: Place | None = None
    later: tuple[Place, ...] = field(default=())


def planned(calls: Sequence[Call], file: str, *, waits: bool, draws: Random) -> list[Pauses]:
    """Return the plans of the trials after the first: one for each place in the start, or one without such a place.

    The places after a file was made come first, then the others in an order that is drawn. `waits` says that the
    program waits for a start signal.
    """
    numbered = number_calls(calls)
    start = [(place, call) for place, call in numbered if call.released != waits and (waits or place[1] < MAKING)]
    race = [(place, call) for place, call in numbered if call.released and (place, call) not in start]
    made = {call.file for _, call in start} - {file}
    after_making = [
        place for (_, before), (place, _) in pairwise(start) if before.name in OPENS and before.file in made
    ]
    others = [place for place in _kinds(start) if place not in after_making]
    draws.shuffle(others)
    later = _kinds(race)
    alone: list[Place | None] = [*after_making, *others]
    return [Pauses(place, tuple(draws.sample(later, min(IN_THE_RACE, len(later))))) for place in alone or [None]]


def number_calls(calls: Sequence[Call]) -> list[tuple[Place, Call]]:
    """Return each call with its place."""
    counts = [0, 0]
    found = []
    for call in calls:
        found.append(((call.released, counts[call.released]), call))
        counts[call.released] += 1
    return found


def _kinds(calls: Sequence[tuple[Place, Call]]) -> list[Place]:
    """Return the first place of each kind of call on each file; numbers in names make no difference."""
    first: dict[tuple[str, str], Place] = {}
    for place, call in calls:
        first.setdefault((call.name, re.sub(r"\d+", "#", call.file)), place)
    return list(first.values())


class Paused(Meddler):
    """One copy is held between two system calls (`Tracer`); in the trial that learns, without a plan, none is."""

    def __init__(
        self, seed: str, file: Path, limit_s: float, copies: Sequence[int], learnt: Learnt, plan: Pauses | None
    ) -> None:
        super().__init__(seed, file)
        self._limit_s = limit_s
        self._learnt = learnt
        self._plan = plan
        self._first = self._random.choice(copies)
        self._gates = {index: os.pipe() for index in copies}
        self._tracer = Tracer(file.parent.name, GroupReaper.kept_group())
        self._pids: dict[int, int] = {}
        self._begun = self._opened = 0.0
        self._arrived = self._is_tracing = False

    def __enter__(self) -> Meddler:
        self._tracer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the tracer, once it has told what it learnt: a copy that is held runs on."""
        if self._is_tracing and not error:
            until(self._has_told, TOLD_S)
        self._tracer.end()
        gates, self._gates = self._gates, {}
        for gate in gates.values():
            for end in gate:
                os.close(end)

    def before_exec(self, index: int) -> None:
        """Wait until this copy may start."""
        allow_tracer(self._tracer.pid)
        os.read(self._gates[index][0], 1)

    def begin(self, pool: WorkerPool, samples: Samples, start: Start | None) -> None:
        """Trace the copy that is to be held; it is started once that is so."""
        super().begin(pool, samples, start)
        self._pids = {index: pid for pid, index in pool.pids.items()}
        self._begun = monotonic()
        self._tracer.send(Order(self._pids[self._first], self._places()))

    def _places(self) -> Mapping[Place, float]:
        if not self._plan:
            return {}
        places = dict.fromkeys(self._plan.later, HELD_S)
        if self._plan.alone:
            places[self._plan.alone] = ALONE_S + LONGEST_S
        return places

    def look_at_start(self) -> None:
        """Start the copies, and let the held one go on, when it is time."""
        self._obey()
        now = monotonic()
        if not self._opened and (now - self._begun > ALONE_S or self._is_there(self._first)):
            self._open_others()
        others = [index for index in self._gates if index != self._first]
        if self._opened and not self._arrived:
            self._arrived = all(map(self._is_there, others))
            if self._arrived and not self._plan:
                self._learnt.arrival_s = now - self._opened
            if self._arrived or now - self._opened > self._patience_s():
                self._arrived = True
                self._tracer.send(GO_ON)

    def release(self) -> None:
        """See `Meddler.release`."""
        self._tracer.send(RELEASED)

    def look(self) -> None:
        """See `Meddler.look`. A tracer that is late is killed, so that it keeps nothing from ending."""
        self.look_at_start()
        if monotonic() - self._begun > self._limit_s:
            self._tracer.end()

    def _obey(self) -> None:
        for finding in self._tracer.findings():
            if finding.what == "traced":
                self.refused = f"ptrace(2): {finding.error}" if finding.error else ""
                self._is_tracing = not finding.error
                self._open(self._first)
            elif finding.what == "held":
                self._has_held(finding.call)
                self._open_others()
            else:
                self._is_tracing = False
                self._learnt.calls = self._learnt.calls or finding.calls
                self._open_others()

    def _has_held(self, call: Call | None) -> None:
        self.made += 1
        self.note = f"copy {self._first} was held before {call}"

    def _has_told(self) -> bool:
        self._obey()
        return not self._is_tracing

    def _is_there(self, index: int) -> bool:
        """Return whether a copy waits for the start signal, or has ended."""
        arrived = self._start is not None and index in self._start.arrived
        return arrived or self._pids[index] not in self._pool.pids

    def _patience_s(self) -> float:
        return min(LONGEST_S, max(SHORTEST_S, ARRIVALS * self._learnt.arrival_s))

    def _open_others(self) -> None:
        if not self._opened:
            self._opened = monotonic()
            for index in self._gates:
                self._open(index)

    def _open(self, index: int) -> None:
        os.write(self._gates[index][1], b".")
