from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from lab.checking.guarantees import GUARANTEES
from lab.checking.rules import RULES
from lab.records import Check, CheckVerdict, Host, Stuck
from lab.report.format import Style, Table
from lab.report.text.check import (
    LINES,
    STRESS,
    WRITTEN,
    conclusion,
    exit_code,
    failed_rules,
    full_text_of,
    guarantee_lines,
    heading,
    left_behind,
    races,
    random_differences,
    stressed,
    text_of,
    unguaranteed,
    verdict,
)
from lab.report.text.check_causes import WIDTH, brief_complaints, complaints
from tests.report.checked_records import CALLS, STUCK, case, check_of, difference, guarantee, programs, race, rule

SAFE = check_of(guarantee("posix"), guarantee("mapping", strength="0 of 1,000 rounds damaged"))
LONG = "posix was broken in so many words that they do not fit on one line of a hundred columns, " * 3


def test_a_heading_tells_directories_with_filesystems_kernel_and_how_and_an_interruption() -> None:
    told = heading(check_of(guarantee("posix"), kinds=("nfs4", "nfs4"), only=["posix"]))
    assert told == "/mnt/0 (nfs4), /mnt/1 (nfs4), Linux 6.18; 4 workers, seed 0, 1.5 s; only posix"
    assert "INTERRUPTED: the rest is missing" in heading(replace(SAFE, interrupted=True)).replace("\n", " ")
    assert "INTERRUPTED" not in heading(SAFE)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [("safe", "safe"), ("unsafe", "UNSAFE"), ("unsupported", "unsupported"), ("unknown", "unknown")],
)
def test_each_guarantee_is_a_line_of_title_verdict_in_capitals_where_it_is_bad_and_strength(
    verdict: Any, word: str
) -> None:
    strong = "17 rules, 12 broken; 100 programs; 3 of 1,000 damaged under ofd, 50 contended; fairness 0.99"
    run = check_of(guarantee("posix", verdict), guarantee("mapping", strength=strong))
    lines = list(guarantee_lines(run))
    assert [line.split("  ")[0] for line in lines] == [each.title[:40].strip() for each in run.guarantees]
    assert [line[33:].split("  ")[0].strip() for line in lines] == [word, "safe"]
    assert [line[46:] for line in lines] == ["3 rules", "17 rules, 12 broken"]
    assert strong in " ".join(line[46:] for line in "\n".join(guarantee_lines(run, full=True)).splitlines())


def test_what_speaks_against_a_guarantee_stands_below_it_in_the_full_report() -> None:
    run = check_of(guarantee("posix", "unsafe", *"abcdefg"))
    assert list(guarantee_lines(run, full=True))[1:] == [f"    - {each}" for each in "abcdefg"]


BROKEN = check_of(
    guarantee("posix", "unsafe", LONG, strength=LONG),
    guarantee("entries", "unknown", LONG),
    kinds=("fuse.bindfs", "fuse.bindfs"),
    advice=[LONG, "Use flock."],
    rules=[
        rule(18, "posix", "unsafe", sentence=LONG, source=LONG, observed=LONG),
        rule(47, "posix", "unsafe", guaranteed=False, reason=LONG),
    ],
    random=programs(difference("posix")),
    stress=[race("posix", raced=case(met=2_345_678, overlaps=123_456, lost=500), polled=True)],
    stuck=[STUCK],
    not_asked=["flock (--only)"],
)


@pytest.mark.parametrize("before", range(60, 80))
def test_a_figure_and_its_percent_sign_stay_together(before: int) -> None:
    told = text_of(check_of(guarantee("posix"), advice=[f"{'x' * before} 50.0 % of updates lost"]))
    assert "50.0 %" in told


def test_a_report_begins_and_ends_with_the_verdict_and_has_advice_guarantees_and_causes_between() -> None:
    told = text_of(BROKEN)
    marks = [
        "/mnt/0", "UNSAFE for posix; inconclusive for entries.", "* posix was broken", "* Use flock.",
        "POSIX locks exclude", "- POSIX locks: granted to two at once (posix)", "(--verbose shows",
        "LEFT BEHIND: process",
    ]  # fmt: skip
    assert sorted(marks, key=told.index) == marks
    assert told.splitlines()[-1] == "UNSAFE for posix; inconclusive for entries. Not asked: flock (--only)."
    assert "\n\n\n" not in text_of(SAFE)
    assert text_of(SAFE).count("\n\n") == 3, "no empty sections"


def test_the_full_report_has_all_advice_evidence_rules_programs_and_races() -> None:
    told = full_text_of(BROKEN)
    marks = [
        "UNSAFE for posix", "* posix was broken", "* Use flock.", "    - posix was broken", "rules that do not hold:",
        "random programs that differ", "guarantee  ", "other than on Linux", "LEFT BEHIND: process",
    ]  # fmt: skip
    assert sorted(marks, key=told.index) == marks


