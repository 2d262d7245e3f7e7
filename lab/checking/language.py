"""Read the language of rules, of random programs and of differences: one call per line, or several with ; between them.

    A: open f                              the file f, made where it is missing, under the descriptor f
    A: open f as g r cloexec               modes r, w, rw (the default); cloexec as in open(2)
    A: open f excl                         with O_EXCL; `existing`: without O_CREAT; `append`: with O_APPEND
    A: dup f as g                          A: close g
    A: F_SETLK f write 10 20               type read, write or unlock; start and length in bytes; F_SETLKW may wait
    A: F_SETLK f write -1 2 end pid=5      counted from the end of the file (cur: the position, N: a bad whence); l_pid
    B: F_GETLK f read 15 1                 = write 10 20 by A, or = free; length 0 runs to infinity
    A: F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK        the same for open file description locks; held by "description",
                                           and by "somebody" where another mount does not report the holder
    B: held f 9 10 29                      = free write write: each of these bytes, asked for with F_SETLK: a byte is
                                           free if B gets a write lock, read-locked if B gets only a read lock
    A: F_UNKNOWN f write 0 1               a command that does not exist
    A: flock f exclusive                   shared, exclusive, unlock, or a number; with `wait` it is not LOCK_NB
    A: thread F_SETLK f write 0 1          the call made by a second thread
    A: last F_SETLKW f write 0 1           the call after which A exits, as soon as it is granted
    A: write f 0 text                      pwrite(2); A: read f 0 4 = text, a zero byte as a dot, beyond the end nothing
    A: append f text                       write(2); A: sync f, fsync(2); A: size f = 4, the size by fstat(2)
    A: seek f 10                           A: truncate f 100                 A: unlink f
    A: mkdir d                             A: rmdir d
    A: link f g                            g is a further name of f; A: links f = 2, the number of names by fstat(2)
    A: rename f g                          A: names = f g, the names of this program in its folder (readdir(3))
    A: map f 100                           mmap(2), MAP_SHARED; then A: store f 0 text, A: load f 0 4 = text
    A: map f 100 private                   MAP_PRIVATE
    A: msync f                             msync(2); A: unmap f, munmap(2)
    A: listed f = 3                        locks on the file in /proc/locks
    A: limit files 3                       setrlimit(2) on descriptors beyond those open; limit size 100 on file sizes
    A: fork C                              C has A's descriptors; clone C shares them (CLONE_FILES)
    A: exec                                execve(2); A continues in a new image with the remaining descriptors
    A: exit                                A: killed (SIGKILL)   A: stopped   A: continued   (SIGSTOP, SIGCONT)
    B: waits                               B's call, begun on an earlier line, still waits
    B: returns = granted                   B's call ends, with this result
    B: interrupted = EINTR                 a signal reaches B, which waits, and its handler runs without SA_RESTART

The result of a call follows `=`: ok, granted, waits, free, an errno, the signal that killed the actor; several results
that are all right are separated by `|`. One in brackets, as in `= EDEADLK | (waits)`, is what a mount may do that does
not support the request: that is reported as not supported, not as broken. Without `=` the call has to succeed.

Actors are processes of their own, on the mounts by turns: the first actor of a program on the first mount, the
second on the second.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import NamedTuple

MAX = (1 << 63) - 1
"""`max`: the last byte of off_t."""

TYPES = {"read": 0, "write": 1, "unlock": 2}
"""The types of locks, numbered as in `lab.model.files`."""

FLOCKS = {"shared": 0, "exclusive": 1, "unlock": 2}
WHENCE = {"set": 0, "cur": 1, "end": 2}

SET = frozenset({"F_SETLK", "F_SETLKW", "F_OFD_SETLK", "F_OFD_SETLKW", "F_UNKNOWN"})
GET = frozenset({"F_GETLK", "F_OFD_GETLK"})
REQUESTS = {
    "posix": ("F_SETLK f write 0 10", "F_SETLKW f write 0 10", "F_SETLK f unlock 0 10"),
    "ofd": ("F_OFD_SETLK f write 0 10", "F_OFD_SETLKW f write 0 10", "F_OFD_SETLK f unlock 0 10"),
    "flock": ("flock f exclusive", "flock f exclusive wait", "flock f unlock"),
}
"""For each kind of lock: the call that acquires it or is refused, the one that waits for it, the one that releases."""

DIRECTED = frozenset({"killed", "stopped", "continued", "interrupted", "waits", "returns"})
"""Actions on an actor, or observations of it; an actor makes all other calls itself."""

NAME_CALLS = frozenset({"open", "unlink", "mkdir", "rmdir", "link", "links", "rename", "names"})
"""Calls that make, find or remove a name, or count names."""

OPEN_MODES = frozenset({"excl", "existing", "append"})
"""The words of `open` for O_EXCL, for no O_CREAT and for O_APPEND."""

SUCCESS = ("ok", "granted")
STILL = ("waits",)
"""The result of the verb `waits` where it has to succeed."""
NAMES = {errno.EDEADLK: "EDEADLK", errno.EOPNOTSUPP: "EOPNOTSUPP"}
"""The names of these two errors; errno.errorcode has the other name of each."""


class Call(NamedTuple):
    """One line without its result."""

    actor: str
    verb: str
    args: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.actor}: {' '.join((self.verb, *self.args))}"

    @property
    def made(self) -> Call:
        """Return the call itself, without the way in which it is made: `thread` or `last`."""
        return Call(self.actor, self.args[0], self.args[1:]) if self.verb in ("thread", "last") else self

    @property
    def may_wait(self) -> bool:
        """Tell whether the kernel may let the call wait; a second thread makes no such call."""
        verb, args = ("thread", ()) if self.verb == "thread" else self.made[1:]
        return verb in ("F_SETLKW", "F_OFD_SETLKW") or (verb == "flock" and args[-1] == "wait")


class Step(NamedTuple):
    """A call, and the results that are allowed."""

    call: Call
    expected: tuple[str, ...] = SUCCESS

    def __str__(self) -> str:
        return f"{self.call} = {' | '.join(self.expected)}" if self.expected != SUCCESS else str(self.call)

    @property
    def wanted(self) -> str:
        """Return the expectation in words."""
        return " or ".join(word for word in self.expected if word[0] != "(") if self.expected != SUCCESS else "success"


class Range(NamedTuple):
    """The arguments of a byte-range call after the descriptor: numbers as in struct flock, except for its type."""

    kind: int
    start: int
    length: int
    whence: int = 0
    pid: int = 0


def parse(text: str) -> tuple[Step, ...]:
    """Return the steps of a program; empty lines and comments after # are skipped. Raise ValueError for other lines."""
    calls = (call.strip() for line in text.splitlines() for call in line.partition("#")[0].split(";"))
    return tuple(_step(call) for call in calls if call)


