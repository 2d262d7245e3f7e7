"""The calls of operations in a race: what is recorded, and how a history is judged."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lab.histories.call import UNKNOWN, Call
from lab.locking import find_lock
from lab.memory import workspace
from lab.racing.calls import JUDGE_S, CallLog, by_grants, judged_calls, overlapping, with_calls
from lab.racing.trial import run_trial
from lab.racing.worker import Setting
from lab.records import RacedCalls
from lab.scenario import find_scenarios
from tests.helpers import in_fresh_process, race
from tests.report.records import CLEAN

RING: Any = find_scenarios(["ring"])[0].kind
PUT, TAKE = 0, 1


class Handed:
    """Makes calls at moments that the test says, one after the other or one within the other."""

    def __init__(self, rounds: int = 4) -> None:
        self.log = CallLog(RING, 2, rounds)
        self.rounds = [0, 0]

    def call(self, worker: int, number: int, result: Any, meanwhile: Any = None) -> None:
        def make() -> Any:
            if meanwhile:
                meanwhile()
            return result

        at, self.rounds[worker] = self.rounds[worker], self.rounds[worker] + 1
        self.log.record(worker, at, number, make)

    def judged(self, *holds: tuple[int, int, int, int, int]) -> Any:
        return judged_calls(RING(), SimpleNamespace(calls=self.log, memory=RING.Memory), holds)  # type: ignore[arg-type]


def test_a_call_is_kept_with_its_arguments_its_result_and_its_moments() -> None:
    made = Handed()
    made.call(1, PUT, True)
    made.call(1, TAKE, 20)
    made.call(0, TAKE, "x" * 100)
    made.call(0, PUT, None, lambda: (_ for _ in ()).throw(ValueError("full")))
    long, raised, put, take = made.log.calls()
    assert (put.process, put.name, put.args, put.result) == (1, "put", (20,), True)
    assert (take.name, take.result, put.start < put.last < take.start < take.last) == ("take", 20, True)
    assert (long.result, long.open) == (UNKNOWN, False)
    assert (raised.name, raised.args, raised.result, raised.open) == ("put", (30,), "raised ValueError: full", False)
    (damage,) = made.judged().damage
    assert "worker 0 put(30) raised ValueError: full" in damage.evidence[0]


def test_a_history_is_judged_by_the_order_of_the_grants_else_by_a_search() -> None:
    made = Handed()
    made.call(0, PUT, True, lambda: made.call(1, TAKE, 10))  # the take ends before the put does
    assert overlapping(made.log.calls()) == 2
    put, take = made.log.calls()
    granted = [(put.start, put.last, put.start, 0, 0), (take.start, take.last, take.start, 1, 0)]
    assert by_grants(made.log.calls(), granted) == [0, 1]
    assert made.judged(*granted).figures == RacedCalls(2, 2, by_lock=1)
    found = made.judged()  # without grants the take comes first
    assert (found.figures, found.damage) == (RacedCalls(2, 2, by_search=1), [])


def test_what_no_order_explains_is_damage_with_the_call_beyond_which_none_gets() -> None:
    made = Handed()
    made.call(0, PUT, True)
    made.call(1, TAKE, None)
    found = made.judged()
    (damage,) = found.damage
    assert (damage.kind, damage.count, damage.of) == ("not linearizable", 1, 2)
    assert damage.evidence == ["no order explains that worker 1 take() gave nothing"]
    assert found.figures == RacedCalls(2, 0, by_search=1)


@pytest.mark.parametrize(
    ("verdict", "undecided", "expected"), [("clean", 1, "inconclusive"), ("damaged", 1, "damaged")]
)
def test_a_trial_that_takes_too_long_to_judge_leaves_nothing_clean(verdict: Any, undecided: int, expected: str) -> None:
    row = with_calls(
        replace(CLEAN, verdict=verdict), [RacedCalls(9, 4, undecided=undecided), RacedCalls(9, 4, by_lock=1)]
    )
    assert row.verdict == expected
    assert row.calls == RacedCalls(18, 8, by_lock=1, undecided=1)
    assert (f"1 of 2 trials were not judged in {JUDGE_S:g} s each" in row.reason) == (expected == "inconclusive")


def broken_of(name: str, trials: int) -> int:
    """In how many trials no order explains the results."""
    from pathlib import Path

    (found,) = [each for each in find_scenarios([name.partition(":")[0]]) if each.name == name]
    setting = Setting(found.kind(), find_lock("fcntl"), "mapped", 3, 40, "none", 2000, 0.0, 60.0, "seed")
    broken = 0
    with workspace(Path("/dev/shm")) as folder:  # noqa: S108 - where the lab itself looks first
        for number in range(trials):
            result = run_trial(setting, number, [folder])
            assert not result.failures
            assert result.calls
            broken += bool(result.damage)
    return broken


@pytest.mark.parametrize("name", ["ring", "hash_map", "node_stack", "queue", "seqlock"])
def test_a_right_structure_is_linearizable_in_every_real_trial(name: str) -> None:
    assert in_fresh_process(broken_of, name, 12) == 0


def test_a_race_says_what_it_called_and_finds_a_reader_that_remembers() -> None:
    code, made = race("hash_map", "--lock", "fcntl", "--workers", "2", "--rounds", "100", "--trials", "2")
    right, _, remembers = made["cases"]
    assert code == 0
    assert (right["verdict"], right["calls"]["calls"], right["calls"]["undecided"]) == ("clean", 400, 0)
    assert (remembers["verdict"], remembers["damage"][0]["kind"]) == ("damaged", "not linearizable")


def test_values_that_a_call_is_given_are_its_own() -> None:
    from lab.scenario.operations import call_at

    given = [call_at(RING, PUT, worker, place * 2 + worker) for place in range(3) for worker in range(2)]
    assert [each.args for each in given] == [(10,), (20,), (30,), (40,), (50,), (60,)]
    assert {each.process for each in given} == {0, 1}
    assert call_at(RING, TAKE, 1, 5) == Call(1, "take")
