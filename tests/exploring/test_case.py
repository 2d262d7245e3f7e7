from __future__ import annotations

import re
from collections.abc import Sequence
from ctypes import c_uint64
from typing import Any

import pytest

from lab import Damage as Told
from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.exploring.case import Case
from lab.exploring.run import MOST_WORKERS, Interrupted, cases_of, explore, runs
from lab.exploring.simplify import world_of
from lab.exploring.tally import MOST_STEPS, Tally
from lab.exploring.token import read
from lab.exploring.trace import trace
from lab.records import Damage, ExploredCase
from lab.scenario import Found, find_scenarios
from tests.exploring.worlds import Work, scenario_of, shape
from tests.report.explored_records import asked


def explored(
    found: Found | str,
    lock: str = "none",
    workers: int = 2,
    rounds: int = 2,
    *,
    kinds: Sequence[str] = (),
    **options: Any,
) -> ExploredCase:
    """The record of one case, by default as `explore` has it that is given no options."""
    if isinstance(found, str):
        found = find_scenarios([found])[0]
    return explore(Case(found, lock, workers, rounds), asked(**options), frozenset(kinds))


def test_the_cases_are_scenarios_by_workers_by_rounds_by_locks() -> None:
    counter, bank = find_scenarios(["counter", "bank"])
    cases = cases_of([counter, bank], asked(workers=[2, 3], rounds=[1, 2], locks=["none", "fcntl"]))
    assert [(case.found.name, case.workers, case.rounds, case.lock) for case in cases] == [
        (name, workers, rounds, lock)
        for name in ("counter", "bank")
        for workers in (2, 3)
        for rounds in (1, 2)
        for lock in ("none", "fcntl")
    ]


def test_without_a_lock_named_those_of_the_scenario_are_explored() -> None:
    cases = cases_of(find_scenarios(["opposite_order"]), asked(locks=[]))
    assert [(case.found.name, case.lock) for case in cases] == [
        (name, lock) for name in ("opposite_order", "opposite_order:fixed") for lock in ("fcntl", "ofd", "flock")
    ]


def test_a_case_has_a_title() -> None:
    assert Case(find_scenarios(["bank"])[0], "ofd", 3, 2).title == "bank, lock ofd, 3 x 2"


