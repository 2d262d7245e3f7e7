"""What the races of the soak say for a promise: verdicts and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.model.figures import plural, rate
from lab.results import Answered, RuleResult, Soaked, Stuck

from ..promises import EXCLUSION
from ..soak.plan import PLAN
from .seen import unanswered

SOAKED = frozenset(rule for entry in PLAN for rule in entry.rules)
"""The numbers of the rules that no program shows."""

ACCESS = {"stream": "pread", "mapped": "mapping", "reopened": "reopened", "reopened_stream": "reopened_pread"}
"""The promise that is about the data of a region."""

NOT_REACHED = "not reached before the interruption"

Saying = tuple[Answered, str]


def about_exclusion(name: str, rows: Sequence[Soaked]) -> Iterator[Saying]:
    """What the holds under a lock say for it, whatever they were raced for.

    Every access to the data is within a recorded hold: data that broke although no two holds overlapped did not break
    for want of exclusion, and says something about the data alone.
    """
    for row in rows:
        if row.case.lock == EXCLUSION[name] and row.case.overlapping_holds:
            yield "unsafe", _overlapped(row)
    own = [row for row in rows if row.promise == name and not row.case.overlapping_holds]
    apart = any(row.verdict == "safe" and contended(row) for row in own)
    for row in own:
        if apart and not row.polled and row.case.verdict == "timeout" and not hung_alone(row):
            yield "safe", f"{_why(row)}; that says nothing against who asks without waiting"
        else:
            yield _apart(row) if row.case.damage else (row.verdict, _why(row))
    if own and not any(map(contended, own)) and all(row.verdict == "safe" for row in own):
        yield "unknown", "soak: no request met a holder, which shows nothing; raise --seconds or --workers"


def about_data(name: str, rows: Sequence[Soaked]) -> Iterator[Saying]:
    """What was damaged in the races for this access, and in those for a lock that kept everybody apart.

    Data is no better than its lock: where that let two in, it was luck that nothing broke.
    """
    lets_two_in = {row.case.lock for row in rows if row.promise in EXCLUSION and row.case.overlapping_holds}
    own = [row for row in rows if row.promise == name]
    some = any(row.verdict != "unsupported" for row in own)
    for row in rows:
        if row.promise == name:
            if row.verdict == "unsupported" and some:
                yield "safe", f"not by {ACCESS.get(row.region, row.region)}: {_why(row)}"
                continue
            if row.case.lock in lets_two_in:
                yield "unsafe", f"raced under {row.case.lock}, which let two in"
            yield ("unsafe" if row.case.damage or row.case.overlapping_holds else row.verdict), _why(row)
        elif row.promise in EXCLUSION and _is_apart(row) and ACCESS.get(row.region) == name:
            yield "unsafe", _damaged(row)


def about_false_deadlocks(rows: Sequence[Soaked]) -> Iterator[Saying]:
    """EDEADLK where everybody wants one lock and nobody has another."""
    count = sum(row.case.false_deadlocks for row in rows)
    if count:
        yield "unsafe", f"soak: {plural(count, 'request')} answered with EDEADLK where there was no cycle"


def about_stuck(stuck: Sequence[Stuck], rules: Sequence[RuleResult], rows: Sequence[Soaked]) -> Iterator[Saying]:
    """Who does not end on SIGKILL keeps the locks that he has; who waited for his first one in vain has none."""
    if not stuck:
        return
    granted = any(" = granted" in call for rule in rules for call in rule.calls) or any(row.case.holds for row in rows)
    where = ", ".join(dict.fromkeys(each.where for each in stuck))
    one = len(stuck) == 1
    who = "a process" if one else f"{len(stuck)} processes"
    told = f"{who} did not end on SIGKILL: {'it hangs' if one else 'they hang'} in {where}"
    if granted or not any(map(unanswered, rules)):
        yield "unsafe", f"{told}, and {'keeps its' if one else 'keep their'} locks"
    else:
        yield "unknown", f"{told}; no lock was granted before that one could outlive"


def about_waking(rows: Sequence[Soaked]) -> Iterator[Saying]:
    """A race that came to no end while somebody waited; what the rules say of waking is more certain."""
    for row in rows:
        if row.promise in EXCLUSION and not row.polled and row.case.verdict == "timeout" and row.case.trials:
            yield "unknown", _why(row)


def contended(row: Soaked) -> int:
    """How many requests met a holder: each is one that a lock might have lied to."""
    return row.case.refused_requests if row.polled else row.case.contended_requests


def met_for(name: str, rows: Sequence[Soaked]) -> int:
    """How many requests met a holder in the races for this promise."""
    return sum(contended(row) for row in rows if row.promise == name and row.case.operations)


def hung_alone(row: Soaked) -> bool:
    """True where the lock was not even tried: who asked for it, alone with a new file, was not answered."""
    return bool(row.case.failures) and not row.case.trials


def said_of(row: Soaked) -> str:
    """What went wrong in one race, or why it says nothing."""
    return _why(row) or "as demanded"


def _is_apart(row: Soaked) -> bool:
    case = row.case
    return bool(case.damage) and not case.overlapping_holds and not case.unrecorded_holds and bool(case.holds)


def _apart(row: Soaked) -> Saying:
    if _is_apart(row) and row.region in ACCESS:
        return "safe", f"{_damaged(row)}, though no two held the lock: it is the data that is not shared"
    return "unsafe", _damaged(row)


def _why(row: Soaked) -> str:
    case = row.case
    if case.overlapping_holds:
        return _overlapped(row) + (f"; {_damage(row)}" if case.damage else "")
    if case.damage:
        return _damaged(row)
    return "" if row.verdict == "safe" else f"{_what(row)}: {case.reason or 'nothing was raced'}"


def _what(row: Soaked) -> str:
    return f"{row.case.scenario} under {row.case.lock}{' (polled)' if row.polled else ''}, {row.region}"


def _overlapped(row: Soaked) -> str:
    met = contended(row)
    among = f", {plural(met, 'request')} met a holder" if met else ""
    return f"{_what(row)}: {plural(row.case.overlapping_holds, 'pair')} of holds overlapped that may not{among}"


def _damaged(row: Soaked) -> str:
    return f"{_what(row)}: {_damage(row)}"


def _damage(row: Soaked) -> str:
    return "; ".join(
        f"{each.kind} in {each.count:,} of {each.of:,} ({rate(each.count / each.of) if each.of else '-'})"
        for each in row.case.damage
    )
