from __future__ import annotations

import errno
import mmap
import os
import re
import signal
from collections.abc import Iterable
from ctypes import Structure, c_ubyte, c_uint64
from pathlib import Path
from typing import Any

import pytest

from lab.memory import BACKINGS
from lab.scenario import Damage, Outcome, Scenario, Worker, find_scenarios
from tests.helpers import in_fresh_process
from tests.locking.holder import listed_on
from tests.racing.racing import case_of, raced

SEGMENTS = [name for name, backing in BACKINGS.items() if not backing.of_file]
SCENARIOS = [found.name for found in find_scenarios([])]

OTHERS = ["stream", "remapped", "remapped_stream", *SEGMENTS]


def race(scenario: str, lock: str, backing: str, folder: str, **changed: Any) -> dict[str, Any]:
    return raced(case_of(scenario, lock, backing, **changed), [folder])


def race_all(backing: str, folder: str, **changed: Any) -> dict[str, dict[str, Any]]:
    return {name: race(name, "fcntl", backing, folder, **changed) for name in SCENARIOS}


@pytest.mark.parametrize("window_ns", [0, 1000])
@pytest.mark.parametrize("backing", OTHERS)
def test_the_locked_scenarios_are_clean_in_every_backing(backing: str, window_ns: int, tmp_path: Path) -> None:
    rows = in_fresh_process(race_all, backing, str(tmp_path), rounds=40, window_ns=window_ns)
    keys = ("verdict", "reason", "backing", "operations", "unrecorded_holds", "left")
    found = {name: [row[key] for key in keys] for name, row in rows.items()}
    assert found == {name: ["clean", "", backing, 160, 0, []] for name in SCENARIOS}
    assert [name for name, row in rows.items() if row["holds"] < 160] == []


@pytest.mark.parametrize("lock", ["ofd", "flock"])
@pytest.mark.parametrize("backing", OTHERS)
def test_other_locks_cover_the_backings_too(lock: str, backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race, "bank", lock, backing, str(tmp_path), rounds=40)
    assert (row["verdict"], row["operations"], row["holds"]) == ("clean", 160, 320)


@pytest.mark.parametrize("backing", ["mapped", *OTHERS])
def test_an_unlocked_counter_with_a_window_breaks_in_every_backing(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race, "counter", "none", backing, str(tmp_path), rounds=5, window_ns=20_000_000)
    assert (row["verdict"], row["damage"][0]["kind"], row["left"]) == ("damaged", "lost update", [])
    assert row["damage"][0]["count"] >= 5


@pytest.mark.parametrize("backing", OTHERS)
def test_a_lock_that_lies_is_noticed_in_every_backing(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race, "append_log", "fcntl", backing, str(tmp_path), rounds=200, leak=0.5)
    assert row["overlapping_holds"] > 0


def refuse_mappings(*backings: str, folder: str) -> list[list[Any]]:
    """Verdict and reason where the filesystem cannot map files, as FUSE cannot under direct I/O."""
    mapped = mmap.mmap

    class Refusing(mapped):  # type: ignore[misc, valid-type]
        def __new__(cls, descriptor: int, *rest: Any, **named: Any) -> Any:
            if descriptor != -1:
                raise OSError(errno.ENODEV, "No such device")
            return mapped(descriptor, *rest, **named)

    vars(mmap)["mmap"] = Refusing
    rows = [race("counter", "fcntl", backing, folder, rounds=20) for backing in backings]
    return [[row["verdict"], row["reason"], row["left"]] for row in rows]


def test_where_files_cannot_be_mapped_a_stream_works_and_the_others_are_refused(tmp_path: Path) -> None:
    backings = ["mapped", "remapped", "stream"]
    mapped, remapped, stream = in_fresh_process(refuse_mappings, *backings, folder=str(tmp_path))
    assert stream == ["clean", "", []]
    for name, (verdict, reason, left) in (("mapped", mapped), ("remapped", remapped)):
        assert (verdict, left) == ("unsupported", [])
        assert f"refuses the mapping of backing {name} (No such device); try another --dir" in reason


