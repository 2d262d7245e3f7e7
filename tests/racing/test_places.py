from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from ctypes import Structure, c_uint64
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.memory import BACKINGS, MAPPED, Backing, FileBacking
from lab.racing import trial as places
from lab.racing.trial import trial_file
from lab.scenario import Damage, Outcome, Scenario, Worker
from tests.helpers import in_fresh_process
from tests.needs import need
from tests.racing.racing import case_of, raced

REMAPPED = BACKINGS["remapped"]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """One directory by two names."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").symlink_to(tmp_path / "one")
    return [tmp_path / "one", tmp_path / "two"]


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[list[Path]]:
    """One directory, mounted at two places."""
    both = [tmp_path / "first", tmp_path / "second"]
    for folder in both:
        folder.mkdir()
    need("mounts")
    subprocess.run(["mount", "--bind", *both], check=True)  # noqa: S607
    try:
        yield both
    finally:
        subprocess.run(["umount", both[1]], check=True)  # noqa: S607


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition("trial")[2] for path in folder.iterdir())


@pytest.mark.parametrize(("backing", "beside"), [(MAPPED, ["-3"]), (REMAPPED, ["-3", "-3.lock"])])
def test_the_file_is_there_within_the_block_and_gone_after(backing: Backing, beside: list[str], tmp_path: Path) -> None:
    with trial_file(backing, 3, [tmp_path], b"\5" * 10, sparse=False) as ((path,), _):
        assert (names(tmp_path), Path(path).read_bytes()) == (beside, b"\5" * 10)
    assert names(tmp_path) == []


def test_it_has_a_name_in_each_folder(folders: list[Path]) -> None:
    with trial_file(MAPPED, 0, folders, bytes(10), sparse=False) as (paths, _):
        assert [Path(path).parent for path in paths] == folders
        assert Path(paths[0]).samefile(paths[1])


def test_the_same_trial_gets_another_name_the_next_time(tmp_path: Path) -> None:
    with trial_file(MAPPED, 0, [tmp_path], b"0", sparse=False) as ((one,), _):
        pass
    with trial_file(MAPPED, 0, [tmp_path], b"0", sparse=False) as ((other,), _):
        assert one != other


@pytest.mark.parametrize("backing", [MAPPED, REMAPPED])
def test_a_folder_that_does_not_show_the_file_is_named_and_nothing_stays(backing: Backing, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    trial = trial_file(backing, 0, [one, two], bytes(10), sparse=False)
    with pytest.raises(CannotRunError, match=f"{two}: does not show a file made in {one} .No such file.*; give dir"):
        trial.__enter__()
    assert (names(one), names(two)) == ([], [])


def test_a_backing_that_is_refused_is_found_out_before_anybody_races(tmp_path: Path) -> None:
    trial = trial_file(FileBacking("neither", "EINVAL (mmap(2))", 0), 0, [tmp_path], bytes(10), sparse=False)
    with pytest.raises(CannotRunError, match=f"{tmp_path}: this filesystem refuses the mapping of backing neither"):
        trial.__enter__()
    assert names(tmp_path) == []


def test_a_folder_that_shows_another_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.setattr(places, "time_ns", lambda: 255)
    (two / "ff-trial-0").write_bytes(b"old")
    trial = trial_file(MAPPED, 0, [one, two], bytes(10), sparse=False)
    with pytest.raises(CannotRunError, match=f"{two}: shows 3 of the 10 bytes of a file made in {one}; give dir"):
        trial.__enter__()
    assert names(one) == []


class Where(Scenario):
    """Every worker says by which name it knows the file, and where it has it open; together they count."""

    rounds = 20
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def start(self, w: Worker) -> None:
        w.damaged(Path(w.path).parent.name, "")
        links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if os.path.lexists(link)]
        for mount in {link.parent.name for link in links if "-trial-" in link.name}:
            w.damaged(f"open in {mount}", "")

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            w.memory.value += 1

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost update", outcome.rounds - memory.value, outcome.rounds)


def race_where(backing: str, workers: int, folders: list[str]) -> dict[str, Any]:
    row = raced(case_of(Where, "fcntl", backing, workers=workers), folders)
    seen = Counter({damage["kind"]: damage["count"] for damage in row["damage"]})
    return {"seen": seen, "left": row["left"], "reason": row["reason"], "overlaps": row["overlapping_holds"]}


@pytest.mark.parametrize("backing", ["mapped", "stream", "remapped", "sysv", "posix", "anonymous"])
def test_workers_are_shared_out_among_the_folders_and_count_together(backing: str, folders: list[Path]) -> None:
    told = in_fresh_process(race_where, backing, 5, list(map(str, folders)))
    assert (told["seen"], told["overlaps"], told["left"]) == ({"one": 3, "two": 2, "open in one": 5}, 0, [])


@pytest.mark.parametrize("backing", ["mapped", "stream", "remapped", "sysv", "posix", "anonymous"])
def test_workers_on_two_mounts_count_together(backing: str, bound: list[Path]) -> None:
    told = in_fresh_process(race_where, backing, 4, list(map(str, bound)))
    assert told["seen"] == {"first": 2, "second": 2, "open in first": 2, "open in second": 2}
    assert (told["overlaps"], told["left"]) == (0, [])


def race_counter(folders: list[str]) -> list[Any]:
    row = raced(case_of("counter", "fcntl"), folders)
    return [row["verdict"], row["reason"], row["left"]]


def test_two_folders_that_are_not_one_are_no_race(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    verdict, reason, left = in_fresh_process(race_counter, [str(one), str(two)])
    assert (verdict, left) == ("unsupported", [])
    assert "two: does not show a file made in" in reason


def test_a_lock_is_tried_in_every_folder(folders: list[Path], tmp_path: Path) -> None:
    verdict, reason, _ = in_fresh_process(race_counter, [str(folders[0]), "/proc"])
    assert (verdict, reason.partition(" (")[0]) == ("unsupported", "/proc: cannot make a file there")
