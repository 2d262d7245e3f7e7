"""Run other programs: in place of a forked worker, in a group that dies with this process, or beside this one.

`become` and `Outputs` run a program as a worker and keep the end of what it prints. `GroupReaper` kills a process group
where this process dies without a chance to end its children (SIGKILL).

Every child gets SIGKILL when its parent dies (PR_SET_PDEATHSIG), but what a child starts itself does not: that setting
is not inherited (prctl(2)). It is in the group, though, unless it has left it (setsid(2), setpgid(2)); one that has
left it lives on then. On every other way out `lab.processes.descendants` ends that one too. A fresh interpreter does
what must not be done in a process that may have threads.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NoReturn

from lab.errors import CannotRunError

from .child import PR_SET_PDEATHSIG, WALL, fork_unseen, prctl, stops_held, unseen
from .deadlines import is_readable

if TYPE_CHECKING:
    import subprocess

_quick = import_module("_signal")

KEPT = 1 << 16
"""The number of bytes that are kept of each stream: the last ones."""

PYTHON_IGNORES = ("SIGPIPE", "SIGXFSZ")
"""Signals that the interpreter ignores and that an exec passes on ignored (signal(7)).

Other programs rely on them.
"""


def restore_signals() -> None:
    """Give a program that is to be executed the signals that the interpreter ignores."""
    for name in PYTHON_IGNORES:
        _quick.signal(getattr(_quick, name), _quick.SIG_DFL)


def become(path: str, argv: Sequence[str], stdout: int, stderr: int) -> NoReturn:
    """Run a program in place of this process, with nothing to read and its output to these descriptors (execve(2)).

    Raises OSError where it cannot be run.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(descriptor, stream)
    restore_signals()
    os.execv(path, list(argv))  # noqa: S606 - that no shell comes between is the point


class Outputs:
    """The standard output and error of some workers: read as it comes, so that no flood blocks; only its end is kept.

    Make it before the fork; a worker writes to `ends`, the parent calls `drain` again and again.
    """

    def __init__(self, indexes: Iterable[int]) -> None:
        """Open the pipes. Raises OSError where there are no descriptors left."""
        self.ends: dict[int, tuple[int, int]] = {}
        self.counted: dict[tuple[int, int], int] = {}
        self._tails: dict[tuple[int, int], bytearray] = {}
        self._keys: dict[int, tuple[int, int]] = {}
        self._poll = select.poll()
        try:
            for index in indexes:
                self.ends[index] = (self._stream(index, 1), self._stream(index, 2))
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stream(self, index: int, stream: int) -> int:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._keys[ours] = index, stream
        self._tails[index, stream] = bytearray()
        self.counted[index, stream] = 0
        self._poll.register(ours, select.POLLIN)
        return theirs

    def hand_over(self) -> None:
        """Close the ends that the workers write to, in the parent, once they are forked."""
        ends, self.ends = self.ends, {}
        for pair in ends.values():
            for end in pair:
                os.close(end)

    def drain(self, timeout_ms: float) -> None:
        """Read what there is, waiting so long at most for the first of it."""
        for descriptor, _ in self._poll.poll(timeout_ms):
            try:
                read = os.read(descriptor, KEPT)
            except BlockingIOError:
                continue
            if not read:
                self._poll.unregister(descriptor)
            key = self._keys[descriptor]
            self.counted[key] += len(read)
            tail = self._tails[key]
            tail += read
            del tail[:-KEPT]

    def last(self, index: int, stream: int) -> str:
        """Return the end of what a worker wrote to standard output (1) or error (2), as text."""
        return self._tails[index, stream].decode(errors="replace")

    def close(self) -> None:
        """Close all descriptors; what was read stays."""
        self.hand_over()
        keys, self._keys = self._keys, {}
        for descriptor in keys:
            os.close(descriptor)


ENDS = int(signal.SIGUSR1)
"""The signal that the leader gets when its parent is gone."""


STARTS_S = 10.0
"""The time, in seconds, in which a leader begins; one that has not begun by then has been stopped."""


class GroupReaper:
    """The leader of a group, which sleeps until this process dies, and then kills the group.

    As long as it lives, no other group can have its number. Every `WorkerPool` within the block joins it.
    """

    _active: ClassVar[list[GroupReaper]] = []

    def __init__(self) -> None:
        """Return once the leader keeps the group. Raises CannotRunError where there is no process available."""
        self._owner = os.getpid()
        readable, ready = os.pipe()
        try:
            self.group = fork_unseen(lambda: self._wait_and_kill(ready), group=0)
            os.close(ready)
            ready = -1
            if not is_readable(readable, STARTS_S):
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

    def __enter__(self) -> GroupReaper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @classmethod
    def kept_group(cls) -> int:
        """Return the group of the innermost block that this process is in, 0 where it is in none."""
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
        prctl(PR_SET_PDEATHSIG, ENDS)
        os.write(ready, b".")
        while os.getppid() == self._owner:
            signal.sigwait([ENDS])
        os.kill(0, signal.SIGKILL)


GRACE_S = 5.0
"""The time, in seconds, in which a program ends its own children and removes its files after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a program: its exit code, or minus the signal; what it wrote to stdout and to stderr."""

    code: int
    stdout: bytes
    stderr: bytes


def run_interpreter(arguments: Sequence[str], stdin: bytes) -> Ended:
    """Run `python` with these arguments and wait for its end, however long that takes.

    What ends the wait (Ctrl-C, a test's time limit) ends the interpreter first: SIGTERM, then SIGKILL. It has a process
    group of its own, so that a terminal's Ctrl-C does not reach it a second time. Its streams are files: a child of its
    own that hangs keeps no process waiting for the end of a pipe. Raises OSError where there is no process available.
    """
    import subprocess
    from tempfile import TemporaryFile

    with TemporaryFile() as given, TemporaryFile() as stdout, TemporaryFile() as stderr:
        given.write(stdin)
        given.seek(0)
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, stdin=given, stdout=stdout, stderr=stderr, process_group=0)
        try:
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        stdout.seek(0)
        stderr.seek(0)
        return Ended(code, stdout.read(), stderr.read())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it: first by SIGTERM, then by SIGKILL."""
    import subprocess

    try:
        process.terminate()
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def end_with(parent: int) -> None:
    """Set this process to get SIGKILL when that process dies (prctl(2), PR_SET_PDEATHSIG).

    It ends at once where that process has died already.
    """
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
