"""Contracts of the counterexamples: each breaks although it is locked, says why, and has a fix that holds.

No luck in it: what can be simulated is explored, every interleaving of it; and on the kernel a counterexample that must
break pauses, waits or kills inside its race window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.exploring.case import Case
from lab.exploring.run import cases_of, explore
from lab.gallery import counterexample_names
from lab.locking.registry import OWN
from lab.scenario import Found, find_scenarios
from tests.helpers import race
from tests.report.explored_records import asked

COUNTEREXAMPLES = counterexample_names()
LOCKS = list(OWN)
LET_TWO_IN = ["closed_descriptor", "threads"]
"""Where a POSIX lock itself admits two; elsewhere it is held as it should be, and does not help."""

LIMITED_WAIT = ["threads", "forked_holder", "replaced_file"]
"""They wait a limited time for the others; a crowded machine may keep those away in one trial, not in all."""

EXPLORED = ["short_range", "check_then_lock", "opposite_order"]
"""The others are about processes and files, which the model does not have."""

every_counterexample = pytest.mark.parametrize("name", COUNTEREXAMPLES)


def variants(name: str) -> list[Found]:
    """The counterexample and its fixed variants."""
    return find_scenarios([name])


def case_of(cases: list[dict[str, Any]], scenario: str, lock: str) -> dict[str, Any]:
    """The row of this scenario and lock."""
    return next(case for case in cases if (case["scenario"], case["lock"]) == (scenario, lock))


def told(case: dict[str, Any]) -> str:
    """For the message of a failing test."""
    return f"{case['scenario']} under {case['lock']}: {case['verdict']}, {case['reason']} {case['damage']}"


def explored_cases(*, breaking: bool) -> list[Case]:
    """The counterexamples that can be simulated, and their fixes, under each lock that they name as breaking or not."""
    cases = cases_of(find_scenarios(EXPLORED), asked(locks=LOCKS))
    return [case for case in cases if (case.found.kind().expected(case.lock) != "clean") is breaking]


def test_the_counterexamples_that_are_not_about_processes_or_files_can_be_explored() -> None:
    assert [name for name in COUNTEREXAMPLES if "explore" in variants(name)[0].kind.worlds] == EXPLORED


@pytest.mark.parametrize("case", explored_cases(breaking=True), ids=lambda case: case.title)
def test_one_preemption_breaks_it_under_the_locks_that_it_announces(case: Case) -> None:
    record = explore(case, asked())
    assert (record.verdict, record.preemptions, record.as_expected) == ("broken", 1, True)
    assert record.schedules <= 20


@pytest.mark.parametrize("case", explored_cases(breaking=False), ids=lambda case: case.title)
def test_every_schedule_of_its_fix_holds_as_it_does_under_the_locks_that_fix_it(case: Case) -> None:
    record = explore(case, asked())
    assert (record.verdict, record.exhausted) == ("holds", True)
    assert record.schedules >= 6


@pytest.mark.parametrize("name", EXPLORED)
def test_every_counterexample_that_is_explored_is_seen_broken_under_a_lock_and_fixed(name: str) -> None:
    broken, fixed = explored_cases(breaking=True), explored_cases(breaking=False)
    assert any(case.found.name == name and case.lock != "none" for case in broken)
    assert {case.lock for case in fixed if case.found.name == f"{name}:fixed"} == {"fcntl", "ofd", "flock"}


@pytest.mark.parametrize(("lock", "kind"), [("fcntl", "deadlock (EDEADLK)"), ("ofd", "deadlock")])
def test_the_deadlock_of_opposite_orders_is_found_within_ten_schedules(lock: str, kind: str) -> None:
    record = explore(Case(variants("opposite_order")[0], lock, 2, 2), asked())
    assert record.damage[0].kind == kind
    assert record.schedules <= 10


# On the kernel


def raced(*args: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the cases of a race."""
    code, document = race(*args)
    return code, document["cases"]


def loses_every_update(cases: list[dict[str, Any]]) -> None:
    case = case_of(cases, "private_mapping", "fcntl")
    assert case["backing"] == "private"
    assert case["damaged"] == case["operations"] == 3 * 4 * case["rounds"]


def leaves_its_half(cases: list[dict[str, Any]]) -> None:
    case = case_of(cases, "killed_holder", "fcntl")
    assert [(each["kind"], each["count"]) for each in case["damage"]] == [("half an update", case["operations"])]


