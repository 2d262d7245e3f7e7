"""Races over several hosts: what is found and how strong it is, what fails by name, and that nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import lab
from lab.hosts.gateways import HostName
from lab.hosts.links import Link, Reach, connected
from lab.hosts.race import HostsRace, dealt
from lab.racing import race_for
from tests.helpers import PATIENCE_S, ROOT, in_fresh_process, run_lab, wait_until
from tests.hosts.rig import AHEAD_S, hosts_on
from tests.racing.racing import case_of

TWO = ("--hosts", "local:1,local:2", "--no-save", "--no-explore", "--lock", "fcntl", "--json", "-")
SHORT = ("--trials", "1", "--no-save", "--no-explore", "--json", "-")

SCENARIO = '''
"""A counter whose last worker does something to its host."""
import os, signal, time
from ctypes import Structure, c_uint64
from lab import Damage, Scenario
from beside import ADDED, agent, keeper


class Mine(Scenario):
    """Adds to a counter."""

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        if w.index == w.workers - 1 and w.round == 1:
            {what}
        with w.write_lock(self.Memory.value):
            w.memory.value += ADDED

    def check(self, memory, outcome):
        return Damage("lost update", ADDED * outcome.rounds - memory.value, outcome.rounds)
'''

BESIDE = """
from os import getppid as keeper
from pathlib import Path

ADDED = 3


def agent():
    return int(Path(f"/proc/{keeper()}/stat").read_text().split()[3])
"""

LOCK = """
import fcntl


