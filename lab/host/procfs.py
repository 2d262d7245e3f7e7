"""Read what the kernel reports on locks, processes and mounts in /proc: the only parser of each of these files.

It needs nothing else of the lab, so that every other module may use it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LOCKS = "/proc/locks"
LOOKS = 3
"""The list is read so often before it counts: while other processes lock, a line may come twice or not at all."""

ENDED, STOPPED, RUNS, WAITS_FOR_DISK = "Z", "T", "R", "D"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
ASLEEP = ("S", "D")
"""Letters of a process's state (proc_pid_stat(5)): a zombie; stopped by a signal; asleep, interruptibly or not."""


class ListedLock(NamedTuple):
    """One line of /proc/locks (proc_locks(5)): a lock, or a request that waits for one.

    `pid` is -1 for a lock of an open file description (OFD). `last` is the last byte, None for the end of the file.
    """

    kind: str
    access: str
    pid: int
    device: str
    inode: int
    start: int
    last: int | None
    waits: bool


def listed_locks(containing: str = "") -> list[ListedLock]:
    """Return all locks that the kernel lists, or those whose line contains this text.

    Raises OSError where the list is not available.
    """
    with open(LOCKS) as lines:  # noqa: PTH123 - pathlib is slower, and this is done a thousand times
        found = [_listed(line.split()[1:]) for line in lines if containing in line]
    return [lock for lock in found if lock]


def descriptor_locks(pid: int) -> Iterator[tuple[int, ListedLock]]:
    """Yield each descriptor of a process with each lock that its open file has (proc_pid_fdinfo(5)).

    A lock of an open file description is listed under every descriptor that refers to it, so also in a child that
    inherited one; one of a process under the descriptor of its open file. Raises PermissionError where the process is
    another user's, and yields nothing where it is gone.
    """
    try:
        names = os.listdir(f"/proc/{pid}/fdinfo")  # noqa: PTH208 - as text
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        try:
            lines = Path(f"/proc/{pid}/fdinfo/{name}").read_text().splitlines()
        except OSError:  # closed meanwhile, or the process ended
            continue
        for line in lines:
            if line.startswith("lock:") and (lock := _listed(line.split()[2:])) and not lock.waits:
                yield int(name), lock


def _listed(words: list[str]) -> ListedLock | None:
    waits = words[:1] == ["->"]
    try:
        kind, _, access, pid, place, start, last = words[1:] if waits else words
        device, _, inode = place.rpartition(":")
        return ListedLock(
            kind, access, int(pid), device, int(inode), int(start), None if last == "EOF" else int(last), waits
        )
    except ValueError:  # a line of another form
        return None


class ProcessStat(NamedTuple):
    """The letter of a process's state, and its parent."""

    state: str
    parent: int


def process_stat(pid: int, thread: int | None = None) -> ProcessStat | None:
    """Return the state of a process, or of one of its threads (proc_pid_stat(5)); None where it is gone."""
    words = _stat(pid, thread)
    return ProcessStat(words[0].decode(), int(words[1])) if words else None


def cpu_s_of(pid: int) -> float:
    """Return the processor time that a process has had, in seconds (proc_pid_stat(5)); 0 where it is gone."""
    words = _stat(pid)
    return (int(words[11]) + int(words[12])) / TICKS_A_SECOND if words else 0.0