class Holds(Scenario):
    """Tells what the lock and the bytes of the file are on."""

    locks = ("fcntl",)

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            files = list(Path(w.path).parent.iterdir())
            beside = [path for path in files if any(listed_on(path) for _ in range(20))]  # a look may miss a line
            w.damaged("locked", ", ".join(path.name.partition("trial")[2] for path in beside))
            w.damaged("whole" if type(w.memory) is self.Memory else "laid over", "")

    def check(self, memory: Any, outcome: Outcome) -> Damage | Iterable[Damage]:
        return []


def race_mine(kind: str, lock: str, backing: str, folder: str, **changed: Any) -> dict[str, Any]:
    """The row of a scenario of this module, with what it told by its kind."""
    row = raced(case_of(globals()[kind], lock, backing, **{"rounds": 1, **changed}), [folder])
    return {**row, "told": {each["kind"]: each["evidence"][0].partition(": ")[2] for each in row["damage"]}}


@pytest.mark.parametrize(
    ("backing", "locked", "memory"),
    [
        ("mapped", "-0", "whole"),
        ("private", "-0", "whole"),
        ("stream", "-0", "laid over"),
        ("remapped", "-0.lock", "laid over"),
    ],
)
def test_the_lock_is_on_the_file_unless_that_is_remapped(
    backing: str, locked: str, memory: str, tmp_path: Path
) -> None:
    row = in_fresh_process(race_mine, "Holds", "fcntl", backing, str(tmp_path), workers=1)
    assert row["told"] == {"locked": locked, memory: ""}


class Written(Holds):
    """Tells by which calls it writes."""

    class Memory(Structure):
        _fields_ = [("value", c_uint64), ("record", c_ubyte * 100)]

    def start(self, w: Worker) -> None:
        self.write, os.pwrite = os.pwrite, lambda *given: self.told(w, *given)

    def told(self, w: Worker, descriptor: int, data: bytes, start: int) -> int:
        w.damaged(f"pwrite {len(data)} at {start}", "")
        return self.write(descriptor, data, start)

    def work(self, w: Worker) -> None:
        w.bytes(self.Memory.record)[:] = b"x" * 100
        w.memory.value = 1


@pytest.mark.parametrize(
    ("window_ns", "calls"), [(0, ["pwrite 100 at 8"]), (1000, ["pwrite 50 at 8", "pwrite 50 at 58"])]
)
def test_a_slice_of_bytes_is_one_write_and_two_within_a_window(
    window_ns: int, calls: list[str], tmp_path: Path
) -> None:
    row = in_fresh_process(race_mine, "Written", "none", "stream", str(tmp_path), workers=1, window_ns=window_ns)
    assert list(row["told"]) == [*calls, "pwrite 8 at 0"]


class Gone(Holds):
    """The name of the file is gone when the file is opened again."""

    def work(self, w: Worker) -> None:
        Path(w.path).unlink(missing_ok=True)
        w.reopen()


class GoneInside(Holds):
    """The name of the file is gone when a lock is granted."""

    def work(self, w: Worker) -> None:
        Path(w.path).unlink(missing_ok=True)
        with w.write_lock(self.Memory.value):
            w.memory.value += 1


@pytest.mark.parametrize(
    ("kind", "backing"), [("Gone", "mapped"), ("Gone", "stream"), ("Gone", "remapped"), ("GoneInside", "remapped")]
)
def test_a_file_that_is_gone_when_it_is_opened_again_is_a_failure(kind: str, backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race_mine, kind, "fcntl", backing, str(tmp_path))
    assert (row["verdict"], len(row["failures"]), row["left"]) == ("died", 4, [])
    assert re.search(r"a system call was refused: \S+: No such file or directory \(ENOENT\)", row["reason"])


class Again(Holds):
    """Opens the file again between two holds."""

    def work(self, w: Worker) -> None:
        for _ in range(2):
            with w.write_lock(self.Memory.value):
                w.memory.value += 1
            w.reopen()
            if w.stale():
                w.damaged("stale")
            links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if os.path.lexists(link)]
            if links.count(Path(w.path)) > 2:  # a mapping has one of its own
                w.damaged("left open")

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost update", 2 * outcome.rounds - memory.value, 2 * outcome.rounds)


