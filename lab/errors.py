"""Define the errors that a user can meet, and the exit codes that commands end with.

The text of every error is one line: what failed, why, and what to do.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Mapping
from enum import IntEnum
from errno import EMFILE, ENFILE


class ExitCode(IntEnum):
    """An exit code; the members are in the order of precedence: where several apply, the first of them counts."""

    meaning: str

    INTERRUPTED = 130, "interrupted"
    UNREAD = 141, "the output was not read to its end"
    FAULT = 70, "a fault of the lab itself"
    DAMAGE = 1, "not as expected: corruption, unsafe, not reproduced, slower; a command's own help says what"
    FAILED = 4, "a worker died or hung"
    USAGE = 2, "wrong usage"
    UNABLE = 3, "not possible here (unsupported lock, read-only directory, no space), or inconclusive"
    AS_EXPECTED = 0, "as expected"

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Make a member from a number and its meaning."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    @classmethod
    def first(cls, *codes: int) -> ExitCode:
        """Return the one of these codes that takes precedence; AS_EXPECTED where there are none."""
        return next((code for code in cls if code in codes), cls.AS_EXPECTED)

    @classmethod
    def explained(cls, own: Mapping[ExitCode, str] | None = None) -> str:
        """Return a line about each code, in the order of the numbers; `own` meanings replace the general ones.

        A code with an empty meaning has no line.
        """
        meanings = {code: (own or {}).get(code, code.meaning) for code in sorted(cls)}
        return "\n".join(f"  {code:<4}{meaning}" for code, meaning in meanings.items() if meaning)


class LabError(Exception):
    """The base of all errors that a user can meet; `exit_code` is the code that the command ends with."""

    exit_code = ExitCode.DAMAGE


class UsageError(LabError):
    """The request makes no sense: an unknown name, a number out of range, a broken scenario file."""

    exit_code = ExitCode.USAGE


class CannotRunError(LabError):
    """The environment does not allow it: an unsupported lock or mapping, a read-only directory, no space."""

    exit_code = ExitCode.UNABLE


class ScenarioError(LabError):
    """A worker's scenario asked for bytes or fields that the file does not have, or a scenario or a check failed.

    `trace` is the last of the output of a check that is a command.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, *words: object, trace: str = "") -> None:
        super().__init__(*words)
        self.trace = trace


def printable(text: str, keep: str = "") -> str:
    """Escape control bytes, marks of direction and half characters in the text: nothing in it acts on a terminal.

    The characters in `keep`, line ends as a rule, stay. All that the lab prints goes through this function.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else repr(each)[1:-1] for each in text)


def error_line(error: BaseException) -> str:
    """Return the type of an error, and its text where it has one: a text of several lines becomes one."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unknown(what: str, name: str, known: list[str]) -> UsageError:
    """Return the error for a name that does not exist, with the nearest one that does."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {what} {name!r}; {meant}")


LAB = f"{os.path.dirname(__file__)}/"  # noqa: PTH120 - pathlib is not imported for a constant
GALLERY = f"{LAB}scenarios/"
"""The folder of the built-in scenarios in an installation; errors in them are reported like those in others."""

STANDARD, PACKAGES = f"{os.path.dirname(os.__file__)}/", "/site-packages/"  # noqa: PTH120
"""The beginning of the paths of the standard library, and a part of the paths of other packages."""

LOCK_CALLS = ("F_SETLK", "F_OFD_SETLK", "flock")
"""The names that the compiled lock calls put in the place of a file."""


def is_theirs(filename: str) -> bool:
    """Return True for a file that is not the lab's own code."""
    return not filename.startswith(LAB) or filename.startswith(GALLERY)


def refusal(error: BaseException) -> str:
    """Say what the system refused to the lab's own code; empty where the error is one of the user's own code.

    The standard library acts for its caller. What the compiled lock calls raise has no frame of the lab: it is
    recognised by its name. A deadlock belongs to the scenario.
    """
    if not isinstance(error, OSError) or not error.errno or error.errno == errno.EDEADLK:
        return ""
    why = f"{error.strerror} ({errno.errorcode.get(error.errno, error.errno)})"
    if error.filename in LOCK_CALLS:
        return f"{error.filename} refused: {why}"
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    frames = [name for name in frames if not name.startswith(("<frozen", STANDARD)) or PACKAGES in name]
    if not frames or is_theirs(frames[-1]):
        return ""
    what = f"{error.filename}: {why}" if error.filename else why
    return f"a system call was refused: {what}"


def checked(returned: int, name: str | None = None) -> None:
    """Raise OSError for a negative result of a C function, from the errno that ctypes has kept; `name` is its name."""
    if returned < 0:
        from ctypes import get_errno  # --help need not wait for it

        code = get_errno()
        raise OSError(code, os.strerror(code), *([name] if name else []))


def out_of_descriptors(error: OSError) -> CannotRunError | None:
    """Return the error to raise instead of this one, where process or system has no descriptor left; else None."""
    if error.errno not in (EMFILE, ENFILE):
        return None
    return CannotRunError(f"{error.strerror}: no descriptor is left; raise the limit (ulimit -n)")
