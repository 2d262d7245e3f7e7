"""Describe backings, foreign programs, failed workers and the faults that were made in words.

Backings are named only where not all cases have the default. Of a foreign program the text says which lock stands for
its own and what was seen of it from outside. Workers that failed are grouped by the way in which they failed, with what
to do about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from lab.locking.registry import OWN, READY
from lab.memory import MAPPED
from lab.records import HOST, ITS_OWN, Case, Failure, LockFile, Options, Run, SampledLocks
from lab.records.race import CRASHED
from lab.report.format import plural

from .race_again import race_line

HARDLY = "it takes none on this file or on one beside it, or holds it too shortly"

FILES = 3
"""So many lock files, and processes, are named in a sentence."""


def lock_of(case: Case) -> str:
    """Return the lock as tables and sentences name it; a program with a lock of its own is named beside it."""
    beside = case.program and case.programs < case.workers
    return f"{case.lock} beside {case.program}" if beside else case.lock


def overlaps_of(case: Case) -> str:
    """Return for the table how often conflicting holds overlapped, in records and in samples."""
    recorded = f"{case.overlapping_holds:,}" if case.holds else "-"
    if not case.sampled:
        return recorded
    return f"{recorded}, sampled {case.sampled.overlapping:,}" if _is_mixed(case) else "-"


def of_program(cases: Sequence[Case]) -> Iterator[str]:
    """Yield the result of the copies of a program that ran alone."""
    name = cases[0].program
    broken = sum(case.verdict != "clean" for case in cases)
    count = plural(len(cases), "case")
    yield f"{name}, its lock its own: NOT CLEAN in {broken} of {count}." if broken else f"{name}: clean in {count}."


def sampled(run: Run) -> Iterator[str]:
    """Yield what was seen of the programs' locks, one sentence for each program and lock."""
    groups: dict[str, list[SampledLocks]] = {}
    for case in run.cases:
        if case.sampled:
            groups.setdefault(f"{case.program} beside {case.lock}" if _is_mixed(case) else case.program, []).append(
                case.sampled
            )
    for name, samples in groups.items():
        yield f"{name}: {_sample_text(samples)}"


def _is_mixed(case: Case) -> bool:
    return case.programs < case.workers


def _sample_text(samples: Sequence[SampledLocks]) -> str:
    taken = sum(one.samples for one in samples)
    if not taken:
        return "it was over before its locks could be looked at; use more --rounds."
    held = sum(one.held for one in samples)
    by_existence = _by_existence(samples)
    if not held and by_existence:
        return f"no lock of the kernel was seen in {plural(taken, 'sample')}.{by_existence}"
    if not held:
        return f"no lock of the program was seen in {plural(taken, 'sample')}: {HARDLY}."
    waiting = sum(one.waiting for one in samples)
    source = samples[0].source
    holders = sum(one.holders for one in samples)
    return (
        f"its locks are seen from outside ({source}), in samples: in {held:,} of {taken:,} it held one, by "
        f"{holders:,} process{'es' if holders != 1 else ''}, in {waiting:,} it waited. "
        f"What happens between two samples is not seen.{_beside(samples)}{by_existence}"
    )


def _by_existence(samples: Sequence[SampledLocks]) -> str:
    """Name the files that came and went as locks do."""
    present: Counter[str] = Counter()
    for file in (file for one in samples for file in one.beside if not file.kernel):
        present[file.name] += file.held
    names = [f"{name} (there in {count:,})" for name, count in present.most_common(FILES)]
    if not names:
        return ""
    come = "comes and goes" if len(present) == 1 else "come and go"
    return f" A lock file that is made and removed {come}: {', '.join(names)}; its holder is not known."


def _beside(samples: Sequence[SampledLocks]) -> str:
    """Name the other files that the program locked, and the processes that held a lock that another waited for."""
    files: dict[str, list[LockFile]] = {}
    for one in samples:
        for file in (file for file in one.beside if file.kernel):
            files.setdefault(file.name, []).append(file)
    names = [
        f"{name} (held in {sum(file.held for file in those):,}, waited for in {sum(file.waiting for file in those):,})"
        for name, those in list(files.items())[:FILES]
    ]
    if not names:
        return ""
    more = f" and {len(files) - FILES} more" if len(files) > FILES else ""
    keepers = [keeper for those in files.values() for file in those for keeper in file.keepers][:FILES]
    kept = f" When one was last seen to wait, these had the lock: {', '.join(keepers)}." if keepers else ""
    return f" Files beside it that it locks: {', '.join(names)}{more}.{kept}"


