"""A child seen from outside: whether it runs, sleeps or has ended, and where in the kernel it sleeps."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from .hanging import sleeps_in

LOOK_AGAIN_S = 0.0002
ENDED = "Z"
STOPPED = "T"
ASLEEP = ("S", "D")
"""Letters of the state in /proc/PID/stat (proc_pid_stat(5)): a zombie; stopped; asleep, and not to be interrupted."""


class Watched:
    """A child of this process that nobody else reaps, by its pid and a descriptor of it (pidfd_open(2), Linux 5.3)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.descriptor = os.pidfd_open(pid)

    def state(self) -> str:
        """The letter of its state; Z once it has ended."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ENDED

    def reaches(self, letter: str, timeout_s: float, *, wanted: bool) -> bool:
        """Wait until it is, or no longer is, in that state; False after that time."""
        deadline = time.monotonic() + timeout_s
        while (self.state() == letter) != wanted and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_S)
        return (self.state() == letter) == wanted

    def sleeps_in(self) -> str:
        """The function of the kernel in which it sleeps; empty where the kernel does not tell."""
        return sleeps_in(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Signal it; nothing happens where it has ended (pidfd_send_signal(2))."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or minus the signal that ended it (waitpid(2)); None where it lives on after that time."""
        if self.code is None:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            if poll.poll(timeout_s * 1000):
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)
