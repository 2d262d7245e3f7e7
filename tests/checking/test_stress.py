"""The stress of a check: what it races for which guarantee, and what it says on filesystems broken in one way."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lab.analysis.statistics import detection_limit
from lab.api.values import MOST_CHECKERS
from lab.checking.guarantees import DATA, FILES, GUARANTEES, LOCK_FILES
from lab.checking.rules import RULES
from lab.checking.stress import run
from lab.checking.stress.lock_files import LinkedFile
from lab.checking.stress.plan import NO_LOCK, OWN_FILES, PLAN, planned
from lab.checking.stress.run import Answering, check_workers
from lab.checking.stress.scenarios import Neighbours
from lab.errors import UsageError
from lab.gallery import builtin_names
from lab.locking.registry import REFUSED, polled
from lab.processes import Exit
from lab.scenario import Outcome
from tests.checking.mounts import FILESYSTEMS
from tests.checking.stressing import stressed, stressed_under_a_liar
from tests.helpers import PATIENCE_S, in_fresh_process, wait_until

pytestmark = pytest.mark.mounts

EXCLUSION = ["posix", "ofd", "flock"]


@contextmanager
def mounted(name: str) -> Iterator[list[str]]:
    """The directories of a filesystem; skips where it cannot be had."""
    with ExitStack() as stack:
        directories = stack.enter_context(FILESYSTEMS[name]())
        yield [str(directory) for directory in directories]


def stress_of(name: str, asked: list[str], seconds: float) -> list[dict[str, Any]]:
    with mounted(name) as folders:
        rows: list[dict[str, Any]] = in_fresh_process(stressed, folders, asked, seconds)
    return rows


def test_two_processes_of_one_number_on_two_hosts_do_not_share_the_file_that_they_link(tmp_path: Path) -> None:
    path = tmp_path / "name"
    makers = [LinkedFile(str(path)) for _ in range(3)]
    makers[0].acquire()
    waiting = [Thread(target=maker.acquire) for maker in makers[1:]]
    for each in waiting:
        each.start()
    wait_until(lambda: len(list(tmp_path.iterdir())) == 4, "both wait with a file of their own")
    for maker in makers:
        wait_until(path.exists, "one has the lock")
        maker.release()
    for each in waiting:
        each.join(PATIENCE_S)
    assert not any(each.is_alive() for each in waiting)


ENOUGH = 7_000
"""Requests that met a holder: where a lock lies 1 time in 1,000, so many overlook it 1 time in 1,000."""


def strong_stress(stress_for: Callable[[float], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A stress in which each race found something, or met enough to have found it: a busy machine takes longer."""
    for seconds in (2.0, 6.0, 18.0, 36.0):
        rows = stress_for(seconds)
        met = [max(row["case"]["contended_requests"], row["case"]["refused_requests"]) for row in rows]
        if all(row["verdict"] == "unsafe" or count >= ENOUGH for row, count in zip(rows, met, strict=True)):
            break
    return rows


def verdicts(rows: list[dict[str, Any]]) -> set[str]:
    return {row["verdict"] for row in rows}


# The plan


def test_every_rule_of_data_under_a_race_is_covered() -> None:
    assert {rule for entry in PLAN for rule in entry.rules} == {rule.number for rule in RULES if rule.part == "stress"}


def test_every_entry_is_about_a_guarantee_and_no_race_comes_twice() -> None:
    assert {entry.guarantee for entry in PLAN} == {*EXCLUSION, *FILES}
    races = [(entry.guarantee, entry.scenario, entry.lock, entry.backing, entry.polled) for entry in PLAN]
    assert len(set(races)) == len(PLAN)


def test_a_race_has_room_for_as_many_workers_as_the_command_takes_and_for_no_more() -> None:
    check_workers(GUARANTEES, MOST_CHECKERS)
    with pytest.raises(UsageError, match=f"{MOST_CHECKERS + 1} workers are more than its {MOST_CHECKERS}"):
        check_workers(GUARANTEES, MOST_CHECKERS + 1)
    check_workers(["ranges", "posix"], MOST_CHECKERS + 1)


def test_what_is_not_asked_for_is_not_raced() -> None:
    assert {entry.guarantee for entry in planned(["flock", "mapping", "ranges"])} == {"flock", "mapping"}
    assert planned(["ranges", "modes"]) == []


def test_the_neighbours_are_no_scenario_of_the_gallery() -> None:
    assert "neighbours" not in builtin_names()


