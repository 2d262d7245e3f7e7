from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.bench import baselines
from lab.bench.baselines import WakeUp
from lab.bench.repeat import Failed
from lab.race.recorder import Segment
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


def measured_without_its_partner(index: int) -> str:
    """What a measurement comes to one of whose processes ends at once."""
    side = baselines._side

    def ends(at: int, mine: int, other: int, words: Segment) -> Callable[[], None]:
        return (lambda: None) if at == index else side(at, mine, other, words)

    baselines._side = ends  # type: ignore[assignment]
    try:
        return str(WakeUp("none").measure(0.01))
    except Failed as error:
        return str(error)


@pytest.mark.parametrize("index", [0, 1])
def test_one_whose_partner_has_ended_does_not_wait_for_it(index: int) -> None:
    """It would wait until the time limit, a minute each time; who writes to one that has ended fails in that call."""
    how = in_fresh_process(measured_without_its_partner, index)
    assert how in ("its processes did not come to their end", f"worker {1 - index} ended with 1")
