"""Decide which guarantee a wrong answer counts for: that of the call that gave it, or none.

    answer                                    of which call             counts for
    EMFILE, ENFILE, ENOMEM, EFBIG             any                       none: a limit of the process or the machine
    a signal that the program did not send    any                       none: another process sent the signal
    SIGBUS, SIGSEGV                           load, store               the mapping
    a refusal (ENOSYS, ENOLCK, EOPNOTSUPP)    a lock call               that lock: not supported
    the same, ENODEV                          another call              that call: the rest cannot be tried
    no answer                                 a lock call               `blocking`: requests are not answered
    still waiting, though the lock is free    a lock call               `blocking`: waiters are not woken
    granted, though another holds it          a lock call               the guarantee of the rule, and the exclusion
    anything else                             a lock call               the guarantee of the rule
    a refusal, EPERM of link                  a call on names           in a rule about names: not supported
    anything else                             read, write, truncate     `pread`
    anything else                             map, load, store          `mapping`
    anything else                             a call on names           a rule about a lock or data cannot be tried
    anything else                             fork, exec, limit         none: it does not use the filesystem

A rule about growth, names, mixed access or whole files is about all calls on files that it makes.

A rule is about one guarantee. Where a call departs that is not about this guarantee, the rule is no evidence for it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from lab.records import CheckVerdict

from .guarantees import EXCLUSION, FILES, GROWTH, NAMES
from .language import GET, NAME_CALLS, SET, Call, Step, errno_name

REFUSALS = frozenset(errno_name(code) for code in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP))
"""The errors of filesystems that do not have the lock (fcntl(2), flock(2)), or another call."""

LIMITS = frozenset({"EFBIG", "EMFILE", "ENFILE", "ENOMEM"})
"""The errors that limits of the process or of the machine cause."""

OF_THE_SYSTEM = frozenset({"fork", "clone", "exec", "limit"})
"""Calls that do not use the filesystem: where they fail, a rule could not be tried."""

WAITING = frozenset({"waits", "returns", "interrupted"})
"""Observations of, and actions on, an actor whose lock call waits."""

DATA_CALLS = {
    "read": "pread", "write": "pread", "truncate": "pread", "map": "mapping", "load": "mapping", "store": "mapping",
    "msync": "mapping", "unmap": "mapping",
    "append": "append", "size": "size", "sync": "whole_file",
}  # fmt: skip
"""The guarantee that a call for data is about."""

ABOUT_ALL_CALLS = frozenset({*GROWTH, *NAMES, "mixed", "whole_file"})
"""A rule for one of these guarantees is about each call on a file that it makes, whatever the call."""

UNSUPPORTED_LINK = "EPERM"
"""The error of a filesystem without hard links (link(2))."""

ADMITTED = frozenset({"granted", "free"})
"""The results of a lock call that meets no other lock."""

OF_A_MAPPING = frozenset({"SIGBUS", "SIGSEGV"})

UNANSWERED = "no answer"
"""The start of the description of a call that does not return."""

INCONCLUSIVE = "inconclusive: "
"""The start of a description where only the lab or the machine is at fault."""

CUT_SHORT = "cut short: "
"""The start of a description where a call is not supported that the rule needs but is not about."""

WAKING = "blocking"
"""The guarantee that requests are answered and waiters woken."""


@dataclass(frozen=True, slots=True)
class Blame:
    """The guarantee that a departure counts for, the verdict on it, and its description."""

    guarantee: str
    verdict: CheckVerdict
    observed: str


def family_of(call: Call) -> str:
    """Return the lock that the call asks for or about, by its guarantee; empty for any other call."""
    verb = call.made.verb
    if verb == "flock":
        return "flock"
    if verb in SET or verb in GET or verb == "held":
        return "ofd" if "OFD" in verb else "posix"
    return ""


def is_refusal(call: Call, observed: str) -> bool:
    """Tell whether the answer means that the mount, or the kernel, does not have such a call at all."""
    verb = call.made.verb
    if verb == "map":
        return observed == "ENODEV"
    if family_of(call):
        return observed in REFUSALS or ("OFD" in verb and observed == "EINVAL")
    return False


def _lacks_name_call(call: Call, observed: str) -> bool:
    return call.verb in NAME_CALLS and (observed in REFUSALS or (call.verb == "link" and observed == UNSUPPORTED_LINK))


def excuse(call: Call, observed: str) -> str:
    """Return the reason why the answer is no fault of the filesystem; empty where it may be one."""
    if observed in LIMITS:
        return f"{observed} is a limit of the process or the machine"
    if observed.startswith("SIG") and not (observed in OF_A_MAPPING and DATA_CALLS.get(call.verb) == "mapping"):
        return f"{observed} ended the process from outside, maybe for want of memory"
    if observed.startswith(("raised ", "ended with ")):
        return f"the process {observed}"
    return ""


@dataclass(frozen=True, slots=True)
class Before:
    """The events before a step: the locks, by their guarantees, that were granted, and whether any process ended."""

    held: frozenset[str] = frozenset()
    ended: bool = False


def blame(guarantee: str, step: Step, asked: Call, observed: str, before: Before, *, free: bool = False) -> Blame:
    """Return the blame for a departure at this step of a rule for this guarantee.

    `asked` is the call that the step is about: itself, or the one that waits. `free` means that another process got at
    once the lock that the waiter was not given.
    """
    call = step.call
    if because := excuse(call, observed):
        return Blame(guarantee, "unknown", f"{INCONCLUSIVE}{call}: {because}")
    if guarantee in ABOUT_ALL_CALLS and family_of(asked) and is_refusal(asked, observed):
        return Blame(guarantee, "unknown", f"{CUT_SHORT}{call} is not supported here ({observed})")
    if f"({observed})" in step.expected or is_refusal(asked, observed):
        return Blame(guarantee, "unsupported", observed)
    if call.verb in OF_THE_SYSTEM:
        return Blame(guarantee, "unknown", f"{INCONCLUSIVE}{call} came to {observed}")
    if call.verb in DATA_CALLS or call.verb in NAME_CALLS:
        return _of_data(guarantee, call, observed)
    if free or (family_of(asked) and observed.startswith(UNANSWERED)):
        return Blame(WAKING, "unsafe", observed)
    return Blame(_of_lock(guarantee, family_of(asked), observed, before), "unsafe", observed)


def _of_data(guarantee: str, call: Call, observed: str) -> Blame:
    """Blame the guarantee of a call for data or a name; a rule about something else is cut short and shows nothing."""
    whose = DATA_CALLS.get(call.verb, "")
    if guarantee in NAMES and _lacks_name_call(call, observed):
        return Blame(guarantee, "unsupported", observed)
    if guarantee == whose or guarantee in ABOUT_ALL_CALLS:
        return Blame(guarantee, "unsafe", observed)
    if observed in REFUSALS or observed == "ENODEV":
        return Blame(guarantee, "unknown", f"{CUT_SHORT}{call} is not supported here ({observed})")
    if not whose:
        return Blame(guarantee, "unknown", f"{INCONCLUSIVE}{call} came to {observed}, and asks for no lock")
    return Blame(whose, "unsafe", observed)


def _of_lock(guarantee: str, family: str, observed: str, before: Before) -> str:
    """Return the guarantee that a lock call counts for: its own lock in a rule about data or about another lock."""
    if guarantee in FILES:
        return "death" if before.ended and observed not in ADMITTED else family or guarantee
    return family if guarantee in EXCLUSION and family in before.held else guarantee
