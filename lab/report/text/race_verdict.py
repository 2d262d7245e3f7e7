"""Write the result of a run: the sentences under the tables, what locks cost, the lines for stderr, the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lab.analysis.statistics import detection_limit
from lab.errors import ExitCode
from lab.output import lab_command
from lab.records import Case, Run
from lab.records.race import CRASHED
from lab.report.format import duration, one_in, plural

from . import calls, failures, hosts, race_again, race_hosts, watch
from .failures import where
from .race_again import MORE, next_to_break

TELLING = 0.5
"""A race shows nothing if only a lock that grants falsely more than every second time would have been noticed."""


EVENTS = {"damaged": ("break", "broke"), "died": ("death", "died"), "timeout": ("hang", "hung")}
"""The nouns and the verbs that stand for verdicts."""


def verdict_of(case: Case) -> str:
    """Return the verdict in the words of the table, such as `clean`, `expected break`, `FAILED: broke`."""
    if case.verdict == "unsupported":
        return "not tried" if case.fault else "not available"
    if case.verdict == "clean":
        return "clean" if case.expected == "clean" else f"did not {_STAYED_AWAY.get(case.expected, case.expected)}"
    if case.verdict == "inconclusive":
        return "inconclusive"
    noun, verb = EVENTS[case.verdict]
    if case.as_expected:
        return f"expected {noun}"
    if case.has_overlaps:
        verb = "overlap"
    elif case.breaking_exploration and not case.damage:
        verb = "explored"
    elif case.has_faults and not case.damage:
        verb = "fault"
    return f"FAILED: {verb}"


_STAYED_AWAY = {"damaged": "break", "died": "die", "timeout": "hang"}


def exit_code(run: Run) -> ExitCode:
    """Return the code of the worst case.

    UNABLE is also the code of a case that is too weak for what `--detects` asks, or could not be recorded. A fault that
    was made by default counts only where it broke something: that it could not be made, or that a dead holder's lock
    stays locked, is reported, and changes the code with `--faults`.
    """
    codes = [_code(case) for case in run.cases if not case.as_expected and not failures.is_only_reported(case, run)]
    codes += [ExitCode.UNABLE for case in run.cases if case.not_recorded]
    codes += [ExitCode.UNABLE for host in run.hosts if host.trouble]
    return ExitCode.first(*codes, *[ExitCode.INTERRUPTED] * run.interrupted)


def _code(case: Case) -> ExitCode:
    """Return the code with which a case that was not as expected ends the command."""
    broken = case.damage or case.verdict == "damaged"
    overlapped = case.has_overlaps and not case.allows_overlaps
    if (case.expected != "damaged" and broken) or overlapped or case.has_faults:
        return ExitCode.DAMAGE
    return ExitCode.FAILED if case.verdict in ("died", "timeout") else ExitCode.UNABLE


def heading(run: Run) -> str:
    """Return one line about where and how it ran."""
    here, options = run.environment, run.options
    counts = {case.workers for case in run.cases}
    workers = f"{plural(counts.pop(), 'worker')}, " if len(counts) == 1 else ""
    on_one = f"{here.filesystems} on {here.kernel}, {plural(here.cpus_allowed, 'CPU')}, {here.python}"
    parts = [
        race_hosts.place(run) if run.hosts else on_one,
        f"{workers}{plural(options.trials, 'trial') if options.trials else 'no trial'} a case, seed {options.seed}",
    ]
    if options.backings:
        parts.append(f"backing{'s' if len(options.backings) > 1 else ''} {', '.join(options.backings)}")
    if options.window_ns:
        parts.append(f"race window widened by {options.window_ns:,} ns before every store")
    if options.isolate:
        parts.append("each worker in a pid namespace of its own")
    if options.leak:
        on = f" on {', '.join(options.leak_on)}" if options.leak_on else ""
        parts.append(f"NEGATIVE CONTROL: locks grant falsely{on} with probability {options.leak:g}")
    if options.detects is not None:
        parts.append(f"to detect false grants of {options.detects:g}")
    if run.interrupted:
        parts.append("INTERRUPTED: the last cases are missing")
    return "; ".join(parts)


def conclusions(run: Run) -> Iterator[str]:
    """Yield a sentence for each lock, then what a reader must know to read the tables correctly."""
    tried = [case for case in run.cases if case.trials]
    alone = [case for case in tried if case.programs == case.workers and not case.fault]
    if alone:
        yield from failures.of_program(alone)
    tried = [case for case in tried if not case.fault]
    ordinary = [case for case in tried if not case.counterexample and case.shares and case not in alone]
    several = len({case.backing for case in ordinary}) > 1
    groups: dict[str, list[Case]] = {}
    for case in ordinary:
        lock = failures.lock_of(case)
        groups.setdefault(f"{lock} in {case.backing}" if several else lock, []).append(case)
    for name, cases in groups.items():
        yield _of_lock(name, cases)
    yield from costs(run)
    yield from failures.of_faults(run)
    yield from failures.sampled(run)
    yield from _watched(run)
    yield from _unshared(run)
    yield from _counterexamples(run)
    yield from _notes(run)


def _unshared(run: Run) -> Iterator[str]:
    """Yield what is expected of backings in which no worker sees another's stores; a counterexample says so itself."""
    cases = [case for case in run.cases if case.trials and not case.shares and not case.why]
    for backing in dict.fromkeys(case.backing for case in cases):
        missed = [case for case in cases if case.backing == backing and case.expected == "damaged"]
        broken = sum(case.verdict == "damaged" for case in missed)
        count = f": broke {broken} of {plural(len(missed), 'case')}" if missed else ""
        yield f"{backing}: the stores stay in each worker's own copy and reach nobody, so no lock can help{count}."


