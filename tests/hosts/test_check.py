"""A check on several hosts: the verdicts on servers with known faults, and what is said where a host fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.analysis.between_hosts import ENOUGH
from lab.checking.turns import LEAST_HANDOFFS
from lab.hosts import check as hosts_check
from lab.hosts import survey
from lab.hosts.gateways import HostName
from lab.hosts.links import Reach
from lab.records import CheckOptions
from lab.report.text.check import exit_code
from tests.helpers import PATIENCE, PATIENCE_S, in_fresh_process, run_lab, wait_until
from tests.hosts.rig import Rig, hosts_on

pytestmark = pytest.mark.mounts


def checked(rig: Rig, *options: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the document and the lines on stderr; nothing is left in the directory, whatever was found."""
    ended = run_lab("check", *rig.options, str(rig.shared), *options, "--no-save", "--json", "-", env=rig.env)
    assert not list(rig.backing.iterdir())
    return ended.returncode, json.loads(ended.stdout), ended.stderr


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in document["guarantees"]}


ON = {
    "bind": ("probe,turns,pread,posix", 0, dict.fromkeys(["posix", "pread"], "safe")),
    "honest": ("probe,turns,rules,posix,pread,mapping", 1, {"posix": "safe", "pread": "safe", "mapping": "unsafe"}),
    "forgets_on_close": ("rules,ownership", 1, {"ownership": "unsafe"}),
    "no_lock": ("probe", 1, dict.fromkeys(["posix", "ofd", "flock"], "unsafe")),
    "always": ("stress,posix", 1, {"posix": "unsafe"}),
    "writeback": ("turns,pread,remapped_pread", 1, {"pread": "unsafe", "remapped_pread": "safe"}),
    "direct_io": ("turns,mapping,pread", 3, {"mapping": "unsupported", "pread": "safe"}),
}


@pytest.mark.parametrize("filesystem", ON)
def test_the_verdicts_between_two_hosts_whose_clocks_are_far_apart(filesystem: str, tmp_path: Path) -> None:
    only, expected, wanted = ON[filesystem]
    with hosts_on(filesystem, tmp_path) as rig:
        code, document, _ = checked(rig, "--only", only)
    assert (code, verdicts(document)) == (expected, wanted)
    assert [(each["name"], each["sees"], each["trouble"]) for each in document["hosts"]] == [
        ("a", True, ""),
        ("b", True, ""),
    ]
    assert [each["directory"] for each in document["mounts"]] == [f"{name}:{rig.shared}" for name in "ab"]
    for each in document["turns"]:
        assert each["verdict"] == "unsupported" or each["handoffs"] >= LEAST_HANDOFFS
    for each in document["guarantees"]:
        if each["verdict"] == "unsafe":
            raced = [it for it in document["stress"] if it["case"]["overlapping_holds"] or it["case"]["damage"]]
            shown = [*raced, *document["probes"], *document["turns"], *document["rules"]]
            assert any(each["name"] in (it.get("lock"), it.get("guarantee")) and it.get("calls", True) for it in shown)


@pytest.mark.parametrize(("filesystem", "code", "verdict"), [("bind", 0, "safe"), ("loose_names", 1, "unsafe")])
def test_appends_renames_and_lock_files_are_raced_between_hosts(
    filesystem: str, code: int, verdict: str, tmp_path: Path
) -> None:
    names = ["append", "o_excl", "mkdir", "link", "rename"]
    with hosts_on(filesystem, tmp_path) as rig:
        found = checked(rig, "--only", ",".join(["stress", *names]), "--seconds", "1")
    assert (found[0], verdicts(found[1])) == (code, dict.fromkeys(names, verdict))
    handed = [each["case"]["between_hosts"]["hand_offs"] for each in found[1]["stress"] if each["case"]["holds"]]
    assert len(handed) == 3
    assert verdict == "unsafe" or min(handed) >= ENOUGH


def checked_while(
    rig_path: str, shared: str, hosts: str, only: str, host: str, when: str, number: int
) -> dict[str, Any]:
    """The document of a check of these hosts, where the keeper of one is sent a signal before a certain step."""
    os.environ["PATH"] = rig_path
    vars(survey)["SEEN_S"] = 0.5
    sent: list[int] = []

    def tell(title: str) -> None:
        if title.startswith(when) and not sent:
            for process in psutil.Process().children(recursive=True):
                if "lab.hosts.keeper" in " ".join(process.cmdline()) and _host_of(process.pid) == host:
                    sent.append(process.pid)
                    process.send_signal(number)

    reach = Reach(tuple(HostName.read(name) for name in hosts.split(",")), sys.executable)
    options = CheckOptions([shared], only.split(","), 1.0, 0, 4, hosts=hosts.split(","), timeout_s=2.0 * PATIENCE)
    done = hosts_check.check(options, reach, shared, tell)
    return {
        "verdicts": {each.name: each.verdict for each in done.guarantees},
        "troubles": {each.name: each.trouble for each in done.hosts if each.trouble},
        "early": done.ended_early,
        "left": done.left_behind,
        "safe": done.safe,
        "code": int(exit_code(done)),
        "handoffs": [each.handoffs for each in done.turns],
    }


