"""What a bare wake-up costs: a byte through a pipe to another process that sleeps until it comes, and no lock.

It is most of the price of a hand-off, and the machine's, not the lock's: how long a processor takes to leave its sleep
changes from minute to minute where the machine is a virtual one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from lab.processes import Crew, cpus_for
from lab.race.log import Segment
from lab.regions import anonymous

from .repeat import Failed, how_it_failed

TIME_LIMIT_S = 60.0
PASSED, ENDED_NS, STOP = range(3)
"""Words that the two processes and their parent share."""

ON, END = b".", b"!"


class WakeUp:
    """Two processes that wake each other up in turn, where the first two workers of a hand-off would be."""

    name = "wake-up"

    def __init__(self, pin: str) -> None:
        self._cpus = cpus_for(pin)

    def measure(self, slice_s: float) -> float:
        """Ns from one process to the other, in about so much time. Raises Failed where it is not measured."""
        words = memoryview(anonymous(24)).cast("Q")
        ends = Ends()

        def prepare(index: int) -> Callable[[], None]:
            mine, other = ends.of(index)
            return _side(index, mine, other, words)

        try:
            with Crew(2, prepare, self._cpus) as crew:
                ends.close()  # one whose partner has ended reads the end of its pipe, and does not wait for ever
                crew.gather(TIME_LIMIT_S)
                released_ns = crew.release()
                time.sleep(slice_s)
                words[STOP] = 1
                exits = crew.wait(TIME_LIMIT_S)
        finally:
            ends.close()
        if not words[ENDED_NS]:
            raise Failed(how_it_failed(exits, TIME_LIMIT_S) or "its processes did not come to their end")
        return (words[ENDED_NS] - released_ns) / words[PASSED]


class Ends:
    """Two pipes, one to each process; everybody keeps only its own ends of them."""

    def __init__(self) -> None:
        """Raises OSError where there are no descriptors left."""
        self._first = os.pipe()
        try:
            self._second = os.pipe()
        except OSError:
            _close(self._first)
            raise
        self._open = True

    def of(self, index: int) -> tuple[int, int]:
        """Where that process reads and where it writes, in it; the two other ends are closed there."""
        pipes = (self._first, self._second)
        mine, other = pipes[index], pipes[1 - index]
        _close((mine[1], other[0]))
        return mine[0], other[1]

    def close(self) -> None:
        """Close what is open of them."""
        if self._open:
            self._open = False
            _close((*self._first, *self._second))


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _side(index: int, mine: int, other: int, words: Segment) -> Callable[[], None]:
    def first() -> None:
        rounds = 0
        while True:
            os.write(other, ON)
            if not os.read(mine, 1):
                return
            rounds += 1
            if words[STOP]:
                break
        words[PASSED], words[ENDED_NS] = 2 * rounds, time.monotonic_ns()
        os.write(other, END)

    def second() -> None:
        while os.read(mine, 1) == ON:
            os.write(other, ON)

    return second if index else first