def _of_lock(lock: str, cases: list[Case]) -> str:
    """Return a sentence about one lock; `lock` may be named with its backing."""
    broken = [case for case in cases if case.verdict not in ("clean", "inconclusive")]
    weak = sum(case.verdict == "inconclusive" for case in cases)
    count = plural(len(cases), "case")
    if cases[0].lock == "none":
        broken = [case for case in cases if case.verdict == "damaged"]
        expected = ", as expected" if all(case.verdict == case.expected for case in cases) else ""
        return f"{lock}: broke {len(broken)} of {count}{expected}."
    holds = sum(case.holds for case in cases)
    overlapping = sum(case.overlapping_holds for case in cases)
    contended = sum(case.contended_requests for case in cases)
    if broken:
        return (
            f"{lock}: NOT CLEAN in {len(broken)} of {count}; among {holds:,} holds, {plural(overlapping, 'pair')} "
            "overlapped that may not."
        )
    if weak:
        clean = "" if weak == len(cases) else f"; clean in the {'other' if len(cases) - weak == 1 else 'others'}"
        between = any(case.between_hosts and case.between_hosts.compared_holds for case in cases)
        why = "it shows too little about the hosts" if between else "weaker than was asked for (--detects)"
        return f"{lock}: INCONCLUSIVE in {weak} of {count}: {why}{clean}."
    if cases[0].program and holds:
        return failures.beside(lock, cases)
    if not holds:
        return f"{lock}: clean in {count}, but no hold was recorded: that shows nothing about the lock."
    foreign = " on another host" if any(case.between_hosts for case in cases) else ""
    return f"{lock}: clean in {count}{_strength(holds, contended, foreign)}"


def _watched(run: Run) -> Iterator[str]:
    """Yield what was recorded of the programs' own locks."""
    for case in run.cases:
        if case.watched:
            files = ", ".join(f"{row.file} by {row.lock}" for row in case.watched.locked)
            seen = f"{plural(case.watched.calls, 'call')} on files recorded in {plural(case.watched.trials, 'trial')}"
            locks = f"; it locks {files}" if files else "; it took no lock"
            yield f"{where(case)}: {seen}{locks}."
            if case.holds and not case.has_overlaps:
                met = max(case.contended_requests, case.refused_requests)
                yield f"{where(case)}: every hold is recorded{_strength(case.holds, met)}"
            yield from (f"not seen: {text}" for text in case.watched.not_seen)


