"""A check always ends, and keeps what it found: whatever a mount, a signal or a refused fork does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.checking import mounts, supervise
from lab.processes import guarded, rpc
from tests.checking.fuse.serving import fuse
from tests.checking.hangs import MATRIX, Case, outcomes
from tests.checking.mounted import state_of
from tests.checking.mounting import processes_below
from tests.helpers import PATIENCE_S, ROOT, has_made, is_running, wait_until

SAMPLE = [
    Case("any", 3, "stop"),
    Case("any", 60, "stop"),
    Case("any", 300, "stop", 2),
    Case("any", 100, "block", 2),
    Case("unlink", 2, "block"),
    Case("lock", 3, "stop"),
    Case("release", 4, "block"),
    Case("rmdir", 2, "stop"),
]
ALL = os.environ.get("LAB_ALL_HANGS", "") not in ("", "0")
"""The whole matrix, which takes hours; `python -m tests.checking.hangs` runs it too, and prints figures."""

ONLY = ("ranges", "posix", "pread")


@pytest.mark.mounts
@pytest.mark.timeout(600)
def test_a_check_ends_where_a_mount_stops_answering_and_keeps_what_it_found() -> None:
    ended = {str(each.case): each for each in outcomes(SAMPLE, len(SAMPLE), ONLY)}
    assert {name: each.wrong for name, each in ended.items() if each.wrong} == {}
    at_first = ended["any-3-stop-1"]
    assert (at_first.code, at_first.document, len(at_first.complaints.splitlines())) == (3, {}, 1)
    check_that_findings_are_kept(ended["any-300-stop-2"].document)
    check_that_the_folder_is_named(ended["any-60-stop-1"].document["left_behind"])
    document = ended["rmdir-2-stop-1"].document  # only the removal has no answer
    assert {each["name"]: each["verdict"] for each in document["guarantees"]}["posix"] == "safe"
    assert document["ended_early"] == ""
    check_that_the_folder_is_named(document["left_behind"])


def check_that_findings_are_kept(document: dict[str, Any]) -> None:
    """Up to the call that hangs, on the second of two mounts; the first can remove the folder."""
    assert [each["verdict"] for each in document["rules"]].count("safe") >= 1
    assert {each["verdict"] for each in document["guarantees"]} == {"unknown"}
    assert (document["interrupted"], document["safe"]) == (False, False)
    assert document["hang"]["directories"] == document["directories"][1:]
    assert document["hang"]["call"]
    assert document["ended_early"].startswith(f"{document['directories'][1]} does not answer any more: ")
    assert document["left_behind"] == []


def check_that_the_folder_is_named(left_behind: list[str]) -> None:
    (folder,) = left_behind
    assert folder.endswith("(the mount does not answer any more)")


if ALL:

    @pytest.mark.mounts
    @pytest.mark.timeout(0)
    @pytest.mark.parametrize("case", MATRIX, ids=str)
    def test_the_check_ends_at_whatever_request_the_mount_stops(case: Case) -> None:
        (found,) = outcomes([case], 1)
        assert found.wrong == []


# A mount that blocks some calls and answers others

SCRIPTED = """
import signal, sys
from lab.checking import run, supervise
from lab.checking.actors import pool
from lab.cli.main import main
{}
sys.exit(main(sys.argv[1:]))
"""
AT_ONCE = "supervise.BACKSTOP_S = supervise.HUNG_S = -100.0"
"""The time for a check is over when it begins."""

HANGS_ITSELF = f"{AT_ONCE}; supervise.TOUCH_S = 0.0; pool.TOUCH_S = 600.0; pool.mounts_of = lambda _: signal.pause()"


def scripted(script: str, place: Path, only: str) -> dict[str, Any]:
    """The document of a check of this place with what the script puts in its way."""
    command = [sys.executable, "-c", SCRIPTED.format(script), "check", str(place), "--only", only, "--seconds", "0.1"]
    done = subprocess.run(
        [*command, "--no-save", "--json", "-"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.mounts
def test_a_call_without_an_answer_ends_the_check_once_the_time_is_over_though_the_mount_answers_others() -> None:
    with fuse("honest", 1, ("flock", "2", "block")) as [directory]:
        document = scripted(AT_ONCE, directory, "flock,posix,modes,rules")
    assert document["hang"]["where"] == document["stuck"][0]["where"]
    assert (document["hang"]["directories"], document["interrupted"]) == ([], False)
    assert document["ended_early"].startswith("a call has no answer, though the mount answers others: ")
    assert document["stuck"]
    assert "not reached: a call had no answer" in json.dumps(document["guarantees"])


def test_a_check_whose_own_process_stands_still_in_a_call_ends_once_the_time_is_over(tmp_path: Path) -> None:
    document = scripted(HANGS_ITSELF, tmp_path, "modes,rules")
    assert document["hang"]["call"].startswith("opening the folders, without an end for ")
    assert (document["hang"]["directories"], document["stuck"], list(tmp_path.iterdir())) == ([], [], [])


def test_a_check_in_which_nothing_hangs_goes_on_however_late_it_is(tmp_path: Path) -> None:
    document = scripted(AT_ONCE, tmp_path, "modes,rules")
    assert (document["ended_early"], document["hang"]) == ("", None)
    assert {each["verdict"] for each in document["guarantees"]} == {"safe"}


def test_the_shares_of_all_that_takes_time_once_something_hangs_are_within_the_bound() -> None:
    probe_s = mounts.PROBE_S + rpc.LEFT_S
    assert supervise.BACKSTOP_S + probe_s <= supervise.HUNG_S
    clean_s = supervise.CLEAN_HUNG_S + guarded.GIVEN_UP_S
    assert guarded.KILLED_S < supervise.KILL_S
    assert supervise.HUNG_S + probe_s + supervise.KILL_S + clean_s <= supervise.BOUND_S


# Signals

SLOW_TO_GIVE_UP = """
import sys
from lab.checking import mounts, supervise
from lab.processes import guarded
supervise.CLEAN_S = supervise.BACKSTOP_S = mounts.PROBE_S = 600.0
guarded.CLEAN_S = 600
from lab.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""A check that waits as long as nobody interrupts it."""


@contextmanager
def checking(*stops: str, only: str = "modes,rules") -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    """A check of a mount that stops answering at a request, or never, and the mount's server."""
    with fuse("honest", 1, stops) as [directory]:
        (server,) = processes_below(directory)
        command = [sys.executable, "-c", SLOW_TO_GIVE_UP, "check", str(directory), "--only", only, "--no-save"]
        lab = subprocess.Popen(
            [*command, "--json", "-"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with lab:
            try:
                yield lab, directory, server
            finally:
                lab.kill()


@pytest.mark.mounts
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_a_check_that_hangs(number: signal.Signals) -> None:
    with checking("mkdir", "2", "stop") as (lab, _, server):
        wait_until(lambda: state_of(server) == "T", "the check hangs")
        lab.send_signal(number)
        everybody = psutil.Process(lab.pid).children(recursive=True)
        wait_until(lambda: "D" in map(state_of, (each.pid for each in everybody)), "one does not end on SIGKILL")
        lab.send_signal(signal.SIGINT)
        printed, told = lab.communicate(timeout=PATIENCE_S)
    assert (lab.returncode, printed) == (130, "")
    assert told.splitlines()[-1] == "lab: interrupted"


@pytest.mark.mounts
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_during_the_clean_up_cuts_it_short_and_what_is_left_is_named(number: signal.Signals) -> None:
    with checking("rmdir", "2", "stop") as (lab, directory, server):
        wait_until(lambda: state_of(server) == "T", "the clean-up hangs")
        lab.send_signal(number)
        printed, told = lab.communicate(timeout=PATIENCE_S)
        document = json.loads(printed)
        assert [pid for pid in processes_below(directory) if pid in {each["pid"] for each in document["stuck"]}]
    assert lab.returncode == 0
    assert told.startswith(f"lab: {directory}/lab-check-")
    assert "left behind, for it could not be removed (interrupted); remove it by hand" in told
    assert len(document["left_behind"]) == 1


@pytest.mark.mounts
def test_a_check_whose_mount_answers_is_interrupted_in_good_order() -> None:
    with checking(only="posix,stress") as (lab, directory, _):
        backing = directory.parent / "backing"
        wait_until(lambda: has_made(backing, "lab-check-*/*-trial-*"), "it races")
        mine = psutil.Process(lab.pid).children(recursive=True)
        lab.send_signal(signal.SIGTERM)
        printed, _ = lab.communicate(timeout=PATIENCE_S)
        assert list(backing.iterdir()) == []
    assert (lab.returncode, json.loads(printed)["interrupted"]) == (130, True)
    assert [child.pid for child in mine if is_running(child.pid)] == []


@pytest.mark.mounts
def test_nobody_is_left_and_the_folder_goes_where_the_lab_is_killed() -> None:
    with checking(only="posix,stress") as (lab, directory, _):
        backing = directory.parent / "backing"
        wait_until(lambda: has_made(backing, "lab-check-*/*-trial-*"), "it races")
        mine = psutil.Process(lab.pid).children(recursive=True)
        lab.kill()
        wait_until(lambda: not [child for child in mine if is_running(child.pid)], "all of them have ended")
        assert list(backing.iterdir()) == []


# Forks that are refused, and processes that somebody else ends

REFUSING = """
import errno, os, sys
from mmap import mmap
forks, real, number = mmap(-1, 8), os.fork, int(sys.argv[1])
def fork():
    forks[0] = min(255, forks[0] + 1)
    if forks[0] == number:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return real()
os.fork = fork
from lab.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def refused(number: int, place: Path) -> tuple[int, str, list[Path]]:
    """A check in all of whose processes together the fork of this number is refused; all are Python's forks."""
    command = [sys.executable, "-c", REFUSING, str(number), "check", str(place), "--only", "modes,flock,pread"]
    done = subprocess.run(
        [*command, "--seconds", "0.5", "--no-save"], cwd=ROOT, env={**os.environ, "LAB_PURE": "1"}, capture_output=True,
        text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, list(place.iterdir())


@pytest.mark.parametrize("number", [1, 2, 3, 4, 8, 12])
def test_a_fork_that_is_refused_is_one_line(number: int, tmp_path: Path) -> None:
    code, told, left = refused(number, tmp_path)
    assert (code, left) == (3, [])
    (line,) = told.splitlines()
    assert "Cannot allocate memory" in line
    assert "raise the limit" in line or "free memory" in line


def ended_by_somebody(place: Path, of: str, number: signal.Signals) -> tuple[int, dict[str, Any], str, list[str]]:
    """A check whose guard, or whose worker, gets this signal while it races."""
    command = [sys.executable, "-m", "lab", "check", str(place), "--only", "posix,stress", "--seconds", "300"]
    with subprocess.Popen(
        [*command, "--no-save", "--json", "-"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as lab:
        wait_until(lambda: has_made(place, "lab-check-*/*-trial-*"), "it races")
        (guard,) = psutil.Process(lab.pid).children()
        (worker,) = guard.children()
        everybody = psutil.Process(lab.pid).children(recursive=True)
        (guard if of == "guard" else worker).send_signal(number)
        printed, told = lab.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not [each for each in everybody if is_running(each.pid)], "all of them have ended")
    return lab.returncode, json.loads(printed), told, [path.name for path in place.iterdir()]


@pytest.mark.parametrize("of", ["guard", "worker"])
def test_a_process_of_the_check_that_somebody_ends_makes_nothing_unsafe(of: str, tmp_path: Path) -> None:
    code, document, told, left = ended_by_somebody(tmp_path, of, signal.SIGKILL)
    assert code == 3
    assert {each["verdict"] for each in document["guarantees"]} == {"unknown"}
    assert "the process that makes the check was ended by" in document["ended_early"]
    assert [name for name in left if name not in told] == []
    assert len(left) == (1 if of == "guard" else 0)
