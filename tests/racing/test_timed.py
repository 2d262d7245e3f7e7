from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import pytest

from lab.analysis.holds import Row, Span, sweep
from lab.analysis.statistics import detection_limit
from lab.racing import cases, race_for, timed
from lab.racing.trial import Result, run_trial
from lab.racing.worker import Setting
from lab.records import Failure
from lab.scenario import Damage
from tests.helpers import in_fresh_process
from tests.racing.racing import case_of, raced
from tests.racing.test_summary import CLEAN, KILLED

WORD = Span(0, 8, write=True).pack()


class Mount:
    """A mount on which time passes only as its trials take it."""

    def __init__(self, seconds_of: Callable[[int], float]) -> None:
        self.now = 0.0
        self.rounds: list[int] = []
        self.seconds_of = seconds_of
        self.holds: list[list[Row]] = []
        self.failures: list[Failure] = []
        self.meets = 0.0
        self.breaks_at = self.most = inf

    def trial(self, setting: Setting, number: int, folders: Sequence[Path]) -> Result:
        assert number == len(self.rounds)
        self.rounds.append(setting.rounds)
        self.now += self.seconds_of(setting.rounds)
        holds = list(self.holds[number]) if self.holds else []
        done = [setting.rounds] * setting.workers
        exclusion = sweep(holds)
        exclusion = exclusion._replace(contended=exclusion.contended + int(self.meets * setting.rounds))
        if setting.rounds > self.most:
            raise MemoryError
        damage = [Damage("lost update", 1, sum(done))] * (setting.rounds >= self.breaks_at)
        return replace(
            CLEAN,
            wall_ns=int(1e9 * (self.seconds_of(setting.rounds) - self.seconds_of(0))),
            rounds_done=done,
            holds=holds,
            exclusion=exclusion,
            failures=list(self.failures),
            damage=damage,
        )


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch) -> Mount:
    """300 rounds a second, and a tenth of a second for each start."""
    mount = Mount(lambda rounds: 0.1 + rounds / 300)
    for module in (cases, timed):
        monkeypatch.setattr(module, "run_trial", mount.trial)
        monkeypatch.setattr(module, "monotonic", lambda: mount.now)
    return mount


def race(seconds: float, **changed: Any) -> Any:
    return race_for(case_of("counter", "none", workers=2, **changed), [], seconds)


def test_the_first_trial_is_small_and_the_others_take_a_fourth_of_the_time(mount: Mount) -> None:
    row = race(40, rounds=100_000, time_limit_s=100.0)
    first, *others = mount.rounds
    assert first == timed.FIRST_ROUNDS
    assert others[0] <= timed.GROWTH * first
    assert max(map(mount.seconds_of, others)) == pytest.approx(10, rel=0.05)
    assert 37.5 < mount.now <= 40.5
    assert row.operations == 2 * sum(mount.rounds)
    assert [trial.operations for trial in row.trial_samples] == [2 * rounds for rounds in mount.rounds]
    assert (row.trials, row.verdict) == (len(mount.rounds), "clean")


def test_a_start_that_takes_most_of_the_time_is_not_repeated_for_a_few_rounds(mount: Mount) -> None:
    race(1, rounds=100_000)
    assert mount.rounds == [20, 60, 60, 39]  # 0.1 s of each are its start, and it takes three of them
    assert mount.now <= 1


def test_no_trial_has_more_rounds_than_the_setting(mount: Mount) -> None:
    assert race(40, rounds=50).rounds == 50
    assert (mount.rounds[0], max(mount.rounds)) == (20, 50)
    assert 37 < mount.now <= 40.5


def test_a_setting_of_few_rounds_is_kept_by_the_first_trial_too(mount: Mount) -> None:
    race(10, rounds=3)
    assert set(mount.rounds) == {3}


def test_there_is_one_trial_at_least(mount: Mount) -> None:
    assert race(0.001).trials == 1
    assert mount.rounds == [20]


def test_where_a_round_takes_longer_than_its_share_trials_have_one(mount: Mount) -> None:
    mount.seconds_of = lambda rounds: 10.0 * rounds
    race(300)
    assert mount.rounds == [20, *[1] * 10]


def test_trials_keep_well_under_the_time_limit(mount: Mount) -> None:
    race(400, rounds=100_000, time_limit_s=4.0)
    assert max(map(mount.seconds_of, mount.rounds)) < 1.1


def test_a_mount_that_gets_slower_gets_smaller_trials(mount: Mount) -> None:
    mount.seconds_of = lambda rounds: rounds / (900 if mount.now < 8 else 300)
    race(80, rounds=100_000)
    assert max(mount.rounds) == pytest.approx(7.5 * 900, rel=0.01)
    assert mount.rounds[-2] == pytest.approx(7.5 * 300, rel=0.01)


@pytest.mark.parametrize(
    ("meets", "enough", "rounds"),
    [
        (1.0, 20, [20]),  # the first trial showed it
        (1.0, 100, [20, 96]),  # what is missing, and a fifth to spare
        (0.5, 200, [20, 160, 264]),  # eight times as long at most, then what is missing
        (0.0, 100, [20, 160, 720, 720, 720, 479]),  # nobody met: for as long as asked
    ],
)
def test_it_ends_once_enough_requests_met_a_holder(mount: Mount, meets: float, enough: int, rounds: list[int]) -> None:
    mount.meets = meets
    case = case_of("counter", "none", workers=2, rounds=100_000)
    row = race_for(case, [], 10, enough=enough)
    assert mount.rounds == rounds
    assert (row.contended_requests >= enough) == bool(meets)


