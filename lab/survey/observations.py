"""What a play comes to.

How a process is seen to wait: for the kernel's file locks by proc_locks(5), for all others by its sleep.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab.records import Shown


@dataclass(frozen=True, slots=True)
class Found:
    """A value of `LockCell`, the reason where it needs one, and what was measured on the way, in ns.

    `run` are calls that are not written down on the stage; `detection_limit` is as in `LockCell`.
    """

    value: str
    reason: str = ""
    samples_ns: list[float] = field(default_factory=list)
    run: list[Shown] = field(default_factory=list)
    detection_limit: float | None = None


YES, NO = Found("yes"), Found("no")


def unclear(reason: str, run: Sequence[Shown] = ()) -> Found:
    """What could not be found out, and why."""
    return Found("?", reason, run=list(run))


LOOKS = 10
SHORTEST_S = 0.02
"""A request that is not answered waits where, after this time, it has left the processor so often: it looks again."""

SETTLE_S = 0.15
"""One that does not look so often is said to wait when it sleeps after this time.

Three times 50 ms, in which libraries that poll usually look again: who wrongly lets in, does so at the first look.
"""

BUSY_S = 1.0
"""A request that never sleeps is said to wait after this time: it spins."""

GRANT_S = 1.2
"""A request that is to be let in and is not after this time hangs: over four times 250 ms, the slowest poller known."""

USUAL_S = 0.01
"""A lock that nobody holds is granted in this time; where it takes longer, all these times are so much longer too."""

LOOK_AGAIN_S = 0.001


class Task:
    """A thread of a process, as proc(5) shows it."""

    def __init__(self, pid: int, number: int) -> None:
        self._place = Path(f"/proc/{pid}/task/{number}")

    def sleeps(self) -> bool:
        """True where it waits for something that may come late, neither running nor at a page or a disk."""
        try:
            stat = (self._place / "stat").read_text()
        except OSError:
            return True
        return stat.rpartition(")")[2].split()[0] == "S"

    def switches(self) -> int:
        """How often it has gone to sleep: who waits in the kernel does so once, who polls at every look.

        That others took the processor from it is no sleep: on a busy machine it happens to everybody.
        """
        with suppress(OSError):
            lines = (self._place / "status").read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
        return 0


def waiters(folder: Path) -> int:
    """How many requests /proc/locks lists as waiting for a file in the folder."""
    numbers = {path.stat().st_ino for path in folder.iterdir()}
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[-3].rpartition(":")[2]) in numbers for line in lines if "->" in line)
