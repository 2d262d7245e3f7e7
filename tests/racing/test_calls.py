"""The calls of operations in a race: what is recorded, and how a history is judged."""

from __future__ import annotations

from copy import copy
from ctypes import c_uint64
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import ScenarioError
from lab.histories.call import UNKNOWN, Call
from lab.locking import find_lock
from lab.locking.protocol import GaveUp
from lab.memory import workspace
from lab.racing.call_log import SLOT, CallLog, PythonStamps, Stamps
from lab.racing.calls import JUDGE_S, by_grants, grants, judged_calls, overlapping, with_calls
from lab.racing.trial import run_trial
from lab.racing.worker import Setting
from lab.records import RacedCalls
from lab.scenario import find_scenarios
from tests.helpers import in_fresh_process, race
from tests.needs import need
from tests.report.records import CLEAN

RING: Any = find_scenarios(["ring"])[0].kind
PUT, TAKE = 0, 1


class Handed:
    """Makes calls at moments that the test says, one after the other or one within the other."""

    def __init__(self, rounds: int = 4, stamps: Any = Stamps) -> None:
        self.log = CallLog(RING, 2, rounds)
        self.rounds = [0, 0]
        self.record = [self.log.recorder(worker, stamps) for worker in range(2)]

    def call(self, worker: int, number: int, result: Any, meanwhile: Any = None) -> None:
        def make() -> Any:
            if meanwhile:
                meanwhile()
            return result

        at, self.rounds[worker] = self.rounds[worker], self.rounds[worker] + 1
        self.record[worker](at, number, make)

    def judged(self, *holds: tuple[int, int, int, int, int], begun: tuple[int, ...] = ()) -> Any:
        fresh = SimpleNamespace(histories=lambda: begun) if begun else None
        job: Any = SimpleNamespace(calls=self.log, memory=RING.Memory, fresh=fresh)
        return judged_calls(RING(), job, holds)


STAMPS = {"compiled": Stamps, "python": PythonStamps}
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.fixture(params=STAMPS)
def stamps(request: pytest.FixtureRequest) -> Any:
    """Either recorder."""
    if request.param == "compiled":
        need("compiled")
    return STAMPS[request.param]


def test_a_call_is_kept_with_its_arguments_its_result_and_its_moments(stamps: Any) -> None:
    made = Handed(stamps=stamps)
    made.call(1, PUT, True)
    made.call(1, TAKE, 20)
    made.call(0, PUT, None, lambda: (_ for _ in ()).throw(ValueError("full")))
    raised, put, take = made.log.calls()
    assert (put.process, put.name, put.args, put.result) == (1, "put", (20,), True)
    assert (take.name, take.result, put.start < put.last < take.start < take.last) == ("take", 20, True)
    assert (raised.name, raised.args, raised.result, raised.open) == ("put", (10,), "raised ValueError: full", False)
    (damage,) = made.judged().damage
    assert "worker 0 put(10) raised ValueError: full" in damage.evidence[0]


RESULTS = [
    None, True, False, 0, 1, -1, (1 << 63) - 1, -(1 << 63), 1 << 63, -(1 << 63) - 1, 10**400, 1.0, float("inf"), "",
   "x" * 300,    b"a\0b", (), (1, True, None), [1, [2, (3.5, "é")]], {"a": {1, 2}}, "raised", tuple(range(50)),
]  # fmt: skip


def test_both_recorders_write_the_same_slots_for_every_result() -> None:
    need("compiled")
    words = []
    for stamps in STAMPS.values():
        log = CallLog(RING, 1, len(RESULTS) + 1)
        record = log.recorder(0, stamps)
        for number, result in enumerate(RESULTS):
            record(number, number % 2, partial(copy, result))
        calls = log.calls()
        assert [(type(call.result), call.result) for call in calls] == [(type(each), each) for each in RESULTS]
        assert all(0 < call.start <= call.last for call in calls)
        words.append(log._words.tolist())
    (one, other), moments = words, {0, 1}
    assert [word for at, word in enumerate(one) if at % SLOT not in moments] == [
        word for at, word in enumerate(other) if at % SLOT not in moments
    ]


