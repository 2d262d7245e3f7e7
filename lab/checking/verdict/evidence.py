"""Collect the evidence for a guarantee: the verdicts and sentences of its rules and races, and their strength.

The calls of a rule that does not hold show the kind of fault: a lock granted twice, left behind, or not answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import ceil, inf

from lab.analysis.statistics import detection_limit, one_in, plural, rate, requests_for
from lab.checking.blame import CUT_SHORT, UNANSWERED
from lab.checking.guarantees import EXCLUSION, FILES, HELD, LOCK_FILES, RANDOM, UNCONTENDED
from lab.checking.rules import RULES
from lab.checking.runner import UNTOLD, UNWOKEN
from lab.racing.summary import SPARE
from lab.records import CheckVerdict, RandomPrograms, RuleResult, StressResult, Stuck

DENIALS = ("EAGAIN", "EACCES", "waits")
FREER = {("read", "free"), ("write", "free"), ("write", "read")}
"""The lock on a byte, and the freer state that another process must not find."""

ENDINGS = ("close", "exit", "killed", "exec")
"""Calls by which the holder of a lock may release it, or keep it."""


def double_grant(rule: RuleResult) -> str:
    """Return the lock, by its guarantee, that was granted though the same lock was held; empty where none was.

    This is evidence against the exclusion of that lock, whatever the rule is about.
    """
    if not (rule.guaranteed and rule.verdict == "unsafe" and rule.calls):
        return ""
    *before, last = rule.calls
    if _is(last, "held"):
        pairs = zip(rule.expected.split(), rule.observed.split(), strict=False)
        return "posix" if any((wanted, seen) in FREER for wanted, seen in pairs) else ""
    if rule.observed != "granted" or not _wants_denial(rule):
        return ""
    lock = lock_of(last) or lock_of(_asked_by(last.partition(":")[0], before))
    held = {lock_of(call) for call in before if call.endswith(" = granted") and " unlock" not in call}
    return lock if lock in held else ""


def _asked_by(actor: str, calls: Sequence[str]) -> str:
    """Return the last request of this actor for a lock, of one that waits or returns."""
    return next((call for call in reversed(calls) if call.startswith(f"{actor}: ") and lock_of(call)), "")


def plainly(rule: RuleResult) -> bool:
    """Tell whether no process had forked, closed or ended before: only chance explains a false grant."""
    return not _made(rule, "fork", "clone", *ENDINGS)


def leaked(rule: RuleResult) -> bool:
    """Tell whether a lock was denied after its last descriptor was closed, in a program that uses description locks."""
    described = any("F_OFD_SETLK" in call for call in rule.calls[:-1])
    return described and _made(rule, *ENDINGS) and _kept_out(rule)


def outlived(rule: RuleResult) -> bool:
    """Tell whether a lock was denied after a process had ended, which may have left a lock."""
    return (_made(rule, "exit", "killed") or _died(rule)) and _kept_out(rule)


def unwoken(rule: RuleResult) -> bool:
    """Tell whether a waiter was not woken in its turn, and not because the lock's holder had ended and left it."""
    before, last = rule.calls[-2:-1], rule.calls[-1:]
    ended = UNWOKEN not in rule.expected and any(_is(call, *ENDINGS) for call in before)
    return any(": returns = waits" in call for call in last) and _denied(rule) and not ended


def too_wide(rule: RuleResult) -> bool:
    """Tell whether a request was denied with no conflicting lock, and no process had ended that may have left one."""
    asked = any(lock_of(call) for call in rule.calls[-1:])
    return asked and _kept_out(rule) and not _made(rule, *ENDINGS) and not _died(rule)


def unanswered(rule: RuleResult) -> str:
    """Return the guarantee of the lock whose request was not answered; empty where all were."""
    return lock_of(rule.calls[-1]) if rule.calls and rule.observed.startswith(UNANSWERED) else ""


def says_nothing(rule: RuleResult) -> bool:
    """Tell whether the rule could not be tried because something was missing that it is not about."""
    return rule.verdict == "unknown" and (rule.observed.startswith(CUT_SHORT) or rule.observed.endswith(UNTOLD))


def hangs(rule: RuleResult) -> bool:
    """Tell whether a call did not return."""
    return rule.observed == "waits" or rule.observed.startswith(UNANSWERED)


def misreports(rule: RuleResult) -> bool:
    """Tell whether the right owner's lock was reported with another range or type."""
    owners = [told.rpartition(" by ")[2] for told in (rule.expected, rule.observed) if " by " in told]
    return len(owners) == 2 and owners[0] == owners[1]


