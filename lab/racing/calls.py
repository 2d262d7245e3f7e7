"""Record the calls of operations in a race, and judge the history of each trial.

Each worker has a slot for each of its rounds, laid out before the race: when the call began and ended
(CLOCK_MONOTONIC), which one it was, and what it gave. The order in which the lock was granted is tried first: where it
explains all results, that takes one pass. Else the history is searched, within limits.
"""

from __future__ import annotations

import marshal
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any

from lab.analysis.holds import Row
from lab.errors import LabError
from lab.histories.call import UNKNOWN, Call, call_text, value_text
from lab.histories.judge import Budget, in_order, judge
from lab.memory import anonymous
from lab.records import Case as CaseRow
from lab.records import RacedCalls
from lab.scenario import Damage
from lab.scenario.operations import call_at, specification_of

if TYPE_CHECKING:
    from .worker import Job

WORDS = 8
SLOT = 8 * WORDS
HEAD = 32
ROOM = SLOT - HEAD
"""The bytes of a slot: four words, and the result as `marshal` writes it. Of a longer result only the call counts."""

RAISED = "raised"
"""A result that begins so is what an operation raised: no model gives it, so no order explains it."""

BEGAN, ENDED, NUMBER, LENGTH = range(4)
MISSING = 1 << 62
JUDGE_S = 2.0
"""The seconds in which the history of one trial must be judged."""

SHOWN = 8
"""The most calls that are told beside one that no order explains."""


class CallLog:
    """The calls of all workers of a trial, in memory that they share with the parent."""

    def __init__(self, kind: Any, workers: int, rounds: int) -> None:
        self._kind = kind
        self._workers = workers
        self._rounds = rounds
        self._bytes = memoryview(anonymous(workers * rounds * SLOT))
        self._words = self._bytes.cast("Q")

    def record(self, worker: int, round_number: int, number: int, make: Callable[[], Any]) -> None:
        """Make a call, which is the one with this number of `calls_of`, and keep its result."""
        slot = worker * self._rounds + round_number
        words, at = self._words, slot * WORDS
        words[at + NUMBER] = number + 1
        words[at + BEGAN] = monotonic_ns()
        try:
            result = make()
        except (LabError, OSError):  # the lock, or the file
            raise
        except Exception as error:
            result = ascii(f"{RAISED} {type(error).__name__}: {error}")[1 : ROOM - 8]
        words[at + ENDED] = monotonic_ns()
        data = marshal.dumps(result)
        if len(data) > ROOM:
            words[at + LENGTH] = MISSING
            return
        start = slot * SLOT + HEAD
        self._bytes[start : start + len(data)] = data
        words[at + LENGTH] = len(data)

    def calls(self) -> list[Call]:
        """Return the calls that were begun; one whose worker died has no end."""
        return [call for worker in range(self._workers) for call in self._calls_of(worker)]

    def _calls_of(self, worker: int) -> Iterator[Call]:
        for round_number in range(self._rounds):
            slot = worker * self._rounds + round_number
            began, ended, number, length = self._words[slot * WORDS : slot * WORDS + 4]
            if not number:
                continue
            call = call_at(self._kind, number - 1, worker, round_number * self._workers + worker)
            start = slot * SLOT + HEAD
            known = ended and length != MISSING
            result = marshal.loads(self._bytes[start : start + length]) if known else UNKNOWN  # noqa: S302 - our own
            yield call._replace(result=result, start=began, end=ended or None)


@dataclass(frozen=True, slots=True)
class JudgedCalls:
    """What became of the history of one trial: the figures, and the damage where no order explains it."""

    figures: RacedCalls
    damage: list[Damage]


def judged_calls(scenario: Any, job: Job, holds: Sequence[Row]) -> JudgedCalls:
    """Judge the history of one trial; `holds` are those of its lock."""
    if job.calls is None:
        raise AssertionError("only operations are called")
    specification, calls = specification_of(type(scenario), job.memory), job.calls.calls()
    count, met = len(calls), overlapping(calls)
    if in_order(calls, specification, by_grants(calls, holds)):
        return JudgedCalls(RacedCalls(count, met, by_lock=1), [])
    found = judge(calls, specification, Budget(until=monotonic() + JUDGE_S))
    if found.verdict == "unknown":
        return JudgedCalls(RacedCalls(count, met, undecided=1), [])
    figures = RacedCalls(count, met, by_search=1)
    if found.verdict == "linearizable":
        return JudgedCalls(figures, [])
    evidence = [found.why] if found.why else list(_beside(found.stuck, calls))
    return JudgedCalls(figures, [Damage("not linearizable", 1, count, evidence)])


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
    totals = RacedCalls(*(sum(getattr(each, one.name) for each in judged) for one in fields(RacedCalls)))
    row = replace(row, calls=totals)
    if not totals.undecided or row.verdict != "clean":
        return row
    reason = f"{totals.undecided:,} of {len(judged):,} trials were not judged in {JUDGE_S:g} s each; lower --rounds"
    return replace(row, verdict="inconclusive", reason=reason)


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


def by_grants(calls: Sequence[Call], holds: Sequence[Row]) -> list[int]:
    """Return the calls in the order of their last grants; a call without one has its place at its end."""
    granted: dict[int, list[int]] = {}
    for hold in holds:
        granted.setdefault(hold[3], []).append(hold[0])
    for each in granted.values():
        each.sort()

    def moment(number: int) -> int:
        call = calls[number]
        mine = granted.get(int(call.process), [])
        at = bisect_right(mine, call.last) - 1
        return mine[at] if at >= 0 and mine[at] >= call.start else call.last

    return sorted((number for number, call in enumerate(calls) if not call.open), key=moment)
