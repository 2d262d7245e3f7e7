"""Set up one experiment: fresh files, the lock prepared for each, the actors, and a record of their calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from lab.locking import Lock, prepared
from lab.memory import Folder, create
from lab.records import ActorCall

from .operations import File

LOOKS = 10
SHORTEST_S = 0.02
"""The shortest time, in seconds, after which a request without an answer counts as waiting.

It counts so where it has left the processor so often by then that it evidently polls.
"""

SETTLE_S = 0.15
"""The time, in seconds, after which a request that polls less often counts as waiting if it sleeps.

It is three times 50 ms, the interval at which libraries usually poll: a false grant comes at once.
"""

BUSY_S = 1.0
"""The time, in seconds, after which a request that never sleeps counts as waiting: it spins."""

GRANT_S = 1.2
"""The time, in seconds, after which a request that should have been granted counts as hung.

It is over four times 250 ms, the interval of the slowest library known.
"""

USUAL_S = 0.01
"""The time, in seconds, in which a free lock is granted.

Where it takes longer, all these times grow by the same factor.
"""

LOOK_AGAIN_S = 0.001

SLOWEST = 6.0
"""The limit of a cell is multiplied by at most this factor, where a free lock is slow to acquire."""


class Unclear(Exception):  # noqa: N818 - a finding
    """The experiment gave no clear result; the text is the reason."""


class Limit(Unclear):
    """The time limit of the cell is over."""


class Stage:
    """Two files, so that two locks can be requested in opposite orders; all actors end with the block.

    `known` are the values of the properties that were looked at before, `slowness` how much longer than usual the lock
    takes. Raises CannotRunError where the lock cannot be made.
    """

    def __init__(self, lock: Lock, folder: Path, limit_s: float, known: Mapping[str, str]) -> None:
        self.folder = folder
        self.calls: list[ActorCall] = []
        self.actors = ExitStack()
        self.files: list[File] = []
        self.slowness = 1.0
        self.known = known
        self._lock = lock
        self._limit_s = limit_s
        self._begun = time.monotonic()
        self._prepared = ExitStack()

    def __enter__(self) -> Stage:
        try:
            for path in (self.folder / "1", self.folder / "2"):
                create(path, bytes(64), sparse=False)
                self.files.append(File(path, self._prepared.enter_context(prepared(self._lock, str(path)))))
        except BaseException:
            self._prepared.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.actors.close()
        finally:
            self._prepared.close()
            with suppress(OSError):
                Folder.at(self.folder).clear()

    def inodes(self) -> set[int]:
        """Return the inode numbers of the files there, including those that a lock keeps beside the data."""
        return {path.stat().st_ino for path in self.folder.iterdir()}

    def record_call(self, actor: str, call: str, result: str) -> None:
        """Record what an actor did, and the result."""
        self.calls.append(ActorCall(actor, call, result))

    def granted_in(self, seconds: float) -> None:
        """Record how long it took to acquire a free lock."""
        self.slowness = max(self.slowness, seconds / USUAL_S)

    def left_s(self) -> float:
        """Return the seconds until the cell is given up, more where all is slow; raises Limit where none are left."""
        left = self._begun + self._limit_s * min(self.slowness, SLOWEST) - time.monotonic()
        if left <= 0:
            raise Limit(f"inconclusive within {self._limit_s:g} s; --seconds gives more")
        return left
