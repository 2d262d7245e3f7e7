"""A process group that is killed where this process dies without a chance to end its children (SIGKILL).

Every child gets SIGKILL when its parent dies (PR_SET_PDEATHSIG), but what a child starts itself does not: that setting
is not inherited (prctl(2)). It is in the group, though, unless it has left it (setsid(2), setpgid(2)); one that has
left it lives on then. On every other way out `lab.processes.descendants` ends that one too.
"""

from __future__ import annotations

import os
import select
import signal
from types import TracebackType
from typing import ClassVar

from lab.errors import CannotRunError

from .child import PR_SET_PDEATHSIG, _prctl, stops_held
from .sibling import WALL, fork_unseen, unseen

ENDS = int(signal.SIGUSR1)
"""What the leader hears when its parent is gone."""


STARTS_S = 10.0
"""A leader that has not begun by then has been stopped."""


class Keeper:
    """The leader of a group, which sleeps until this process dies, and then kills the group.

    As long as it lives, the number of the group belongs to nobody else. Every `Crew` within the block joins it.
    """

    _active: ClassVar[list[Keeper]] = []

    def __init__(self) -> None:
        """Returns once it keeps the group. Raises CannotRunError where there is no process to be had."""
        self._owner = os.getpid()
        readable, ready = os.pipe()
        try:
            self.group = fork_unseen(lambda: self._wait_and_kill(ready), group=0)
            os.close(ready)
            ready = -1
            waiting = select.poll()
            waiting.register(readable, select.POLLIN)
            if not waiting.poll(STARTS_S * 1000):
                self._discard()
                raise CannotRunError(f"a process of the lab did not start within {STARTS_S:g} s; was it stopped?")
            os.read(readable, 1)
        except OSError as error:
            raise CannotRunError(f"fork refused ({error.strerror}); raise the limit (ulimit -u)") from error
        finally:
            for descriptor in (readable, ready):
                if descriptor >= 0:
                    os.close(descriptor)
        self._active.append(self)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @classmethod
    def kept_group(cls) -> int:
        """The group of the innermost block that this process is in, 0 where it is in none."""
        return next((each.group for each in reversed(cls._active) if each._owner == os.getpid()), 0)

    def end(self) -> None:
        """Kill the whole group, once; its leader has not been reaped before, so that it is still this group."""
        if self in self._active:
            with stops_held():
                self._active.remove(self)
                self._discard()

    def _discard(self) -> None:
        """Kill the group and reap its leader."""
        os.killpg(self.group, signal.SIGKILL)
        os.waitpid(self.group, WALL)
        unseen.discard(self.group)

    def _wait_and_kill(self, ready: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        _prctl(PR_SET_PDEATHSIG, ENDS)
        os.write(ready, b".")
        while os.getppid() == self._owner:
            signal.sigwait([ENDS])
        os.kill(0, signal.SIGKILL)