def survives_one_deadlock_and_hangs_in_the_other(cases: list[dict[str, Any]]) -> None:
    posix, ofd = (case_of(cases, "opposite_order", lock) for lock in ("fcntl", "ofd"))
    assert [each["kind"] for each in posix["damage"]] == ["deadlock (EDEADLK)"]
    assert posix["operations"] == 3 * 4 * posix["rounds"]
    assert ofd["verdict"] == "timeout"
    assert "waiting for the write lock on bytes" in ofd["reason"]


def holds_on_two_files_are_not_judged(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        assert case["overlapping_holds"] == 0
        assert case["unrecorded_holds"] > 0


MORE: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "private_mapping": loses_every_update,
    "killed_holder": leaves_its_half,
    "opposite_order": survives_one_deadlock_and_hangs_in_the_other,
    "replaced_file": holds_on_two_files_are_not_judged,
}
"""What is to be seen of a counterexample besides."""


@every_counterexample
def test_it_breaks_as_it_announces_and_its_fix_holds(name: str) -> None:
    """The counterexample and its fixes as a user sees them who gives no options, in fewer trials."""
    _, cases = raced(name, "--trials", "3")
    damage = [each for case in cases for each in case["damage"]]
    assert damage
    assert all(0 < each["count"] <= each["of"] and all(each["evidence"]) for each in damage)
    for case in cases:
        assert case["verdict"] == case["expected"], told(case)
        assert bool(case["why"]) == (case["expected"] != "clean"), told(case)
        if case["expected"] == "clean":
            assert case["operations"] == 3 * case["workers"] * case["rounds"]
        elif case["expected"] == "damaged" and name not in LIMITED_WAIT:
            assert case["damaged_trials"] == case["trials"], told(case)
    assert "clean" in {case["expected"] for case in cases}
    two_in = {(case["scenario"], case["lock"]) for case in cases if case["overlapping_holds"]}
    assert two_in == ({(name, "fcntl")} if name in LET_TWO_IN else set())
    if name in MORE:
        MORE[name](cases)


LOCK_OPTIONS = [word for lock in LOCKS for word in ("--lock", lock)]


@pytest.mark.parametrize(
    "how",
    [(*LOCK_OPTIONS, "--trials", "2"), ("--workers", "1,3,16", "--rounds", "1", "--trials", "1")],
    ids=["every lock", "any number of workers"],
)
@every_counterexample
def test_under_every_lock_and_with_any_number_of_workers_it_ends_as_declared(name: str, how: tuple[str, ...]) -> None:
    code, cases = raced(name, *how)
    assert [told(case) for case in cases if case["verdict"] not in ("clean", case["expected"])] == []
    assert code == 0


@pytest.mark.parametrize("name", ["short_range", "check_then_lock", "replaced_file", "opposite_order"])
def test_a_worker_alone_breaks_nothing(name: str) -> None:
    _, cases = raced(name, "--workers", "1", "--trials", "1")
    assert [told(case) for case in cases if case["verdict"] != "clean"] == []


def test_two_threads_of_one_process_alone_break_it_under_a_posix_lock() -> None:
    case = case_of(raced("threads", "--workers", "1")[1], "threads", "fcntl")
    assert "lost update" in {each["kind"] for each in case["damage"]}
    assert case["overlapping_holds"] > 0


# What they say of themselves


def test_these_are_all_the_counterexamples() -> None:
    found = {each.name.partition(":")[0] for each in find_scenarios([], counterexamples=True) if each.counterexample}
    assert found == set(COUNTEREXAMPLES)


@every_counterexample
def test_it_says_in_one_line_what_happens_and_why_announces_damage_under_a_lock_and_shows_a_fix(name: str) -> None:
    first, *fixed = variants(name)
    damage, colon, happens = first.summary.partition(": ")
    assert all((damage, colon, happens))
    assert len(first.summary) <= 80
    assert all(each.summary.startswith("Fixed by ") and each.name == f"{name}:fixed" for each in fixed)
    assert all(each.counterexample and "fix" in each.kind.why for each in (first, *fixed))
    counterexample, *fixes = (variant.kind() for variant in (first, *fixed))
    assert "damaged" in {counterexample.expected(lock) for lock in counterexample.locks if lock != "none"}
    clean = [lock for lock in counterexample.locks if counterexample.expected(lock) == "clean"]
    assert clean or fixes
    assert all(fix.expected(lock) == "clean" for fix in fixes for lock in fix.locks)
