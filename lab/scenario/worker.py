"""Define what a scenario may use of the worker that runs it; every world offers this and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from random import Random


class Bytes(Protocol):
    """A writable run of bytes in the shared memory: `view[:]` loads, `view[:] = data` stores in one copy."""

    def __getitem__(self, where: slice) -> Any: ...
    def __setitem__(self, where: slice, data: Any) -> None: ...
    def __len__(self) -> int: ...


class Joinable(Protocol):
    """A child process of a worker."""

    def wait(self) -> int:
        """Wait for its end; return the exit code, or minus the signal that ended it."""


class Worker(Protocol):
    """One process that runs rounds of a scenario, or its simulated twin."""

    index: int
    """The number of this worker, from 0."""
    workers: int
    """The number of workers."""
    round: int
    """The number of the present round, from 0."""
    rounds: int
    """The number of rounds that each worker runs."""
    memory: Any
    """The scenario's `Memory` over the shared file: loads and stores go straight to the page."""
    local: SimpleNamespace
    """The worker's private notes."""
    path: str
    """The file's name: for counterexamples about files."""

    @property
    def random(self) -> Random:
        """Return the worker's generator, seeded from the run's seed, the trial and the index.

        Its draws are the same in every run of that seed.
        """

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """Return the exclusive lock on a field's bytes; with an index, on `count` elements of an array field.

        Without a field, it covers the whole file and what may be appended to it (start 0, length 0). Waits on entering.
        Entering raises `Deadlock` where the kernel notices one. Raises ScenarioError for a range outside the field. Do
        not hold two overlapping ranges in one worker: for the kernel the inner unlock frees the bytes of both
        (fcntl(2)), so other workers are rightly granted bytes that this worker believes to hold, and that is reported
        as an overlap.
        """

    def read_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """Return a lock on the same range that is shared with other readers (F_RDLCK)."""

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> Bytes:
        """Return the bytes of a field, or of `count` elements of an array field from `index`."""

    def damaged(self, kind: str, evidence: str = "") -> None:
        """Report one operation that this worker saw go wrong, such as a torn read."""

    def pause(self) -> None:
        """Yield the processor once, as I/O or a page fault would (sched_yield(2))."""

    def reopen(self) -> None:
        """Open and map the file anew by its name, as a program that has just started does.

        Call it only while no lock is held: it closes the open file through which the lock would be released.
        """

    def stale(self) -> bool:
        """Return True when the name now belongs to another inode than the open file (fstat(2), stat(2))."""

    def twin(self) -> Worker:
        """Return a second worker in this same process with an open file of its own: for counterexamples about threads.

        Its round is the round of this worker at the latest call.
        """

    def child(self, body: Callable[[Worker], None]) -> Joinable:
        """Fork a child that runs `body` with an open file of its own and ends; one at a time, and none beside a twin.

        Its round, and a copy of the notes in `local`, are those of its parent; its random draws are its own, the same
        in every run of a seed. It reports through the memory: what it reports by `damaged` is lost.
        """

    def die(self) -> None:
        """End this process at once, as SIGKILL does. What it holds counts as held until then."""
