from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from lab.measuring import baselines
from lab.measuring.baselines import WakeUp
from lab.measuring.repeat import Failed
from lab.racing.recorder import Segment
from tests.helpers import in_fresh_process

SLICE_S = 0.02
OPEN = Path("/proc/self/fd")


def measured() -> list[tuple[bool, int]]:
    """For each pin, whether it came to a figure, twice; and how many more descriptors are open than before."""
    found = []
    for pin in ("none", "spread", "one"):
        before = len(list(OPEN.iterdir()))
        loop = WakeUp(pin)
        figures = [loop.measure(SLICE_S) for _ in range(2)]
        found.append((all(figure > 0 for figure in figures), len(list(OPEN.iterdir())) - before))
    return found


def test_two_processes_wake_each_other_wherever_they_are_pinned_and_leave_nothing_open() -> None:
    assert in_fresh_process(measured) == [[True, 0]] * 3


def measured_without_its_partner() -> list[str]:
    """What a measurement comes to whose first process ends at once, and one whose second does."""
    side, found = baselines._side, []
    for index in (0, 1):

        def ends(at: int, mine: int, other: int, words: Segment, index: int = index) -> Callable[[], None]:
            return (lambda: None) if at == index else side(at, mine, other, words)

        with patch.object(baselines, "_side", ends):
            try:
                found.append(str(WakeUp("none").measure(0.01)))
            except Failed as error:
                found.append(str(error))
    return found


def test_one_whose_partner_has_ended_does_not_wait_for_it() -> None:
    """It would wait until the time limit, a minute each time; who writes to one that has ended fails in that call."""
    for index, how in enumerate(in_fresh_process(measured_without_its_partner)):
        assert how in ("its processes did not come to their end", f"worker {1 - index} ended with 1")