def beside(lock: str, cases: Sequence[Case]) -> str:
    """Describe a lock of the lab that was clean beside a program, and how many of its overlaps could have been seen."""
    count, holds = plural(len(cases), "case"), sum(case.holds for case in cases)
    inside = sum(case.sampled.inside for case in cases if case.sampled)
    return (
        f"{lock}: clean in {count}; of {holds:,} holds of the lab's workers none overlapped another. In "
        f"{plural(inside, 'sample')} a worker was inside from beginning to end, and in none of them the program: only "
        f"{'that one' if inside == 1 else 'those'} could have shown an overlap"
        + ("." if inside else ", so it rests on the data; --window makes them more.")
    )


def needs_backings(run: Run) -> bool:
    """Return True where the reader needs the backings to distinguish the cases."""
    return any(case.backing not in (MAPPED.name, ITS_OWN) for case in run.cases)


def where(case: Case) -> str:
    """Return scenario, lock, the backing where it is not the default, and the fault."""
    backing = case.backing
    fault = f", {case.fault}" if case.fault else ""
    if backing == ITS_OWN:
        return f"{case.scenario}{fault}"
    shared = "" if backing == MAPPED.name else f" in backing {backing}"
    return f"{case.scenario} under {lock_of(case)}{shared}{fault}"


SHOWN = 8
"""So many kinds of failure are reported one by one, and so many workers named one by one."""


def failed_workers(failures: Sequence[Failure]) -> Iterator[str]:
    """Yield a line for all workers that failed in the same way; none where all did: the case's reason says it."""
    ways: dict[str, list[int]] = {}
    for failure in failures:
        if failure.worker == HOST:
            yield f"  host {failure.host}: {failure.reason}"
            continue
        ways.setdefault(failure.reason, []).append(failure.worker)
    if len(ways) > 1:
        yield from (f"  {_workers(those)} {reason}" for reason, those in list(ways.items())[:SHOWN])


def traces(failures: Sequence[Failure]) -> Iterator[str]:
    """Return each traceback once; those of errors by which the system refused something are in the document only."""
    shown = {failure.trace for failure in failures if failure.trace and failure.how != "refused"}
    return (trace.rstrip() for trace in sorted(shown))


def next_step(case: Case) -> str:
    """Say what to do about workers that failed, behind a semicolon; empty if the reason says it, or none is known."""
    own = [failure for failure in case.failures if not failure.program]
    if any(failure.reason.startswith(("raised LockFailed", "raised GaveUp")) for failure in own):
        return "; let it ask again after a signal (EINTR)" if "signal" in case.fault else "; fix the lock"
    refusals = [failure.reason for failure in own if failure.how == "refused"]
    if any(name in reason for reason in refusals for name in ("(ENOENT)", "(EEXIST)")):
        return "; another worker, or another program, had made or removed that name"
    if refusals:
        return "; the system refused it, not the lock or the scenario: run it again, or raise the limit"
    if any(failure.how == "raised" and failure.trace for failure in own):
        return "; fix it at the place shown below"
    if any(failure.how == "late" and failure.reason.startswith("was stopped") for failure in own):
        return "; find out what stopped it"
    if any(failure.how == "late" and "waiting for" in failure.reason for failure in own):
        return SURVIVING if case.fault else _of_late(case)
    if own and case.lock not in {*OWN, *READY}:
        return "; fix the lock, or the scenario, whichever ends or holds up its worker"
    return ""


SURVIVING = "; if others are to go on after that, use a lock that the kernel releases at a death, or look for the dead"


def _of_late(case: Case) -> str:
    """Say what to do about late workers: where a sound lock polls, those that wait may only be slow."""
    step = "; give fewer --rounds or a longer --time-limit"
    if case.lock in OWN:
        return f"{step}, if it is no deadlock"
    polls = f"{step}: who waits by polling takes long beside {case.workers - 1} others"
    return polls if case.lock in READY else f"{polls}; or fix the lock"


def _workers(indexes: Sequence[int]) -> str:
    first, last = indexes[0], indexes[-1]
    if len(indexes) == 1:
        return f"worker {first}"
    if len(indexes) > 2 and list(indexes) == list(range(first, last + 1)):
        return f"workers {first} to {last}"
    if len(indexes) > SHOWN:
        return f"workers {', '.join(map(str, indexes[:SHOWN]))} and {len(indexes) - SHOWN:,} more"
    return f"workers {', '.join(map(str, indexes[:-1]))} and {last}"


UNCHECKED = (
    "Where a process was killed the data is not checked, because its round may be half done: such a row is judged by "
    "its holds, and by whether somebody is let in afterwards."
)


