"""Make the row of a case from its trials: sums, rates, intervals, quantiles, and the verdict with its reason.

It also says what a clean race lacks that is too weak for the requested rate (`--detects`, `detects=`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil

from lab.analysis.holds import Overlap, Span
from lab.analysis.statistics import (
    clopper_pearson,
    detection_limit,
    jain_fairness,
    one_in,
    plural,
    requests_for,
)
from lab.host.environment import anonymous_text
from lab.memory import Backing, find_backing
from lab.records import (
    HOST,
    ITS_OWN,
    RECOVERY,
    BetweenHosts,
    Case,
    Cpu,
    Damage,
    Failure,
    Quantiles,
    SampledLocks,
    Switches,
    Trial,
    Verdict,
    WatchedLocks,
)
from lab.scenario import Found
from lab.scenario.base import counterexample_of, has_invariant

from .host_figures import between_hosts, lacking
from .trial import Result
from .worker import Setting

SHOWN = 3
SAMPLES = 1000


def summarise(found: Found, setting: Setting, results: Sequence[Result]) -> Case:
    """Return the row of a case: everything in it is counted from the trials given.

    Operations, damage and speed are those of the trials that could be judged: without a failed worker.
    """
    judged = [result for result in results if not result.failures]
    operations = sum(result.operations for result in judged)
    wall_s = sum(result.wall_ns for result in judged) / 1e9
    damage = _by_kind(judged)
    damaged, damaged_of = _broken(judged)
    sampled = _sampled(results)
    watched = _watched(results)
    seen_together = sampled.overlapping if sampled else 0
    damaged_trials = sum(1 for result in judged if result.damage or _let_two_in(result))
    failures = [failure for result in results for failure in result.failures]
    overlaps = [overlap for result in results for overlap in result.exclusion.overlaps]
    overlapping = sum(result.exclusion.overlapping for result in results)
    times = [hold[:3] for result in results for hold in result.holds]
    waits = [granted - requested for granted, _, requested in times]
    lengths = [released - granted for granted, released, _ in times if released > granted]
    contended = sum(result.exclusion.contended for result in results)
    refused = sum(result.refused for result in results)
    limit = detection_limit(max(contended, refused))
    exits = [ended for result in results for ended in result.exits]
    gave_up = sum(result.gave_up for result in results)
    verdict = _verdict(
        failures,
        damaged=bool(damage or overlapping or seen_together or (watched and watched.faults)),
        done=bool(operations or not gave_up),
    )
    backing = find_backing(setting.backing)
    expected = setting.scenario.expected(setting.lock.name, backing.name)
    between = between_hosts(results)
    lacks = lacking(between, contended) if between and verdict == expected == "clean" else ""
    verdict = "inconclusive" if lacks else verdict
    return Case(
        scenario=found.name,
        lock=setting.lock.name,
        backing=ITS_OWN if setting.alone else backing.name,
        shares=backing.shares,
        workers=setting.workers,
        rounds=setting.rounds,
        pin=setting.pin,
        window_ns=setting.window_ns,
        trials=len(results),
        operations=operations,
        damaged=damaged,
        damaged_of=damaged_of,
        damage=damage,
        overlapping_holds=overlapping,
        overlaps=[_overlap_text(overlap, _names(setting, results)) for overlap in overlaps[:SHOWN]],
        corruption_rate=damaged / damaged_of if damaged_of else 0.0,
        damaged_trials=damaged_trials,
        interval_95=clopper_pearson(damaged_trials, len(judged)) if judged else (0.0, 1.0),
        holds=sum(result.held for result in results),
        unrecorded_holds=sum(result.unrecorded for result in results),
        contended_requests=contended,
        refused_requests=refused,
        gave_up=gave_up,
        false_deadlocks=sum(result.deadlocks for result in results),
        detection_limit=limit,
        wall_s=wall_s,
        operations_per_s=operations / wall_s if wall_s else 0.0,
        wait_ns=Quantiles.of(waits),
        hold_ns=Quantiles.of(lengths),
        overtaken=max((result.overtaking.most for result in results), default=0) if times else None,
        starved=sum(result.overtaking.starved for result in results),
        read_wait_max_ns=_longest(result.overtaking.longest_read_ns for result in results),
        write_wait_max_ns=_longest(result.overtaking.longest_write_ns for result in results),
        fairness=_fairness(judged),
        cpu_s=Cpu(user=sum(each.user_s for each in exits), system=sum(each.system_s for each in exits)),
        context_switches=Switches(
            voluntary=sum(each.voluntary_switches for each in exits),
            involuntary=sum(each.involuntary_switches for each in exits),
        ),
        minor_faults=sum(each.minor_faults for each in exits),
        private_bytes=max((result.private_bytes for result in results), default=0) or None,
        peak_rss_bytes=max((each.peak_rss_bytes for each in exits), default=0) or None,
        verdict=verdict,
        expected=expected,
        reason=lacks
        or _reason(verdict, damage, overlapping, failures, _undone(setting, backing, watched, between))
        + _together(seen_together, failures)
        + _fault_note(results),
        why=_why(setting, expected, backing),
        counterexample=found.counterexample,
        allows_overlaps=setting.lock.name in setting.scenario.allows_overlaps,
        failures=failures,
        program=setting.program.name if setting.program else "",
        programs=setting.copies,
        sampled=None if watched else sampled,
        watched=watched,
        orphans=sum(len(result.orphans) for result in results),
        orphan_commands=_commands(results),
        fault=setting.fault.name if setting.fault else "",
        data_checked=not (setting.fault and setting.fault.kills),
        faults_made=sum(result.faults_made for result in results),
        kills_inside=_kills_inside(setting, results),
        invariant_checks=_checks(setting, results),
        between_hosts=between,
        trial_samples=[_sample(result) for result in results],
        wait_samples_ns=waits[:: max(1, -(-len(waits) // SAMPLES))],
        hold_samples_ns=lengths[:: max(1, -(-len(lengths) // SAMPLES))],
    )


def _kills_inside(setting: Setting, results: Sequence[Result]) -> int | None:
    """Return how many kills met a process that held a lock; None where nobody is to recover."""
    crashes = setting.fault and setting.fault.what == "crash"
    return sum(result.kills_inside for result in results) if crashes else None


def _checks(setting: Setting, results: Sequence[Result]) -> int | None:
    """Return how many times the invariant was checked in the middle of a trial; None where there is none."""
    if not has_invariant(type(setting.scenario)):
        return None
    return sum(result.invariant_checks for result in results)


def _commands(results: Sequence[Result]) -> list[str]:
    """Return the first command lines of orphans, each once; one that still lives with its process id."""
    every = (str(each) if not each.ended else each.command for result in results for each in result.orphans)
    return [anonymous_text(text) for text in list(dict.fromkeys(every))[:SHOWN]]


def _let_two_in(result: Result) -> bool:
    return bool(result.exclusion.overlaps or (result.sampled and result.sampled.overlapping))


def _watched(results: Sequence[Result]) -> WatchedLocks | None:
    """Return what was recorded of a program in all trials; None where none was watched."""
    recorded = [result.recorded for result in results if result.recorded]
    if not recorded:
        return None
    from .programs.recorded import watched_locks

    return watched_locks(recorded, len(results))


def _sampled(results: Sequence[Result]) -> SampledLocks | None:
    """Return the samples of all trials; None where no program ran."""
    each = [result.sampled for result in results if result.sampled]
    if not each:
        return None
    from .programs.samples import sampled_locks

    return sampled_locks(each)


def _broken(judged: Sequence[Result]) -> tuple[int, int]:
    """Return how much is damaged, and of how much: of the kinds that are counted against the same, together.

    Of kinds that are counted against different numbers, operations and records say, those with the highest rate.
    """
    kinds: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kind for result in judged for kind in sorted(result.bases)):
        kinds.setdefault(sum(_base(kind, result, judged) for result in judged), []).append(kind)
    counts = {of: sum(_broken_in(result, those, judged) for result in judged) for of, those in kinds.items()}
    if not any(counts.values()):
        return 0, max(counts, default=0) or sum(result.operations for result in judged)
    of = max(counts, key=lambda each: counts[each] / max(1, each))
    return counts[of], of


def _broken_in(result: Result, kinds: Sequence[str], judged: Sequence[Result]) -> int:
    """Return what one trial damaged, of these kinds together: at most all that there was."""
    base = max(_base(kind, result, judged) for kind in kinds)
    return min(base, sum(each.count for each in result.damage if each.kind in kinds))


def _sample(result: Result) -> Trial:
    damaged, of = _broken([result])
    return Trial(
        wall_ns=result.wall_ns,
        operations=result.operations,
        damaged=damaged,
        damaged_of=of,
        holds=result.held,
        contended=result.exclusion.contended,
        overlapping_holds=result.exclusion.overlapping,
        completed=not result.failures,
    )


def _by_kind(judged: Sequence[Result]) -> list[Damage]:
    """Return one record for each kind over all judged trials: counts added up, the first evidence kept."""
    kinds = dict.fromkeys(each.kind for result in judged for each in result.damage)
    return [_of_kind(kind, judged) for kind in kinds]


def _of_kind(kind: str, judged: Sequence[Result]) -> Damage:
    """Return the damage of one kind, of all that it is counted against."""
    found = [[each for each in result.damage if each.kind == kind] for result in judged]
    evidence = [text for trial in found for each in trial for text in each.evidence]
    return Damage(
        kind=kind,
        count=sum(each.count for trial in found for each in trial),
        of=sum(_base(kind, result, judged) for result in judged),
        evidence=[anonymous_text(text) for text in evidence[:SHOWN]],
    )


def _base(kind: str, result: Result, judged: Sequence[Result]) -> int:
    """Return what this kind is counted against in one trial; one that does not say it counts as the others do."""
    if kind in result.bases:
        return result.bases[kind]
    known = [other for other in judged if kind in other.bases]
    if all(other.bases[kind] == other.operations for other in known):
        return result.operations
    return max(other.bases[kind] for other in known)


def _longest(waits: Iterable[int | None]) -> int | None:
    return max((wait for wait in waits if wait is not None), default=None)


def _fairness(results: Sequence[Result]) -> float | None:
    """Return Jain's index of the workers' own rates: rounds by the time that each took for them.

    The result is the mean of the trials.
    """
    indexes = [
        jain_fairness([done / max(1, ran) for done, ran in zip(result.rounds_done, result.running_ns, strict=True)])
        for result in results
    ]
    return sum(indexes) / len(indexes) if indexes else None


def _verdict(failures: Sequence[Failure], *, damaged: bool, done: bool) -> Verdict:
    if any(failure.how != "late" for failure in failures):
        return "died"
    if failures:
        return "timeout"
    if damaged:
        return "damaged"
    return "clean" if done else "inconclusive"


def _why(setting: Setting, expected: str, backing: Backing) -> str:
    """Return what the scenario says of the damage that is to be expected.

    Nothing where something else explains it: no lock, a variant that is fixed, a backing that keeps the stores apart.
    """
    scenario = setting.scenario
    as_written = find_backing(scenario.backing).shares == backing.shares
    locked = setting.lock.excludes or not backing.shares
    return counterexample_of(type(scenario), locked=locked) if expected != "clean" and as_written else ""


def _undone(setting: Setting, backing: Backing, watched: WatchedLocks | None, between: BetweenHosts | None) -> str:
    """Return why data broke though no holds overlapped."""
    if watched and watched.faults:
        first, *others = dict.fromkeys((each.cause, each.file) for each in watched.faults)
        more = f", and {plural(len(others), 'other fault')}" if others else ""
        return f"its locking is wrong: {first[0]}, {first[1]}{more}"
    if setting.alone and setting.fault and setting.fault.what == "crash":
        return f"a killed copy left a file that {'recovery' if setting.recover else 'the next copy'} did not make right"
    if setting.alone:
        return "what its copies do to exclude each other did not protect the file"
    if setting.program and setting.lock.excludes:
        name = setting.program.name
        return f"its lock and that of {name} did not keep the two apart, or {name} did not do its rounds"
    if not backing.shares:
        return f"in backing {backing.name} the stores stay in each worker's own copy, whatever the lock"
    if not setting.lock.excludes:
        return "nothing kept the workers apart"
    if between and between.ticketed_holds < between.compared_holds:
        return "the data broke; whether the lock held is not known, for clocks alone compared the holds: draw tickets"
    return "the lock held and the data broke anyway"


def _reason(verdict: Verdict, damage: Sequence[Damage], overlaps: int, failures: Sequence[Failure], undone: str) -> str:
    if failures:
        first = failures[0]
        if first.worker == HOST:
            return f"host {first.host}: {first.reason}, in trial {first.trial}{_more(failures)}"
        if first.worker == RECOVERY:
            return f"{first.reason}, in trial {first.trial}"
        where = f"trial {first.trial}" if first.program else f"round {first.round} of trial {first.trial}"
        on = f" on {first.host}" if first.host else ""
        return f"worker {first.worker}{on} {first.reason}, in {where}{_more(failures)}"
    if overlaps:
        noun = "time" if overlaps == 1 else "times"
        broken = "and the data broke" if damage else "though no data broke this time"
        return f"conflicting holds overlapped, {overlaps:,} {noun}, {broken}"
    if verdict == "inconclusive":
        return "the lock gave up in every round, so that none was done; give it more patience, or fewer --workers"
    return undone if verdict == "damaged" else ""


def _more(failures: Sequence[Failure]) -> str:
    """Return how many others there are, and whether they failed in the same way."""
    others = len(failures) - 1
    if not others:
        return ""
    workers = f"{others} more {'worker' if others == 1 else 'workers'}"
    return f"; likewise {workers}" if len({each.reason for each in failures}) == 1 else f"; {workers} failed"


def _together(seen: int, failures: Sequence[Failure]) -> str:
    """Return what the samples add to the reason."""
    if failures or not seen:
        return ""
    return f"; seen from outside: in {seen:,} sample{'s' if seen > 1 else ''} it held what a worker held too"


def _fault_note(results: Sequence[Result]) -> str:
    """Return the fault that was made last in the first trial that broke."""
    notes = [each.fault_note for each in results if each.fault_note and (each.failures or each.damage)]
    return f"; {notes[0]}" if notes else ""


def _names(setting: Setting, results: Sequence[Result]) -> list[str]:
    """Return each worker as a sentence names it: by its number, and its host where there are several."""
    shares = [share for result in results if result.between for share in result.between.shares]
    hosts = {worker: f" on {share.host}" for share in shares for worker in share.workers}
    return [f"{worker}{hosts.get(worker, '')}" for worker in range(setting.workers)]


def _overlap_text(overlap: Overlap, names: Sequence[str]) -> str:
    first, second, proof = overlap
    span, other = Span.unpack(first.word), Span.unpack(second.word)
    together = min(first.released_ns, second.released_ns) - max(first.granted_ns, second.granted_ns)
    return (
        f"{_who(second.worker, names)} was granted {_bytes(other)} while {_who(first.worker, names)} "
        f"held {_bytes(span)}: "
        f"{proof or f'{together:,} ns together'}"
    )


def _who(segment: int, names: Sequence[str]) -> str:
    """Return the worker of a log segment: its own, its twin's or its helpers' (`lab.racing.recorder`)."""
    whose = ("worker", "the second owner in worker", "a helper of worker")
    return f"{whose[segment // len(names)]} {names[segment % len(names)]}"


def _bytes(span: Span) -> str:
    where = f"{span.start}-{span.end - 1}" if span.length else f"{span.start}-end"
    return f"{'write' if span.write else 'read'} {where}"


SPARE = 1.2
"""The factor by which more is requested than is needed on average: no two races meet equally often."""

MORE = 10
"""The factor for the rounds, for a start, where no request met a holder and no pace shows how many it takes."""


def held_to(detects: float | None, case: Case) -> Case:
    """Return the case; inconclusive where it is clean and would have missed false grants of this rate.

    Nothing is required of a race without a lock, and nothing of one whose damage stayed away though it was expected.
    """
    if detects is None or case.lock == "none" or not case.verdict == case.expected == "clean":
        return case
    limit = detection_limit(met_by(case))
    if limit is not None and limit <= detects:
        return case
    return replace(case, verdict="inconclusive", reason=_shortfall(case, detects, limit))


def met_by(case: Case) -> int:
    """Return the requests that could have shown a false grant: they waited for a holder, or were refused beside one."""
    return max(case.contended_requests, case.refused_requests)


def rounds_for(case: Case, rate: float) -> int:
    """Return the rounds that all workers together would need, at the pace so far; 0 where no request met a hold."""
    met = met_by(case)
    return ceil(requests_for(rate) * case.operations / met) if met else 0


def seconds_for(case: Case, rate: float, wall_s: float) -> float:
    """Return the seconds that the race would need, with some to spare; 0 where no request met a hold."""
    met = met_by(case)
    return wall_s * SPARE * requests_for(rate) / met if met else 0.0


def _shortfall(case: Case, rate: float, limit: float | None) -> str:
    """Return the part of the race that is missing, and the options that give it."""
    asked = f"--detects {rate:g} takes {requests_for(rate):,}"
    if not case.holds:
        return f"no hold of a lock was recorded; {asked} requests that meet a holder"
    met = met_by(case)
    if limit is None:
        more = f"--rounds {MORE * case.rounds}, more --workers, or --window"
        return f"no request met a holder; {asked} that do: give {more}"
    trials = ceil(SPARE * case.trials * requests_for(rate) / met)
    return (
        f"{plural(met, 'request')} met a holder, which detects {one_in(limit)}; {asked}: give about "
        f"--trials {trials}, or more --workers"
    )
