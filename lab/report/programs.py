"""Programs of other people in words: what stands for their lock, and what was seen of it from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.results import Case, LockFile, Run, Sampled

from .words import plural

HARDLY = "it takes none on this file or on one beside it, or holds it too shortly"

FILES = 3
"""Lock files, and processes, that are named in a sentence."""


def lock_of(case: Case) -> str:
    """The lock as tables and sentences name it: with the program that has its own beside it."""
    beside = case.program and case.programs < case.workers
    return f"{case.lock} beside {case.program}" if beside else case.lock


def two_in(case: Case) -> str:
    """For the table: how often two were seen in together, in records and in samples."""
    recorded = f"{case.overlapping_holds:,}" if case.holds else "-"
    if not case.sampled:
        return recorded
    return f"{recorded}, sampled {case.sampled.overlapping:,}" if _is_mixed(case) else "-"


def of_program(cases: Sequence[Case]) -> Iterator[str]:
    """What came of the copies of a program alone."""
    name = cases[0].program
    broken = sum(case.verdict != "clean" for case in cases)
    count = plural(len(cases), "case")
    yield f"{name}, its lock its own: NOT CLEAN in {broken} of {count}." if broken else f"{name}: clean in {count}."


def sampled(run: Run) -> Iterator[str]:
    """What was seen of the programs' locks, one sentence a program and company."""
    groups: dict[str, list[Sampled]] = {}
    for case in run.cases:
        if case.sampled:
            groups.setdefault(f"{case.program} beside {case.lock}" if _is_mixed(case) else case.program, []).append(
                case.sampled
            )
    for name, samples in groups.items():
        yield f"{name}: {_seen(samples)}"


def _is_mixed(case: Case) -> bool:
    return case.programs < case.workers


def _seen(samples: Sequence[Sampled]) -> str:
    taken = sum(one.samples for one in samples)
    if not taken:
        return "it was over before its locks could be looked at; use more --rounds."
    held = sum(one.held for one in samples)
    if not held:
        return f"no lock of the program was seen in {plural(taken, 'sample')}: {HARDLY}."
    waiting = sum(one.waiting for one in samples)
    source = samples[0].source
    holders = sum(one.holders for one in samples)
    return (
        f"its locks are seen from outside ({source}), in samples: in {held:,} of {taken:,} it held one, by "
        f"{holders:,} process{'es' if holders != 1 else ''}, in {waiting:,} it waited. "
        f"What happens between two samples is not seen.{_beside(samples)}"
    )


def _beside(samples: Sequence[Sampled]) -> str:
    """The files beside the data that it locked, and who kept the lock that another waited for."""
    files: dict[str, list[LockFile]] = {}
    for one in samples:
        for file in one.beside:
            files.setdefault(file.name, []).append(file)
    told = [
        f"{name} (held in {sum(file.held for file in those):,}, waited for in {sum(file.waiting for file in those):,})"
        for name, those in list(files.items())[:FILES]
    ]
    if not told:
        return ""
    more = f" and {len(files) - FILES} more" if len(files) > FILES else ""
    keepers = [keeper for those in files.values() for file in those for keeper in file.keepers][:FILES]
    kept = f" When one was last seen to wait, these had the lock: {', '.join(keepers)}." if keepers else ""
    return f" Files beside it that it locks: {', '.join(told)}{more}.{kept}"


def beside(lock: str, cases: Sequence[Case]) -> str:
    """What is to be said of a lock of the lab that was clean beside a program: how much of it could be seen."""
    count, holds = plural(len(cases), "case"), sum(case.holds for case in cases)
    inside = sum(case.sampled.inside for case in cases if case.sampled)
    return (
        f"{lock}: clean in {count}; of {holds:,} holds of the lab's workers none overlapped another. In "
        f"{plural(inside, 'sample')} a worker was inside from beginning to end, and in none of them the program: only "
        f"{'that one' if inside == 1 else 'those'} could have shown the two in together"
        + ("." if inside else ", so it rests on the data; --window makes them more.")
    )