def test_a_slot_that_falls_short_is_told() -> None:
    scenario = Neighbours()
    memory = scenario.layout(3, 5)(slots=(5, 3, 5))
    damage = scenario.check(memory, Outcome(15, [5, 5, 5]))
    assert (damage.kind, damage.count, damage.of) == ("lost update", 2, 15)
    assert damage.evidence == ["slot 1 is 3 after 5 additions"]


# A local directory, safe and with a lock that lies


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = in_fresh_process(
        stressed, [str(tmp_path_factory.mktemp("stress"))], list(GUARANTEES), 4.0
    )
    return rows


def test_a_local_directory_is_safe_and_nothing_is_left_there(everything: list[dict[str, Any]]) -> None:
    assert len(everything) == len(PLAN)
    assert verdicts(everything) == {"safe"}
    assert everything[0]["left"] == []


def test_each_row_says_what_was_raced(everything: list[dict[str, Any]]) -> None:
    for entry, row in zip(PLAN, everything, strict=True):
        case = row["case"]
        assert (row["guarantee"], row["rules"], row["polled"]) == (entry.guarantee, list(entry.rules), entry.polled)
        assert (case["scenario"], case["lock"], case["backing"]) == (
            entry.scenario,
            entry.lock or "fcntl",
            entry.backing.replace(OWN_FILES, "anonymous"),
        )
        assert (case["workers"], case["false_deadlocks"]) == (4, 0)
        assert (case["window_ns"] > 0) <= (entry.guarantee in LOCK_FILES), "to make a name may take long"


def test_every_race_for_a_lock_meets_holds_but_that_of_the_neighbours(everything: list[dict[str, Any]]) -> None:
    met = {row["case"]["scenario"] for row in everything if row["case"]["contended_requests"]}
    assert met == {entry.scenario for entry in PLAN if entry.lock != NO_LOCK} - {"neighbours"}


def test_requests_that_do_not_wait_are_refused_and_counted(everything: list[dict[str, Any]]) -> None:
    polled_rows = [row for row in everything if row["polled"]]
    assert all(row["case"]["refused_requests"] > row["case"]["contended_requests"] for row in polled_rows)
    for row in polled_rows:
        assert row["case"]["detection_limit"] == detection_limit(row["case"]["refused_requests"])
    assert not any(row["case"]["refused_requests"] for row in everything if not row["polled"])


@pytest.mark.parametrize("guarantee", EXCLUSION)
def test_a_lock_that_lies_once_in_a_thousand_is_noticed_both_ways(guarantee: str, tmp_path: Path) -> None:
    rows = strong_stress(
        lambda seconds: in_fresh_process(stressed_under_a_liar, str(tmp_path), [guarantee], seconds, 0.001)
    )
    found = [(row["polled"], row["verdict"], row["case"]["overlapping_holds"] > 0) for row in rows]
    assert found == [(True, "unsafe", True), (False, "unsafe", True)]


def test_a_lock_that_always_lies_breaks_the_data_of_every_race_but_the_neighbours(tmp_path: Path) -> None:
    rows = in_fresh_process(stressed_under_a_liar, str(tmp_path), list(DATA), 4.0, 1.0)
    assert {row["case"]["scenario"] for row in rows if not row["case"]["damage"]} == {"neighbours"}
    assert {row["verdict"] for row in rows if row["guarantee"] != "neighbours"} == {"unsafe"}


LOCKS_OF_DATA = [
    (["fcntl"], EXCLUSION, "ofd"),
    (["fcntl", "ofd"], EXCLUSION, "flock"),
    (["fcntl", "ofd", "flock"], EXCLUSION, "fcntl"),
    (["ofd"], EXCLUSION, "fcntl"),
    ([], ["flock"], "flock"),
]


@pytest.mark.parametrize(("liars", "exclusion", "lock"), LOCKS_OF_DATA)
def test_data_is_raced_under_the_first_lock_that_let_nobody_in_when_it_was_raced_for_itself(
    liars: list[str], exclusion: list[str], lock: str, tmp_path: Path
) -> None:
    rows = in_fresh_process(stressed_under_a_liar, str(tmp_path), [*exclusion, "pread", "remapped"], 2.0, 1.0, liars)
    own = [row for row in rows if row["guarantee"] in ("pread", "remapped")]
    assert {row["case"]["lock"] for row in own} == {lock}
    assert {row["verdict"] for row in own} == {"unsafe" if lock in liars else "safe"}


