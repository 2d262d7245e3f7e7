"""Judge the histories of calls of each trial of a race.

The order in which the lock was granted is tried first: where it explains all results, that takes one pass. Else the
history is searched, within limits. A trial may have several histories (`fresh_starts`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from time import monotonic
from typing import TYPE_CHECKING, Any

from lab.analysis.holds import Row
from lab.histories.automaton import Specification
from lab.histories.call import Call, call_text, value_text
from lab.histories.judge import Budget, Judgement, in_order, judge
from lab.records import Case as CaseRow
from lab.records import RacedCalls
from lab.scenario import Damage
from lab.scenario.operations import specification_of

from .call_log import RAISED

if TYPE_CHECKING:
    from .worker import Job

NOT_LINEARIZABLE = "not linearizable"

JUDGE_S = 2.0
"""The seconds in which the histories of one trial must be judged."""

SHOWN = 8
"""The most calls that are told beside one that no order explains."""


@dataclass(frozen=True, slots=True)
class JudgedCalls:
    """What became of the histories of one trial: the figures, and the damage where no order explains one."""

    figures: RacedCalls
    damage: list[Damage]


def judged_calls(scenario: Any, job: Job, holds: Sequence[Row]) -> JudgedCalls:
    """Judge the histories of one trial; `holds` are those of its lock."""
    if job.calls is None:
        raise AssertionError("only operations are called")
    specification, granted = specification_of(type(scenario), job.memory), grants(holds)
    budget = Budget(until=monotonic() + JUDGE_S)
    begun = job.fresh.histories() if job.fresh else [0]
    figures: list[RacedCalls] = []
    evidence: list[str] = []
    broken = 0
    for first, end in reversed(list(zip_longest(begun, begun[1:]))):  # the long one is last to use up the time
        calls = job.calls.calls(first, end)
        made, found = _judged_history(calls, specification, granted, budget)
        figures.append(made)
        if found:
            broken += 1
            evidence = evidence or ([found.why] if found.why else list(_beside(found.stuck, calls)))
    totals = summed(figures)
    return JudgedCalls(totals, [Damage(NOT_LINEARIZABLE, broken, totals.calls, evidence)] * bool(broken))


def _judged_history(
    calls: Sequence[Call], specification: Specification, granted: Grants, budget: Budget
) -> tuple[RacedCalls, Judgement | None]:
    """Return how a history was judged, and the judgement of one that no order explains."""
    count, met = len(calls), overlapping(calls)
    if in_order(calls, specification, by_grants(calls, granted)):
        return RacedCalls(count, met, by_lock=1), None
    found = judge(calls, specification, budget)
    if found.verdict == "unknown":
        return RacedCalls(count, met, undecided=1), None
    return RacedCalls(count, met, by_search=1), found if found.verdict == "not linearizable" else None


def _beside(stuck: Call | None, calls: Sequence[Call]) -> Iterator[str]:
    """Yield the call beyond which no order gets, and those that ran beside it."""
    if stuck is None:
        return
    beside = [each for each in calls if each.start <= stuck.last and stuck.start <= each.last and each != stuck]
    yield f"no order explains that {_told(stuck)}"
    yield from (f"beside it {_told(each)}" for each in beside[:SHOWN])


def _told(call: Call) -> str:
    raised = isinstance(call.result, str) and call.result.startswith(RAISED)
    return f"worker {call.process} {call_text(call)} {call.result if raised else f'gave {value_text(call.result)}'}"


def with_calls(row: CaseRow, judged: Sequence[RacedCalls]) -> CaseRow:
    """Return the row with the figures of all trials; where one was not decided, and nothing broke, nothing is known."""
    if not judged:
        return row
    totals = summed(judged)
    row = replace(row, calls=totals)
    if not totals.undecided or row.verdict != "clean":
        return row
    histories = totals.by_lock + totals.by_search + totals.undecided
    reason = f"{totals.undecided:,} of {histories:,} histories were not judged in {JUDGE_S:g} s a trial; lower --rounds"
    return replace(row, verdict="inconclusive", reason=reason)


def summed(figures: Sequence[RacedCalls]) -> RacedCalls:
    """Return the sums of these figures."""
    return RacedCalls(*(sum(getattr(each, one.name) for each in figures) for one in fields(RacedCalls)))


def overlapping(calls: Sequence[Call]) -> int:
    """Return how many calls ran while one of another worker did."""
    found = set()
    open_ones: list[tuple[int, int]] = []
    for number in sorted(range(len(calls)), key=lambda each: calls[each].start):
        call = calls[number]
        open_ones = [each for each in open_ones if each[0] >= call.start]
        if open_ones:
            found.add(number)
            found.update(other for _, other in open_ones)
        open_ones.append((call.last, number))
    return len(found)


Grants = dict[int, list[int]]
"""The moments at which each worker was granted a lock, in their order."""


def grants(holds: Sequence[Row]) -> Grants:
    """Return the grants of these holds."""
    granted: Grants = {}
    for hold in holds:
        granted.setdefault(hold[3], []).append(hold[0])
    for each in granted.values():
        each.sort()
    return granted


def by_grants(calls: Sequence[Call], granted: Grants) -> list[int]:
    """Return the calls in the order of their last grants; a call without one has its place at its end."""

    def moment(number: int) -> int:
        call = calls[number]
        mine = granted.get(int(call.process), [])
        at = bisect_right(mine, call.last) - 1
        return mine[at] if at >= 0 and mine[at] >= call.start else call.last

    return sorted((number for number, call in enumerate(calls) if not call.open), key=moment)
