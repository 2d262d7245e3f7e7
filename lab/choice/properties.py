"""The properties that are compared: a play each, and how it is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lab.locks import Lock

from . import cost, exclusion, lifetime, queue, races
from .found import Found
from .stage import Stage

PROCESSES, KILL, PAUSE, ORDER, PAIR, HAND_OVER = "processes", "kill", "pause", "order", "pair", "hand-over"


class Play(NamedTuple):
    """A property by its name, how it is seen, and what it takes to see it: a play, and a race where that says "yes"."""

    name: str
    how: str
    perform: Callable[[Stage], Found]
    race: Callable[[Lock, Path, float], Found] | None = None


PLAYS = (
    Play(PROCESSES, "keeps out other processes, in one meeting and in races", exclusion.processes, races.exclusion),
    Play("threads", "keeps out a second thread that opens the file for itself", exclusion.threads),
    Play("opens", "keeps out the holder's own second open of the file: it waits for itself", exclusion.opens),
    Play("readers", "lets two readers in at once, and no writer beside them", exclusion.readers),
    Play("ranges", "lets two processes hold two ranges of one file at once", exclusion.ranges),
    Play(
        KILL,
        "is given back when its holder is killed; both: two who wait are let in",
        lifetime.kill,
        races.deaths,
    ),
    Play("close", "stays when its holder opens and closes the file once more", lifetime.close),
    Play("fork", "keeps out a child that the holder forks", lifetime.fork),
    Play("exit", "stays when that child exits", lifetime.child_exits),
    Play("child", "is given back when its holder unlocks, though that child lives on", lifetime.child_lives),
    Play("unlock", "stays when that child unlocks", lifetime.child_unlocks),
    Play("exec", "stays over execve; open: only where its descriptor is left open", lifetime.execve),
    Play("deadlock", "refuses one of two who wait for each other; no: both wait for ever", queue.deadlock),
    Play(ORDER, "who waits is let in: fifo in order of arrival, other in another, polls: who looks first", queue.order),
    Play(PAIR, "lock and unlock when nobody else wants it, median", cost.pair),
)

PAUSED = "stays while its holder is stopped (SIGSTOP), for {:g} s"
"""How the pause is seen, of all locks at the same time."""

HANDED_OVER = "from the unlock of one process to the lock of one that waits, median"
"""How the hand-over is seen; it is measured while the order is."""

CLAIMS = {"ranges": "ranges", "readers": "readers", "threads": "threads", "fork": "fork", "kill": "survives_kill"}
"""Properties that a lock may claim to have (`lab.locks.Abilities`), by the claim's name there."""
