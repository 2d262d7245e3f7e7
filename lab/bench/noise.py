"""What else the machine does while it measures, and how finely its clock tells the time."""

from __future__ import annotations

import os
import resource
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic, monotonic_ns

READS = 2000


def busy_s() -> float:
    """Seconds that all processors have been at work, for others too (steal), since the start: proc_stat(5)."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_s() -> float:
    """CPU seconds of this process and of its children that have ended: getrusage(2)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Others:
    """How many processors were busy with other processes, one figure a lap."""

    def __init__(self) -> None:
        self.cores: list[float] = []
        self.begin()

    def begin(self) -> None:
        """The first lap begins here."""
        self._last = (monotonic(), busy_s(), own_s())

    def lap(self) -> None:
        """A lap ends, the next one begins."""
        now = (monotonic(), busy_s(), own_s())
        passed, busy, own = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        self.cores.append(round(max(0.0, busy - own) / passed, 3))


def clock() -> tuple[int, float]:
    """The smallest step that CLOCK_MONOTONIC is seen to make between two reads, and what a read costs; in ns."""
    reads = [monotonic_ns() for _ in range(READS)]
    steps = [after - before for before, after in pairwise(reads)]
    return min((step for step in steps if step), default=0), round(median(steps), 1)
