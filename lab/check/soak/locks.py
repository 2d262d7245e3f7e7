"""Which locks answer on the directories, how long a request takes there, and what is left of those that hang."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns

from lab.locks import Action, find_lock
from lab.locks.probe import REFUSED
from lab.processes import Crew, Exit, cpus_for, detach_output
from lab.race.failures import late
from lab.race.soak import FIRST_ROUNDS
from lab.regions import anonymous, scratch
from lab.results import Failure

from ..actors.patience import HANDOFFS
from ..promises import EXCLUSION

LOCKS = ("fcntl", "ofd", "flock")
TRIES = 20
PATIENCE_S = 2.0
"""How long a lock may take for all its tries on all directories; NFSv4 takes up to 20 ms for a pair."""

TRIAL_S = 5.0

WORTH_SLEEPING_NS = 20_000
"""A pair of a kernel's own lock takes about 1,500 ns, one that a server answers 100,000."""

LONGEST_NS = 5_000_000
PAIRS_TO_HANG = 1000

ROOM_S = 10.0
"""The first trial of a race may take so long for hand-offs alone."""

LONGEST_S = 60.0
"""No trial may take longer for its hand-offs, however slow they are."""

FEW = 8
"""More workers than these wait longer for their turn."""


@dataclass(frozen=True, slots=True)
class Answering:
    """One lock here: `pair_ns`, the shortest request and release, on the slowest directory; `errno` of a refusal.

    `handoff_s` is the slowest hand-off to one who waited, 0 where it was not measured.
    """

    pair_ns: int = 0
    errno: int = 0
    hung: Failure | None = None
    handoff_s: float = 0.0

    @property
    def refused(self) -> bool:
        """True where there is no such lock here."""
        return self.errno in REFUSED

    @property
    def window_ns(self) -> int:
        """A window in which another's request, falsely granted, comes back in time to be seen; 0 where at once."""
        return 0 if self.pair_ns < WORTH_SLEEPING_NS else min(self.pair_ns, LONGEST_NS)

    def first_rounds(self, workers: int) -> int:
        """The rounds of the first trial: as many as fit into ROOM_S, though each takes a hand-off of every worker."""
        fitting = ROOM_S / (workers * self.handoff_s) if self.handoff_s else FIRST_ROUNDS
        return max(1, min(FIRST_ROUNDS, int(fitting)))

    def time_limit_s(self, workers: int) -> float:
        """After which a trial of a few milliseconds hangs, also on a machine that is busy with other things.

        Where locks are handed over slowly it is some hand-offs for each round of each worker, up to a ceiling.
        """
        handed_over = HANDOFFS * workers * self.first_rounds(workers) * self.handoff_s
        usual = max(TRIAL_S, PAIRS_TO_HANG * self.pair_ns / 1e9) * max(1.0, workers / FEW)
        return max(usual, min(LONGEST_S, handed_over))


def answering(folders: Sequence[Path], handoffs: Mapping[str, float] | None = None) -> dict[str, Answering]:
    """Try each lock in a child of its own, all at once: one that hangs costs no more than one.

    `handoffs` are the slowest hand-offs in seconds, by the guarantees of the locks (`lab.check.actors.handoff`).
    """
    measured = {EXCLUSION[name]: seconds for name, seconds in (handoffs or {}).items()}
    words = memoryview(anonymous(2 * 8 * len(LOCKS))).cast("q")

    def prepare(index: int) -> Callable[[], None]:
        detach_output()
        return lambda: _measure(LOCKS[index], folders, words[2 * index : 2 * index + 2])

    with Crew(len(LOCKS), prepare, cpus_for("none")) as crew:
        crew.gather(PATIENCE_S)
        crew.release()
        exits = crew.wait(PATIENCE_S)
    return {
        name: Answering(
            words[2 * index], words[2 * index + 1], _failure(name, ended), handoff_s=measured.get(name, 0.0)
        )
        for index, (name, ended) in enumerate(zip(LOCKS, exits, strict=True))
    }


def _measure(name: str, folders: Sequence[Path], told: memoryview) -> None:
    """The slowest pair, or the errno that a lock call gave: those of making and removing a file are not the lock's."""
    with suppress(Exception):
        for folder in folders:
            with scratch(folder) as path, path.open("r+b", buffering=0) as file:
                pair_ns, told[1] = _pair(*find_lock(name).actions(file.fileno(), 0, 8, write=True))
                told[0] = max(told[0], pair_ns)
            if told[1]:
                return


def _pair(acquire: Action, release: Action) -> tuple[int, int]:
    """How long the shortest request and release takes, or the errno of one."""
    took = []
    try:
        for _ in range(TRIES):
            begun = monotonic_ns()
            acquire()
            release()
            took.append(monotonic_ns() - begun)
    except OSError as error:
        return 0, error.errno or 0
    return min(took), 0


def _failure(name: str, ended: Exit) -> Failure | None:
    if not ended.late:
        return None
    hangs = f"hangs{f' in {ended.where}' if ended.where else ''}: it does not end on SIGKILL"
    how = hangs if ended.code is None else f"was {late(ended, PATIENCE_S)}"
    reason = f"asked for the lock {name}, alone with a new file, and {how}"
    return Failure(0, ended.index, 0, "late", reason, pid=ended.pid or None, where=ended.where)