def test_of_many_guarantees_the_first_verdict_names_those_that_are_unsafe_and_the_last_all() -> None:
    names = list(GUARANTEES)
    run = check_of(*map(guarantee, names[:8]), *[guarantee(name, "unsafe") for name in names[8:10]])
    assert verdict(run) == f"UNSAFE for {names[8]}, {names[9]}; safe for 8 others."
    assert all(name in conclusion(run) for name in names[:10])


def test_a_cause_that_many_rules_share_is_shown_once_with_the_calls_of_one_of_them() -> None:
    shared = [rule(number, name, "unsafe") for number, name in enumerate(["posix"] * 15 + ["ranges"], start=1)]
    calls = [*CALLS[:2], "B: F_SETLKW f write 0 1 = waits", "A: F_SETLK f unlock 0 10 = granted", "B: returns = waits"]
    alone = rule(40, "blocking", "unsafe", expected="success", observed="waits", calls=calls)
    held = race("posix", raced=case(overlaps=7))
    run = check_of(
        *[guarantee(name, "unsafe") for name in ("posix", "ranges", "blocking")], guarantee("death", "unknown", "cut"),
        rules=[*shared, alone], stress=[held], random=programs(difference("ranges")),
    )  # fmt: skip
    told = text_of(run)
    assert "\n".join([
        "- POSIX locks: granted to two at once (posix, ranges)",
        "    rule 1    Who comes second is denied.",
        "    expected  EAGAIN, observed granted",
        f"    calls     {CALLS[0]}",
        *[f"              {call}" for call in CALLS[1:]],
        "    and       15 more rules (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, ...); 1",
        "              random program; 1 race",
    ]) in told  # fmt: skip
    assert told.count("granted to two at once") == 1
    assert "- waiters are not woken (blocking)" in told
    assert "- cut (death)" in told
    assert "(--verbose shows 17 broken rules and 1 broken race.)" in told


MANY = [guarantee(name, "unsafe", LONG, strength=LONG) for name in GUARANTEES]
ALL_RULES = [
    rule(each.number, each.guarantee, "unsafe", sentence=each.sentence, source=each.source, calls=[*CALLS] * 4)
    for each in RULES
]
RACES = [race(name, raced=case(overlaps=3, lost=5)) for name in GUARANTEES]
WORST = replace(
    check_of(*MANY, kinds=("fuse.sshfs", "fuse.sshfs"), rules=ALL_RULES, stress=RACES, advice=[LONG] * 12),
    not_asked=[f"rule {number}, for it may harm; --faults asks it" for number in range(9)],
)


@pytest.mark.parametrize(
    "run",
    [
        WORST,
        replace(WORST, rules=[replace(each, observed=f"odd {n} {LONG}") for n, each in enumerate(ALL_RULES)]),
        replace(WORST, rules=[replace(each, verdict="unsupported", observed="ENOSYS") for each in ALL_RULES]),
        replace(WORST, rules=[replace(each, guaranteed=False) for each in ALL_RULES], stress=[]),
        replace(WORST, guarantees=[replace(each, verdict="unknown") for each in MANY], rules=[], stress=[]),
        replace(
            WORST,
            guarantees=[replace(each, verdict=get_args(CheckVerdict)[number % 4]) for number, each in enumerate(MANY)],
            interrupted=True,
            stuck=[Stuck(pid, f"place_{pid % 3}") for pid in range(40)],
            left_behind=["/mnt/0/lab-check-1"],
        ),
        replace(WORST, ended_early=LONG, stuck=[STUCK, Stuck(1, "do_wait")], left_behind=["/mnt/0/lab-check-1"]),
        replace(WORST, advice=[], rules=ALL_RULES[:1], stress=[]),
    ],
    ids=["one cause", "many causes", "refused", "habits", "unknown", "interrupted", "ended early", "little"],
)
def test_whatever_a_check_found_its_report_fits_a_screen(run: Check) -> None:
    told = text_of(run).splitlines()
    beside = [f"lab: {line}" for line in brief_complaints(run)]
    assert len(told) + len(beside) + WRITTEN <= LINES
    assert max(map(len, [*told, *beside])) <= WIDTH
    assert [line[:31].strip() for line in told if line[:31].strip() in GUARANTEES.values()] == [*GUARANTEES.values()]


