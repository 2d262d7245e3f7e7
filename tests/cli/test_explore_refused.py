"""What `explore` refuses: each is one line, with an exit code and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.commands import refusal, scenario_file
from tests.helpers import run_lab

ADD = "w.memory.value += 1"
TOUCH = "w.memory.cells[0] = 1\n"
NOTES = """

from collections import deque
from types import SimpleNamespace

SEEN, COUNT, QUEUE, NAMES = [], 0, deque(), SimpleNamespace()
"""

NO_STEP = {
    "nobody": "pass",
    "somebody": "if w.index == 0:\n    w.memory.value = 1",
}
BYPASSES = {
    "path": ("w.memory.value = len(w.path)", "asks for w.path"),
    "file": ("open('/dev/null').close()", "opens /dev/null"),
    "caught": ("try:\n    open('/dev/null').close()\nexcept Exception:\n    pass", "opens /dev/null"),
    "rarely": ("if w.memory.value == 1:\n    open('/dev/null').close()\nw.memory.value = 1", "opens /dev/null"),
    "object": ("self.seen = w.index", "keeps self.seen"),
    "sometimes": ("if w.memory.value == 1:\n    self.seen = 1\nw.memory.value = 1", "keeps self.seen"),
    "class": ("type(self).seen = w.index", "keeps Scripted.seen"),
    "list": ("SEEN.append(w.index)", "keeps SEEN"),
    "deque": ("QUEUE.append(w.index)", "keeps QUEUE"),
    "number": ("globals()['COUNT'] += 1", "keeps COUNT"),
    "lockf": ("import fcntl\nfcntl.lockf(0, fcntl.LOCK_UN)", "locks by itself"),
    "flock": ("import fcntl\nfcntl.flock(0, fcntl.LOCK_UN)", "locks by itself"),
    "mapping": ("import mmap\nmmap.mmap(-1, 4096)", "maps memory"),
    "fork": ("if not os.fork():\n    os._exit(0)", "forks"),
    "program": ("import subprocess\nsubprocess.run(['true'])", "starts a program"),
    "thread": ("import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()", "starts a thread"),
    "socket": ("import socket\nsocket.socketpair()", "opens a socket"),
    "reopen": ("w.reopen()", "asks for w.reopen"),
    "stale": ("w.stale()", "asks for w.stale"),
    "twin": ("w.twin()", "asks for w.twin"),
    "child": ("w.child(print)", "asks for w.child"),
    "die": ("w.die()", "asks for w.die"),
    "system": ("os.system('true')", ""),
    "spawn": ("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", ""),
    "folder": ("try:\n    os.mkdir(HERE / 'lock')\n    os.rmdir(HERE / 'lock')\nexcept OSError:\n    pass", ""),
    "rename": ("os.replace(__file__, __file__)", ""),
    "namespace": ("NAMES.seen = w.index", ""),
}
CHANCE = {
    "random": "import random\nw.memory.value = random.getrandbits(60)",
    "time": "w.memory.value = time.monotonic_ns()",
    "urandom": "w.memory.value = int.from_bytes(os.urandom(7), 'little')",
    "branch": "for _ in range(time.perf_counter_ns() % 1009):\n    w.memory.value = 1",
}
RAISES = {
    "work": ({"work": "w.memory.value = 1\n1 / 0"}, "worker 0 alone raised ZeroDivisionError"),
    "check": ({"work": ADD, "check": "1 / 0"}, "check raised ZeroDivisionError"),
    "start": ({"work": ADD, "attributes": "def start(self, w):\n    1 / 0"}, "start raised ZeroDivisionError"),
    "prepare": (
        {"work": ADD, "attributes": "def prepare(self, memory):\n    1 / 0"}, "prepare raised ZeroDivisionError"
    ),
    "range": ({"work": "with w.write_lock(self.Memory.cells, 9):\n    pass"}, "cells[9] is beyond the file"),
    "damage": ({"work": ADD, "check": "return 7"}, "check returned 7 ("),
    "nothing": ({"work": ADD, "check": "pass"}, "check returned None ("),
    "quits": ({"work": TOUCH + "sys.exit(3)"}, "quits"),
}  # fmt: skip
NONSENSE = {
    "count": "unknown scenario 'count'; did you mean counter?",
    "missing.py": "missing.py: no such scenario file",
    "counter --lock fcntrl": "unknown lock 'fcntrl'; did you mean fcntl?",
    "counter --search every": "invalid choice: 'every'",
    "counter --workers 65": "65 workers: at most 64 can be explored; lower --workers",
    "threads": "scenario threads: runs only in race, not in explore",
    "closed_descriptor": "scenario closed_descriptor: runs only in race, not in explore",
    "counter private_mapping": "scenario private_mapping: runs only in race, not in explore",
}
OPENS_AT_START = "def start(self, w):\n    w.local.file = os.open(HERE / 'side', os.O_RDWR | os.O_CREAT)"


@pytest.mark.parametrize("text", NONSENSE)
def test_a_request_that_makes_no_sense_is_one_line(text: str) -> None:
    assert NONSENSE[text] in refusal(2, "explore", *text.split())


@pytest.mark.parametrize(
    ("how", "many"),
    [
        (
            "--lock none --workers 3 --rounds 20 --search all",
            r"have (about |up to about )?(\d[\d,]*|10\^\d+) sched",
        ),
        ("--lock fcntl --workers 3 --rounds 20 --search all", r"have (about |up to about )?10\^\d+ schedules"),
        ("--lock none --rounds 6000", r"[\d,]+ steps"),
        ("--lock fcntl --rounds 6000", r"[\d,]+ steps"),
    ],
)
def test_too_many_schedules_or_steps_are_named_with_what_to_do(how: str, many: str) -> None:
    line = refusal(2, "explore", "counter", *how.split())
    assert re.search(many, line)
    assert "lower --workers or --rounds" in line


@pytest.mark.parametrize("name", NO_STEP)
def test_a_worker_that_takes_no_step_is_told(name: str, tmp_path: Path) -> None:
    line = refusal(3, "explore", scenario_file(tmp_path / "mine.py", NO_STEP[name]))
    assert "took no step through w.memory or a lock, so nothing was explored" in line


@pytest.mark.parametrize("name", BYPASSES)
def test_what_bypasses_the_memory_is_told(name: str, tmp_path: Path) -> None:
    work, said = BYPASSES[name]
    line = refusal(3, "explore", scenario_file(tmp_path / "mine.py", TOUCH + work, syntax=NOTES))
    assert said in line
    assert "bypass" in line


def test_a_file_that_is_opened_at_the_start_is_told(tmp_path: Path) -> None:
    work = TOUCH + "os.pwrite(w.local.file, b'1', 0)"
    assert "opens" in refusal(3, "explore", scenario_file(tmp_path / "mine.py", work, attributes=OPENS_AT_START))


@pytest.mark.parametrize("name", CHANCE)
def test_a_scenario_that_is_not_deterministic_is_told_with_the_reason(name: str, tmp_path: Path) -> None:
    line = refusal(3, "explore", scenario_file(tmp_path / f"{name}.py", TOUCH + CHANCE[name]))
    assert f"scenario {name} is not deterministic" in line
    assert "w.random" in line


def test_the_draws_of_a_worker_are_deterministic(tmp_path: Path) -> None:
    work = "w.memory.cells[w.index] = w.random.getrandbits(60)"
    done = run_lab("explore", scenario_file(tmp_path / "draws.py", work))
    assert (done.returncode, "holds in every interleaving" in done.stdout) == (0, True)


@pytest.mark.parametrize("name", RAISES)
def test_a_scenario_that_raises_by_itself_ends_with_4_and_its_place(name: str, tmp_path: Path) -> None:
    text, said = RAISES[name]
    line = refusal(4, "explore", scenario_file(tmp_path / f"{name}.py", **text))
    assert said in line
    if name in ("work", "check", "start", "prepare"):
        assert re.search(rf"{name}\.py:\d+\)", line)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_check_without_an_end_ends_with_the_time_limit(jobs: int, tmp_path: Path) -> None:
    """At first, and where only what one interleaving leaves leads to it: each further one would take as long."""
    always = scenario_file(tmp_path / "always.py", ADD, check="while True: pass")
    once = scenario_file(tmp_path / "once.py", ADD, check="while memory.value < outcome.rounds: pass\nreturn []")
    for path in (always, once):
        search = ("--search", "all", "--jobs", str(jobs), "--time-limit", "0.5")
        line = refusal(4, "explore", path, "--lock", "none", *search)
        assert line.startswith(f"lab: check was still at work after 0.5 s ({path}:")
