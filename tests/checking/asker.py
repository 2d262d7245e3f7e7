"""What another process does to a file when it is told: ask for locks and answer with the errno, 0 when granted."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tests.checking.fuse.pieces import F_OFD_GETLK, F_OFD_SETLK, FLOCK

SETLK = {"posix": fcntl.F_SETLK, "ofd": F_OFD_SETLK}
GETLK = {"posix": fcntl.F_GETLK, "ofd": F_OFD_GETLK}


class Signalled(Exception):  # noqa: N818 - somebody's wish
    """SIGUSR1 or SIGALRM came."""


_descriptors: dict[str, int] = {}


def _descriptor(path: str | Path) -> int:
    if str(path) not in _descriptors:
        _descriptors[str(path)] = os.open(path, os.O_RDWR)
    return _descriptors[str(path)]


def ask(path: str | Path, how: str, start: int = 0, length: int = 0, *, waits: bool = False) -> int:
    """Ask for a write lock through the one descriptor that this process has of the file; -1 for a signal."""
    return _set(path, how, fcntl.F_WRLCK, start, length, waits=waits)


def give_back(path: str | Path, how: str, start: int = 0, length: int = 0) -> int:
    """Unlock."""
    return _set(path, how, fcntl.F_UNLCK, start, length, waits=False)


def _set(path: str | Path, how: str, kind: int, start: int, length: int, *, waits: bool) -> int:
    descriptor = _descriptor(path)
    try:
        if how == "flock":
            operation = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX
            fcntl.flock(descriptor, operation if waits else operation | fcntl.LOCK_NB)
        else:
            fcntl.fcntl(descriptor, SETLK[how] + waits, FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        return error.errno or -1
    except Signalled:
        return -1
    return 0


def take_turn(path: str | Path, how: str) -> int:
    """Wait for the lock and give it back."""
    return ask(path, how, waits=True) or give_back(path, how)


def grants(path: str | Path, how: str, tries: int) -> int:
    """How many of so many requests for a lock are granted."""
    return sum(ask(path, how) == 0 for _ in range(tries))


def told(path: str | Path, how: str, start: int = 0, length: int = 0) -> tuple[int, int, int] | None:
    """Start, length and process of a lock that stands in the way (F_GETLK)."""
    asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    kind, _, start, length, pid = FLOCK.unpack(fcntl.fcntl(_descriptor(path), GETLK[how], asked))
    return None if kind == fcntl.F_UNLCK else (start, length, pid)


def own(path: str | Path) -> tuple[int, int] | None:
    """Start and length of an OFD lock of the descriptor itself (F_OFD_GETLK with F_UNLCK)."""
    asked = FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, start, length, _ = FLOCK.unpack(fcntl.fcntl(_descriptor(path), F_OFD_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else (start, length)


def close(path: str | Path) -> None:
    """Close the descriptor of the file."""
    os.close(_descriptors.pop(str(path)))


def close_all() -> None:
    """Close the descriptors of all files."""
    for path in list(_descriptors):
        close(path)


def write(path: str | Path, text: str) -> None:
    """Write through the descriptor, and leave it open."""
    os.write(_descriptor(path), text.encode())


def have_a_child_close(path: str | Path) -> None:
    """Fork a child that closes the descriptor it inherited, and wait for its end."""
    child = os.fork()
    if not child:
        os.close(_descriptor(path))
        os._exit(0)
    os.waitpid(child, 0)


def have_a_child_wait(path: str | Path, how: str, number: int, served: str | Path) -> int:
    """Fork a child that waits for the lock on a descriptor of its own, adds its number to a file, and gives it back."""
    child = os.fork()
    if not child:
        _descriptors.clear()
        answer = ask(path, how, waits=True)
        with Path(served).open("a") as numbers:
            numbers.write(f"{number}\n")
        os._exit(answer or give_back(path, how))
    return child


def exits_of(children: list[int]) -> list[int]:
    """Wait for the ends of forked children."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _signalled(_: int, __: FrameType | None) -> None:
    raise Signalled


def notice_signals() -> None:
    """From now on SIGUSR1 ends a wait; without it, it would end the process."""
    signal.signal(signal.SIGUSR1, _signalled)


def answers_to_waits(path: str | Path, how: str, tries: int) -> list[int]:
    """Ask for what somebody else keeps, giving up each wait after a few milliseconds (-1), until an answer comes."""
    signal.signal(signal.SIGALRM, _signalled)
    answers: list[int] = []
    while len(answers) < tries and answers[-1:] in ([], [-1]):
        with suppress(Signalled):  # the alarm may also come just before the request, or when its answer is noted
            signal.setitimer(signal.ITIMER_REAL, 0.003)
            answers.append(ask(path, how, waits=True))
            signal.setitimer(signal.ITIMER_REAL, 0)
    return answers
