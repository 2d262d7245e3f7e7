"""Race the copies of a program while one kind of fault is made, for as long as the fault's row may take.

The rounds are fewer than in the ordinary row, so that a trial is short. Where nothing was broken and the fault could
not be made, the row says why it was not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic

from lab.errors import CannotRunError
from lab.racing.faults import Fault
from lab.racing.trial import Result
from lab.racing.worker import Setting
from lab.records import Case as Row

from .cases import NAME, run_alone
from .meddle import Isolated, KilledHolder, KilledWaiter, Meddler, Signalled, Stopped
from .pause import Learnt, Paused, planned

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
        time_limit_s=fault.stop_s + min(setting.time_limit_s, limit_s),
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