def _host_of(pid: int) -> str:
    """The name of the host that a process is on."""
    script = "import socket; print(socket.gethostname())"
    enter = ["nsenter", "--preserve-credentials", "--user", "--uts", "--target", str(pid)]
    return subprocess.run([*enter, sys.executable, "-c", script], capture_output=True, text=True).stdout.strip()


KILLED = "its keeper was killed by signal 9"


@pytest.mark.parametrize(("only", "when"), [("turns,pread", "turns"), ("rules,posix", "rule ")])
def test_a_keeper_that_is_killed_is_named_and_the_others_go_on(only: str, when: str, tmp_path: Path) -> None:
    with hosts_on("bind", tmp_path, 3) as rig:
        found = in_fresh_process(
            checked_while, rig.env["PATH"], str(rig.shared), "a,b,c", only, "b", when, signal.SIGKILL
        )
        assert not list(rig.backing.iterdir())
    assert found["troubles"] == {"b": KILLED}
    assert (found["verdicts"], found["code"], found["safe"]) == ({only.split(",")[1]: "safe"}, 3, False)
    assert min(found["handoffs"], default=LEAST_HANDOFFS) >= LEAST_HANDOFFS
    assert not found["early"]


@pytest.mark.parametrize(
    ("number", "trouble"), [(signal.SIGKILL, KILLED), (signal.SIGSTOP, "a signal has stopped its keeper")]
)
def test_where_one_host_is_left_what_was_found_is_kept_and_nothing_is_safe(
    number: int, trouble: str, tmp_path: Path
) -> None:
    with hosts_on("bind", tmp_path) as rig:
        found = in_fresh_process(
            checked_while, rig.env["PATH"], str(rig.shared), "a,b", "probe,turns,posix,pread", "a", "turns", number
        )
        assert not list(rig.backing.iterdir())
    assert trouble in found["troubles"]["a"]
    assert (found["early"], found["code"]) == ("fewer than two hosts answer", 3)
    assert found["verdicts"] == {"posix": "unknown", "pread": "unknown"}


def test_a_directory_that_is_not_one_filesystem_is_said_to_be_by_the_host_that_sees_another(tmp_path: Path) -> None:
    with hosts_on("bind", tmp_path) as rig:
        enter = ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(rig.pids["b"])]
        subprocess.run([*enter, "mount", "-t", "tmpfs", "none", str(rig.shared)], check=True)
        found = in_fresh_process(checked_while, rig.env["PATH"], str(rig.shared), "a,b", "probe", "", "nothing", 0)
    assert (found["code"], found["early"]) == (3, "not one filesystem: b did not see what a wrote")
    assert {*found["verdicts"].values()} == {"unknown"}


def test_a_host_that_cannot_be_reached_is_named_and_nothing_is_called_safe(tmp_path: Path) -> None:
    with hosts_on("bind", tmp_path) as rig:
        known = json.loads((tmp_path / "bin" / "hosts.json").read_text())
        (tmp_path / "bin" / "hosts.json").write_text(json.dumps({**known, "refused": {"ends": 255}}))
        options = ["--hosts", "a,b,refused", "--python", sys.executable]
        ended = run_lab("check", *options, str(rig.shared), "--only", "probe", "--no-save", env=rig.env)
    assert ended.returncode == 3
    assert "NOT TRIED: refused: ssh cannot connect, or would have to ask" in " ".join(ended.stdout.split())
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_an_interrupt_writes_what_was_found_and_leaves_nothing(tmp_path: Path) -> None:
    with hosts_on("honest", tmp_path) as rig:
        path = tmp_path / "document.json"
        words = ["check", *rig.options, str(rig.shared), "--no-save", "--json", str(path)]
        env = {**os.environ, **rig.env}
        with subprocess.Popen([sys.executable, "-m", "lab", *words], env=env, stdout=subprocess.DEVNULL) as process:
            wait_until(lambda: any(rig.backing.glob("lab-check-*/*")), "the check is at work")
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_S)
        document = json.loads(path.read_text())
        assert not list(rig.backing.iterdir())
    assert (process.returncode, document["interrupted"], document["left_behind"]) == (130, True, [])
    assert "safe" not in verdicts(document).values()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--hosts", "local:1,local:2"], "check: give a directory of the filesystem in question; see lab check --help"),
        (["--hosts", "local", "/"], "--hosts: one host alone; give two or more, or check it there: lab check DIR"),
        (
            ["--hosts", "a,b", "share"],
            "--hosts: give one absolute path, since the directory has the same name on all hosts",
        ),
        (
            ["--hosts", "local:1,local:2", "/no/such"],
            "local:1: /no/such does not exist there; local:2: /no/such does not exist there",
        ),
        (["/", "--only", "turns"], "--only turns: takes several hosts (--hosts)"),
    ],
)
def test_wrong_usage_is_refused(words: list[str], why: str, tmp_path: Path) -> None:
    ended = run_lab("check", *words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"lab: {why}\n")
