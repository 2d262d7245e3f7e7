"""Where a process hangs that does not end on SIGKILL."""

from __future__ import annotations

from pathlib import Path


def sleeps_in(pid: int) -> str:
    """The function of the kernel in which it sleeps (proc_pid_wchan(5)); empty where the kernel does not tell."""
    try:
        name = Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""
    return "" if name == "0" else name