def test_once_a_lock_let_two_in_in_a_race_for_the_data_the_next_one_is_tried(tmp_path: Path) -> None:
    rows = in_fresh_process(stressed_under_a_liar, str(tmp_path), ["pread", "mapping"], 2.0, 1.0, ["fcntl"])
    assert [(row["case"]["lock"], row["case"]["overlapping_holds"] > 0) for row in rows] == [
        ("fcntl", True), *[("ofd", False)] * (len(rows) - 1)
    ]  # fmt: skip


# Filesystems that are broken


def test_a_fuse_server_that_lies_once_in_a_thousand_is_noticed_under_every_lock() -> None:
    rows = strong_stress(lambda seconds: stress_of("fuse_lies_1000", EXCLUSION, seconds))
    caught = {row["guarantee"] for row in rows if row["verdict"] == "unsafe" and row["case"]["overlapping_holds"]}
    assert caught == set(EXCLUSION)


def test_an_honest_fuse_mount_is_safe_and_requests_meet_holds() -> None:
    rows = stress_of("fuse_honest", ["posix", "mapping", "remapped"], 3.0)
    assert verdicts(rows) == {"safe"}
    assert all(row["case"]["window_ns"] >= run.WORTH_SLEEPING_NS for row in rows)
    waited = [row["case"] for row in rows if not row["polled"] and row["case"]["scenario"] != "sparse_pages"]
    assert all(case["contended_requests"] > case["holds"] / 10 for case in waited)


def test_a_mapping_through_two_mounts_is_stale_and_one_remapped_in_the_lock_is_not() -> None:
    rows = stress_of("fuse_honest_two", ["posix", "mapping", "remapped", "neighbours"], 3.0)
    unsafe = {(row["guarantee"], row["backing"]) for row in rows if row["verdict"] == "unsafe"}
    assert unsafe >= {("mapping", "mapped"), ("neighbours", "mapped")}
    assert {row["verdict"] for row in rows if row["guarantee"] in ("posix", "remapped")} == {"safe"}
    assert not any(row["case"]["overlapping_holds"] for row in rows)


def test_locks_of_two_mounts_that_know_nothing_of_each_other_are_unsafe() -> None:
    rows = stress_of("fuse_no_lock_two", EXCLUSION, 2.0)
    assert verdicts(rows) == {"unsafe"}
    assert all(row["case"]["overlapping_holds"] for row in rows)


def test_what_is_not_there_is_unsupported_locks_with_the_data_under_them_and_mappings_alone() -> None:
    rows = stress_of("fuse_enosys", [*EXCLUSION, "pread"], 2.0)
    assert verdicts(rows) == {"unsupported"}
    assert {row["case"]["reason"] for row in rows if row["guarantee"] == "flock"} == {"lock flock: refused (ENOSYS)"}
    rows = stress_of("fuse_direct_io", ["pread", "mapping", "remapped"], 2.0)
    found = {(row["guarantee"], row["verdict"]) for row in rows}
    assert found == {("pread", "safe"), ("mapping", "unsupported"), ("remapped", "unsupported")}


def test_a_deadlock_that_is_made_up_is_counted_and_ends_nothing() -> None:
    rows = stress_of("fuse_false_deadlock", ["posix", "pread"], 3.0)
    assert verdicts(rows) == {"safe"}
    assert sum(row["case"]["false_deadlocks"] for row in rows) > 0


def test_after_the_first_hung_race_of_a_lock_nothing_waits_for_it_again() -> None:
    rows = stress_of("fuse_wakes_nobody", ["posix", "pread", "mapping"], 2.0)
    assert {row["verdict"] for row in rows if row["polled"]} == {"safe"}
    [hung] = [row["case"] for row in rows if not row["polled"]]
    assert (hung["verdict"], hung["failures"][0]["how"]) == ("timeout", "late")
    assert "waiting for the write lock" in hung["reason"]
    assert {row["guarantee"] for row in rows if row["polled"]} == {"posix", "pread", "mapping"}


def test_a_lock_that_was_not_handed_over_before_is_raced_without_waiting(tmp_path: Path) -> None:
    rows = in_fresh_process(stressed, [str(tmp_path)], ["posix", "ofd", "pread"], 1.0, 2, ["posix"])
    waited = {(row["guarantee"], row["case"]["lock"]): row["verdict"] for row in rows if not row["polled"]}
    assert waited == {("posix", "fcntl"): "unknown", ("ofd", "ofd"): "safe", ("pread", "ofd"): "safe"}
    [untried] = [row["case"]["reason"] for row in rows if row["verdict"] == "unknown"]
    assert untried == "lock fcntl: not tried again, for it hung before"
    assert {row["verdict"] for row in rows if row["polled"]} == {"safe"}


