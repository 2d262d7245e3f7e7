"""How rare a lie is, and which locks were tried often enough to be advised beside one that lies."""

from __future__ import annotations

from functools import partial

import pytest

from tests.checking.advised import check_advice, given, keeping, lying
from tests.report.checked_records import rule

GRANTED = rule(18, "posix", "unsafe", expected="EAGAIN or EACCES")
FORGETS = rule(
    58,
    "flock",
    "unsafe",
    expected="waits",
    calls=["A: open f = ok", "A: flock f exclusive = granted", "A: fork C = ok", "B: flock f exclusive wait = granted"],
)
"""Let in once a child of the holder was there: what the server forgot then it forgets every time."""

RARE = lying(met=1000, overlaps=2)
"""A lock that lies to 1 in 500: among 1,500 who met a holder that shows with 95 %, among 1,490 with less."""

TOO_FEW = "not tried often enough to tell: a false grant as rare as that of"

LIES: dict[str, tuple[partial[str], list[str], list[str]]] = {
    "a lock lies sometimes": (given(stress=[lying(met=1000, overlaps=5)], posix="unsafe"),
        ["POSIX locks are granted falsely, but only sometimes: to 0.50 % of those who met a holder."],
        ["granted to two at once"]),
    "it lies nearly always": (given(stress=[lying()], posix="unsafe"), [], ["only sometimes"]),
    "it lies to rules and never in a race": (given(rules=[FORGETS], stress=[keeping("flock", 1000)], flock="unsafe"),
        ["Flock is granted to two at once here: do not rely on such a lock."], ["0 %"]),
    "a lie so rare would have shown of one other lock": (given(stress=[RARE, keeping("ofd", 1490),
        keeping("flock", 1500)], posix="unsafe", ofd="safe", flock="safe"),
        ["Use flock: what was tried of it excludes here; POSIX locks may not be.",
         f"Open file description locks were {TOO_FEW} POSIX locks (0.20 %) would not have shown. Give more --seconds."],
        []),
    "it would have shown of none": (given(stress=[RARE, keeping("ofd", 630), keeping("flock", 630)], posix="unsafe",
        ofd="safe", flock="safe"),
        ["Open file description locks and flock were not tried often enough to tell"], ["Use "]),
    "it would not of the only one that is there": (given(stress=[RARE, keeping("flock", 630)], posix="unsafe",
        ofd="unsupported", flock="safe"), ["Not supported, with an error: open file description"], ["use flock"]),
    "of several that lie the rarest lie is the measure": (given(stress=[RARE, lying("ofd", met=100, overlaps=10),
        keeping("flock", 630)], posix="unsafe", ofd="unsafe", flock="safe"),
        ["a false grant as rare as that of POSIX locks and open file description locks (0.20 %)"], []),
    "a lie that only a rule met is rarer than its races would have shown": (given(rules=[GRANTED],
        stress=[keeping("fcntl", 1000), keeping("flock", 630)], posix="unsafe", flock="safe"),
        [f"Flock was {TOO_FEW} POSIX locks (0.30 %)"], []),
    "the other lock was raced more than that": (given(rules=[GRANTED],
        stress=[keeping("fcntl", 1000), keeping("flock", 1010)], posix="unsafe", flock="safe"), ["Use flock"], []),
    "a lie that the program of a rule explains is no measure": (given(rules=[FORGETS],
        stress=[keeping("flock", 1000), keeping("fcntl", 90)], flock="unsafe", posix="safe"),
        ["Use POSIX locks: what was tried of them excludes here; flock may not be."], []),
}  # fmt: skip


@pytest.mark.parametrize("about", LIES)
def test_what_is_advised_where_a_lock_lies(about: str) -> None:
    check_advice(*LIES[about])
