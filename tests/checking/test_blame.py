"""Whom each kind of answer of each kind of call blames."""

from __future__ import annotations

import pytest

from lab.checking.blame import CUT_SHORT, INCONCLUSIVE, Before, blame
from lab.checking.language import parse

LOCKED = Before(frozenset({"posix"}))

TABLE = [
    # the rule's guarantee, the call, what was observed, what went before: guarantee, verdict
    ("posix", "B: F_SETLK f write 0 1 = EAGAIN", "granted", LOCKED, "posix", "unsafe"),
    ("posix", "B: F_SETLK f write 0 1 = EAGAIN", "EIO", LOCKED, "posix", "unsafe"),
    ("flock", "B: F_SETLK f write 0 1 = EAGAIN", "granted", LOCKED, "posix", "unsafe"),
    ("ofd", "B: F_SETLK f write 0 1 = EAGAIN", "granted", Before(frozenset({"ofd"})), "ofd", "unsafe"),
    ("ownership", "B: F_SETLK f write 0 1 = EAGAIN", "granted", LOCKED, "ownership", "unsafe"),
    ("mapping", "B: F_SETLK f write 0 1 = EAGAIN", "granted", LOCKED, "posix", "unsafe"),
    ("mapping", "B: F_SETLK f write 0 1", "EAGAIN", Before(LOCKED.held, ended=True), "death", "unsafe"),
    ("entries", "B: F_SETLK f write 0 1 = EAGAIN", "granted", LOCKED, "posix", "unsafe"),
    ("posix", "A: F_SETLK f write 0 1", "ENOLCK", LOCKED, "posix", "unsupported"),
    ("ofd", "A: F_OFD_SETLK f write 0 1", "EINVAL", LOCKED, "ofd", "unsupported"),
    ("deadlock", "A: F_SETLKW f write 0 1 = EDEADLK | (waits)", "waits", LOCKED, "deadlock", "unsupported"),
    ("ranges", "A: F_SETLK f write 0 1", "no answer in 2 s", Before(), "blocking", "unsafe"),
    ("posix", "B: read f 0 4 = text", "nothing", LOCKED, "pread", "unsafe"),
    ("ownership", "B: write f 0 text", "EIO", LOCKED, "pread", "unsafe"),
    ("posix", "A: truncate f 10", "EIO", LOCKED, "pread", "unsafe"),
    ("posix", "A: truncate f 10", "ENOSYS", LOCKED, "posix", CUT_SHORT),
    ("mapping", "A: load f 0 4 = text", "nothing", LOCKED, "mapping", "unsafe"),
    ("mapping", "A: store f 0 text", "SIGBUS", LOCKED, "mapping", "unsafe"),
    ("mapping", "A: map f 8192", "ENODEV", LOCKED, "mapping", "unsupported"),
    ("mapping", "A: truncate f 8192", "EIO", LOCKED, "pread", "unsafe"),
    ("entries", "B: read h 0 3 = new", "old", LOCKED, "entries", "unsafe"),
    ("entries", "B: open f as h", "ESTALE", LOCKED, "entries", "unsafe"),
    ("rename", "A: rename g f", "EIO", LOCKED, "rename", "unsafe"),
    ("rename", "A: rename g f", "ENOSYS", LOCKED, "rename", "unsupported"),
    ("link", "A: link f l", "EPERM", LOCKED, "link", "unsupported"),
    ("o_excl", "B: open f excl = EEXIST", "EPERM", LOCKED, "o_excl", "unsafe"),
    ("size", "B: size f = 4", "0", LOCKED, "size", "unsafe"),
    ("size", "B: truncate f 2", "EIO", LOCKED, "size", "unsafe"),
    ("append", "B: read f 0 9 = onetwosix", "one", LOCKED, "append", "unsafe"),
    ("mixed", "A: map f 4096", "ENODEV", LOCKED, "mixed", "unsupported"),
    ("mixed", "B: read g 0 4 = text", "....", LOCKED, "mixed", "unsafe"),
    ("whole_file", "A: F_SETLK l write 0 10", "ENOLCK", LOCKED, "whole_file", CUT_SHORT),
    ("ownership", "A: unlink f", "ENOSYS", LOCKED, "ownership", CUT_SHORT),
    ("ownership", "A: unlink f", "ESTALE", LOCKED, "ownership", INCONCLUSIVE),
    ("posix", "A: open f", "ENOENT", LOCKED, "posix", INCONCLUSIVE),
    ("posix", "A: open f", "EMFILE", LOCKED, "posix", INCONCLUSIVE),
    ("posix", "A: F_SETLK f write 0 1", "ENOMEM", LOCKED, "posix", INCONCLUSIVE),
    ("posix", "A: F_SETLK f write 0 1", "SIGKILL", LOCKED, "posix", INCONCLUSIVE),
    ("mapping", "A: load f 0 4 = text", "SIGKILL", LOCKED, "mapping", INCONCLUSIVE),
    ("posix", "A: F_SETLK f write 0 1", "SIGSEGV", LOCKED, "posix", INCONCLUSIVE),
    ("posix", "A: read f 0 4 = text", "raised MemoryError: ", LOCKED, "posix", INCONCLUSIVE),
    ("posix", "A: F_SETLK f write 0 1", "ended with 1", LOCKED, "posix", INCONCLUSIVE),
    ("ownership", "A: fork C", "EAGAIN", LOCKED, "ownership", INCONCLUSIVE),
    ("death", "A: killed", "no end in 2 s", LOCKED, "death", "unsafe"),
]  # fmt: skip


@pytest.mark.parametrize(("guarantee", "line", "observed", "before", "whose", "verdict"), TABLE)
def test_an_answer_belongs_to_the_call_that_gave_it(
    guarantee: str, line: str, observed: str, before: Before, whose: str, verdict: str
) -> None:
    [step] = parse(line)
    found = blame(guarantee, step, step.call, observed, before)
    known = verdict not in (CUT_SHORT, INCONCLUSIVE)
    assert (found.guarantee, found.verdict) == (whose, verdict if known else "unknown")
    assert found.observed == observed if known else found.observed.startswith(verdict) and observed in found.observed


def test_a_waiter_is_judged_by_the_call_that_waits() -> None:
    [asked, step] = parse("B: flock f shared wait = waits; B: returns")
    assert blame("death", step, asked.call, "ENOLCK", LOCKED).verdict == "unsupported"
    assert blame("death", step, asked.call, "waits", LOCKED, free=True).guarantee == "blocking"
    assert blame("death", step, asked.call, "waits", LOCKED).guarantee == "death"
