from __future__ import annotations

from contextlib import nullcontext
from ctypes import Structure, c_uint8, c_uint64
from random import Random
from typing import Any

import pytest

from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.exploring.operation import Operation, SteppedBytes
from lab.exploring.worker import SteppedWorker
from tests.exploring.worlds import scenario_of, shape

FIELDS = ("value", c_uint64), ("cells", c_uint8 * 4)


class Holds:
    """The worker under test, its steps, the ranges that it asked for, and what it reported."""

    def __init__(self, lock: str = "fcntl") -> None:
        made = shape(scenario_of(lambda *_: None, *FIELDS), lock, 3, 5)
        self.fields: Any = made.memory
        self.steps: list[Operation] = []
        self.asked: list[tuple[str, str, bool]] = []
        self.seen: list[tuple[str, str]] = []
        memory = SteppedBytes(bytearray(made.layout.size), 64, self.steps.append)
        self.worker = SteppedWorker(made, 1, memory, self._guard, self.seen)

    def _guard(self, lock: Operation, unlock: Operation) -> Any:
        self.asked.append((repr(lock), repr(unlock), lock.write))
        return nullcontext()


def test_a_worker_knows_its_place_and_its_rounds() -> None:
    worker = Holds().worker
    assert (worker.index, worker.workers, worker.round, worker.rounds) == (1, 3, 0, 5)


def test_a_lock_is_asked_for_by_the_bytes_of_its_field() -> None:
    holds = Holds()
    holds.worker.write_lock(holds.fields.value)
    holds.worker.read_lock(holds.fields.cells, 1, 2)
    holds.worker.write_lock()
    assert holds.asked == [
        ("lock 0-7", "unlock 0-7", True),
        ("lock 9-10", "unlock 9-10", False),
        ("lock 0-", "unlock 0-", True),
    ]


def test_a_lock_is_made_once_for_a_range() -> None:
    holds = Holds()
    assert holds.worker.write_lock(holds.fields.value) is holds.worker.write_lock(holds.fields.value)
    assert holds.worker.read_lock(holds.fields.value) is not holds.worker.write_lock(holds.fields.value)


def test_flock_is_asked_for_the_whole_file_and_without_a_lock_nothing_is() -> None:
    holds, free = Holds("flock"), Holds("none")
    holds.worker.write_lock(holds.fields.cells, 2)
    assert holds.asked == [("lock 0-", "unlock 0-", True)]
    with free.worker.write_lock(free.fields.value), free.worker.read_lock():
        pass
    assert free.asked == []


def test_a_range_that_is_not_there_is_refused() -> None:
    holds = Holds()
    with pytest.raises(ScenarioError, match="cells has 4 elements"):
        holds.worker.write_lock(holds.fields.cells, 3, 2)


def test_the_bytes_of_a_field_are_loaded_and_stored_in_steps() -> None:
    holds = Holds()
    view = holds.worker.bytes(holds.fields.cells, 1, 2)
    view[:] = b"ab"
    assert (view[:], len(view)) == (b"ab", 2)
    assert [repr(step) for step in holds.steps] == ["store 9-10", "load 9-9", "load 10-10"]
    assert holds.worker.bytes(holds.fields.cells, 1, 2) is view


def test_a_report_says_who_and_in_which_round_and_a_pause_is_no_step() -> None:
    holds = Holds()
    holds.worker.round = 3
    holds.worker.damaged("torn", "so")
    holds.worker.pause()
    assert holds.seen == [("torn", "worker 1, round 3: so")]
    assert holds.steps == []


def test_a_worker_that_begins_anew_has_the_same_draws_and_no_notes() -> None:
    worker = Holds().worker
    worker.local.note, worker.round = 1, 4
    first = [worker.random.random() for _ in range(3)]
    worker.renew()
    assert [worker.random.random() for _ in range(3)] == first
    assert first[0] == Random("explore/1").random()
    assert not hasattr(worker.local, "note")
    assert worker.round == 0


def test_what_bypasses_the_memory_is_refused_with_what_to_do() -> None:
    with pytest.raises(CannotRunError, match=r"w\.stale: .* race it instead \(lab race\)"):
        Holds().worker.stale()


def test_more_workers_than_the_scenario_has_room_for_are_refused() -> None:
    with pytest.raises(UsageError, match="scenario sparse_pages: 5,000 workers are more than its 4,096"):
        shape("sparse_pages", workers=5_000)


def test_a_memory_that_cannot_be_laid_out_is_refused() -> None:
    def layout(*_: object) -> type[Structure]:
        raise KeyError("no room")

    with pytest.raises(UsageError, match="scenario made: cannot be laid out: KeyError: 'no room'"):
        shape(scenario_of(lambda *_: None, layout=layout))


@pytest.mark.parametrize(
    ("workers", "rounds", "said"),
    [(1, 1, "1 worker x 1 round"), (2, 1, "2 workers x 1 round"), (3, 2, "3 workers x 2 rounds")],
)
def test_the_size_is_told_in_words(workers: int, rounds: int, said: str) -> None:
    assert shape("counter", workers=workers, rounds=rounds).size == said
