"""A process group that nobody of survives: it is killed when the block ends, and when the lab does."""

from __future__ import annotations

import os
import signal
from types import TracebackType

from lab.errors import CannotRunError

from .child import PR_SET_PDEATHSIG, STOPS, _prctl, fork_child, stops_held


class Keeper:
    """The leader of a group, which waits for the end of a pipe that only the lab holds open, and kills the group.

    What a worker that became another program (execve(2)) forks gets no signal when its parents die: PR_SET_PDEATHSIG
    is not inherited (prctl(2)). It is in the group, though, unless it leaves it (setsid(2)). As long as its leader
    lives, the number of the group belongs to nobody else.
    """

    def __init__(self) -> None:
        """Returns once it keeps the group. Raises CannotRunError where there is no process to be had."""
        ending, self._held = os.pipe()
        readable, ready = os.pipe()
        try:
            self.group = fork_child(lambda: self._wait_and_kill(ending, ready), group=0)
            os.close(ready)
            ready = -1
            os.read(readable, 1)
        except OSError as error:
            os.close(self._held)
            raise CannotRunError(f"fork refused ({error.strerror}); raise the limit (ulimit -u)") from error
        finally:
            for descriptor in (ending, readable, ready):
                if descriptor >= 0:
                    os.close(descriptor)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def let_go(self) -> None:
        """Close the pipe, in a child: else the group would live as long as that child does."""
        os.close(self._held)

    def end(self) -> None:
        """Kill the whole group, once; its leader has not been reaped before, so that it is still this group."""
        held, self._held = self._held, -1
        if held >= 0:
            with stops_held():
                os.killpg(self.group, signal.SIGKILL)
                os.waitpid(self.group, 0)
                os.close(held)

    def _wait_and_kill(self, ending: int, ready: int) -> None:
        os.close(self._held)
        for stop in STOPS:
            signal.signal(stop, signal.SIG_IGN)
        _prctl(PR_SET_PDEATHSIG, 0)  # the end of the pipe says the same, and the others of the group hear nothing else
        os.write(ready, b".")
        os.read(ending, 1)
        os.kill(0, signal.SIGKILL)
