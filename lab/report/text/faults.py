"""Say which faults were made, what came of them, and how to make them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.records import Case, Options, Run
from lab.report.format import plural

from .failures import lock_of, where
from .race_again import race_line

UNCHECKED = (
    "Where a process was killed the data is not checked, because its round may be half done: such a row is judged by "
    "its holds, and by whether somebody is let in afterwards."
)


def of_faults(run: Run) -> Iterator[str]:
    """Yield a sentence for each lock or program that was raced with faults, and what the rows mean."""
    groups = _groups(case for case in run.cases if case.fault and case.verdict != "unsupported")
    for name, cases in groups.items():
        broken = [case for case in cases if case.verdict not in ("clean", "inconclusive", case.expected)]
        if broken:
            kinds = ", ".join(dict.fromkeys(case.fault for case in broken))
            yield f"{name}, with faults: NOT CLEAN in {len(broken)} of {plural(len(cases), 'case')}: {kinds}."
        else:
            yield f"{name}, with faults: clean in {plural(len(cases), 'case')}: {_made(cases)}."
    for case in run.cases:
        if run.options.ordinary_s and case.verdict == "clean" and not case.fault and case.trials < run.options.trials:
            yield (
                f"{where(case)}: {case.trials} of {run.options.trials} trials without a fault fitted into "
                f"{run.options.ordinary_s:g} s; --trials {run.options.trials} runs all of them."
            )
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
    return bool(case.fault) and not run.options.faults and case.verdict in ("timeout", "unsupported", "inconclusive")


def again(case: Case, options: Options) -> str:
    """Return the command that makes the faults of this case again, from the same seed."""
    faults = options.faults or "short"
    return race_line(case, options, "--faults", *[faults] * (faults != "short"))
