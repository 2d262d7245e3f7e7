"""The negative control: a lock that lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .protocol import Action, Lock, nested

if TYPE_CHECKING:
    from random import Random


class Leaky:
    """Wraps a lock so that each request is granted falsely, without any lock, with this probability."""

    has_ranges: bool
    excludes = True

    def __init__(self, lock: Lock, probability: float, random: Random) -> None:
        self.name = lock.name
        self.summary = f"{lock.summary}; grants falsely with probability {probability:g}"
        self.has_ranges = lock.has_ranges
        self.nested = nested(lock)
        self._lock = lock
        self._probability = probability
        self._draw = random.random

    def redrawn(self, random: Random) -> Leaky:
        """The same liar with draws of its own, for a child: it would repeat its parent's next ones."""
        return Leaky(self._lock, self._probability, random)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """The wrapped lock's actions; a falsely granted request releases nothing."""
        acquire, release = self._lock.actions(descriptor, start, length, write=write)
        draw, probability = self._draw, self._probability
        held = False

        def perhaps() -> None:
            nonlocal held
            held = draw() >= probability
            if held:
                acquire()

        def give_back() -> None:
            if held:
                release()

        return perhaps, give_back
