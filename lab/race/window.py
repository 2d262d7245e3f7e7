"""`--window`: a wider race window, made by a pause before every store of the scenario.

The scenario's text stays as it is: `memory.value += 1` loads, pauses, and stores. Bulk bytes are stored in two halves
with the pause between them.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from lab.scenario.place import Place

Pause = Callable[[], None]


def spin(window_ns: int) -> Pause:
    """A pause of this length: spinning, not sleeping, so that it is as long as asked, to a microsecond."""

    def pause() -> None:
        until = monotonic_ns() + window_ns
        while monotonic_ns() < until:
            pass

    return pause


class Paused:
    """The same place, with the pause before every store."""

    __slots__ = ("_pause", "_place", "load")

    def __init__(self, place: Place, pause: Pause) -> None:
        self._place = place
        self._pause = pause
        self.load = place.load

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Pause, then store."""
        self._pause()
        self._place.store(start, data)


class Halved:
    """The same place, whose stores come in two halves, the pause between them."""

    __slots__ = ("_pause", "_place", "load")

    def __init__(self, place: Place, pause: Pause) -> None:
        self._place = place
        self._pause = pause
        self.load = place.load

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store a half, pause, store the rest."""
        half = len(data) // 2
        whole = memoryview(data)
        self._place.store(start, whole[:half])
        self._pause()
        self._place.store(start + half, whole[half:])
