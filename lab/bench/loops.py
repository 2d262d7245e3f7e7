"""What the workers of a benchmark do from the start barrier until the stop: a word that the parent sets.

They look at it after each pair, so everybody makes one, however short the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic_ns

from lab.race.hold import Held
from lab.race.log import Segment
from lab.regions import OpenFile

Loop = Callable[[], None]


def pairs(hold: Held, stop: Segment) -> Loop:
    """Lock and unlock."""

    def run() -> None:
        while True:
            with hold:
                pass
            if stop[0]:
                return

    return run


def busy_pairs(hold: Held, stop: Segment, inside: Loop, think_ns: int) -> Loop:
    """Lock, do what is to be done inside, unlock, and think."""

    def run() -> None:
        while True:
            with hold:
                inside()
            if stop[0]:
                return
            spin(think_ns)

    return run


def ring(holds: Sequence[Held], index: int, stop: Segment, inside: Sequence[Loop] = ()) -> Loop:
    """Around locks of which there is one more than workers: ask for the next, give back the one held.

    Of each lock, what is to be done `inside` comes before the other one is given back.

    Each starts with the lock of its own index, taken here. The next is then either the one that nobody holds or the
    neighbour's, so every grant follows the release of the same lock by another worker. Source: ping_pong of ctdb.
    """
    take = [hold.__enter__ for hold in holds]
    give = [hold.__exit__ for hold in holds]
    take[index]()

    def run() -> None:
        at = index
        while True:
            then = (at + 1) % len(holds)
            take[then]()
            if inside:
                inside[then]()
            give[at](None, None, None)
            at = then
            if stop[0]:
                break
        give[at](None, None, None)

    return run


def spin(ns: int) -> None:
    """Be at work for so long."""
    until = monotonic_ns() + ns
    while monotonic_ns() < until:
        pass


def addition(file: OpenFile, start: int) -> Loop:
    """Add 1 to the 8 bytes there."""

    def add() -> None:
        value = int.from_bytes(file.load(start, 8), "little") + 1
        file.store(start, value.to_bytes(8, "little"))

    return add