@pytest.mark.parametrize("backing", ["mapped", *OTHERS])
def test_a_file_can_be_opened_again_between_holds(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race_mine, "Again", "fcntl", backing, str(tmp_path))
    assert (row["verdict"], row["reason"], row["holds"], row["unrecorded_holds"]) == ("clean", "", 8, 0)


class Replaced(Holds):
    """Puts another file under the name, and opens that."""

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            w.memory.value += 1
        beside = Path(f"{w.path}.new")
        beside.write_bytes(Path(w.path).read_bytes())
        beside.replace(w.path)
        w.reopen()

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost update", outcome.rounds - memory.value, outcome.rounds)


@pytest.mark.parametrize(("backing", "holds"), [("mapped", 1), ("stream", 1), ("remapped", 2)])
def test_holds_are_recorded_for_as_long_as_they_are_on_the_same_file(backing: str, holds: int, tmp_path: Path) -> None:
    row = in_fresh_process(race_mine, "Replaced", "fcntl", backing, str(tmp_path), workers=1, rounds=2)
    assert (row["verdict"], row["holds"], row["unrecorded_holds"]) == ("clean", holds, 2 - holds)


@pytest.mark.parametrize("backing", SEGMENTS)
@pytest.mark.parametrize(
    ("scenario", "lock"), [("threads", "ofd"), ("forked_holder:fixed", "fcntl"), ("killed_holder:fixed", "fcntl")]
)
def test_twins_and_children_of_workers_open_the_same_memory(
    scenario: str, lock: str, backing: str, tmp_path: Path
) -> None:
    row = in_fresh_process(race, scenario, lock, backing, str(tmp_path), rounds=3)
    assert (row["verdict"], row["reason"], row["operations"], row["left"]) == ("clean", "", 12, [])


@pytest.mark.parametrize("window_ns", [0, 1000])
@pytest.mark.parametrize("lock", ["none", "fcntl", "ofd", "flock"])
def test_a_private_counter_loses_every_update_as_is_to_be_expected(lock: str, window_ns: int, tmp_path: Path) -> None:
    row = in_fresh_process(race, "counter", lock, "private", str(tmp_path), rounds=40, window_ns=window_ns)
    assert (row["verdict"], row["expected"], row["damaged"], row["overlapping_holds"]) == ("damaged", "damaged", 160, 0)
    assert row["reason"] == "in backing private the stores stay in each worker's own copy, whatever the lock"
    assert (row["shares"], row["why"], row["left"]) == (False, "", [])


@pytest.mark.parametrize("scenario", ["torn_record", "readers_writers", "overlap"])
def test_a_scenario_that_finds_its_own_copy_whole_is_expected_clean_in_private(scenario: str, tmp_path: Path) -> None:
    row = in_fresh_process(race, scenario, "none", "private", str(tmp_path), rounds=40)
    assert (row["verdict"], row["expected"], row["operations"]) == ("clean", "clean", 160)


@pytest.mark.parametrize(
    ("scenario", "lock", "backing", "told"),
    [
        ("private_mapping", "fcntl", "private", True),
        ("private_mapping", "none", "mapped", False),
        ("check_then_lock", "fcntl", "sysv", True),
        ("check_then_lock", "fcntl", "private", False),
    ],
)
def test_a_counterexample_is_told_where_it_is_what_breaks_the_data(
    scenario: str, lock: str, backing: str, told: bool, tmp_path: Path
) -> None:
    row = in_fresh_process(race, scenario, lock, backing, str(tmp_path), rounds=2)
    assert (row["expected"], bool(row["why"])) == ("damaged", told)


class Touches(Holds):
    """Stores to a page for which there is no room: the kernel answers with SIGBUS."""

    def work(self, w: Worker) -> None:
        os.kill(os.getpid(), signal.SIGBUS)


@pytest.mark.parametrize("backing", SEGMENTS)
def test_a_page_of_memory_for_which_there_is_no_room_is_told_as_that(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race_mine, "Touches", "fcntl", backing, str(tmp_path), workers=1)
    assert "SIGBUS: there was no room for a page of the shared memory (no space)" in row["reason"]