def _stat(pid: int, thread: int | None = None) -> list[bytes]:
    """Return what follows the name, from the state on; nothing where it is gone."""
    try:
        return Path(_place(pid, thread), "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped the process (SIGSTOP, SIGTSTP) and none has continued it."""
    stat = process_stat(pid)
    return stat is not None and stat.state == STOPPED


def sleeps_in(pid: int, thread: int | None = None) -> str:
    """Return the kernel's function in which it sleeps (proc_pid_wchan(5)); empty where the kernel does not say."""
    try:
        name = Path(_place(pid, thread), "wchan").read_text()
    except OSError:
        return ""
    return "" if name == "0" else name


def switches_of(pid: int, thread: int | None = None, *, voluntary: bool = False) -> int:
    """Return how often the process has left the processor (proc_pid_status(5)), 0 where it is gone.

    Only the `voluntary` switches are sleeps: a process that waits in the kernel sleeps once, one that polls sleeps at
    each look. The others happen to every process of a busy machine.
    """
    try:
        text = Path(_place(pid, thread), "status").read_text()
    except OSError:
        return 0
    return sum(map(int, re.findall(rf"^{'' if voluntary else '(?:non)?'}voluntary_ctxt_switches:\s+(\d+)", text, re.M)))


def threads_of(pid: int) -> list[int]:
    """Return the threads of a process; none where it is gone."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - as text
    except OSError:
        return []


def call_of(pid: int, thread: int) -> list[int]:
    """Return the number of the system call in which a thread waits, and its arguments (proc_pid_syscall(5)).

    The list is empty where the thread runs or is gone, or where the kernel does not say.
    """
    try:
        words = Path(_place(pid, thread), "syscall").read_text().split()
        return [int(word, 0) for word in words[:7]]
    except (OSError, ValueError):
        return []


def ran_last_at_ms(pid: int, thread: int) -> float | None:
    """Return when the kernel last ran a thread, on the clock of its scheduler (/proc/PID/sched); None if not known.

    The difference of two threads, one of which runs now, is for how long the other has slept.
    """
    try:
        found = re.search(r"^se\.exec_start\s*:\s*([\d.]+)", Path(_place(pid, thread), "sched").read_text(), re.M)
    except OSError:
        return None
    return float(found[1]) if found else None


def command_of(pid: int) -> str:
    """Return the command line of a process (proc_pid_cmdline(5)), one line of printable text; empty where it is gone.

    A thread of the kernel, and a zombie, has its name in brackets.
    """
    try:
        words = Path(_place(pid, None), "cmdline").read_bytes().decode(errors="replace").split("\0")
        name = "" if any(words) else Path(_place(pid, None), "comm").read_text().strip()
    except OSError:
        return ""
    text = " ".join(words).strip() or f"[{name}]"
    return "".join(each if each.isprintable() else "?" for each in text)


def caught_signals(pid: int) -> set[int]:
    """Return the numbers of the signals that a process handles (proc_pid_status(5), SigCgt); none where it is gone."""
    try:
        found = re.search(r"^SigCgt:\s+([0-9a-f]+)", Path(_place(pid, None), "status").read_text(), re.M)
    except OSError:
        return set()
    mask = int(found[1], 16) if found else 0
    return {number for number in range(1, mask.bit_length() + 1) if mask >> (number - 1) & 1}


def processes() -> Iterator[tuple[int, ProcessStat]]:
    """Yield each process with its state; one that has ended and was not reaped is among them."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - as text
        if name.isdecimal() and (stat := process_stat(int(name))):
            yield int(name), stat


def _place(pid: int, thread: int | None) -> str:
    return f"/proc/{pid}" if thread is None else f"/proc/{pid}/task/{thread}"


class ListedMount(NamedTuple):
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5)): its options are the mount's and the filesystem's.

    `device` is how /proc/locks names the filesystem, with the numbers in hexadecimal.
    """

    filesystem: str
    options: list[str]
    device: str = ""


def listed_mounts() -> dict[str, ListedMount]:
    """Return the mounts that this process sees, by their numbers; none where the list is not available."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        own, kind = before.split(), after.split()
        if len(own) > 5 and len(kind) > 2:
            major, _, minor = own[2].partition(":")
            device = f"{int(major):02x}:{int(minor):02x}"
            found[own[0]] = ListedMount(kind[0], [*own[5].split(","), *kind[2].split(",")], device)
    return found


def mount_id(path: Path) -> str:
    """Return the number of the mount through which this path leads: two bind mounts of one directory have two."""
    return _facts_of(path).get("mnt_id", "")


def listed_file(path: Path) -> tuple[str, int]:
    """Return how /proc/locks names a file: by its filesystem's device, empty where it is not known, and its inode.

    The device of stat(2) differs from it on some filesystems (btrfs). Raises OSError where there is no such file.
    """
    facts = _facts_of(path)
    mount = listed_mounts().get(facts.get("mnt_id", ""))
    return mount.device if mount else "", int(facts["ino"]) if "ino" in facts else path.stat().st_ino


def _facts_of(path: Path) -> dict[str, str]:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return descriptor_facts(os.getpid(), descriptor)
    finally:
        os.close(descriptor)


def descriptor_facts(pid: int, descriptor: int) -> dict[str, str]:
    """Return what the kernel says of an open file (proc_pid_fdinfo(5)), `ino` and `mnt_id` among it; {} if nothing."""
    try:
        lines = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def resident_bytes() -> int:
    """Return how much memory of this process is in use (proc_pid_statm(5)); 0 where that cannot be read."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
