"""Race with a crash: in each trial a holder is killed in the middle, one more worker recovers, and all is checked.

Which worker is killed, in which round, and before which of its stores is drawn from the seed: after its last store of
the round too, while it still holds the lock. It ends by SIGKILL: its stores stay, the kernel frees its locks, nobody is
told, and the others race on. Then a fresh process runs `recover` and one round. The round of the dead may count or not,
as in `lab explore --crash kill`, where every crash point is tried in simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any, NamedTuple

from lab.analysis.holds import sweep
from lab.errors import ScenarioError
from lab.locking import prepared
from lab.memory import anonymous, find_backing
from lab.scenario import Damage, Scenario, Worker

from .first_content import FirstContent
from .invariant import Checks
from .mailbox import Report
from .trial import Gathered, Result, check, job_of, result_of, started, trial_file
from .worker import Job, Setting


class Doom(NamedTuple):
    """The worker that is to die, in which round, and after which share of its stores in a round."""

    worker: int
    round: int
    share: float

    @classmethod
    def drawn(cls, seed: str, workers: int, rounds: int) -> Doom:
        """Draw one; not in the first round, which shows how many stores a round has, where there is another."""
        random = Random(f"crash/{seed}")  # noqa: S311 - repeatable draws, not secrets
        return cls(random.randrange(workers), random.randrange(min(1, rounds - 1), rounds), random.random())

    def pause(self, worker: Any) -> Dying:
        """Return what is called before each store of the worker."""
        return Dying(self, worker)


class Dying:
    """The pause before each store of the worker that is to die, in which it dies once its time has come."""

    __slots__ = ("_doom", "_round", "_stores", "_usual", "_worker")

    def __init__(self, doom: Doom, worker: Any) -> None:
        self._doom = doom
        self._worker = worker
        self._round = self._stores = self._usual = 0

    def __call__(self) -> None:
        """Count the store that comes, or die before it."""
        if self._worker.round != self._round:
            self._usual, self._stores, self._round = max(self._usual, self._stores), 0, self._worker.round
        if self._round == self._doom.round and self._stores == int(self._doom.share * max(1, self._usual)):
            self._worker.die()
        self._stores += 1


class Recovering(Scenario):
    """What the worker does that comes afterwards: recover, then one round of the scenario."""

    def __init__(self, scenario: Scenario, stop: memoryview) -> None:
        self._scenario = scenario
        self._stop = stop

    def work(self, w: Worker) -> None:
        """Do both, and begin no other round."""
        w.round = -1
        self._scenario.start(w)
        self._scenario.recover(w)
        w.round = 0
        self._scenario.work(w)
        self._stop[0] = 1


def run_crash_trial(setting: Setting, number: int, folders: Sequence[Path]) -> Result:
    """Race once with a crash; see `lab.racing.trial.run_trial`, whose errors it raises."""
    everybody = replace(setting, workers=setting.workers + 1)
    content = FirstContent.of(everybody)
    doom = Doom.drawn(f"{setting.seed}/{number}", setting.workers, setting.rounds)
    crew, last = range(setting.workers), range(setting.workers, setting.workers + 1)
    with (
        trial_file(
            find_backing(setting.backing),
            number,
            folders,
            content.bytes,
            sparse=setting.scenario.sparse,
            files=content.files,
        ) as (paths, shared),
        prepared(setting.lock, paths[0]) as lock,
    ):
        everybody = replace(everybody, lock=lock)
        job = replace(job_of(everybody, number, content, paths, shared), doom=doom)
        with started(everybody, job, number, crew, looks=False) as race:
            found = race(None)
        died = any((ended.index, ended.code) == (doom.worker, -SIGKILL) for ended in found.exits)
        inside = any(worker == doom.worker for worker, _ in job.log.deaths())
        found = replace(found, failures=[each for each in found.failures if not died or each.worker != doom.worker])
        if found.failures:
            return replace(result_of(found, sweep(found.holds)), faults_made=int(died), kills_inside=int(inside))
        stop = memoryview(anonymous(8)).cast("Q")
        again = replace(everybody, scenario=Recovering(setting.scenario, stop))
        with started(again, replace(job, doom=None, stop=stop), number, last, looks=False) as race:
            recovered = race(None)
        ended = _together(found, recovered)
        result = replace(result_of(ended, sweep(ended.holds)), faults_made=int(died), kills_inside=int(inside))
        if not result.failures:
            done = [*found.rounds_done, *recovered.rounds_done]
            begun = [each + (died and worker == doom.worker) for worker, each in enumerate(done)]
            result.judge(_checked(setting, job, done, begun, ended.reports))
        return result


def _together(found: Gathered, recovered: Gathered) -> Gathered:
    """Return what the workers left, with the holds, the reports and the failures of the one that recovered."""
    return replace(
        found,
        failures=[*found.failures, *recovered.failures],
        reports=[*found.reports, *recovered.reports],
        holds=recovered.holds,
        orphans=[*found.orphans, *recovered.orphans],
    )


def _checked(
    setting: Setting, job: Job, done: Sequence[int], begun: Sequence[int], reports: list[Report]
) -> list[Damage]:
    """Return nothing where the check holds with or without the round of the dead; else what is wrong with it.

    Raises ScenarioError where the check raises either way.
    """

    def judge(counts: Sequence[int]) -> list[Damage]:
        return list(check(setting.scenario, job, list(counts), reports, setting.time_limit_s, Checks(), begun=begun))

    return judge_each(dict.fromkeys((tuple(done), tuple(begun))), judge)


def judge_each(choices: Iterable[Sequence[int]], judge: Callable[[Sequence[int]], list[Damage]]) -> list[Damage]:
    """Judge a file for each choice of the rounds that count, by worker; return nothing where one of them is right.

    Else the damage of the choice with the least of it. Raises ScenarioError where `judge` raises it for every choice.
    """
    wrong: list[list[Damage]] = []
    failed: ScenarioError | None = None
    for counts in choices:
        try:
            found = judge(counts)
        except ScenarioError as error:  # such as fewer than none lost, where the round of the dead counts
            failed = error
            continue
        if not any(each.count for each in found):
            return found
        wrong.append(found)
    if failed and not wrong:
        raise failed
    return min(wrong, key=lambda found: sum(each.count for each in found), default=[])