def test_a_worker_that_sigkill_does_not_end_is_told_with_the_place_where_it_hangs() -> None:
    rows = stress_of("fuse_never_answers", EXCLUSION, 2.0)
    assert verdicts(rows) == {"unknown"}
    stuck = [failure for row in rows for failure in row["case"]["failures"]]
    assert len({failure["pid"] for failure in stuck}) == len(stuck) == len(EXCLUSION)
    assert {failure["where"] for failure in stuck} == {"request_wait_answer"}
    assert [row["case"]["reason"] for row in rows[: len(EXCLUSION)]] == [
        f"a worker asked for the lock {lock}, alone with a new file, and hangs in request_wait_answer: it does not end "
        "on SIGKILL"
        for lock in ("fcntl", "ofd", "flock")
    ]


def test_a_worker_that_is_late_and_ends_on_a_signal_was_still_at_work() -> None:
    failure = run._failure("flock", Exit(2, -15, late=True))
    assert failure
    assert failure.reason == "asked for the lock flock, alone with a new file, and was still at work after 2 s"
    assert run._failure("flock", Exit(2, 0)) is None


def test_a_filesystem_that_is_full_leaves_data_unknown_and_not_the_lock_that_needs_no_room() -> None:
    with mounted("ext4_loop") as [folder]:
        fill(Path(folder) / "filler")
        rows = in_fresh_process(stressed, [folder], ["posix", "mapping"], 1.0)
    assert {(row["guarantee"], row["verdict"]) for row in rows} == {("posix", "safe"), ("mapping", "unknown")}
    assert {row["case"]["reason"] for row in rows if row["guarantee"] == "mapping"} == {
        "the filesystem is full (no space left); make room, or give another DIR"
    }
    assert set(rows[0]["left"]) == {"filler", "lost+found"}


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler:
        for size in (1 << 20, 4096, 1):
            with pytest.raises(OSError, match="No space"):
                write_for_ever(filler.fileno(), bytes(size))


def write_for_ever(descriptor: int, data: bytes) -> None:
    while True:
        os.write(descriptor, data)
        os.fsync(descriptor)


# Stopped on the way


def interrupted_stress(folder: str) -> dict[str, Any]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupter = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.7; kill -INT {os.getpid()}"])
    try:
        stressed([folder], ["pread"], 60.0)
    except KeyboardInterrupt:
        interrupter.wait()
        children = Path("/proc/self/task").joinpath(str(ctypes.CDLL(None).gettid()), "children").read_text()
        return {"children": children, "left": [entry.name for entry in Path(folder).iterdir()]}
    return {}


def test_an_interrupt_comes_through_once_the_workers_are_gone(tmp_path: Path) -> None:
    assert in_fresh_process(interrupted_stress, str(tmp_path)) == {"children": "", "left": []}


# Locks


@pytest.mark.parametrize("code", sorted(REFUSED))
def test_a_lock_is_refused_for_what_the_manual_says(code: int) -> None:
    assert Answering(errno=code).refused
    assert not Answering(errno=errno.ENOSPC).refused


def test_the_window_is_as_long_as_a_request_takes_where_that_is_worth_a_sleep() -> None:
    assert [Answering(pair_ns=ns).window_ns for ns in (1_500, 165_000, 80_000_000)] == [0, 165_000, 5_000_000]


def test_the_time_limit_follows_a_slow_lock() -> None:
    assert [Answering(pair_ns=ns).time_limit_s(4) for ns in (1_500, 20_000_000)] == [run.TRIAL_S, 20]


@pytest.mark.parametrize(
    ("handoff_s", "workers", "limit_s", "rounds"),
    [(0.0, 4, 5, 20), (0.001, 8, 5, 20), (0.001, 16, 10, 20), (0.05, 4, 32, 20), (0.5, 4, 60, 5), (20.0, 8, 60, 1)],
)
def test_where_locks_are_handed_over_slowly_a_trial_is_longer_and_of_fewer_rounds(
    handoff_s: float, workers: int, limit_s: float, rounds: int
) -> None:
    here = Answering(pair_ns=1_500, handoff_s=handoff_s)
    assert (here.time_limit_s(workers), here.first_rounds(workers)) == (limit_s, rounds)


@pytest.mark.parametrize("name", ["ofd", "flock"])
def test_a_polled_lock_that_is_held_is_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("r+b") as one, path.open("r+b") as other:
        acquire, release = polled(name).actions(one.fileno(), 0, 8, write=True)
        again, give_back = polled(name).actions(other.fileno(), 0, 8, write=True)
        acquire()
        with pytest.raises(BlockingIOError):
            again()
        release()
        again()
        give_back()