def test_it_ends_with_the_first_failure(mount: Mount) -> None:
    mount.failures = [KILLED]
    row = race(40)
    assert (row.trials, row.verdict, row.failures) == (1, "died", [KILLED])


def holds(count: int, start: int, *lengths: int) -> list[Row]:
    """So many holds of 1 ns that waited 2, every one after the other, then some of these lengths."""
    made = [(start + 10 * n, start + 10 * n + 1, start + 10 * n - 2, 0, WORD) for n in range(count)]
    return [
        *made,
        *((start + 10**6 * n, start + 10**6 * n + length, start, 1, WORD) for n, length in enumerate(lengths, 1)),
    ]


def test_a_sample_of_the_holds_is_kept_and_all_of_them_counted(mount: Mount) -> None:
    mount.holds = [holds(5_000, 0, 900, 70), holds(3_000, 10**9, 80)] + [[]] * 50
    results = list(
        timed.sampled(timed.timed_trials(case_of("counter", "none").setting, [], 5, timed.FIRST_ROUNDS, inf))
    )
    assert [result.held for result in results[:3]] == [5_002, 3_001, 0]
    assert max(len(result.holds) for result in results) <= timed.KEPT + 2
    assert min(len(result.holds) for result in results[:2]) > timed.KEPT / 2
    row = race_for_again(mount)
    assert (row.holds, row.hold_ns.max, row.wait_ns.max) == (8_003, 900, 2 * 10**6)
    assert row.hold_ns.p50 == 1


def race_for_again(mount: Mount) -> Any:
    mount.rounds.clear()
    mount.now = 0
    return race(5)


def stressed(scenario: str, backing: str, folder: str) -> dict[str, Any]:
    """A stress of 0.7 s by a clock on which each trial races a tenth of one, however long it really takes."""
    tenths = count()

    def trial(setting: Setting, number: int, folders: Sequence[Path]) -> Result:
        return replace(run_trial(setting, number, folders), wall_ns=10**8)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timed, "monotonic", lambda: next(tenths) / 10)
        for module in (cases, timed):
            patch.setattr(module, "run_trial", trial)
        return raced(case_of(scenario, "fcntl", backing, rounds=100), [folder], seconds=0.7)


@pytest.mark.parametrize("backing", ["mapped", "stream", "remapped"])
def test_a_stress_of_a_real_directory_tells_what_it_met(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(stressed, "append_log", backing, str(tmp_path))
    assert (row["verdict"], row["reason"], row["left"]) == ("clean", "", [])
    assert row["contended_requests"] > 100
    assert row["detection_limit"] == detection_limit(row["contended_requests"])
    operations = [trial["operations"] for trial in row["trial_samples"]]
    assert (operations[:3], len(operations)) == ([80, 136, 236], row["trials"])
    assert row["operations"] == row["holds"] == sum(operations)


def test_a_layout_that_depends_on_the_rounds_fits_every_trial(tmp_path: Path) -> None:
    for scenario in ("ring_queue", "linked_list", "sparse_pages"):
        row = in_fresh_process(stressed, scenario, "mapped", str(tmp_path))
        assert (row["verdict"], row["reason"], row["left"]) == ("clean", "", [])
        assert len({trial["operations"] for trial in row["trial_samples"]}) > 2


@pytest.mark.parametrize(
    ("breaks_at", "most", "lock", "raised", "verdict"),
    [
        (256, inf, "none", [256, 256], "damaged"),
        (300, inf, "none", [256, 256, 2048], "damaged"),
        (10_000, inf, "none", [256, 256, 2048, 14_336], "damaged"),
        (inf, 3000, "none", [256, 256, 2048, 14_336], "clean"),
        (300, inf, "fcntl", [256, 256], "clean"),
    ],
    ids=["broke at once", "broke when raised", "broke when raised twice", "too many for memory", "is to be clean"],
)
def test_rounds_are_raised_until_a_case_that_should_break_does(
    mount: Mount, breaks_at: float, most: float, lock: str, raised: list[int], verdict: str
) -> None:
    mount.breaks_at, mount.most, mount.seconds_of = breaks_at, most, lambda rounds: 0.125
    row = cases.run_case(case_of("counter", lock, workers=2, rounds=256), 2, [], raise_rounds=True)
    done = [rounds for rounds in raised if rounds <= most]
    assert (mount.rounds, row.verdict) == (raised, verdict)
    assert (row.rounds, row.trials, row.operations) == (done[-1], len(done), 2 * sum(done))


@pytest.mark.parametrize(
    ("rounds_a_second", "raised"), [(1024, [256, 256, 1024]), (256, [256, 256, 512]), (32, [256, 256])]
)
def test_rounds_are_raised_for_as_long_as_the_trials_took_within_limits(
    mount: Mount, rounds_a_second: int, raised: list[int]
) -> None:
    mount.seconds_of = lambda rounds: rounds / rounds_a_second
    row = cases.run_case(case_of("counter", "none", workers=2, rounds=256), 2, [], raise_rounds=True)
    assert (mount.rounds, row.verdict) == (raised, "clean")


def test_rounds_stay_where_the_user_gave_them(mount: Mount) -> None:
    row = cases.run_case(case_of("counter", "none", workers=2, rounds=256), 2, [])
    assert (row.rounds, row.trials) == (256, 2)
