"""`race --isolate pid`: every worker in a pid namespace of its own, or one line that says what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.commands import ended, scenario_file
from tests.helpers import race, run_lab
from tests.needs import need_program

pytestmark = pytest.mark.needs("pid_namespaces")

SAYS_ITS_NUMBER = 'w.damaged(f"number {os.getpid()}", Path("/proc/self").readlink().name)'
SAME = ("--rounds", "1", "--trials", "1", "--workers", "3", "--no-explore")


def test_each_worker_of_a_scenario_has_the_same_number(tmp_path: Path) -> None:
    path = scenario_file(tmp_path / "mine.py", SAYS_ITS_NUMBER)
    code, run = race(path, "--isolate", "pid", *SAME)
    (case,) = run["cases"]
    found = [(damage["kind"], damage["count"], sorted(damage["evidence"])) for damage in case["damage"]]
    assert (code, found) == (1, [("number 2", 3, [f"worker {worker}, round 0: 2" for worker in range(3)])])
    assert run["options"]["isolate"] == "pid"
    assert len(race(path, *SAME)[1]["cases"][0]["damage"]) == 3


def test_the_heading_says_it_for_programs_too(tmp_path: Path) -> None:
    check = tmp_path / "check.py"
    check.write_text("def check(path, outcome): return []\n")
    how = ("--isolate", "pid", "--faults", "none", "--no-save", *SAME[:-1])
    done = run_lab("race", "--program", "sh -c 'test $$ = 2' {file}", "--check", check, *how)
    assert (done.returncode, done.stderr) == (0, "")
    assert "; each worker in a pid namespace of its own\n" in done.stdout


def test_where_namespaces_are_refused_one_line_says_what_to_do(tmp_path: Path) -> None:
    need_program("unshare")
    script = 'echo 0 >/proc/sys/user/max_pid_namespaces && exec "$@"'
    lab: list[str | Path] = [
        sys.executable,
        "-m",
        "lab",
        "race",
        "counter",
        "--isolate",
        "pid",
        "--dir",
        tmp_path,
        *SAME,
    ]
    done = ended(["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *lab])
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, "")
    assert line.startswith("lab: no pid namespace for a worker: unshare(2): No space left on device; run as root, or")