def _strength(holds: int, contended: int, where: str = "") -> str:
    """Say how much so many requests that met a holder show about a lock that was clean."""
    power = detection_limit(contended)
    if power is None:
        return (
            f", but no request met a holder{where}: that shows nothing about the lock. Use more --workers or --rounds."
        )
    facts = f"; of {holds:,} holds none overlapped another. {plural(contended, 'request')} met a holder{where}"
    if power > TELLING:
        return f"{facts}, too few to notice false grants unless every grant is one. Use more --workers or --rounds."
    return (
        f"{facts}, so a lock that grants falsely {one_in(power)} times would have been noticed with 95 % probability."
    )


def _counterexamples(run: Run) -> Iterator[str]:
    """Yield why each counterexample broke, once for each scenario; and which expected corruption did not occur."""
    scenarios = set()
    for case in run.cases:
        if case.why and case.as_expected and case.verdict != "clean" and case.scenario not in scenarios:
            scenarios.add(case.scenario)
            yield f"{case.scenario}: {case.why}"
    several = len({case.workers for case in run.cases}) > 1
    for case in run.cases:
        workers = f", {plural(case.workers, 'worker')}," if several else ""
        if case.verdict == "clean" and case.expected != "clean" and case.fault == CRASHED:
            yield (
                f"{where(case)}{workers} was expected to break when a holder is killed, and did not in "
                f"{plural(case.faults_made, 'kill')}; exploring tries every crash point:"
            )
            yield f"next: {lab_command()} explore {case.scenario} --lock {case.lock} --crash kill"
        elif case.verdict == "clean" and case.expected != "clean":
            yield (
                f"{where(case)}{workers} was expected to break and did not this time ({plural(case.trials, 'trial')}"
                f"{_raised(case, run)}); {_likelier(case)}."
                + (f" Exploring breaks it {found.how_it_breaks}." if (found := case.breaking_exploration) else "")
            )
            yield next_to_break(case, run.options)
        elif raised := _raised(case, run):
            yield f"{where(case)}{workers} broke at last{raised}."


def _raised(case: Case, run: Run) -> str:
    """Say from which number to which the rounds were raised, because the case should break and did not; else nothing.

    The first trial had the rounds that were asked for.
    """
    if not run.options.raise_rounds or case.fault or not case.trial_samples or case.expected != "damaged":
        return ""
    first = case.trial_samples[0].operations // case.workers
    return f", its rounds raised from {first:,} to {case.rounds:,}" if 0 < first < case.rounds else ""


def _likelier(case: Case) -> str:
    """Say what to do about expected corruption that did not occur."""
    if case.shares:
        return f"--rounds {MORE * case.rounds}, more --workers or --trials, or --window make it likelier"
    return "its check misses none of the stores that reached nobody; try other --rounds or --workers"


def _notes(run: Run) -> Iterator[str]:
    shared = sorted({case.scenario for case in run.cases if case.pin == "one" and case.operations})
    if shared and run.options.pin is None:
        yield (
            f"{', '.join(shared)}: by their own choice the workers share one CPU and yield in the middle of their "
            "work, so that most requests meet a holder (--pin none lets them spread)."
        )
    if run.options.leak and any(case.has_overlaps for case in run.cases):
        yield (
            f"Conflicting holds overlapped because --leak {run.options.leak:g} asked for it: that is no fault of the "
            "lock, and shows that one that leaks would be noticed."
        )
    if any(case.recording for case in run.cases):
        yield (
            "One more trial of each case was written down. That takes time and widens the race window, so it counts in "
            "none of these figures."
        )
    yield from race_hosts.conclusions(run)
    if (kind := run.environment.hosts_left_out) and not run.hosts:
        yield hosts.left_out(kind, run.options.directory)
    yield from _waiting(run)
    yield from _invariants(run)
    yield from calls.raced(run)
    yield from race_again.explored(run)
    missed = sum(case.unrecorded_holds for case in run.cases)
    if missed:
        yield (
            f"{plural(missed, 'hold')} not judged: the file had been replaced, or the log had no room "
            "(raise holds_per_round in the scenario)."
        )