def test_a_rule_that_fails_is_told_with_its_calls_and_where_it_is_written() -> None:
    told = failed_rules(check_of(guarantee("posix", "unsafe"), rules=[rule(18, "posix", "unsafe"), rule(19, "posix")]))
    assert told.splitlines() == [
        "rules that do not hold:",
        "",
        "rule 18 (posix): Who comes second is denied.",
        "    expected  EAGAIN",
        "    observed  granted",
        "    source    fcntl(2)",
        f"    calls     {CALLS[0]}",
        *(f"              {call}" for call in CALLS[1:]),
    ]
    refused = failed_rules(check_of(rules=[rule(18, "posix", "unsupported")]))
    assert "rule 18 (posix, not supported): " in refused


def test_what_linux_does_not_guarantee_is_told_apart_with_the_reason() -> None:
    run = check_of(rules=[rule(47, "posix", "unsafe", guaranteed=False, reason="POSIX leaves it open")])
    assert failed_rules(run) == ""
    assert "    because   POSIX leaves it open" in unguaranteed(run)
    assert unguaranteed(check_of(rules=[rule(47, "posix", guaranteed=False, reason="open")])) == ""


def test_a_random_program_that_differs_is_told_with_its_calls() -> None:
    told = random_differences(check_of(random=programs(difference("ranges"))))
    assert "random program (ranges)\n    expected  EAGAIN\n    observed  granted" in told
    assert all(call in told for call in CALLS)
    assert random_differences(check_of(random=programs())) == ""


def cells(*rows: Any) -> list[list[str]]:
    table = Table(STRESS, rows).render(Style("plain", wide=True)).splitlines()
    return [line.replace(",", "").split() for line in table[1:]]


def test_a_race_is_a_row_of_what_met_and_what_broke() -> None:
    clean, broken = cells(race("pread"), race("mapping", "mapped", case(met=1234, overlaps=7, lost=500)))
    assert clean == ["pread", "counter", "stream", "fcntl", "safe", "100", "0", "0", "1000"]
    assert broken == ["mapping", "counter", "mapped", "fcntl", "UNSAFE", "1234", "50.0", "%", "7", "1000"]


def test_a_race_that_did_not_run_has_no_figures() -> None:
    (row,) = cells(race("pread", raced=case(operations=0, holds=0, verdict="unsupported"), verdict="unsupported"))
    assert row[4:] == ["unsupported", "-", "-", "-", "-"]


def test_races_without_figures_are_counted_below_the_table_and_not_in_it() -> None:
    hung = case(operations=0, holds=0, trials=0, verdict="timeout", reason="hung before")
    told = races(
        check_of(stress=[race("pread"), *[race(name, raced=hung) for name in ("posix", "mapping", "mapping")]])
    )
    assert told.startswith("guarantee  ")
    assert (told.count("unknown"), told.count("pread")) == (0, 1)
    assert told.splitlines()[-1] == "inconclusive: 3 races, for posix, mapping."


def test_where_no_race_came_to_figures_there_is_no_table() -> None:
    refused = race("posix", raced=case(operations=0, holds=0, verdict="unsupported"), verdict="unsupported")
    assert races(check_of(stress=[refused])) == "inconclusive: 1 race, for posix."
    assert races(check_of()) == ""


def test_a_race_that_ended_early_and_in_which_two_were_in_stays_in_the_table() -> None:
    told = races(check_of(stress=[race("posix", raced=case(operations=0, overlaps=2, verdict="died"))]))
    assert "no figures" not in told
    assert told.splitlines()[2].split()[4:8] == ["unknown", "-", "-", "2"]


def test_requests_that_were_refused_are_those_that_met_where_nobody_waits() -> None:
    (row,) = cells(race("posix", raced=case(met=1, refused_requests=99), polled=True))
    assert row[3:7] == ["fcntl", "polled", "safe", "99"]


def test_a_widened_window_is_said() -> None:
    told = stressed(check_of(stress=[race("pread")]))
    assert "race window widened: every worker yields before each lock and each store;" in told.replace("\n", " ")
    asleep = stressed(check_of(stress=[race("pread", raced=case(window_ns=145_000))]))
    assert "asleep for up to 145 us" in asleep.replace("\n", " ")


def test_a_conclusion_names_the_worst_first_and_what_is_not_supported_or_what_is_safe() -> None:
    run = check_of(guarantee("posix"), guarantee("ofd", "unsupported"), guarantee("mapping", "unsafe"),
                   guarantee("death", "unknown"))  # fmt: skip
    told = conclusion(run).replace("\n", " ")
    assert told == "UNSAFE for mapping; inconclusive for death; not supported for ofd; safe for posix."
    assert conclusion(SAFE) == "Safe for all that was asked: posix, mapping."
    there = replace(SAFE, hosts=[Host(name=name) for name in "ab"], not_asked=[LONG])
    assert "..." not in text_of(there)
    many = check_of(*(guarantee(name) for name in GUARANTEES))
    assert verdict(many) == f"Safe for all {len(GUARANTEES)} guarantees that were asked."
    left = "LEFT BEHIND: process 4711, which hangs in fuse_wait_answer and does not end on\n  SIGKILL"
    assert left_behind(check_of(stuck=[STUCK])) == left