def _recovered(cases: Sequence[Case], recover: str) -> Iterator[str]:
    """Yield how many kills met a holder, and what was done then: the command `recover`, or one more copy."""
    if not cases:
        return
    for name, those in _groups(cases).items():
        kills, inside = sum(case.faults_made for case in those), sum(case.kills_inside or 0 for case in those)
        yield (
            f"{name}, {CRASHED}: {plural(kills, 'kill')}, {inside:,} of a process that held a lock, {kills - inside:,} "
            "of one that held none."
        )
    programs, workers = (any((case.backing == ITS_OWN) == alone for case in cases) for alone in (True, False))
    if workers:
        yield (
            f"{CRASHED}: in each trial a holder was killed between two of its stores, and one more worker recovered "
            f"before the check. {KILLS}"
        )
    if programs:
        yield (
            f"{CRASHED}: this row has trials of its own. In each a copy was killed, between two system calls on the "
            f"file or at any moment. When the others had ended, {'--recover' if recover else 'one more copy'} was run "
            f"to recover, and then the check. {KILLS}"
        )


KILLS = "In this row N counts kills: a fault that leaves a wrong file after 1 kill in N would have been noticed."


def of_faults(run: Run) -> Iterator[str]:
    """Yield a sentence for each lock or program that was raced with faults, and what the rows mean."""
    groups = _groups(case for case in run.cases if case.fault and case.verdict != "unsupported")
    for name, cases in groups.items():
        broken = [case for case in cases if case.verdict not in ("clean", "inconclusive", case.expected)]
        if broken:
            kinds = ", ".join(dict.fromkeys(case.fault for case in broken))
            yield f"{name}, with faults: NOT CLEAN in {len(broken)} of {plural(len(cases), 'case')}: {kinds}."
        else:
            clean = [case for case in cases if case.verdict != "damaged"]
            announced = f", broke as announced in {len(cases) - len(clean)}" if clean != cases else ""
            yield f"{name}, with faults: clean in {plural(len(clean), 'case')}{announced}: {_made(cases)}."
    for case in run.cases:
        if run.options.ordinary_s and case.verdict == "clean" and not case.fault and case.trials < run.options.trials:
            yield (
                f"{where(case)}: {case.trials} of {run.options.trials} trials without a fault fitted into "
                f"{run.options.ordinary_s:g} s; --trials {run.options.trials} runs all of them."
            )
    crashed = [case for cases in groups.values() for case in cases if case.fault == CRASHED]
    yield from _recovered(crashed, run.options.recover)
    if any(not case.data_checked for cases in groups.values() for case in cases):
        yield UNCHECKED
    for name, cases in _groups(case for case in run.cases if case.fault and case.verdict == "unsupported").items():
        yield f"{name}, faults not tried: {_not_tried(cases)}."


def _groups(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Return the cases of each lock, or program alone."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        name = case.program if case.programs == case.workers else lock_of(case)
        groups.setdefault(name, []).append(case)
    return groups


def _made(cases: list[Case]) -> str:
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.fault] = counts.get(case.fault, 0) + case.faults_made
    return ", ".join(f"{fault} {'once' if made == 1 else f'{made:,} times'}" for fault, made in counts.items())


NOT_TRIED = "not tried: "


def _not_tried(cases: Sequence[Case]) -> str:
    """Return the faults of each reason why a fault was not tried."""
    kinds: dict[str, list[str]] = {}
    for case in cases:
        kinds.setdefault(case.reason.removeprefix(NOT_TRIED), []).append(case.fault)
    return "; ".join(f"{', '.join(dict.fromkeys(those))} ({reason})" for reason, those in kinds.items())


def is_not_tried(case: Case, run: Run) -> bool:
    """Return True for the row of a fault that was to be made by default and could not be."""
    return is_only_reported(case, run) and case.verdict == "unsupported"


def is_only_reported(case: Case, run: Run) -> bool:
    """Return True for the row of a fault that was made by default, and in which nothing broke."""
    by_default = bool(case.fault) and case.fault != CRASHED and not run.options.faults
    return by_default and case.verdict in ("timeout", "unsupported", "inconclusive")


def again(case: Case, options: Options) -> str:
    """Return the command that makes the faults of this case again, from the same seed."""
    if case.fault == CRASHED:
        recover = ["--recover", options.recover] * bool(options.recover)
        return race_line(case, options, "--crash", options.crash, *recover)
    faults = options.faults or "short"
    return race_line(case, options, "--faults", *[faults] * (faults != "short"))