def lock_of(call: str) -> str:
    """Return the guarantee of the lock that a call asks for or about; empty for any other call."""
    found = re.search(r": (?:\w+ )?(F_OFD_|F_|flock )", call)
    return {"F_OFD_": "ofd", "F_": "posix", "flock ": "flock"}[found[1]] if found else ""


def _denied(rule: RuleResult) -> bool:
    return rule.observed in DENIALS and not _wants_denial(rule)


def _kept_out(rule: RuleResult) -> bool:
    """Tell whether a lock that was there denied the request: where another got it at once there was none."""
    return _denied(rule) and UNWOKEN not in rule.expected


def _wants_denial(rule: RuleResult) -> bool:
    return any(word in rule.expected for word in DENIALS)


def _died(rule: RuleResult) -> bool:
    """Tell whether an actor was killed by the memory that it touched."""
    return any(call.endswith(" = SIGBUS") for call in rule.calls[:-1])


def _made(rule: RuleResult, *verbs: str) -> bool:
    return any(_is(call, *verbs) for call in rule.calls[:-1])


def _is(call: str, *verbs: str) -> bool:
    return any(re.search(rf": {verb}\b", call) for verb in verbs)


STRESSED = frozenset(rule.number for rule in RULES if rule.part == "stress")
"""The numbers of the rules that races judge."""

ACCESS = {"stream": "pread", "mapped": "mapping", "remapped": "remapped", "remapped_stream": "remapped_pread"}
"""The guarantee that is about the data of a backing."""

NOT_REACHED = "not reached before the interruption"

Saying = tuple[CheckVerdict, str]


def about_exclusion(name: str, rows: Sequence[StressResult]) -> Iterator[Saying]:
    """Yield the evidence of the holds under a lock, whatever they were raced for.

    Every access to the data is within a recorded hold: data that broke although no two holds overlapped did not break
    for lack of exclusion, and is evidence about the data alone.
    """
    for row in rows:
        if row.case.lock == HELD[name] and row.case.overlapping_holds:
            yield "unsafe", _overlapped(row)
    own = [row for row in rows if row.guarantee == name and not row.case.overlapping_holds]
    apart = any(row.verdict == "safe" and contended(row) for row in own)
    for row in own:
        if apart and not row.polled and row.case.verdict == "timeout" and not hung_alone(row):
            yield "safe", f"{_why(row)}; that says nothing against who asks without waiting"
        else:
            yield _apart(row) if row.case.damage else (row.verdict, _why(row))
    if own and not any(map(contended, own)) and all(row.verdict == "safe" for row in own):
        yield "unknown", "stress: no request met a holder, which shows nothing; raise --seconds or --workers"


def about_data(name: str, rows: Sequence[StressResult]) -> Iterator[Saying]:
    """Yield the corruption in the races for this access, and in those for a lock that had no overlaps.

    Data is no better than its lock: where holds of that overlapped, it was luck that nothing broke.
    """
    allows_overlaps = {row.case.lock for row in rows if row.guarantee in EXCLUSION and row.case.overlapping_holds}
    own = [row for row in rows if row.guarantee == name]
    some = any(row.verdict != "unsupported" for row in own)
    for row in rows:
        if row.guarantee == name:
            if row.verdict == "unsupported" and some:
                yield "safe", f"not by {ACCESS.get(row.backing, row.backing)}: {_why(row)}"
                continue
            if row.case.lock in allows_overlaps:
                yield "unsafe", f"raced under {row.case.lock}, which two processes held at once"
            yield ("unsafe" if row.case.damage or row.case.overlapping_holds else row.verdict), _why(row)
        elif row.guarantee in EXCLUSION and _is_apart(row) and ACCESS.get(row.backing) == name:
            yield "unsafe", _damaged(row)


def about_false_deadlocks(rows: Sequence[StressResult]) -> Iterator[Saying]:
    """Yield the cases of EDEADLK where all processes want one lock and none has another."""
    count = sum(row.case.false_deadlocks for row in rows)
    if count:
        yield "unsafe", f"stress: {plural(count, 'request')} answered with EDEADLK where there was no cycle"


def about_stuck(stuck: Sequence[Stuck], rules: Sequence[RuleResult], rows: Sequence[StressResult]) -> Iterator[Saying]:
    """Yield the processes that SIGKILL does not end: one keeps its locks; one waiting for its first has none."""
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


def about_waking(rows: Sequence[StressResult]) -> Iterator[Saying]:
    """Yield the races that did not end while a process waited; the evidence of the rules on waking is more certain."""
    for row in rows:
        if row.guarantee in EXCLUSION and not row.polled and row.case.verdict == "timeout" and row.case.trials:
            yield "unknown", _why(row)