def _invariants(run: Run) -> Iterator[str]:
    """Yield how often the invariants were checked in the middle of races under a lock."""
    cases = [case for case in run.cases if case.invariant_checks is not None and case.holds and not case.fault]
    asked = {True: "was also checked {:,} times in the middle of the race", False: "was checked at the end only"}
    for in_between, text in asked.items():
        those = [case for case in cases if bool(case.invariant_checks) == in_between]
        count = sum(case.invariant_checks or 0 for case in those)
        if those:
            names = ", ".join(dict.fromkeys(where(case) for case in those))
            yield f"{names}: the invariant {text.format(count)}."


def _waiting(run: Run) -> Iterator[str]:
    """Yield which workers starved, and which lock gave up."""
    for case in run.cases:
        if case.starved and not case.fault:
            longest = {"read": case.read_wait_max_ns or 0, "write": case.write_wait_max_ns or 0}
            mode = max(longest, key=lambda each: longest[each])
            yield (
                f"{where(case)}: STARVED: {plural(case.starved, 'request')} waited for more than half of a trial while "
                f"later ones were granted, up to {case.overtaken:,}; the longest {mode} wait was "
                f"{duration(longest[mode])}."
            )
        if case.gave_up:
            yield (
                f"{where(case)}: the lock gave up {case.gave_up:,} {'time' if case.gave_up == 1 else 'times'}; these "
                "rounds were not done and count in no figure. Give it more patience, or fewer --workers."
            )


def complaints(run: Run) -> Iterator[str]:
    """Yield the lines for stderr: each thing that went wrong, once, with the traceback of a worker that raised."""
    bad = [case for case in run.cases if not case.as_expected and not failures.is_not_tried(case, run)]
    again = Counter(case.reason for case in bad if case.verdict == "unsupported")
    for reason, count in again.items():
        yield f"{reason} ({plural(count, 'case')} not run)"
    alike: dict[object, list[Case]] = {}
    for case in bad:
        if case.verdict != "unsupported":
            alike.setdefault(_likeness(case), []).append(case)
    for first, *others in alike.values():
        yield from complaint(first, run.options.leak, len(others))
        if first.fault:
            yield f"  make it again: {failures.again(first, run.options)}"
    yield from race_hosts.complaints(run)
    yield from _orphans(run)
    for case in run.cases:
        if case.not_recorded:
            yield f"{where(case)}: its recorded trial could not run: {case.not_recorded}"
    if line := race_again.next_line(run, bad):
        yield line
    if run.interrupted:
        yield f"interrupted; {plural(len(run.cases), 'finished case')} kept"


def _orphans(run: Run) -> Iterator[str]:
    """Yield the processes that outlived the workers: a lock that they hold would be held after a program's end, too."""
    for case in run.cases:
        if case.orphans:
            one = case.orphans == 1
            yield (
                f"{where(case)}: warning: workers left {'a process' if one else f'{case.orphans:,} processes'} behind, "
                f"with any lock that {'it' if one else 'they'} inherited; ended now: {'; '.join(case.orphan_commands)}"
            )


def _likeness(case: Case) -> object:
    """Return the same for cases that one line reports: no worker of them ran, for the same reason."""
    return id(case) if case.trials or case.failures else (case.verdict, case.reason)


def complaint(case: Case, leak: float, others: int = 0) -> Iterator[str]:
    """Yield the line of one case, which stands for so many other cases too, and the evidence."""
    also = f" (likewise in {plural(others, 'other case')})" if others else ""
    what = f"{where(case)}, {plural(case.workers, 'worker')}: {case.verdict}: {case.reason}"
    yield f"{what}{failures.next_step(case)}{also}"
    if leak and case.has_overlaps:
        yield "  --leak asked for it: that is no fault of the lock"
    yield from failures.failed_workers(case.failures)
    yield from (f"  {text}" for text in [*case.overlaps, *(case.sampled.evidence if case.sampled else [])])
    yield from (f"  {each.kind}: {text}" for each in case.damage for text in each.evidence)
    if case.watched:
        yield from (f"  {line}" for line in watch.brief(case.watched.faults))
    if case.breaking_exploration:
        yield from race_again.evidence(case.breaking_exploration)
    yield from failures.traces(case.failures)


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
