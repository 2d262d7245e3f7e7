"""What is told of a finding: its steps in order, the locks held, and what follows, by the numbers of the steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.analysis.lock_faults import Finding
from lab.analysis.lock_story import follow, is_protocol, reasons_of, steps_of
from lab.analysis.lock_use import judge
from lab.analysis.watched import EXCLUSIVE, Event, History, Kind

from .test_lock_use import OPENED, SHARED, event, history_of, lock, once, read, unlock, write

CLOSES = [event(0, Kind.OPEN, fd=4), event(0, Kind.CLOSE, fd=4)]


def told(events: Sequence[Event]) -> list[tuple[Finding, list[Event], list[str]]]:
    history: History = history_of(events)
    findings = judge(history, lambda each: (each.process, each.kind, each.start, each.end), chosen=True).findings
    held = follow(history, findings, 100).held
    return [(each, steps := steps_of(history, each, held), list(reasons_of(each, steps, held))) for each in findings]


@pytest.mark.parametrize(
    ("what", "events", "expected"),
    [
        (
            "one under the lock, one not",
            [*once(0), write(1)],
            ["3 happens under the lock of 1", "5 happens under no lock",
             "3 may come before or after 5: nothing that was seen orders them"],
        ),
        (
            "a close",
            [*OPENED, lock(0), *CLOSES, write(0), unlock(0), *once(1)],
            ["3 ends the lock of 1, for the whole process", "4 happens under no lock"],
        ),
        (
            "a close, and the other side",
            [*OPENED, lock(0), *CLOSES, write(0), unlock(0), lock(1), write(1), unlock(1)],
            ["3 ends the lock of 1, for the whole process", "4 happens under no lock", "7 happens under the lock of 6",
             "4 may come before or after 7: nothing that was seen orders them"],
        ),
        (
            "shared",
            [lock(0, mode=SHARED), write(0), unlock(0)],
            ["1 lets others in that share it, and 2 stores", "2 happens under the shared lock of 1"],
        ),
        (
            "read first",
            [read(0), *once(1), lock(0), write(0), unlock(0)],
            ["7 stores what 1 had read before the lock", "1 happens under no lock", "4 happens under the lock of 2",
             "1 may come before or after 4: nothing that was seen orders them"],
        ),
        (
            "opposite order",
            [lock(0, 0, 1), lock(0, 1, 2), unlock(0, 0, 2), lock(1, 1, 2), lock(1, 0, 1), unlock(1, 0, 2)],
            ["1 is held while 2 is requested, and 4 while 5 is: each can wait for the other"],
        ),
        ("never granted", [*once(0)[:3], lock(1, finish=0)], ["2 waits for the lock of 1 until the end"]),
        ("refused", [lock(0), event(1, Kind.POSIX, flags=EXCLUSIVE, result=11), write(1), unlock(0)],
         ["1 got no lock, and 2 stores"]),
    ],
)  # fmt: skip
def test_what_follows_from_the_steps(what: str, events: list[Event], expected: list[str]) -> None:
    reasons = [reasons for _, _, reasons in told(events)]
    assert any(set(expected) <= set(each) for each in reasons), (what, reasons)


def test_steps_are_in_order_and_bounded_whatever_lies_between() -> None:
    between = [each for _ in range(50) for each in (read(0), event(0, Kind.OPEN, fd=5), event(0, Kind.CLOSE, fd=5))]
    for finding, steps, _ in told([*OPENED, lock(0, 0, 1), *between, write(0, 4, 8), unlock(0, 0, 1), write(1, 4, 8)]):
        assert [each.begin for each in steps] == sorted(each.begin for each in steps)
        assert len(steps) <= 14
        assert {id(each) for each in finding.events} <= {id(each) for each in steps}


def test_the_requests_around_a_finding_are_kept_before_others() -> None:
    """Of 200 holds 20 are kept: half of them the first, half those around the only fault, near the end."""
    events = [*(each for number in range(99) for each in once(number % 2)), write(1), *once(0)]
    history = history_of(events, gap_ns=10_000_000)
    findings = judge(history, lambda each: each.kind, chosen=True).findings
    story = follow(history, findings, 20)
    kept = {each.event.begin for each in story.requests}
    locks = [each.begin for each in history.events if each.kind is Kind.POSIX and each.flags & 3 == EXCLUSIVE]
    assert kept >= {*locks[:10], locks[-1]}
    assert len(story.requests) + story.left_out == len(locks)
    assert all(each.released_ns is not None for each in story.requests)


@pytest.mark.parametrize(("start", "end", "expected"), [(0, 8, True), (4, 8, True), (2, 6, False), (0, 16, False)])
def test_aligned_words_look_like_a_protocol(start: int, end: int, expected: bool) -> None:
    ((finding, _, _),) = told([write(0, start, end), write(1, start, end)])
    assert is_protocol(finding) == expected