def contended(row: StressResult) -> int:
    """Return the number of requests that met a holder: a lock could have granted each of them falsely."""
    return row.case.refused_requests if row.polled else row.case.contended_requests


def met_for(name: str, rows: Sequence[StressResult]) -> int:
    """Return the number of requests that met a holder in the races for this guarantee."""
    return sum(contended(row) for row in rows if row.guarantee == name and row.case.operations)


def hung_alone(row: StressResult) -> bool:
    """Tell whether the lock was not even tried: a request for it, alone on a new file, was not answered."""
    return bool(row.case.failures) and not row.case.trials


def result_of(row: StressResult) -> str:
    """Return what went wrong in one race, or why it is no evidence."""
    return _why(row) or "as demanded"


def _is_apart(row: StressResult) -> bool:
    case = row.case
    return bool(case.damage) and not case.overlapping_holds and not case.unrecorded_holds and bool(case.holds)


def _apart(row: StressResult) -> Saying:
    if _is_apart(row) and row.backing in ACCESS:
        return "safe", f"{_damaged(row)}, though no two held the lock: it is the data that is not shared"
    return "unsafe", _damaged(row)


def _why(row: StressResult) -> str:
    case = row.case
    if case.overlapping_holds:
        return _overlapped(row) + (f"; {_damage(row)}" if case.damage else "")
    if case.damage:
        return _damaged(row)
    return "" if row.verdict == "safe" else f"{_what(row)}: {case.reason or 'nothing was raced'}"


def _what(row: StressResult) -> str:
    under = "without a lock" if row.case.lock == UNLOCKED else f"under {row.case.lock}"
    return f"{row.case.scenario} {under}{' (polled)' if row.polled else ''}, {row.backing}"


def _overlapped(row: StressResult) -> str:
    met = contended(row)
    among = f", {plural(met, 'request')} met a holder" if met else ""
    return f"{_what(row)}: {plural(row.case.overlapping_holds, 'pair')} of holds overlapped that may not{among}"


def _damaged(row: StressResult) -> str:
    return f"{_what(row)}: {_damage(row)}"


def _damage(row: StressResult) -> str:
    return "; ".join(
        f"{each.kind} in {each.count:,} of {each.of:,} ({rate(each.count / each.of) if each.of else '-'})"
        for each in row.case.damage
    )


def share(name: str, stress: Sequence[StressResult]) -> float:
    """Return the share of the requests for this lock that met a holder and were falsely granted."""
    overlaps = sum(row.case.overlapping_holds for row in _waited(name, stress))
    met = _met(name, stress)
    return overlaps / met if met else 0.0


def rarest(names: Sequence[str], rules: Sequence[RuleResult], stress: Sequence[StressResult]) -> float:
    """Return the smallest share of false grants of these locks; infinite where no false grant was counted."""
    return min((found for name in names if (found := share(name, stress) or _unseen(name, rules, stress))), default=inf)


def _unseen(name: str, rules: Sequence[RuleResult], stress: Sequence[StressResult]) -> float:
    """Return the share that races would have shown of a lock that granted falsely by chance, and only in a rule."""
    by_chance = any(double_grant(rule) == name and plainly(rule) for rule in rules)
    return (detection_limit(_met(name, stress)) or 0.0) if by_chance else 0.0


def _met(name: str, stress: Sequence[StressResult]) -> int:
    return sum(contended(row) for row in _waited(name, stress))


def _waited(name: str, stress: Sequence[StressResult]) -> list[StressResult]:
    """Return the races that waited for it: requests that ask again and again are refused far more often.

    The other races count only where there are overlaps nowhere else.
    """
    rows = [row for row in stress if row.case.lock == HELD[name]]
    waited = [row for row in rows if not row.polled]
    return waited if any(row.case.overlapping_holds for row in waited) else rows


FIRST = EXCLUSION["posix"]
"""The lock under which data is raced where there is no evidence against it."""

RACED = frozenset({*EXCLUSION, *FILES})
"""The guarantees that races judge, and of which a strength may be demanded."""

UNLOCKED = "none"
"""The name of no lock, in the cases of races."""

DETECTS = "detects"
"""The word before the rate of falsely granted requests that would have been noticed with 95 % probability."""


DID_NOT_HOLD = {"unsafe": "broken", "unsupported": "not supported", "unknown": "not tried"}