@pytest.mark.parametrize("name", ["closed_descriptor", "threads", "forked_holder", "replaced_file", "killed_holder"])
def test_a_scenario_about_processes_or_files_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UsageError, match=f"scenario {name}: runs only in race, not in explore: it is about processes"):
        cases_of(find_scenarios([name]), asked())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"locks": ["fnctl"]}, "fnctl"),
        (
            {"workers": [MOST_WORKERS + 1]},
            f"65 workers: at most {MOST_WORKERS} can be explored; lower --workers",
        ),
    ],
)
def test_an_unknown_lock_or_more_workers_than_can_be_told_apart_are_refused(options: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cases_of(find_scenarios(["counter"]), asked(**options))
    (case,) = cases_of(find_scenarios(["counter"]), asked(workers=[MOST_WORKERS]))
    assert case.workers == MOST_WORKERS


def test_what_was_exhausted_without_a_failure_holds() -> None:
    case = explored("counter", "fcntl")
    assert (case.verdict, case.exhausted, case.covered) == ("holds", True, "all 6 schedules of 2 workers x 2 rounds")
    assert (case.expected, case.as_expected) == ("holds", True)
    assert (case.token, case.steps, case.damage, case.preemptions) == (None, [], [], None)


def test_what_was_covered_up_to_the_bound_that_was_asked_for_holds_but_is_not_exhausted() -> None:
    case = explored("bank", "fcntl", search="bound", preemptions=1)
    assert (case.verdict, case.exhausted, case.bound) == ("holds", False, 1)
    assert "with at most 1 preemption" in case.covered


@pytest.mark.parametrize("search", ["random", "pct"])
def test_what_was_only_sampled_is_unknown(search: str) -> None:
    case = explored("counter", "fcntl", search=search, time_limit_s=0.01)
    assert (case.verdict, case.exhausted, case.as_expected) == ("unknown", False, False)


@pytest.mark.parametrize("search", ["auto", "bound", "all", "states", "dpor"])
def test_what_the_time_limit_cut_short_is_unknown_and_claims_nothing_of_all(search: str) -> None:
    case = explored("counter", "fcntl", 3, 3, search=search, time_limit_s=0)
    assert (case.verdict, case.exhausted) == ("unknown", False)
    assert case.bound is None or case.bound < 3
    assert case.bound is not None or "all" not in case.covered


def test_schedules_without_an_end_keep_a_case_from_holding() -> None:
    def spinning(_: object, w: Any) -> None:
        while w.memory.value == 2 - w.index:
            pass
        w.memory.value = w.index + 1
        w.memory.value = 0

    case = explored(scenario_of(spinning), rounds=1, search="bound")
    assert (case.verdict, case.exhausted) == ("unknown", False)


def test_what_breaks_under_a_lock_is_as_expected_only_where_it_is_announced() -> None:
    assert explored("short_range", "fcntl").as_expected
    found = find_scenarios(["short_range"])[0]
    innocent = Found("innocent", type("Innocent", (found.kind,), {"expects": {}}), "")
    case = explored(innocent, "fcntl")
    assert (case.verdict, case.expected, case.as_expected) == ("broken", "holds", False)


def test_a_failure_is_told_in_full() -> None:
    case = explored("counter", "none", 3, 3)
    assert (case.verdict, case.expected, case.as_expected, case.exhausted) == ("broken", "broken", True, False)
    assert case.headline == "lost update: worker 0 overwrites what worker 1 stored in value"
    assert [(step.worker, step.operation, step.value) for step in case.steps] == [
        (0, "load", 0),
        (1, "load", 0),
        (1, "store", 1),
        (0, "store", 1),
    ]
    assert case.preemptions == 1
    assert case.damage == [Damage("lost update", 1, 2, ["value is 1 after 2 additions"])]
    assert case.shrunk
    assert (case.shrunk.workers, case.shrunk.rounds, case.shrunk.steps_before) == (2, 1, 18)


@pytest.mark.parametrize(
    ("name", "lock"),
    [("counter", "none"), ("torn_record", "none"), ("opposite_order", "fcntl"), ("opposite_order", "ofd")],
)
def test_the_token_leads_to_the_very_steps_that_are_shown(name: str, lock: str) -> None:
    case = explored(name, lock)
    assert case.token
    token = read(case.token)
    world = world_of(shape(name, token.lock, token.workers, token.rounds, token.line))
    assert trace(world, token.schedule)[0] == case.steps


def test_a_kind_of_damage_is_told_once() -> None:
    kinds = [each.kind for each in explored("torn_record").damage]
    assert len(kinds) == len(set(kinds))


def test_only_the_wanted_kinds_of_damage_count_and_one_of_them_heads_the_story() -> None:
    served_twice = explored("ring_queue", kinds=["item served twice"])
    assert served_twice.verdict == "broken"
    assert served_twice.headline.startswith("item served twice: ")
    assert explored("counter", kinds=["torn"]).verdict == "holds"


def test_every_failure_and_every_end_is_counted_where_all_are_run_and_states_are_told_with_their_number() -> None:
    case = explored("counter", search="all")
    assert (case.schedules, case.broken_schedules, case.ends, case.exhausted) == (70, 64, 3, True)
    assert case.covered == "all 70 schedules of 2 workers x 2 rounds"
    by_states = explored("counter", "fcntl", rounds=3)
    assert by_states.covered.startswith("all 20 schedules of 2 workers x 3 rounds")
    assert f"{by_states.states:,} states" in by_states.covered


def test_as_many_schedules_are_shown_as_were_asked_for_each_by_its_turns() -> None:
    assert runs(b"\0\0\0\1\1\1\1\0") == "0x3 1x4 0x1"
    assert explored("counter", "fcntl", show_schedules=2).schedules_shown == ["0x8 1x8", "1x8 0x8"]
    every = explored("counter", "fcntl", search="all", show_schedules=100).schedules_shown
    assert len(every) == len(set(every)) == 6
    of_two_searches = explored("counter", "fcntl", rounds=3, show_schedules=2)
    assert of_two_searches.states
    assert len(of_two_searches.schedules_shown) == 2


def test_more_steps_than_can_be_explored_are_refused_with_numbers_and_what_to_do() -> None:
    rounds = MOST_STEPS // 4 + 1
    with pytest.raises(UsageError) as raised:
        explored("counter", "none", 2, rounds)
    assert re.fullmatch(
        rf"scenario counter: 2 workers x {rounds:,} rounds take more than 20,000 steps a schedule and have more than "
        r"about 10\^6,0\d\d schedules, too many for any search; lower --workers or --rounds",
        str(raised.value),
    )


def raises_alone(_: object, w: Any) -> None:
    w.memory.value = 1
    raise ValueError("so")


def rests(_: object, w: Any) -> None:
    if not w.index:
        w.memory.value = 1


def notes(scenario: Any, w: Any) -> None:
    scenario.seen = getattr(scenario, "seen", 0) + 1
    w.memory.value += 1


def notes_where_they_meet(scenario: Any, w: Any) -> None:
    if w.memory.value:
        scenario.seen = True
    w.memory.value = 1


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        (raises_alone, ScenarioError, r"scenario made: worker 0 alone raised ValueError: so \(.*; fix the file"),
        (rests, CannotRunError, r"worker 1 took no step through w\.memory or a lock, so nothing was explored"),
        (notes, CannotRunError, r"self\.seen"),
        (notes_where_they_meet, CannotRunError, r"self\.seen"),
    ],
)
def test_what_cannot_be_explored_is_told_with_the_reason(work: Work, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        explored(scenario_of(work), rounds=1)


@pytest.mark.parametrize("search", ["bound", "all", "states", "dpor", "random", "pct"])
def test_an_interrupted_case_says_how_much_was_covered_and_claims_no_more(
    search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Tally.add

    def interrupted(self: Tally, world: Any) -> bool:
        if self.schedules >= 3:
            raise KeyboardInterrupt
        return add(self, world)

    monkeypatch.setattr(Tally, "add", interrupted)
    with pytest.raises(Interrupted) as raised:
        explored("ring_queue", "fcntl", 3, 2, search=search)
    case = raised.value.case
    assert (case.verdict, case.exhausted, case.schedules) == ("unknown", False, 3)
    assert re.match(r"\d+ (runs|states)", case.covered)
    assert "3 runs" in case.covered
    assert "all" not in case.covered


def test_a_case_interrupted_while_its_failure_was_shrunk_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.exploring.run.shortest", interrupted)
    with pytest.raises(Interrupted) as raised:
        explored("counter")
    assert raised.value.case.verdict == "broken"


def test_the_first_of_two_fields_that_break_is_found_whatever_comes_later() -> None:
    def work(_: object, w: Any) -> None:
        w.memory.first += 1
        w.memory.second += 1

    def check(_: object, memory: Any, outcome: Any) -> list[Any]:
        return [Told("second lost", outcome.rounds - memory.second, outcome.rounds, [])]

    fields = ("first", c_uint64), ("second", c_uint64)
    case = explored(scenario_of(work, *fields, check=check))
    assert (case.verdict, case.preemptions) == ("broken", 1)
    assert case.headline == "second lost: worker 0 overwrites what worker 1 stored in second"


@pytest.mark.parametrize(
    ("scenario", "lock", "is_told"),
    [("short_range", "fcntl", True), ("short_range", "none", False), ("short_range:fixed", "none", False)],
)
def test_a_counterexample_is_the_reason_only_where_the_lock_was_to_prevent_it(
    scenario: str, lock: str, is_told: bool
) -> None:
    found = explored(scenario, lock)
    assert found.verdict == "broken"
    assert ("The range covers the worker's cell" in found.why) is is_told
