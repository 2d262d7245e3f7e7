"""The worlds put together from trees, held against all workers running at once."""

from __future__ import annotations

from random import Random

import pytest

from lab.exploring.search import every_schedule
from lab.exploring.world import World
from lab.scenario import Found, find_scenarios
from tests.exploring.joint import Did, Joint, Run
from tests.exploring.programs import LOCKS, drawn, texts_of
from tests.exploring.worlds import Endings, shape, world

pytestmark = pytest.mark.slow

BUILT_IN = [found for found in find_scenarios([], counterexamples=True) if "explore" in found.kind.worlds]
SEEDS = 100
SCHEDULES = 12


def joint(found: Found | str, lock: str, workers: int, rounds: int = 1) -> Joint:
    return Joint(shape(found, lock, workers, rounds))


def by_lot(made: Joint, draw: Random) -> Run:
    """A schedule in which each step is drawn; one worker goes on for a while, now and then."""
    last = [-1]

    def pick(possible: list[int]) -> int:
        if last[0] not in possible or draw.random() < 0.5:
            last[0] = draw.choice(possible)
        return last[0]

    return made.run(pick)


def composed(made: World, schedule: bytes) -> Run:
    """The same schedule in the world that is put together from trees."""
    steps, choices = [], []
    for worker in schedule:
        operation = made.at[worker].operation
        assert operation is not None
        steps.append(Did.of(worker, operation))
        choices.append(made.choices())
        made.do(worker)
    run = Run(
        schedule,
        steps,
        choices,
        bytes(made.content),
        [list(node.seen) for node in made.at],
        [repr(node.failed) if node.failed else "" for node in made.at],
        ["" if node.ended else repr(node.operation) for node in made.at],
    )
    assert made.choices() == []
    made.back_to(0)
    return run


def hangs(run: Run) -> bool:
    return any(run.left)


def without_unfinished(run: Run) -> Run:
    """A tree tells what a worker reported when it has finished; a worker that hangs has told before."""
    return run._replace(reports=[[] if left else reports for reports, left in zip(run.reports, run.left, strict=True)])


@pytest.mark.parametrize("lock", LOCKS)
def test_random_schedules_of_random_programs_run_as_all_workers_at_once_run_them(lock: str) -> None:
    draw = Random(lock)
    for seed in range(SEEDS):
        found = drawn(seed)
        texts = texts_of(found)
        rounds = 1 + seed % 4 // 2
        at_once, made = joint(found, lock, len(texts), rounds), world(found, lock, len(texts), rounds)
        for _ in range(SCHEDULES):
            run = by_lot(at_once, draw)
            assert composed(made, run.schedule) == without_unfinished(run), seed


@pytest.mark.parametrize("found", BUILT_IN, ids=lambda found: found.name)
@pytest.mark.parametrize("lock", ["none", "fcntl"])
def test_random_schedules_of_the_built_in_scenarios_run_as_all_workers_at_once_run_them(
    found: Found, lock: str
) -> None:
    draw = Random(f"{found.name} {lock}")
    at_once, made = joint(found, lock, 2, 2), world(found, lock, 2, 2)
    made.in_between = False  # the other explorer knows no invariant, and ends no schedule at one
    for _ in range(SCHEDULES):
        run = by_lot(at_once, draw)
        assert composed(made, run.schedule) == without_unfinished(run)


@pytest.mark.parametrize(
    ("name", "lock", "workers", "rounds"),
    [
        ("counter", "none", 2, 2),
        ("counter", "none", 3, 1),
        ("counter", "fcntl", 2, 2),
        ("bank", "none", 2, 1),
        ("check_then_lock", "flock", 2, 2),
        ("opposite_order", "ofd", 2, 1),
    ],
)
def test_every_schedule_runs_as_all_workers_at_once_run_it(name: str, lock: str, workers: int, rounds: int) -> None:
    at_once, made, tally = joint(name, lock, workers, rounds), world(name, lock, workers, rounds), Endings()
    every_schedule(made, tally)
    for path in tally.paths:
        assert composed(made, path) == without_unfinished(at_once.follow(path))


@pytest.mark.parametrize(
    ("name", "lock"), [("counter", "none"), ("bank", "fcntl"), ("check_then_lock", "ofd"), ("opposite_order", "ofd")]
)
def test_the_schedules_are_those_of_all_workers_at_once_and_no_others(name: str, lock: str) -> None:
    tally = Endings()
    every_schedule(world(name, lock), tally)
    assert sorted(tally.paths) == sorted(all_schedules(joint(name, lock, 2)))


def all_schedules(at_once: Joint) -> list[bytes]:
    """Depth first without a step back: from each run, the other choices of each of its steps that was not forced."""
    found, waiting = [], [b""]
    while waiting:
        forced = waiting.pop()
        turns = iter(forced)
        run = at_once.run(lambda possible, turns=turns: next(turns, possible[0]))  # type: ignore[misc]
        found.append(run.schedule)
        waiting += [
            run.schedule[:at] + bytes([other])
            for at in range(len(forced), len(run.schedule))
            for other in run.choices[at]
            if other != run.schedule[at]
        ]
    return found


def test_a_worker_that_hangs_is_left_and_the_next_schedule_begins_anew() -> None:
    at_once = joint("opposite_order", "ofd", 2)
    first = at_once.follow(bytes([0, 1]))
    assert hangs(first)
    assert not hangs(at_once.run(min))
    assert at_once.follow(bytes([0, 1])) == first
