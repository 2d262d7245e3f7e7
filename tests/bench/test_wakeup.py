from __future__ import annotations

from pathlib import Path

from lab.bench.wakeup import WakeUp
from tests.helpers import in_fresh_process

SLICE_S = 0.02
OPEN = Path("/proc/self/fd")


def measured(pin: str) -> tuple[bool, int]:
    """Whether it came to a figure, twice; and how many more descriptors are open than before."""
    before = len(list(OPEN.iterdir()))
    loop = WakeUp(pin)
    figures = [loop.measure(SLICE_S) for _ in range(2)]
    return all(figure > 0 for figure in figures), len(list(OPEN.iterdir())) - before


def test_two_processes_wake_each_other_wherever_they_are_pinned_and_leave_nothing_open() -> None:
    for pin in ("none", "spread", "one"):
        assert tuple(in_fresh_process(measured, pin)) == (True, 0)
