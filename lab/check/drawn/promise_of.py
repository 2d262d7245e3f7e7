"""Which promise a difference between a random program and the model speaks against."""

from __future__ import annotations

from ..language import GET, SUCCESS, Call
from .twins import Differs

WRONG = frozenset({"EBADF", "EINVAL", "EOVERFLOW"})
STALE = "stale"
"""Something is in the way that is held no more; what left it there shows when the program is as short as it gets."""


def promise_of(difference: Differs) -> str:
    """The promise, by its name in `lab.check.promises`."""
    found = roughly(difference)
    if found != STALE:
        return found
    verbs = {line.split()[1] for line in difference.calls}
    if verbs & {"killed", "exit"}:
        return "death"
    if "close" in verbs:
        return "ownership"
    return "flock" if difference.asked.verb == "flock" else "ranges"


def roughly(difference: Differs) -> str:
    """The promise as far as the last call alone tells, or `STALE`: it stays the same while a program is shrunk."""
    call, answers = difference.call, {difference.expected, difference.observed}
    if difference.unanswered:
        return "blocking"
    if "EDEADLK" in answers:
        return "deadlock"
    if answers & WRONG:
        return "modes"
    if call.verb in ("killed", "exit"):
        return "death"
    if call.verb in ("returns", "interrupted"):
        return "blocking"
    if call.verb in GET:
        return _of_report(difference)
    if family(difference.asked):
        return family(difference.asked) if difference.observed in SUCCESS else STALE
    return "ownership"


def family(call: Call) -> str:
    """The kind of lock that the call is about, empty for any other call."""
    if call.verb == "flock":
        return "flock"
    if "OFD" in call.verb:
        return "ofd"
    return "posix" if call.verb.startswith("F_") else ""


def _of_report(difference: Differs) -> str:
    if difference.observed == "free":
        return family(difference.call)
    return STALE if difference.expected == "free" else "ranges"
