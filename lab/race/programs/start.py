"""The start signal of programs that wait for it: a FIFO each, whose end of file says go."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from lab.regions import open_file


class Start:
    """A program that opens its FIFO for reading has arrived; what it reads ends when all are released.

    Opening the other end without waiting is refused with ENXIO until somebody reads (fifo(7)): that tells who has come.
    """

    def __init__(self, folder: Path, indexes: Iterable[int]) -> None:
        """Raises OSError where the folder has no FIFOs."""
        self._paths = {index: folder / f"start-{index}" for index in indexes}
        self._open: dict[int, int] = {}
        self.arrived: set[int] = set()
        for path in self._paths.values():
            os.mkfifo(path, 0o600)

    def __enter__(self) -> Start:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def path(self, index: int) -> str:
        """The {start} of this worker."""
        return str(self._paths.get(index, ""))

    def look(self) -> None:
        """Note who has arrived since."""
        for index in self._paths.keys() - self.arrived:
            try:
                self._open[index] = open_file(self._paths[index], os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            else:
                self.arrived.add(index)

    @property
    def gone(self) -> set[int]:
        """Those that have arrived and read no longer: they did not wait for the end, or are no more."""
        return {index for index, descriptor in self._open.items() if _has_no_reader(descriptor)}

    def release(self) -> None:
        """Let all go."""
        waiting, self._open = self._open, {}
        for descriptor in waiting.values():
            os.close(descriptor)


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
