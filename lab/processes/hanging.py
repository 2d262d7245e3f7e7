"""Why a process does not go on: the place in the kernel in which it sleeps, or that it was stopped."""

from __future__ import annotations

import re
import time
from pathlib import Path

SWITCHES = re.compile(r"ctxt_switches:\s+(\d+)")


def sleeps_in(pid: int) -> str:
    """The function of the kernel in which it sleeps (proc_pid_wchan(5)); empty where the kernel does not tell."""
    try:
        name = Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""
    return "" if name == "0" else name


def switches_of(pid: int) -> int:
    """How often it has been given a processor and given it back (proc_pid_status(5)); 0 where it is gone."""
    try:
        return sum(map(int, SWITCHES.findall(Path(f"/proc/{pid}/status").read_text())))
    except OSError:
        return 0


class Standstill:
    """How long a process has not run at all, as far as it was looked at: it sleeps in one and the same call."""

    def __init__(self) -> None:
        self._seen = (0, 0)
        self._since = 0.0

    def seconds(self, pid: int) -> float:
        """Look at it; the seconds since the first look that showed the same. It may be another one than before."""
        seen, now = (pid, switches_of(pid)), time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped it (SIGSTOP, SIGTSTP) and none has made it go on (proc_pid_stat(5), state T)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False
