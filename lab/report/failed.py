"""Workers that failed, in as few lines as there are ways in which they did, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.locks.find import OWN
from lab.locks.ready import READY
from lab.results import Case, Failure

SHOWN = 8
"""Ways to fail that are told one by one, and workers that are named one by one."""


def told(failures: Sequence[Failure]) -> Iterator[str]:
    """A line for all workers that failed in the same way; none where all did, which the reason of the case says."""
    ways: dict[str, list[int]] = {}
    for failure in failures:
        ways.setdefault(failure.reason, []).append(failure.worker)
    if len(ways) > 1:
        yield from (f"  {_workers(those)} {reason}" for reason, those in list(ways.items())[:SHOWN])


def traces(failures: Sequence[Failure]) -> Iterator[str]:
    """Each traceback once; of what the system refused it is in the document only."""
    shown = {failure.trace for failure in failures if failure.trace and failure.how != "refused"}
    return (trace.rstrip() for trace in sorted(shown))


def next_step(case: Case) -> str:
    """What to do about workers that failed, behind a semicolon; nothing where the reason says it, or nobody knows."""
    own = [failure for failure in case.failures if not failure.program]
    if any(failure.reason.startswith(("raised LockFailed", "raised GaveUp")) for failure in own):
        return "; mend the lock"
    if any(failure.how == "refused" for failure in own):
        return "; the system refused it, not the lock or the scenario: run it again, or raise the limit"
    if any(failure.how == "raised" and failure.trace for failure in own):
        return "; mend it at the place told below"
    if any(failure.how == "late" and failure.reason.startswith("was stopped") for failure in own):
        return "; find out what stopped it"
    if any(failure.how == "late" and "waiting for" in failure.reason for failure in own):
        return _of_late(case)
    if own and case.lock not in {*OWN, *READY}:
        return "; mend the lock, or the scenario, whichever ends or holds up its worker"
    return ""


def _of_late(case: Case) -> str:
    """Where a sound lock polls, those who wait may only be slow."""
    step = "; give fewer --rounds or a longer --time-limit"
    if case.lock in OWN:
        return f"{step}, if it is no deadlock"
    polls = f"{step}: who waits by polling takes long beside {case.workers - 1} others"
    return polls if case.lock in READY else f"{polls}; or mend the lock"


def _workers(indexes: Sequence[int]) -> str:
    first, last = indexes[0], indexes[-1]
    if len(indexes) == 1:
        return f"worker {first}"
    if len(indexes) > 2 and list(indexes) == list(range(first, last + 1)):
        return f"workers {first} to {last}"
    if len(indexes) > SHOWN:
        return f"workers {', '.join(map(str, indexes[:SHOWN]))} and {len(indexes) - SHOWN:,} more"
    return f"workers {', '.join(map(str, indexes[:-1]))} and {last}"