def test_complaints_are_about_what_ends_in_an_exit_code() -> None:
    run = check_of(
        guarantee("posix"), guarantee("ofd", "unsupported", "rule 49: refused"), guarantee("deadlock", "unsupported"),
        guarantee("mapping", "unsafe", "lost", "and lost"), guarantee("death", "unknown"), stuck=[STUCK],
    )  # fmt: skip
    assert list(complaints(run)) == [
        "ofd: unsupported: rule 49: refused",
        "mapping: UNSAFE: lost",
        "death: unknown",
        "process 4711 is left behind: it hangs in fuse_wait_answer and does not end on SIGKILL",
    ]
    assert list(complaints(check_of(guarantee("deadlock", "unsupported"), only=["deadlock"]))) == [
        "deadlock: unsupported"
    ]
    assert list(complaints(SAFE)) == []


FULL = "the filesystem is full; make room, or give another DIR"


def full(name: str, backing: str) -> tuple[Any, Any]:
    """A guarantee that is unknown because there was no room, and its race."""
    row = race(name, backing, case(operations=0, verdict="unsupported", reason=FULL))
    return guarantee(name, "unknown", f"counter under fcntl, {backing}: {FULL}"), row


def test_guarantees_that_are_unknown_for_one_cause_share_a_line_whatever_came_upon_it() -> None:
    guarantees, rows = zip(full("pread", "stream"), full("mapping", "mapped"), strict=True)
    hung = [
        guarantee(name, "unknown", f"rule {n}: not tried: 3 calls hung before")
        for name, n in (("ofd", 49), ("flock", 55))
    ]
    ended = guarantee("posix", "unknown", "rule 18: not tried: 3 processes were left stuck in the kernel before")
    assert list(complaints(check_of(*hung, ended, *guarantees, stress=list(rows)))) == [
        "ofd, flock: unknown: not tried: 3 calls hung before",
        "posix: unknown: rule 18: not tried: 3 processes were left stuck in the kernel before",
        f"pread, mapping: unknown: {FULL}",
    ]


def test_guarantees_have_a_line_each_for_rules_of_their_own_and_one_for_what_was_not_reached() -> None:
    ruled = check_of(
        guarantee("posix", "unsafe", "rule 18: expected EAGAIN"), guarantee("ofd", "unsafe", "rule 49: expected EAGAIN")
    )
    assert list(complaints(ruled)) == [
        "posix: UNSAFE: rule 18: expected EAGAIN",
        "ofd: UNSAFE: rule 49: expected EAGAIN",
    ]
    reason = "not reached before the interruption"
    names = [guarantee(name, "unknown", reason) for name in ("posix", "ofd", "mapping")]
    assert list(complaints(check_of(*names, interrupted=True))) == [
        f"posix, ofd, mapping: unknown: {reason}",
        "interrupted; 0 of 3 guarantees judged by then",
    ]


def test_processes_that_are_left_behind_share_a_line_by_the_place_where_they_hang() -> None:
    left = [STUCK, Stuck(1, "do_wait"), Stuck(2, STUCK.where)]
    assert list(complaints(check_of(guarantee("posix"), stuck=left))) == [
        "processes 4711, 2 are left behind: they hang in fuse_wait_answer and do not end on SIGKILL",
        "process 1 is left behind: it hangs in do_wait and does not end on SIGKILL",
    ]


def test_below_the_report_each_verdict_has_one_line() -> None:
    names = list(GUARANTEES)[:6]
    run = check_of(*[guarantee(name, "unsafe", f"rule 1: {LONG}") for name in names], guarantee("death", "unknown"))
    first, second = brief_complaints(run)
    assert first.startswith(f"{', '.join(names[:3])} and 3 more: UNSAFE: rule 1: posix was broken")
    assert (len(first), first[-3:], second) == (75, "...", "death: unknown")
    assert list(brief_complaints(SAFE)) == []


def test_the_exit_code_is_that_of_the_verdict_unless_it_was_interrupted() -> None:
    assert exit_code(SAFE) == 0
    assert exit_code(check_of(guarantee("posix", "unsafe"))) == 1
    assert exit_code(check_of(guarantee("posix", "unsupported"))) == 3
    assert exit_code(check_of(guarantee("posix", "unsafe"), interrupted=True)) == 130
    partly = [guarantee("posix"), guarantee("mapping", "unsupported")]
    assert exit_code(check_of(*partly)) == 0
    assert exit_code(check_of(*partly, only=["posix", "mapping"])) == 3, "what was named is missed"
