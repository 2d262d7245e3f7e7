"""What to do about it, in words: a table of situations and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.results import Mount, Promise, RuleResult, Soaked, Stuck

from ..promises import EXCLUSION
from .remedies import (
    all_safe,
    find_out,
    get_rid,
    incoherent,
    lying,
    lying_between,
    no_lock,
    refused,
    reopen,
    seldom,
    tried_too_little,
    unanswered,
    unmapped,
    use_instead,
)
from .seen import hangs, misreports
from .situation import Situation

PAGE = 4096

Line = tuple[Callable[[Situation], object], Callable[[Situation], str]]
"""When it is said, and what."""


def advice(
    promises: Sequence[Promise],
    mounts: Sequence[Mount],
    rules: Sequence[RuleResult] = (),
    soak: Sequence[Soaked] = (),
    stuck: Sequence[Stuck] = (),
) -> list[str]:
    """The sentences that fit, the weightiest first."""
    here = Situation(promises, mounts, rules, soak, stuck)
    return [say(here) for fits, say in (*_ALL, *_LOCKS, *_DATA, *_OTHERS) if fits(here)]


_ALL: tuple[Line, ...] = ((lambda here: here.promises and here.all_safe, all_safe),)

_LOCKS: tuple[Line, ...] = (
    (lambda here: here.unanswered, unanswered),
    (lambda here: here.several and here.plainly_lying, lying_between),
    (lambda here: not here.several and here.plainly_lying, lying),
    (lambda here: here.seldom, seldom),
    (lambda here: here.dependable and here.failing, use_instead),
    (lambda here: here.lying and here.too_little_tried, tried_too_little),
    (lambda here: here.lawless, no_lock),
    (lambda here: here.are("unsupported", list(EXCLUSION)), refused),
    (
        lambda here: here.leaks,
        lambda here: (
            "Open file description locks stay when their descriptor is closed: unlock before the close "
            "(F_OFD_SETLK with F_UNLCK), or use POSIX locks."
        ),
    ),
)

_DATA: tuple[Line, ...] = (
    (lambda here: here.incoherent, incoherent),
    (
        lambda here: (
            {"mapping", "pread"} & {*here.incoherent}
            and (here.is_("reopened", "safe") or here.is_("reopened_pread", "safe"))
        ),
        reopen,
    ),
    (
        lambda here: here.is_("neighbours", "unsafe") and here.lost("neighbours") and here.excluding,
        lambda here: (
            f"Neighbours in one page overwrite each other: keep data under different locks {PAGE:,} bytes "
            "apart, each from the start of a page."
        ),
    ),
    (lambda here: here.is_("mapping", "unsupported") and not here.are("unsupported", list(EXCLUSION)), unmapped),
)

_OTHERS: tuple[Line, ...] = (
    (
        lambda here: here.fails("ranges", hangs),
        lambda here: "Ranges are not kept apart as they should be: lock the whole file (start 0, length 0).",
    ),
    (
        lambda here: here.fails("modes", hangs, misreports),
        lambda here: (
            "Wrong requests are not refused as they should be: open for writing what is locked for writing, "
            "and do not rely on the error."
        ),
    ),
    (
        lambda here: here.fails("ownership", hangs, misreports),
        lambda here: (
            "Locks do not follow their owner as they should: one descriptor a file and process, no lock held "
            "over fork or exec, an unlock before each close."
        ),
    ),
    (
        lambda here: here.wakes_badly and not here.lawless,
        lambda here: (
            "Who waits is not always woken: ask without waiting (F_SETLK, LOCK_NB) and again after a pause, "
            "up to a time limit."
        ),
    ),
    (
        lambda here: here.is_("deadlock", "unsupported") and not here.is_("posix", "unsupported"),
        lambda here: (
            "A deadlock is not noticed (POSIX leaves that open): take locks in one order everywhere, or wait "
            "with a time limit."
        ),
    ),
    (
        lambda here: here.false_deadlocks,
        lambda here: "EDEADLK comes where there is no cycle: take it for a refusal, and ask again.",
    ),
    (
        lambda here: here.outlives and not here.lawless,
        lambda here: (
            "A lock may outlive its owner: plan for one that nobody gives back, by a time limit and a remount."
        ),
    ),
    (
        lambda here: here.fails("names", hangs),
        lambda here: (
            "A name that was made again may lead to the old file on another mount: write into a locked file "
            "instead of replacing it, or use fresh names; compare st_ino of the name and the descriptor once locked."
        ),
    ),
    (lambda here: here.stuck, get_rid),
    (lambda here: here.left_open, find_out),
)
