"""The trials: which command lines, and which calls fail in them with what, at which of their calls."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator, Mapping, Sequence

from tests.faults.cell import Trial

SMALL = ("--rounds", "5", "--trials", "1", "--workers", "2", "--no-save", "--time-limit", "3")
JSON = ("--json", "out.json")
TOKEN = "L1,counter,none,2x1,64,dc8ecfc8,0x1.5b2+1x2.c4b+0x1.2aa,8c68"  # noqa: S105 - of a schedule

COMMANDS: dict[str, tuple[str, ...]] = {
    "race": ("race", "counter", "--locked", *SMALL, *JSON),
    "record": (
        "race",
        "counter",
        "--lock",
        "ofd",
        "--record",
        "5",
        "--html",
        "out.html",
        "--trace",
        "out.trace",
        *SMALL,
    ),
    "sysv": ("race", "counter", "--locked", "--backing", "sysv", *SMALL),
    "posix": ("race", "counter", "--locked", "--backing", "posix", *SMALL),
    "semaphore": ("race", "counter", "--lock", "sysv-semaphore", *SMALL),
    "bench": ("bench", "--lock", "flock", "--price", "hand-off", "--seconds", "0.02", "--repeats", "5", *JSON),
    "check": ("check", "d", "--only", "modes", "--seconds", "0.1", "--no-save", *JSON),
    "explore": ("explore", "counter", "--locked", "--time-limit", "2", *JSON),
    "jobs": ("explore", "counter", "--locked", "--search", "random", "--jobs", "2", "--time-limit", "1"),
    "replay": ("replay", TOKEN, "--times", "2", "--time-limit", "2", *JSON),
    "locks": ("locks", "flock", "--seconds", "2", *JSON),
    "backings": ("backings", *JSON),
    "tour": ("tour", *JSON),
    "list": ("list",),
}
"""Small runs that end with 0."""

SAMPLED = {"race": 2, "explore": 3, "replay": 3, "bench": 8}
"""Of these the default suite runs a sample: every so-manieth call and errno; LAB_EXHAUSTIVE=1 runs each."""

ERRNOS: Sequence[tuple[str, str, str]] = (
    ("lock", "child", "ENOLCK EIO EACCES EINTR"),
    ("lock", "main", "ENOLCK EIO"),
    ("unlock", "child", "EIO ENOLCK"),
    ("flock", "child", "ENOLCK EIO"),
    ("flock", "main", "ENOLCK"),
    ("getlk", "child", "EIO"),
    ("getlk", "main", "EIO"),
    ("fcntl", "main", "EINVAL EMFILE"),
    ("fcntl", "child", "EINVAL"),
    ("mmap", "main", "ENOMEM ENODEV"),
    ("mmap", "child", "ENOMEM"),
    ("munmap", "main", "ENOMEM"),
    ("ftruncate", "main", "ENOSPC EIO"),
    ("ftruncate", "child", "ENOSPC"),
    ("fallocate", "main", "ENOSPC EOPNOTSUPP"),
    ("fork", "main", "EAGAIN ENOMEM"),
    ("fork", "child", "EAGAIN"),
    ("open", "main", "EMFILE ENFILE EACCES EIO"),
    ("open", "child", "EMFILE EACCES"),
    ("creat", "main", "ENOSPC EROFS"),
    ("creat", "child", "ENOSPC"),
    ("read", "main", "EIO"),
    ("read", "child", "EIO"),
    ("write", "main", "ENOSPC EIO"),
    ("write", "child", "ENOSPC EIO"),
    ("pread", "main", "EIO"),
    ("pread", "child", "EIO"),
    ("pwrite", "main", "ENOSPC EIO"),
    ("pwrite", "child", "ENOSPC EIO"),
    ("fsync", "main", "EIO"),
    ("fsync", "child", "EIO"),
    ("close", "main", "EIO"),
    ("close", "child", "EIO"),
    ("stat", "main", "EACCES EIO"),
    ("stat", "child", "EIO"),
    ("unlink", "main", "EBUSY EACCES"),
    ("unlink", "child", "EBUSY"),
    ("rename", "main", "EIO ENOSPC"),
    ("mkdir", "main", "ENOSPC EACCES"),
    ("rmdir", "main", "EBUSY"),
    ("pipe", "main", "EMFILE ENFILE"),
    ("pipe", "child", "EMFILE"),
    ("socketpair", "main", "EMFILE"),
    ("socketpair", "child", "EMFILE"),
    ("send", "main", "ENOBUFS"),
    ("recv", "main", "EIO"),
    ("send", "child", "ENOBUFS"),
    ("recv", "child", "EIO"),
    ("poll", "main", "ENOMEM EINTR"),
    ("poll", "child", "ENOMEM"),
    ("dup", "main", "EMFILE"),
    ("dup", "child", "EMFILE"),
    ("wait", "main", "ECHILD"),
    ("wait", "child", "ECHILD"),
    ("kill", "main", "EPERM"),
    ("setpgid", "main", "EPERM EACCES"),
    ("setpgid", "child", "EPERM"),
    ("prctl", "child", "EPERM"),
)
"""Call, in which processes, and what it fails with."""

SIGNALS: Sequence[tuple[str, str]] = (
    ("main", "SIGINT"),
    ("main", "SIGTERM"),
    ("main", "SIGHUP"),
    ("main", "SIGUSR1"),
    ("main", "SIGPIPE"),
    ("main", "SIGKILL"),
    ("child", "SIGKILL"),
    ("child", "SIGSTOP"),
    ("child", "SIGTERM"),
    ("child", "SIGSEGV"),
    ("child", "SIGINT"),
)
"""Who gets it at the Nth of its calls; one that nobody expects (SIGUSR1) ends the lab, as it ends every program."""

LIMIT_S = 75.0
"""`check` ends within 30 s of what it was allowed; a machine that has other work to do takes longer."""

LIMITS: Mapping[str, Sequence[int]] = {
    "RLIMIT_NOFILE": (8, 10, 12, 14, 16, 20, 24, 32, 48),
    "RLIMIT_FSIZE": (200, 4096),
    "RLIMIT_AS": (100 << 20, 150 << 20, 250 << 20),
    "RLIMIT_CORE": (0,),
}
"""Of each command (setrlimit(2)); below these the interpreter itself does not start."""

ODD: Sequence[Mapping[str, str]] = (
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONWARNINGS": "error"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONDEVMODE": "1"},
    {"HOME": "", "USER": ""},
    {"TMPDIR": "/nonexistent"},
    {"COLUMNS": "1", "TERM": "dumb"},
    {"TZ": "nix"},
    {"LAB_PURE": "1"},
)
"""Environments in which a command does the same, or says in one line why it cannot."""

STOPPED = {"SIGINT": (130,), "SIGTERM": (130,), "SIGHUP": (130,), "SIGUSR1": (-10,), "SIGPIPE": (), "SIGKILL": (-9,)}
"""The exit codes that a signal to the main process brings, beside those of a run that was over before."""

KILLED = ("SIGKILL", "SIGUSR1")
"""After these nothing can be cleaned up: files may stay, processes may not."""


def trials(command: str, counted: Mapping[str, Sequence[int]], *, signals: bool = True) -> Iterator[Trial]:
    """Every trial of one command, whose calls have been counted.

    A replay whose worker is stopped or killed has not reproduced, which is 1; and what a call of a lock's user fails
    with under `check` is a finding about the filesystem, which may be 1 as well.
    """
    line = COMMANDS[command]
    finds = (0, 1, 3, 4) if command == "check" else (0, 2, 3, 4)
    for call, who, names in ERRNOS:
        for name in names.split():
            for number in range(1, counted[call][who == "child"] + 1):
                fault = f"{call}:{number}:{who}:{getattr(errno, name)}"
                right = finds if who == "child" else (0, 2, 3, 4)
                yield Trial(f"{command} {call} {name} {who} {number}", line, fault, right, limit_s=LIMIT_S)
    for who, name in SIGNALS if signals else ():
        codes = (0, *STOPPED[name]) if who == "main" else (0, 1, 3, 4) if command == "replay" else (0, 3, 4)
        for number in range(1, counted["any"][who == "child"] + 1):
            fault = f"any:{number}:{who}:s{int(getattr(signal, name))}"
            may_leave = who == "main" and name in KILLED
            named = f"{command} any {name} {who} {number}"
            yield Trial(named, line, fault, codes, limit_s=LIMIT_S, may_leave=may_leave)


def surroundings(command: str) -> Iterator[Trial]:
    """Every limit and odd environment of one command."""
    line = COMMANDS[command]
    for name, values in LIMITS.items():
        for value in values:
            yield Trial(f"{command} limit {name} {value}", line, limits={name: value})
    for env in ODD:
        yield Trial(f"{command} env {' '.join(f'{name}={value}' for name, value in env.items())}", line, env=env)