@pytest.mark.parametrize(
    "odd",
    [(c_uint64 * 2)(), memoryview(b""), object(), (1, [object()]), CYCLE],
    ids=["array", "view", "object", "within", "cycle"],
)
def test_a_result_that_cannot_be_recorded_is_refused(stamps: Any, odd: Any) -> None:
    made = Handed(stamps=stamps)
    with pytest.raises(
        ScenarioError, match=r"Ring\.put returned a \w+, which cannot be recorded; return None, a number"
    ):
        made.call(0, PUT, odd)


def test_more_results_than_there_is_room_for_are_refused(stamps: Any) -> None:
    made = Handed(rounds=30, stamps=stamps)
    for _ in range(20):
        made.call(0, TAKE, "x" * 50_000)
    with pytest.raises(ScenarioError, match=r"Ring\.take returned too much to record; lower --rounds"):
        made.call(0, TAKE, "x" * 60_000)
    assert {len(call.result) for call in made.log.calls()[:20]} == {50_000}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError, GaveUp])
def test_what_an_operation_does_not_raise_itself_ends_the_worker(stamps: Any, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("it")

    made = Handed(stamps=stamps)
    with pytest.raises(error, match="it"):
        made.call(0, PUT, None, fail)
    (call,) = made.log.calls()
    assert (call.name, call.result, call.open) == ("put", UNKNOWN, True)


def test_the_compiled_recorder_refuses_what_it_cannot_write() -> None:
    need("compiled")
    record = CallLog(RING, 1, 2).recorder(0)
    for wrong, error in [
        ((2, 0, int), IndexError),
        ((0, 0), TypeError),
        ((-1, 0, int), OverflowError),
        (("", 0, int), TypeError),
    ]:
        with pytest.raises(error):
            record(*wrong)  # type: ignore[arg-type]


def test_a_history_is_judged_by_the_order_of_the_grants_else_by_a_search() -> None:
    made = Handed()
    made.call(0, PUT, True, lambda: made.call(1, TAKE, 10))  # the take ends before the put does
    assert overlapping(made.log.calls()) == 2
    put, take = made.log.calls()
    granted = [(put.start, put.last, put.start, 0, 0), (take.start, take.last, take.start, 1, 0)]
    assert by_grants(made.log.calls(), grants(granted)) == [0, 1]
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


def test_each_history_of_a_trial_is_judged_by_itself() -> None:
    made = Handed()
    for number, result in [(PUT, True), (PUT, True), (TAKE, None), (PUT, True)]:
        made.call(0, number, result)
    apart = made.judged(begun=(0, 2))
    assert (apart.figures, apart.damage) == (RacedCalls(4, 0, by_lock=2), [])
    found = made.judged(begun=(0, 3))  # of three calls, and of one
    assert found.figures == RacedCalls(4, 0, by_lock=1, by_search=1)
    assert [(each.count, each.of) for each in found.damage] == [(1, 4)]


@pytest.mark.parametrize(
    ("verdict", "undecided", "expected"), [("clean", 1, "inconclusive"), ("damaged", 1, "damaged")]
)
def test_a_trial_that_takes_too_long_to_judge_leaves_nothing_clean(verdict: Any, undecided: int, expected: str) -> None:
    row = with_calls(
        replace(CLEAN, verdict=verdict), [RacedCalls(9, 4, undecided=undecided), RacedCalls(9, 4, by_lock=1)]
    )
    assert row.verdict == expected
    assert row.calls == RacedCalls(18, 8, by_lock=1, undecided=1)
    assert (f"1 of 2 histories were not judged in {JUDGE_S:g} s a trial" in row.reason) == (expected == "inconclusive")


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
    assert in_fresh_process(broken_of, name, 5) == 0


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
