"""Race the copies of a program, kill one in the middle, let another process recover the file, and check what is left.

In each trial one copy is killed with all that it has started. In two of three trials it is killed before one of its
system calls on a file of the trial's folder: the tracer holds it there, at a place that is drawn from those that the
first trial has shown. In half of these the other copies begin only then, so all of their work comes after the kill. In
one of three trials a copy is killed at a moment that is drawn, which may lie between two stores into a mapped file; of
half of these moments those are looked for at which it holds a lock.

The others go on to their end. Then the command of `--recover` is run, or else one more copy of the program, and the
file is checked. How many rounds the killed copy has done is not known: the check must hold for one of the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from signal import SIGCONT
from time import monotonic

from lab.host.procfs import descriptor_locks
from lab.processes import WorkerPool
from lab.processes.descendants import living_descendants
from lab.processes.tracer import Call, Place
from lab.racing.mailbox import Mailbox
from lab.racing.trial import Result
from lab.racing.worker import Setting
from lab.records import RECOVERY, Failure
from lab.records import Case as Row

from .cases import run_alone
from .check import FileCheck
from .explain import explain_programs
from .faulty import Learnt, NotMade, Paused, Pauses, number_calls
from .launch import Start
from .meddle import Meddler
from .samples import Samples
from .watch import run_programs

FIRST = 16
"""So many calls of a program whose rounds are not alike count as its first."""

MOST_ROUNDS = 1000
"""The most rounds of a trial: the check may be asked for each number of rounds that the killed copy may have done."""

HELD_S = 5.0
"""The time, in seconds, for which a copy that is to be killed is held at most: it is killed at once."""

EARLY = 0.7
"""A copy is killed in this share of the time that the copies take as a rule: later ones may have ended already."""

LOOKS = 12
"""So often a holder is looked for before a copy is killed that holds nothing."""

UNMADE = "no copy could be killed before it had ended; use more --rounds"
MOST_UNMADE = 20

ENOUGH, SLACK = 24, 2
"""So many kills are tried where they take up to so many times longer: each call of a round is to be one of them."""


def crash_trials(setting: Setting, folders: Sequence[Path], ordinary: Row, limit_s: float) -> Iterator[Result]:
    """Yield the trials in which a copy was killed, until the fault's time is over, or any in which something failed.

    The recovery and the check may take `limit_s` each. Raises NotMade where no copy could be killed, and what
    `run_alone` raises.
    """
    fault = setting.fault
    assert fault  # noqa: S101 - what this module is for
    setting = replace(setting, rounds=min(setting.rounds, MOST_ROUNDS))
    files = [each.name for each in ordinary.sampled.beside if not each.kernel] if ordinary.sampled else []
    begun, made, unmade = monotonic(), 0, 0
    for number, make in enumerate(_meddlers(setting, ordinary, files)):
        result = run_alone(setting, number, folders, meddle=make(number), then=partial(recover, limit_s=limit_s))
        if result.faults_made or result.failures or result.damage:
            yield result
        made += result.faults_made
        unmade += 1 - result.faults_made
        over_s = monotonic() - begun - fault.seconds
        if over_s > 0 and (made >= ENOUGH or unmade > MOST_UNMADE or (made and over_s > SLACK * fault.seconds)):
            break
    if not made:
        raise NotMade(UNMADE)


Make = Callable[[int], Callable[[Path], Meddler]]
"""A function that returns from the number of a trial what makes its meddler from its file."""


def _meddlers(setting: Setting, ordinary: Row, files: Sequence[str]) -> Iterator[Make]:
    """Yield the trial that learns, then those that kill in one way and in the other; in one where nothing is traced."""
    assert setting.program  # noqa: S101 - copies of it race
    learnt = Learnt()
    wall_s = ordinary.wall_s / max(1, ordinary.trials) * setting.rounds / ordinary.rounds

    def made(kind: Callable[..., Meddler], **more: object) -> Make:
        return lambda number: lambda file: kind(f"{setting.seed}/{number}", file, **more)

    traced = {"limit_s": setting.time_limit_s, "copies": setting.programs, "learnt": learnt}
    yield made(Paused, plan=None, **traced)
    draws = Random(setting.seed)  # noqa: S311 - a plan, no secret
    places = drawn(learnt.calls, waits=setting.program.waits, draws=draws)
    for number in count():
        place = next(places, None) if number % 3 != 2 else None
        if place:
            yield made(KilledBetween, place=place, together=draws.random() < 0.5, files=files, **traced)
        else:
            yield made(KilledAnytime, seconds=draws.random() * EARLY * wall_s, files=files, holder=bool(number % 2))


def drawn(calls: Sequence[Call], *, waits: bool, draws: Random) -> Iterator[Place]:
    """Yield the places of kills without end: each call of a round as often as the others, in a round that is drawn.

    The calls of the start come as often. Of a program whose rounds are not alike the first calls do, and as many
    others. `waits` says that the program waits for a start signal: then none is killed before it.
    """
    numbered = [(place, call) for place, call in number_calls(calls) if call.released or not waits]
    places = [place for place, _ in numbered]
    length = round_length([(call.name, call.file) for _, call in numbered])
    while places:
        start, later = places[: length or FIRST], places[length or FIRST :]
        if length:
            each = [draws.choice(later[number::length]) for number in range(length)]
            yield from draws.sample(each, length)
        else:
            start += draws.sample(later, min(len(later), FIRST))
        yield from draws.sample(start, len(start))


def round_length(kinds: Sequence[tuple[str, str]]) -> int:
    """Return after how many calls the same ones come again, by the second half of them; 0 if they do not."""
    half = len(kinds) // 2
    lengths = range(1, half // 2 + 1)
    return next((each for each in lengths if kinds[half:] == kinds[half - each : -each]), 0)


class Killing(Meddler):
    """A meddler that kills a copy for good; `files` are lock files that come and go, as {file}.lock."""

    files: Sequence[str] = ()

    def _end(self, pid: int, index: int, when: str) -> None:
        """Kill a copy, which is held or stopped, with all that it has started."""
        self.inside = self._is_inside(pid)
        self._pool.kill(pid)
        self.made, self.killed = 1, index
        self.note = f"copy {index} was killed {when}" + ", inside its lock" * self.inside

    def _is_inside(self, pid: int) -> bool:
        """Return whether a copy, or what it has started, holds a lock of the kernel on a file of the folder.

        Where its locks are files that come and go, one that is there counts, whoever made it.
        """
        folder = self._file.parent
        with suppress(OSError):
            if any((folder / each.replace("{file}", self._file.name)).exists() for each in self.files):
                return True
            inodes = {entry.inode() for entry in os.scandir(folder)}
            tree = [pid, *living_descendants(pid)]
            return any(lock.inode in inodes for each in tree for _, lock in descriptor_locks(each))
        return False


class KilledBetween(Paused, Killing):
    """One copy is killed before one of its calls; the others begin with it, or, if not `together`, after that."""

    def __init__(
        self,
        seed: str,
        file: Path,
        limit_s: float,
        copies: Sequence[int],
        learnt: Learnt,
        place: Place,
        *,
        together: bool,
        files: Sequence[str] = (),
    ) -> None:
        super().__init__(seed, file, limit_s, copies, learnt, Pauses(None, (place,)))
        self.files = files
        self._place = place
        self._together = together
        self._arrived = True  # nobody is let go

    def _places(self) -> dict[Place, float]:
        return {self._place: HELD_S}

    def begin(self, pool: WorkerPool, samples: Samples, start: Start | None) -> None:
        """See `Meddler.begin`. With a start signal all of them are released together whatever happens."""
        super().begin(pool, samples, start)
        if self._together or start:
            self._opened = monotonic()
            for index in self._gates:
                if index != self._first:
                    self._open(index)

    def _has_held(self, call: Call | None) -> None:
        self._end(self._pids[self._first], self._first, f"before {call}")


class KilledAnytime(Killing):
    """A copy is killed so many seconds after the release; or, if that is wanted, as a `holder` of a lock."""

    def __init__(self, seed: str, file: Path, seconds: float, *, files: Sequence[str], holder: bool) -> None:
        super().__init__(seed, file, seconds)
        self.files = files
        self._looks = LOOKS if holder else 1

    def release(self) -> None:
        """See `Meddler.release`."""
        super().release()
        self._due += self._seconds

    def look(self) -> None:
        """See `Meddler.look`."""
        if self.made or not self._is_due():
            return
        self._looks -= 1
        for pid, index in self._copies()[:1]:
            if self._stop(pid) and (self._looks <= 0 or self._is_inside(pid)):
                self._end(pid, index, "in the race")
            else:
                self._pool.send(pid, SIGCONT)


def recover(setting: Setting, number: int, result: Result, file: Path, killed: int, limit_s: float) -> Result:
    """Return the result of a trial in which a copy was killed, with the recovery and the check of what it left."""
    scenario, program = setting.scenario, setting.recover or setting.program
    assert program  # noqa: S101 - copies of it race
    assert isinstance(scenario, FileCheck)  # noqa: S101 - what `cases` makes
    program = program.given({"worker": killed, "workers": setting.workers})
    alone = replace(setting, program=program, workers=1, copies=1, fault=None, time_limit_s=limit_s)
    seed = f"{setting.seed}/{number}/recover"
    with closing(Mailbox()) as mailbox:
        ran = run_programs(alone, [file], mailbox, seed)
        refused = {report.worker: report.error for report in mailbox.read()}
    failures = [_of_recovery(setting, each) for each in explain_programs(alone, number, ran, refused)]
    result = replace(result, failures=[*result.failures, *failures], orphans=[*result.orphans, *ran.orphans])
    if not result.failures:
        again = 0 if setting.recover else setting.rounds
        done = [*result.rounds_done, *[again] * bool(again)]
        begun = [*[setting.rounds] * setting.workers, *[again] * bool(again)]
        result.judge(scenario.judge_after_kill(file, done, begun, limit_s))
    return result


def _of_recovery(setting: Setting, failure: Failure) -> Failure:
    """Return the failure of the process that recovers, as a sentence names it."""
    assert setting.program  # noqa: S101 - copies of it race
    who = "recovery" if setting.recover else f"the next copy of {setting.program.name}, which recovers,"
    reason = failure.reason.replace("(program)", who, 1)
    trace = failure.trace.replace("the program's", f"{'the recovery' if setting.recover else 'that copy'}'s", 1)
    return replace(failure, worker=RECOVERY, reason=reason, trace=trace)
