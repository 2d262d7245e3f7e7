"""The properties that are compared: a play each, and how it is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import cost, exclusion, lifetime, queue
from .found import Found
from .stage import Stage

PROCESSES, ORDER, PAIR, HAND_OVER = "processes", "order", "pair", "hand-over"


class Play(NamedTuple):
    """A property by its name, how it is seen, and what it takes to see it."""

    name: str
    how: str
    perform: Callable[[Stage], Found]


PLAYS = (
    Play(PROCESSES, "keeps out another process", exclusion.processes),
    Play("threads", "keeps out a second thread that opens the file for itself", exclusion.threads),
    Play("opens", "keeps out the holder's own second open of the file: it waits for itself", exclusion.opens),
    Play("readers", "lets two readers in at once, and no writer beside them", exclusion.readers),
    Play("ranges", "lets two processes hold two ranges of one file at once", exclusion.ranges),
    Play("kill", "is given back when its holder is killed with SIGKILL", lifetime.kill),
    Play("close", "stays when its holder opens and closes the file once more", lifetime.close),
    Play("fork", "keeps out a child that the holder forks", lifetime.fork),
    Play("exit", "stays when that child exits", lifetime.child_exits),
    Play("unlock", "stays when that child unlocks", lifetime.child_unlocks),
    Play("exec", "stays over execve; open: only where its descriptor is left open", lifetime.execve),
    Play("deadlock", "refuses one of two who wait for each other; no: both wait for ever", queue.deadlock),
    Play(ORDER, "who waits is let in: fifo in order of arrival, other in another, polls: who looks first", queue.order),
    Play(PAIR, "lock and unlock when nobody else wants it, median", cost.pair),
)

HANDED_OVER = "from the unlock of one process to the lock of one that waits, median"
"""How the hand-over is seen; it is measured while the order is."""

CLAIMS = {"ranges": "ranges", "readers": "readers", "threads": "threads", "fork": "fork", "kill": "survives_kill"}
"""Properties that a lock may claim to have (`lab.locks.Abilities`), by the claim's name there."""
