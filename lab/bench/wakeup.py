"""What a bare wake-up costs: a byte through a pipe to another process that sleeps until it comes, and no lock.

It is most of the price of a hand-off, and the machine's, not the lock's: how long a processor takes to leave its sleep
changes from minute to minute where the machine is a virtual one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from lab.errors import CannotRunError
from lab.processes import Crew, cpus_for
from lab.race.log import Segment
from lab.regions import anonymous

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
        """Ns from one process to the other, in about so much time. Raises CannotRunError where it is not measured."""
        words = memoryview(anonymous(24)).cast("Q")
        to_first, to_second = os.pipe(), os.pipe()
        sides = ((to_first[0], to_second[1]), (to_second[0], to_first[1]))
        try:
            with Crew(2, lambda index: _side(index, *sides[index], words), self._cpus) as crew:
                crew.gather(TIME_LIMIT_S)
                released_ns = crew.release()
                time.sleep(slice_s)
                words[STOP] = 1
                crew.wait(TIME_LIMIT_S)
        finally:
            for descriptor in (*to_first, *to_second):
                os.close(descriptor)
        if not words[ENDED_NS]:
            raise CannotRunError("its processes did not come to their end")
        return (words[ENDED_NS] - released_ns) / words[PASSED]


def _side(index: int, mine: int, other: int, words: Segment) -> Callable[[], None]:
    def first() -> None:
        rounds = 0
        while True:
            os.write(other, ON)
            os.read(mine, 1)
            rounds += 1
            if words[STOP]:
                break
        words[PASSED], words[ENDED_NS] = 2 * rounds, time.monotonic_ns()
        os.write(other, END)

    def second() -> None:
        while os.read(mine, 1) == ON:
            os.write(other, ON)

    return second if index else first
