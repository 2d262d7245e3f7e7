"""Show the progress of a long run on stderr, in a process of its own.

rich starts a thread, and a process that forks must have none.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import TracebackType

from lab.errors import printable
from lab.processes import Child, fork_child

PATIENCE_S = 1.0
"""A run shorter than this shows nothing."""


class Progress:
    """A display of progress: within the block, `tell` names what runs now; `total` such calls make the whole."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._pipe = -1
        self._child: Child | None = None

    def __enter__(self) -> Progress:
        if self._shown:
            titles, self._pipe = os.pipe()
            os.set_blocking(self._pipe, False)
            try:
                self._child = Child(fork_child(lambda: self._display(titles)))
            except OSError:  # no process is left for a display: the race itself will report it
                os.close(self._pipe)
            finally:
                os.close(titles)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            os.close(self._pipe)
            self._child.wait()

    def tell(self, title: str) -> None:
        """Show what runs now; this never waits, and a display that has ended or is behind misses it."""
        if self._child:
            with suppress(BrokenPipeError, BlockingIOError):
                os.write(self._pipe, printable(title).encode() + b"\n")

    def _display(self, titles: int) -> None:
        """Run the display in its own process: it ends with the pipe, and leaves Ctrl-C to its parent."""
        os.close(self._pipe)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended = select.poll()
        ended.register(titles, 0)  # watch only for the end of the pipe
        if not ended.poll(PATIENCE_S * 1000):
            _bar(self._total, titles)


def _bar(total: int, titles: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    class Steady(Console):
        """A console that leaves the cursor alone: if this process were killed, a hidden cursor would stay hidden."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Steady(stderr=True), transient=True) as bar, open(titles, "rb") as lines:
        task = bar.add_task("", total=total)
        for started, title in enumerate(lines):
            bar.update(task, completed=started, description=title.decode().strip())