def _step(line: str) -> Step:
    actor, colon, rest = line.partition(": ")
    asked, equals, expected = rest.partition(" = ")
    words = asked.split()
    if not colon or not words or not actor.isidentifier():
        raise ValueError(f"{line!r} is no call; write ACTOR: CALL = WHAT IT COMES TO")
    call = Call(actor, words[0], tuple(words[1:]))
    if equals:
        return Step(call, tuple(each.strip() for each in expected.split("|")))
    return Step(call, STILL) if call.verb == "waits" else Step(call)


def range_of(args: tuple[str, ...]) -> Range:
    """Return the range after the descriptor: type, start, length, then whence and pid in any order."""
    kind, start, length, *rest = args
    whence = pid = 0
    for word in rest:
        if word.startswith("pid="):
            pid = int(word[4:])
        else:
            whence = WHENCE[word] if word in WHENCE else int(word)
    return Range(TYPES[kind] if kind in TYPES else int(kind), number(start), number(length), whence, pid)


def number(word: str) -> int:
    """Return a number of bytes: digits, `max`, or `max-N`."""
    return MAX - int(word[4:] or 0) if word.startswith("max") else int(word)


def told(kind: str, start: int, length: int, who: str) -> str:
    """Return the report of F_GETLK in words."""
    return f"{kind} {start} {length} by {who}"


def errno_name(code: int) -> str:
    """Return the name of an error: EAGAIN and not 11."""
    return NAMES.get(code) or errno.errorcode.get(code, f"errno {code}")


def is_found(result: str) -> bool:
    """Tell whether a look at data found bytes, a size or names: no error, no signal, and not the end of the process."""
    return not re.match(r"E[A-Z]+$|SIG[A-Z]+$|no answer|raised |ended |errno ", result)


def listed_names(names: Iterable[str]) -> str:
    """Return names of files as one result, in order."""
    return " ".join(sorted(names)) or "nothing"


def shown(content: bytes) -> str:
    """Return bytes of a file as one word."""
    return content.decode("ascii", "replace").replace("\0", ".") or "nothing"
