"""Hosts that MPI started: ranks of one machine, one that is killed, one with another lab, and what is no launch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from lab.hosts import mpi
from lab.hosts.links import HostError, Link, Reach, connected
from lab.hosts.mpi import join, labels
from lab.output import print_text
from tests.helpers import PATIENCE, PATIENCE_S, ROOT, in_fresh_process, run_lab

MPIEXEC = Path(sys.executable).with_name("mpiexec")
LAB = [sys.executable, "-m", "lab"]
MARK = "LAB_TEST_LAUNCH"
"""A variable that all processes of one launch have."""


def launched(*words: object) -> subprocess.CompletedProcess[str]:
    """Run MPICH's mpiexec with these words; no keeper is left after it."""
    environment = {**os.environ, MARK: uuid4().hex, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*map(str, [MPIEXEC, *words])],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert not psutil.wait_procs(keepers(environment[MARK]).values(), timeout=PATIENCE_S)[1]
    return ended


def keepers(mark: str) -> dict[int, psutil.Process]:
    """The keepers of a launch by their ranks."""
    found = {}
    for each in psutil.process_iter():
        try:
            environment = each.environ()
            if environment.get(MARK) == mark and "lab.hosts.keeper" in " ".join(each.cmdline()):
                found[int(environment["PMI_RANK"])] = each
        except psutil.Error:  # it has ended, or is another user's
            pass
    return found


@pytest.mark.needs("mpi")
def test_ranks_are_hosts_and_the_first_tells_of_all(tmp_path: Path) -> None:
    ended = launched("-n", 2, *LAB, "hosts", "--mpi", "--dir", tmp_path, "--json", "-")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    host = os.uname().nodename
    assert found["options"]["hosts"] == [f"{host}:0", f"{host}:1"]
    assert [(each["trouble"], each["sees"]) for each in found["hosts"]] == [("", True)] * 2
    for each in found["hosts"]:
        assert abs(each["clock_offset_ns"]) <= each["clock_uncertainty_ns"]
    assert not list(tmp_path.iterdir())


LEAKS = ["--lock", "fcntl", "--leak", "1", "--rounds", "40", "--trials", "1"]
RACE = ["race", "--mpi", "counter", *LEAKS, "--no-save", "--dir"]
PROBE = ["check", "--mpi", "--only", "probe", "--no-save"]


@pytest.mark.needs("mpi")
@pytest.mark.parametrize(("words", "code", "verdict"), [(RACE, 1, "damaged"), (PROBE, 0, "safe")])
def test_ranks_race_and_check(tmp_path: Path, words: list[str], code: int, verdict: str) -> None:
    ended = launched("-n", 2, *LAB, *words, tmp_path, "--json", "-")
    found = json.loads(ended.stdout)
    assert (ended.returncode, len(found["hosts"])) == (code, 2), ended.stderr
    assert {each["verdict"] for each in found["cases" if code else "guarantees"]} == {verdict}
    assert not list(tmp_path.iterdir())


@pytest.mark.needs("mpi")
def test_wrong_usage_on_the_first_rank_ends_the_others(tmp_path: Path) -> None:
    ended = launched("-n", 2, *LAB, "hosts", "--mpi", "--dir", "share")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "lab: --dir share: give the whole path" in ended.stderr


@pytest.mark.needs("mpi")
def test_a_rank_with_another_lab_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "lab", tmp_path / "lab", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    with (tmp_path / "lab/hosts/clocks.py").open("a") as file:
        file.write("# another one\n")
    words = [*LAB, "hosts", "--mpi", "--dir", tmp_path, "--json", "-"]
    ended = launched("-n", 1, *words, ":", "-n", 1, "env", f"PYTHONPATH={tmp_path}", *words)
    first, second = json.loads(ended.stdout)["hosts"]
    assert (ended.returncode, first["trouble"], first["kernel"] != "") == (3, "", True)
    assert second["trouble"].startswith("the lab there is 0.1.0 (")
    assert second["trouble"].endswith("; install the same one")


def with_a_rank_that_gets(number: int) -> None:
    """Send rank 1 a signal, print what each host answers then, in the order of their ranks, and kill rank 1."""
    vars(mpi)["SILENT_S"] = 2.0 * PATIENCE
    with connected(Reach((), mpi=join()), PATIENCE_S) as links:
        for link in links.values():
            assert isinstance(link, Link)
            link.ask("find", path="/", content="x" * 10**6, seconds=0)
            assert link.answer(PATIENCE_S) == {"found": False}
        rank = keepers(os.environ[MARK])[1].ppid()
        os.kill(rank, number)
        said = [_answer(link) for link in links.values() if isinstance(link, Link)]
    print_text(json.dumps(said))
    os.kill(rank, signal.SIGKILL)


def _answer(link: Link) -> str:
    try:
        link.ask("remove", path="/nowhere")
        return str(link.answer(PATIENCE_S))
    except HostError as error:
        return str(error)


def program(number: int) -> list[object]:
    code = f"from tests.hosts.test_mpi import with_a_rank_that_gets; with_a_rank_that_gets({number:d})"
    return ["-n", 3, sys.executable, "-c", code]


@pytest.mark.needs("mpi")
def test_a_rank_that_falls_silent_is_named_and_the_others_go_on() -> None:
    ended = launched(*program(signal.SIGSTOP))
    said = ["{}", f"{os.uname().nodename}:1: the connection is gone", "{}"]
    assert json.dumps(said) in ended.stdout.splitlines()


@pytest.mark.needs("mpi")
def test_no_keeper_is_left_where_a_rank_is_killed() -> None:
    """The launcher kills the others, at once or after a while."""
    assert launched(*program(signal.SIGKILL)).returncode == signal.SIGKILL


@pytest.mark.needs("mpi")
def test_one_rank_alone_is_no_launch(tmp_path: Path) -> None:
    ended = run_lab("hosts", "--mpi", "--dir", tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("lab: --mpi: this rank is alone; mpiexec -n 2 -hosts a,b lab hosts --mpi")


def without_mpi4py() -> str:
    sys.modules["mpi4py"] = None  # type: ignore[assignment]
    try:
        join()
    except Exception as error:
        return str(error)
    return ""


def test_without_mpi4py_the_line_to_type_is_said() -> None:
    said = in_fresh_process(without_mpi4py)
    assert said.startswith("--mpi: import of mpi4py halted")
    assert said.endswith("; pip install 'lock-race-lab[mpi]', and an MPI: the cluster's own, or pip install mpich")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a", "--mpi"], "--mpi: the launcher chose the hosts and their Python; leave out what names them"),
        (["--mpi", "--python", "p"], "--mpi: the launcher chose the hosts and their Python; leave out what names them"),
    ],
)
def test_hosts_are_not_named_where_the_launcher_chose_them(tmp_path: Path, words: list[str], why: str) -> None:
    ended = run_lab("hosts", *words, "--dir", tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"lab: {why}\n")


def test_ranks_of_one_host_are_told_apart_and_a_silent_one_has_its_number() -> None:
    assert labels({0: "a", 1: "b", 3: "b"}, 5) == {0: "a", 1: "b:1", 2: "rank 2", 3: "b:3", 4: "rank 4"}
