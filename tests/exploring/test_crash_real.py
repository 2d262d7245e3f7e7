"""Crashes on real filesystems: their power is cut, and what they leave is the model's file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from ctypes import c_ubyte, c_uint64
from pathlib import Path
from typing import Any

import pytest

from lab import Damage, Outcome
from lab.errors import CannotRunError, UsageError
from lab.exploring.crash import real, script
from lab.exploring.crash.replay import reproduce
from lab.host import disks
from lab.processes.guarded import Hung, run_guarded
from lab.records import ReplayOptions
from lab.report.text.replay import exit_code, text_of
from tests.exploring.test_crash import Kind, explored
from tests.exploring.test_crash_replay import token_of
from tests.exploring.worlds import scenario_of
from tests.helpers import PATIENCE_S, ROOT, in_fresh_process, wait_until

needs_power = pytest.mark.needs("power")

TWICE = "undo_journal:recovery_clears_early"
IN_BETWEEN = "undo_journal:flag_with_journal"
"""A page is on the disk as it was neither at first nor at last: it is written back in the middle of a round."""


def token(name: str, kind: Kind = "power") -> str:
    made = explored(name, kind).token
    assert made
    return made


def performed(made: str, directory: str, kinds: list[str], times: int = 1) -> dict[str, Any]:
    done = reproduce(ReplayOptions(made, times, directory, PATIENCE_S, kinds))
    figures = {each.filesystem: [each.times, each.reproduced, each.divergence] for each in done.on_disks}
    return {"figures": figures, "code": exit_code(done), "text": text_of(done)}


def performed_both(twice: str, in_between: str, directory: str) -> list[dict[str, Any]]:
    return [performed(twice, directory, ["all"], 2), performed(in_between, directory, ["xfs"])]


@pytest.mark.mounts
@needs_power
def test_a_power_failure_leaves_the_model_s_file_on_real_filesystems(tmp_path: Path) -> None:
    assert token(TWICE).count("+p") == 2
    twice, in_between = in_fresh_process(performed_both, token(TWICE), token(IN_BETWEEN), str(tmp_path))
    assert (twice["figures"], twice["code"]) == ({"ext4": [2, 2, ""], "xfs": [2, 2, ""]}, 0)
    assert "ext4: reproduced 2 of 2\nxfs: reproduced 2 of 2\n" in twice["text"]
    assert "found, not made" in twice["text"].replace("\n  ", " ")
    assert max(map(len, twice["text"].splitlines())) <= 80
    assert in_between["figures"] == {"xfs": [1, 1, ""]}
    assert list(tmp_path.iterdir()) == []


def by_function(made: str, directory: str) -> list[Any]:
    import lab

    done = lab.replay(made, real="ext4", times=1, dir=directory)
    done.assert_reproduced()
    return [str(done), [each.filesystem for each in done.record.on_disks]]


@pytest.mark.mounts
@needs_power
def test_the_function_cuts_the_power_too(tmp_path: Path) -> None:
    said, on_disks = in_fresh_process(by_function, token(IN_BETWEEN), str(tmp_path))
    assert ("ext4: reproduced 1 of 1" in said, on_disks) == (True, ["ext4"])


def both(scenario: Any, w: Any) -> None:
    with w.write_lock():
        for value in (1, 2):
            w.memory.left = value
            w.memory.right = value
        w.memory.done = 1
        w.sync()


def torn(scenario: Any, memory: Any, outcome: Outcome) -> list[Damage]:
    """The right is new and the left, which was stored before, is as it was once before, on the same page."""
    return [Damage("torn", int((memory.left, memory.right, memory.done) == (1, 2, 0)), 1)]


def torn_page(directory: str, wrong: int) -> list[Any]:
    """How often a page of which two sectors are of two moments was left for real, `wrong` bytes beside the right place.

    Before that: the sectors that are old, with the steps after which they were so.
    """
    parts = ("left", c_uint64), ("_1", c_ubyte * 504), ("right", c_uint64), ("_2", c_ubyte * 504), ("done", c_uint64)
    found = scenario_of(both, *parts, check=torn)
    made = explored(found, "power", 1, 1, unit="sector").token
    assert made
    place = real.SectorStage._on_disk
    real.SectorStage._on_disk = lambda self, unit: place(self, unit) + wrong  # type: ignore[method-assign]
    done = reproduce(ReplayOptions(made, 1, directory, PATIENCE_S, ["ext4", "xfs"]), found)
    (failure,) = [event for event in script.read(made).events if event.kind == "p"]
    return [failure.old, *([each.reproduced, each.divergence] for each in done.on_disks)]


@pytest.mark.mounts
@needs_power
@pytest.mark.needs("fuse")
def test_a_page_is_torn_for_real_by_sectors(tmp_path: Path) -> None:
    old, *on_disks = in_fresh_process(torn_page, str(tmp_path), 0)
    assert len(old) >= 1
    assert {unit for unit, _ in old} < {0, 1, 2}
    assert on_disks == [[1, ""], [1, ""]]
    _, (reproduced, divergence), _ = in_fresh_process(torn_page, str(tmp_path), 1 << 20)
    assert (reproduced, "the model has it otherwise" in divergence) == (0, True)


OTHER = "the power failure at step 26 left journal as after step {}, the model has it otherwise"


def without(name: str, made: str, directory: str) -> Any:
    """What it comes to where the lab leaves one thing out."""
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    if name == "write_back":
        vars(real)["write_back"] = nothing
    elif name == "cut":
        disks.Filesystem.cut = nothing  # type: ignore[method-assign]
    elif name == "single_pages":
        from lab.exploring.crash import stage

        vars(real)["single_pages"] = vars(stage)["single_pages"] = nothing
    try:
        return performed(made, directory, ["ext4"])["figures"]["ext4"]
    except CannotRunError as error:
        return [str(error)]


@pytest.mark.mounts
@needs_power
@pytest.mark.parametrize(
    ("left_out", "comes_to"),
    [
        (
            "write_back",
            [1, 0, "the power failure at step 26 left journal as after step 22, the model has it otherwise"],
        ),
        ("cut", [1, 0, "the power failure at step 26 left journal as after step 25, the model has it otherwise"]),
        pytest.param(
            "single_pages",
            ["something on this machine writes all pages back (sync?); try again"],
            marks=pytest.mark.needs("cachestat"),
        ),
    ],
)
def test_a_file_that_is_not_the_model_s_is_noticed(left_out: str, comes_to: list[Any], tmp_path: Path) -> None:
    assert in_fresh_process(without, left_out, token(IN_BETWEEN), str(tmp_path)) == comes_to


def disturbed(made: str, directory: str) -> list[Any]:
    """One performance while something else on the machine syncs all files, once, just before the power is cut."""
    cut = disks.Filesystem.cut
    synced: list[bool] = []

    def sync_and_cut(self: disks.Filesystem) -> None:
        if not synced:
            os.sync()
            synced.append(True)
        cut(self)

    disks.Filesystem.cut = sync_and_cut  # type: ignore[method-assign]
    (done,) = reproduce(ReplayOptions(made, 1, directory, PATIENCE_S, ["ext4"])).on_disks
    return [done.times, done.reproduced, done.disturbed]


@pytest.mark.mounts
@needs_power
@pytest.mark.needs("cachestat")
def test_a_sync_of_all_files_by_somebody_else_is_noticed_and_the_performance_made_again(tmp_path: Path) -> None:
    assert in_fresh_process(disturbed, token(IN_BETWEEN), str(tmp_path)) == [1, 1, 1]


@pytest.mark.parametrize(
    ("made", "asked", "said"),
    [
        (lambda: token("bank", "kill"), ["all"], "--real: a kill leaves all that was stored"),
        (lambda: token_of(kind="power", unit=64), ["all"], "units of 64 bytes; explore with --unit page or sector"),
        (lambda: token(TWICE), ["ext3"], "--real: unknown filesystem 'ext3'; did you mean ext4?"),
        (lambda: token(TWICE), ["xfs", "xfs"], "--real: filesystem xfs is named twice"),
    ],
)
def test_what_cannot_fail_for_real_is_refused(made: Any, asked: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        real.check_real(script.read(made()), asked)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(CannotRunError, match=r"mkfs\.xfs is not installed; install xfsprogs"):
        disks.available_kinds(["xfs"])
    with pytest.raises(CannotRunError, match=r"no mkfs.ext4 and no mkfs.xfs here; install e2fsprogs or xfsprogs"):
        disks.available_kinds()


def test_a_missing_loop_device_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disks, "_program", lambda kind: kind)
    monkeypatch.setattr("os.open", refused)
    with pytest.raises(CannotRunError, match=r"/dev/loop-control: Permission denied\); run as root"):
        disks.available_kinds()


def patience() -> str:
    import time

    try:
        run_guarded(lambda send: time.sleep(PATIENCE_S), lambda record: None, 0.2)
    except Hung as error:
        return str(error)
    return "waited"


def test_a_filesystem_that_hangs_is_given_up() -> None:
    assert "nothing was done for 0.2 s" in in_fresh_process(patience)


def loops_of(pids: set[int]) -> list[str]:
    """The loop devices over memory of these processes (/sys/block)."""
    found = []
    for each in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            name = each.read_text().split()[0]
        except (OSError, IndexError):
            continue
        found += [name] if name.startswith("/memfd:lab-disk-") and int(name.rpartition("-")[2]) in pids else []
    return found


def descendants(pid: int) -> set[int]:
    found = set()
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, each.read_text().split()):
            found |= {child} | descendants(child)
    return found


@pytest.mark.mounts
@needs_power
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_whatever_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    mounts = Path("/proc/mounts").read_text()
    command = [sys.executable, "-m", "lab", "replay", token(TWICE), "--real", "--times", "100000", "--dir", tmp_path]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **quiet) as lab:  # type: ignore[call-overload]
        pids: set[int] = set()

        def attached() -> bool:
            pids.update(descendants(lab.pid))
            return bool(loops_of(pids))

        wait_until(attached, "a loop device is attached")
        assert all(line in mounts for line in Path("/proc/mounts").read_text().splitlines() if "loop" in line)
        os.kill(lab.pid, number)
        text = lab.communicate(timeout=PATIENCE_S)[0].decode()
    assert lab.returncode == {signal.SIGKILL: -9}.get(number, 130)
    assert number == signal.SIGKILL or "reproduced" in text
    wait_until(lambda: not loops_of(pids), "the loop device is detached")
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all processes have ended")
    assert list(tmp_path.iterdir()) == []
