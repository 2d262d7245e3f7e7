"""Why a process does not go on: the place in the kernel in which it sleeps, or that it was stopped."""

from __future__ import annotations

from pathlib import Path


def sleeps_in(pid: int) -> str:
    """The function of the kernel in which it sleeps (proc_pid_wchan(5)); empty where the kernel does not tell."""
    try:
        name = Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""
    return "" if name == "0" else name


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped it (SIGSTOP, SIGTSTP) and none has made it go on (proc_pid_stat(5), state T)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False
