"""What can go wrong, as types: one base, one exit code each.

The text of every error is one line: the thing, the cause and the next step.
"""

from __future__ import annotations


class LabError(Exception):
    """Base of all errors that a user can meet; `exit_code` is what the command ends with."""

    exit_code = 1


class UsageError(LabError):
    """The request makes no sense: an unknown name, a number out of range, a broken scenario file."""

    exit_code = 2


class CannotRunError(LabError):
    """The environment cannot: an unsupported lock or mapping, a read-only directory, no space."""

    exit_code = 3


class ScenarioError(LabError):
    """A worker's scenario asked for what the file does not have."""

    exit_code = 4


def printable(text: str) -> str:
    """The text with control bytes, marks of direction and half characters escaped: nothing in it acts on a terminal."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def unknown(what: str, name: str, known: list[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {what} {name!r}; {meant}")
