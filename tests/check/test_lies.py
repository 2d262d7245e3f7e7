"""How rare a lie is, and which locks were tried often enough to be advised beside one that lies."""

from __future__ import annotations

from tests.check.advised import keeping, lying, said
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


def test_a_lock_that_lies_sometimes_is_told_with_how_often() -> None:
    told = said(stress=[lying(met=1000, overlaps=5)], posix="unsafe")
    assert "POSIX locks are granted falsely, but only sometimes: to 0.50 % of those who met a holder." in told
    assert "granted to two at once" not in told
    assert "only sometimes" not in said(stress=[lying()], posix="unsafe")


def test_a_lock_that_lies_to_rules_and_never_in_a_race_is_not_said_to_lie_sometimes() -> None:
    told = said(rules=[FORGETS], stress=[keeping("flock", 1000)], flock="unsafe")
    assert "Flock is granted to two at once here: do not rely on such a lock." in told
    assert "0 %" not in told


RARE = lying(met=1000, overlaps=2)
"""A lock that lies to 1 in 500: among 1,500 who met a holder that shows with 95 %, among 1,490 with less."""


def test_a_lock_is_advised_only_where_a_lie_as_rare_as_the_one_that_was_seen_would_have_shown() -> None:
    told = said(stress=[RARE, keeping("ofd", 1490), keeping("flock", 1500)], posix="unsafe", ofd="safe", flock="safe")
    assert "Use flock: what was tried of it excludes here; POSIX locks may not be." in told
    assert (
        "Open file description locks were not tried often enough to tell: a false grant as rare as that of POSIX locks "
        "(0.20 %) would not have shown. Give more --seconds."
    ) in told


def test_where_none_was_tried_often_enough_none_is_advised() -> None:
    told = said(stress=[RARE, keeping("ofd", 630), keeping("flock", 630)], posix="unsafe", ofd="safe", flock="safe")
    assert "Open file description locks and flock were not tried often enough to tell" in told
    assert "Use " not in told
    alone = said(stress=[RARE, keeping("flock", 630)], posix="unsafe", ofd="unsupported", flock="safe")
    assert "Refused, loudly: open file description locks." in alone
    assert "use flock" not in alone


def test_of_several_that_lie_the_rarest_lie_is_the_measure() -> None:
    rows = [RARE, lying("ofd", met=100, overlaps=10), keeping("flock", 630)]
    told = said(stress=rows, posix="unsafe", ofd="unsafe", flock="safe")
    assert "a false grant as rare as that of POSIX locks and open file description locks (0.20 %)" in told


def test_a_lie_that_only_a_rule_met_by_chance_is_rarer_than_the_races_of_that_lock_would_have_shown() -> None:
    rows = [keeping("fcntl", 1000), keeping("flock", 630)]
    told = said(rules=[GRANTED], stress=rows, posix="unsafe", flock="safe")
    assert "Flock was not tried often enough to tell: a false grant as rare as that of POSIX locks (0.30 %)" in told
    often = said(rules=[GRANTED], stress=[keeping("fcntl", 1000), keeping("flock", 1010)], posix="unsafe", flock="safe")
    assert "Use flock" in often


def test_a_lie_that_the_program_of_a_rule_explains_is_no_measure() -> None:
    told = said(rules=[FORGETS], stress=[keeping("flock", 1000), keeping("fcntl", 90)], flock="unsafe", posix="safe")
    assert "Use POSIX locks: what was tried of them excludes here; flock may not be." in told