def strength(
    name: str, rules: Sequence[RuleResult], random: RandomPrograms | None, stress: Sequence[StressResult]
) -> str:
    """Return what was tried for this guarantee; empty where nothing was."""
    own = [rule for rule in rules if rule.guarantee == name and rule.guaranteed and rule.number not in STRESSED]
    rows = [row for row in stress if row.guarantee == name and row.case.operations]
    said = [*_rules(own), *_random(name, random), *_holds(name, rows), *_rounds(name, rows), *_fairness(name, stress)]
    said += _handed_over(rows)
    return "; ".join(said)


def guarantee_limit(name: str, stress: Sequence[StressResult]) -> float | None:
    """Return the rarest fault that the races for this guarantee would have noticed; None where none could show.

    A guarantee that only rules and random programs judge has none: a rule is one case, which holds or does not.
    """
    return detection_limit(_chances(name, stress)) if name in RACED else None


def too_weak(name: str, detects: float | None, stress: Sequence[StressResult], seconds: float) -> str:
    """Return what the races for this guarantee lack to notice faults of rate `detects`, and a remedy; empty if none."""
    if detects is None or name not in RACED:
        return ""
    limit, takes = guarantee_limit(name, stress), requests_for(detects)
    noun = "round" if name in UNCONTENDED else "contended request"
    asked = f"--detects {detects:g} takes {plural(takes, noun)}"
    if not any(row.guarantee == name for row in stress):
        return f"inconclusive: nothing was raced, and {asked}; add stress to --only"
    if limit is None:
        return f"inconclusive: no {noun} in any race, and {asked}; give more --seconds or --workers"
    if limit <= detects:
        return ""
    chances = _chances(name, stress)
    longer = ceil(SPARE * seconds * takes / chances)
    return (
        f"inconclusive: {plural(chances, noun)}, which detects {one_in(limit)}; {asked}: give about "
        f"--seconds {longer}, or more --workers"
    )


def _chances(name: str, stress: Sequence[StressResult]) -> int:
    """Return how often a fault could show: requests that met a holder, or rounds where no worker waits for another."""
    if name in UNCONTENDED:
        return sum(row.case.operations for row in stress if row.guarantee == name)
    return met_for(name, stress)


def _rules(own: Sequence[RuleResult]) -> Iterator[str]:
    """Yield how many rules judge it, and how many of them did not hold, are not supported or were not tried."""
    if not own:
        return
    counts = {word: sum(rule.verdict == verdict for rule in own) for verdict, word in DID_NOT_HOLD.items()}
    yield ", ".join([plural(len(own), "rule"), *(f"{count} {word}" for word, count in counts.items() if count)])


def _random(name: str, random: RandomPrograms | None) -> Iterator[str]:
    if random and random.programs and name in RANDOM:
        yield plural(random.programs, "program")


def _holds(name: str, rows: Sequence[StressResult]) -> Iterator[str]:
    if name not in HELD or not rows:
        return
    met = met_for(name, rows)
    overlaps = sum(row.case.overlapping_holds for row in rows)
    if overlaps:
        yield f"{plural(overlaps, 'overlap')}, {met:,} contended"
    elif met:
        yield f"{DETECTS} {one_in(detection_limit(met))}"
    else:
        yield "0 contended"


def _handed_over(rows: Sequence[StressResult]) -> Iterator[str]:
    """Yield how often the lock went from one host to another, in races over several hosts."""
    counts = [row.case.between_hosts.hand_offs for row in rows if row.case.between_hosts]
    if any(counts):
        yield plural(sum(counts), "hand-off")


def _fairness(name: str, stress: Sequence[StressResult]) -> Iterator[str]:
    """Yield how evenly the workers got the locks that they waited for: Jain's index, at its worst."""
    waited = [
        row.case.fairness for row in stress if row.guarantee in EXCLUSION and not row.polled and row.case.fairness
    ]
    if name == "blocking" and waited:
        yield f"fairness {min(waited):.2f}"


def _rounds(name: str, rows: Sequence[StressResult]) -> Iterator[str]:
    """Yield how many rounds the data took, and under which locks where they are not the first choice."""
    if name not in FILES or name in LOCK_FILES or not rows:
        return
    rounds = sum(row.case.damaged_of or row.case.operations for row in rows)
    damaged = sum(row.case.damaged for row in rows)
    met = met_for(name, rows)
    locks = list(dict.fromkeys(row.case.lock for row in rows))
    under = f" under {' and '.join(locks)}" if locks not in ([FIRST], [UNLOCKED]) else ""
    yield f"{damaged:,} of {rounds:,} damaged{under}" + (f", {met:,} contended" if met else "")
