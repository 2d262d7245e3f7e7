"""Which locks answer on the directories, how long a request takes there, and what is left of those that hang."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

from lab.locks import find_lock
from lab.locks.probe import REFUSED
from lab.processes import Crew, Exit, cpus_for, detach_output
from lab.race.failures import late
from lab.regions import anonymous, scratch
from lab.results import Failure

LOCKS = ("fcntl", "ofd", "flock")
TRIES = 20
PATIENCE_S = 2.0
"""How long a lock may take for all its tries on all directories; NFSv4 takes up to 20 ms for a pair."""

TRIAL_S = 5.0

WORTH_SLEEPING_NS = 20_000
"""A pair of a kernel's own lock takes about 1,500 ns, one that a server answers 100,000."""

LONGEST_NS = 5_000_000
PAIRS_TO_HANG = 1000


@dataclass(frozen=True, slots=True)
class Answering:
    """One lock here: `pair_ns`, the shortest request and release, on the slowest directory; `errno` of a refusal."""

    pair_ns: int = 0
    errno: int = 0
    hung: Failure | None = None

    @property
    def refused(self) -> bool:
        """True where there is no such lock here."""
        return self.errno in REFUSED

    @property
    def window_ns(self) -> int:
        """A window in which another's request, falsely granted, comes back in time to be seen; 0 where at once."""
        return 0 if self.pair_ns < WORTH_SLEEPING_NS else min(self.pair_ns, LONGEST_NS)

    @property
    def time_limit_s(self) -> float:
        """After which a trial of a few milliseconds hangs, also on a machine that is busy with other things."""
        return max(TRIAL_S, PAIRS_TO_HANG * self.pair_ns / 1e9)


def answering(folders: Sequence[Path]) -> dict[str, Answering]:
    """Try each lock in a child of its own, all at once: one that hangs costs no more than one."""
    words = memoryview(anonymous(2 * 8 * len(LOCKS))).cast("q")

    def prepare(index: int) -> Callable[[], None]:
        detach_output()
        return lambda: _measure(LOCKS[index], folders, words[2 * index : 2 * index + 2])

    with Crew(len(LOCKS), prepare, cpus_for("none")) as crew:
        crew.gather(PATIENCE_S)
        crew.release()
        exits = crew.wait(PATIENCE_S)
    return {
        name: Answering(words[2 * index], words[2 * index + 1], _failure(name, ended))
        for index, (name, ended) in enumerate(zip(LOCKS, exits, strict=True))
    }


def _measure(name: str, folders: Sequence[Path], told: memoryview) -> None:
    with suppress(Exception):
        try:
            told[0] = max(_pair_ns(name, folder) for folder in folders)
        except OSError as error:
            told[1] = error.errno or 0


def _pair_ns(name: str, folder: Path) -> int:
    with scratch(folder) as path:
        descriptor = os.open(path, os.O_RDWR)
        acquire, release = find_lock(name).actions(descriptor, 0, 8, write=True)
        took = []
        for _ in range(TRIES):
            begun = monotonic_ns()
            acquire()
            release()
            took.append(monotonic_ns() - begun)
        return min(took)


def _failure(name: str, ended: Exit) -> Failure | None:
    if not ended.late:
        return None
    hangs = f"hangs{f' in {ended.where}' if ended.where else ''}: it does not end on SIGKILL"
    how = hangs if ended.code is None else f"was {late(ended, PATIENCE_S)}"
    reason = f"asked for the lock {name}, alone with a new file, and {how}"
    return Failure(0, ended.index, 0, "late", reason, pid=ended.pid or None, where=ended.where)
