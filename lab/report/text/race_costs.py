"""Say what locks cost in a race: how many times as long an operation takes, and which lock is the fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lab.records import Case, Run
from lab.report.format import plural

Slowdown = Callable[[Case], float | None]


def slowdowns(run: Run) -> Slowdown:
    """Return a function that returns how many times as long a case took as without a lock; None where not known."""
    unlocked = {_race(case): case for case in run.cases if case.lock == "none" and not case.fault}

    def slowdown(case: Case) -> float | None:
        base = unlocked.get(_race(case))
        known = base and base.operations_per_s and case.operations_per_s
        return base.operations_per_s / case.operations_per_s if base and known and _is_priced(case) else None

    return slowdown


def _is_priced(case: Case) -> bool:
    return case.lock != "none" and not case.fault


def _race(case: Case) -> tuple[str, str, int]:
    """Return the key of the race that a lock's slowdown is measured against: the same race without it."""
    return case.scenario, case.backing, case.workers


def _is_slower(one: Case, other: Case) -> bool:
    """Return True where every trial of one case was slower than every trial of the other, of three or more of each."""
    speeds = [
        [t.operations / t.wall_ns for t in case.trial_samples if t.completed and t.wall_ns] for case in (one, other)
    ]
    return min(map(len, speeds)) >= TRIALS_TO_COMPARE and max(speeds[0]) < min(speeds[1])


TRIALS_TO_COMPARE = 3
"""With three trials each, all of one are slower by chance once in twenty times; with five once in 252."""


def costs(run: Run) -> Iterator[str]:
    """Yield what each lock costs, and which lock is faster, where the trials are far enough apart to say so."""
    options = run.options
    if options.window_ns or options.leak:
        return
    cases = [
        case for case in run.cases if case.verdict in ("clean", "damaged") and not case.fault and not case.programs
    ]
    unlocked = {_race(case): case for case in cases if case.lock == "none"}
    locked = [case for case in cases if case.lock != "none"]
    locks = list(dict.fromkeys(case.lock for case in locked))
    for lock in locks:
        pairs = [(unlocked[_race(case)], case) for case in locked if case.lock == lock and _race(case) in unlocked]
        times = {_race(case): _times_as_long(case, base) for base, case in pairs if _is_slower(case, base)}
        if times:
            yield f"{lock}: an operation took {_span(times)} as long as without a lock{_rest(len(pairs) - len(times))}."
    yield from _comparison(locked, locks)


def _times_as_long(slow: Case, fast: Case) -> float:
    return fast.operations_per_s / slow.operations_per_s


def _span(times: dict[tuple[str, str, int], float]) -> str:
    """Return `6.1 times`, or `1.1 times (torn_record) to 6.1 times (counter)`."""
    least, most = min(times, key=lambda key: times[key]), max(times, key=lambda key: times[key])
    if f"{times[least]:.1f}" == f"{times[most]:.1f}":
        return f"{times[most]:.1f} times"
    names = len({scenario for scenario, _, _ in times}) > 1
    ends = (f"{times[each]:.1f} times" + f" ({each[0]})" * names for each in (least, most))
    return " to ".join(ends)


def _rest(count: int) -> str:
    return f"; in {plural(count, 'case')} the trials do not differ enough to say" if count else ""


def _comparison(locked: Sequence[Case], locks: Sequence[str]) -> Iterator[str]:
    """Yield by how much the fastest lock is faster than each other lock, where that is so in every case of both."""
    by_lock = {lock: {_race(case): case for case in locked if case.lock == lock} for lock in locks}
    for fast in locks:
        slower: dict[str, dict[tuple[str, str, int], float]] = {}
        for slow in locks:
            both = [key for key in by_lock[fast] if key in by_lock[slow] and slow != fast]
            if both and all(_is_slower(by_lock[slow][key], by_lock[fast][key]) for key in both):
                slower[slow] = {key: _times_as_long(by_lock[slow][key], by_lock[fast][key]) for key in both}
        if len(slower) == len(locks) - 1 and slower:
            parts = [f"{_span(times)} as fast as {lock}" for lock, times in slower.items()]
            yield f"{fast} was the fastest lock: {', '.join(parts)}."