class Mine:
    def __init__(self, path):
        self.file = open(path, "a")

    def acquire(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def release(self):
        fcntl.flock(self.file, fcntl.LOCK_UN)


def make(path):
    return Mine(path)
"""


def scenario(folder: Path, what: str = "pass") -> Path:
    """A scenario file of the user's, with a module beside it, in a folder that no host has."""
    folder.mkdir(exist_ok=True)
    (folder / "beside.py").write_text(BESIDE)
    (folder / "own_lock.py").write_text(LOCK)
    (folder / "mine.py").write_text(SCENARIO.format(what=what))
    return folder / "mine.py"


def shared_by(folder: Path) -> Path:
    """A directory for the race; `nothing_left` looks there."""
    shared = folder / "shared"
    shared.mkdir()
    return shared


def nothing_left(shared: Path) -> bool:
    """Whether there is no file of a race, and no process that works for one."""
    return not list(shared.iterdir()) and not keepers(shared)


def keepers(shared: Path) -> list[int]:
    """The processes of hosts whose agents were started for this directory: they have its name in their environment."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get("LAB_TEST_SHARED") == str(shared) and "lab.hosts" in " ".join(each.cmdline()):
                found.append(each.pid)
        except psutil.Error:
            pass
    return found


def raced(shared: Path, *words: str | Path, cwd: Path | None = None) -> tuple[int, dict[str, Any], str]:
    """The exit code, the document and stderr of a race over hosts that are this machine; nothing is left after it."""
    env = {"LAB_TEST_SHARED": str(shared), "PYTHONPATH": str(cwd or "")}
    ended = run_lab("race", *words, "--dir", shared, cwd=cwd, env=env)
    wait_until(lambda: nothing_left(shared), "nothing is left")
    return ended.returncode, json.loads(ended.stdout or "{}"), ended.stderr


def test_workers_are_dealt_out_evenly() -> None:
    assert dealt(7, ["a", "b", "c"]) == {"a": range(3), "b": range(3, 5), "c": range(5, 7)}


def raced_for(folder: str) -> dict[str, object]:
    """A row that was raced for a time over two hosts, as the stress of a check is."""
    case = case_of("counter", "fcntl", workers=4, rounds=50)
    with connected(Reach((HostName.read("local:1"), HostName.read("local:2"))), 60) as links:
        open_links = {name: link for name, link in links.items() if isinstance(link, Link)}
        code = [type(case.setting.scenario).__module__]
        with HostsRace(open_links, folder, code=code, timeout_s=60) as over:
            row = race_for(case, (), 0.5, trial=over.trial)
            leaky = replace(case, setting=replace(case.setting, leak=1.0, rounds=300))
            broken = over.trial(leaky.setting, 9)
    return {
        "damaged": bool(row.damage),
        "holds": row.holds == row.operations,
        "workers": row.workers,
        "overlaps": broken.exclusion.overlapping > 0,
        "left": [path.name for path in Path(folder).iterdir()],
    }


def test_a_trial_over_hosts_stands_where_one_on_this_machine_does(tmp_path: Path) -> None:
    found = in_fresh_process(raced_for, str(tmp_path))
    assert found == {"damaged": False, "holds": True, "workers": 4, "overlaps": True, "left": []}


@pytest.mark.parametrize("ordered_by", ["tickets", "clocks"])
def test_hosts_with_clocks_far_apart_are_raced_and_a_lock_that_holds_is_never_accused(
    ordered_by: str, tmp_path: Path
) -> None:
    more = [] if ordered_by == "tickets" else ["--no-tickets", "--window", "300000"]
    with hosts_on("bind", tmp_path) as rig:
        words: list[str | Path] = [
            "counter",
            *rig.options,
            "--dir",
            rig.shared,
            "--rounds",
            "400",
            "--lock",
            "fcntl",
            *more,
            *SHORT,
        ]
        ended = run_lab("race", *words, env=rig.env)
    (case,) = json.loads(ended.stdout)["cases"]
    assert (case["overlapping_holds"], case["damage"], case["operations"]) == (0, [], 1600), ended.stderr
    between = case["between_hosts"]
    assert (between["ordered_by"], between["compared_holds"]) == (ordered_by, 1600)
    assert between["ticketed_holds"] == (1600 if ordered_by == "tickets" else 0)
    assert [host["holds"] for host in between["hosts"]] == [800, 800]
    assert case["wall_s"] < AHEAD_S  # the clocks of the hosts are that far apart
    strong = between["hand_offs"] >= 20 and case["contended_requests"] >= 20
    assert (case["verdict"], ended.returncode) == (("clean", 0) if strong else ("inconclusive", 3))
    assert not list(rig.backing.iterdir())


@pytest.mark.parametrize(
    ("filesystem", "words", "code", "verdict"),
    [
        ("lies_100", ["--backing", "stream", "--rounds", "1000", "--workers", "2"], 1, "damaged"),
        ("no_lock", ["--backing", "stream", "--rounds", "100", "--workers", "2"], 1, "damaged"),
    ],
)
def test_filesystems_that_grant_falsely_between_hosts_are_found_out(
    filesystem: str, words: list[str], code: int, verdict: str, tmp_path: Path
) -> None:
    with hosts_on(filesystem, tmp_path) as rig:
        found: list[str | Path] = ["counter", *rig.options, "--dir", rig.shared, "--lock", "fcntl", *words, *SHORT]
        ended = run_lab("race", *found, env=rig.env)
    (case,) = json.loads(ended.stdout)["cases"]
    assert (ended.returncode, case["verdict"], case["overlapping_holds"] > 0) == (code, verdict, True), ended.stderr
    assert "on a" in case["overlaps"][0]
    assert "on b" in case["overlaps"][0]


def test_a_lock_that_lies_on_one_host_is_noticed_by_tickets(tmp_path: Path) -> None:
    shared = shared_by(tmp_path)
    leak = ["--leak", "0.05", "--leak-on", "local:2", "--rounds", "1000", "--trials", "1"]
    code, found, _ = raced(shared, "counter", *TWO, *leak)
    (case,) = found["cases"]
    assert (code, case["verdict"]) == (1, "damaged")
    assert case["overlapping_holds"] > 0
    assert all("on local:2" in text for text in case["overlaps"])
    assert case["between_hosts"]["ticketed_holds"] == case["holds"]


def test_the_user_s_own_files_are_sent_along_and_a_short_race_is_inconclusive(tmp_path: Path) -> None:
    shared, file = shared_by(tmp_path), scenario(tmp_path / "mine")
    words = [*TWO[:-4], "--lock", "own_lock:make", "--rounds", "3", "--trials", "1", "--json", "-"]
    code, found, said = raced(shared, file, *words, cwd=file.parent)
    (case,) = found["cases"]
    assert (code, case["verdict"], case["operations"], case["damage"]) == (3, "inconclusive", 12, []), said
    assert "between hosts, and fewer than 20 show nothing: " in case["reason"]


@pytest.mark.parametrize(
    ("what", "verdict", "reason"),
    [
        ("os.kill(keeper(), signal.SIGKILL)", "died", "host local:3: its keeper was killed by signal 9, in trial 0"),
        ("os.kill(agent(), signal.SIGKILL)", "died", "host local:3: the connection is gone, in trial 0"),
        ("raise ValueError('mine')", "died", "worker 5 on local:3 raised ValueError: mine, in round 1 of trial 0"),
        ("time.sleep(3600)", "timeout", "worker 5 on local:3 still at work after "),
    ],
)  # fmt: skip
def test_what_fails_is_named_and_the_others_go_on(what: str, verdict: str, reason: str, tmp_path: Path) -> None:
    shared, file = shared_by(tmp_path), scenario(tmp_path / "mine", what)
    words = ["--hosts", "local:1,local:2,local:3", "--workers", "6", "--rounds", "40", "--trials", "1", "--time-limit"]
    code, found, said = raced(
        shared, file, "counter", *words, "5", "--lock", "fcntl", *TWO[2:4], "--json", "-", cwd=file.parent
    )
    failed, other = found["cases"]
    assert (code, failed["verdict"], failed["reason"][: len(reason)]) == (4, verdict, reason), said
    assert (other["operations"], other["damage"], other["overlapping_holds"]) == (240, [], 0)
    parts = [host["name"] for host in other["between_hosts"]["hosts"]]
    assert parts == ["local:1", "local:2"] + ["local:3"] * ("host" not in reason)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_in_the_middle_keeps_what_there_is_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    shared, file = shared_by(tmp_path), scenario(tmp_path / "mine", "open('{begun}', 'w'); time.sleep(3600)")
    begun = tmp_path / "begun"
    file.write_text(file.read_text().replace("{begun}", str(begun)))
    words = ["race", "counter", file, *TWO, "--rounds", "40", "--trials", "1", "--dir", shared]
    env = {**os.environ, "LAB_TEST_SHARED": str(shared), "PYTHONPATH": f"{file.parent}:{ROOT}"}
    command = [sys.executable, "-m", "lab", *map(str, words)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_until(begun.exists, "the second case has begun")
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        out, _ = process.communicate(timeout=PATIENCE_S)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert [(case["scenario"], case["operations"]) for case in json.loads(out)["cases"]] == [("counter", 160)]
    wait_until(lambda: nothing_left(shared), "nothing is left")


def test_the_functions_of_lab_go_over_hosts_as_the_commands_do(tmp_path: Path) -> None:
    hosts = ["local:1", "local:2"]
    over: dict[str, Any] = {"hosts": ",".join(hosts), "timeout": PATIENCE_S}
    raced = lab.race("counter", dir=tmp_path, rounds=5, trials=1, leak=1.0, leak_on="local:2", **over).record
    assert [host.name for host in raced.hosts] == hosts
    assert (raced.cases[0].trials, raced.cases[0].operations, raced.cases[0].verdict) == (1, 20, "damaged")
    assert (raced.options.leak_on, raced.options.timeout_s, raced.options.tickets) == (["local:2"], PATIENCE_S, True)
    checked = lab.check(tmp_path, only="probe", **over)
    checked.assert_safe()
    assert len(checked.record.probes) == 24
    assert not list(tmp_path.iterdir())


class Local(lab.Scenario):
    """One that a host cannot load, for it is no class of a module."""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"hosts": "a,b,b"}, "b: is named twice"),
        ({"hosts": ["a b"]}, "'a b' is no host"),
        ({"hosts": ["a", "b"], "dir": None}, "hosts=: which directory do they share"),
        ({"hosts": ["a", "b"], "seconds": 1.0}, "seconds=: works on one host"),
        ({"hosts": ["a", "b"], "isolate": "pid"}, "work on one host"),
        ({"hosts": ["a", "b"], "lock": lambda path: path}, "lock=: over several hosts give its name"),
        ({"hosts": ["a", "b"], "scenario": type("Local", (Local,), {})}, "scenario=: over several hosts give a class"),
        ({"rsh": "x"}, "belong to hosts="),
    ],
)
def test_what_makes_no_sense_to_a_function_is_refused_too(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(lab.UsageError, match=re.escape(why)):
        lab.race(**{"scenario": "counter", "dir": "/d", **arguments})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--hosts", "a,b"], "--hosts: which directory do they share? Give one --dir, the whole path as it is on the"),
        (["--hosts", "a,b", "--dir", "share"], "--hosts: which directory do they share?"),
        (["--hosts", "a", "--dir", "/d"], "--hosts: one host is no race over hosts; name two or more, or leave it out"),
        (
            ["--hosts", "a,b,c", "--dir", "/d", "--workers", "2"],
            "--workers 2: each of the 3 hosts needs one; give more",
        ),
        (["--hosts", "a,b", "--dir", "/d", "--program", "x"], "--program: works on one host; leave it out, or --hosts"),
        (["--hosts", "a,b", "--dir", "/d", "--faults"], "--faults: works on one host; leave it out, or --hosts"),
        (["--hosts", "a,b", "--dir", "/d", "--record"], "--record: works on one host; leave it out, or --hosts"),
        (["--hosts", "a,b", "--dir", "/d", "--backing", "sysv"], "backing sysv: is memory of one host; give mapped,"),
        (["--hosts", "a,b", "--dir", "/d", "--leak-on", "b"], "--leak-on: belongs to --leak; add it, or leave it out"),
        (["--hosts", "a,b", "--dir", "/d", "--leak", "0.1", "--leak-on", "c"], "--leak-on c: is none of the hosts"),
        (["--timeout", "5"], "--timeout: belongs to --hosts; add it, or leave it out"),
        (["--no-tickets"], "--no-tickets: belongs to --hosts; add it, or leave it out"),
    ],
)
def test_what_makes_no_sense_over_hosts_is_refused(words: list[str], why: str) -> None:
    ended = run_lab("race", "counter", "--locked", *words)
    assert (ended.returncode, ended.stdout, ended.stderr[: len(why) + 5]) == (2, "", f"lab: {why}")
