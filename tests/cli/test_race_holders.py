"""What becomes of locks whose holders die, and of requests that a lock gives up: recorded, and judged by that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import other_package, scenario_file, unfolded
from tests.helpers import race, run_lab

TWO = ("--workers", "2", "--trials", "1")

DIES_INSIDE = """
if w.index == 1:
    wait_for(lambda: w.memory.cells[0])
    with w.write_lock():
        w.memory.value += 1
    w.memory.cells[1] = 1
    return
def dies(child):
    with child.write_lock():
        child.memory.cells[0] = 1
        {meanwhile}
        child.die()
w.child(dies).wait()
"""
"""A child of worker 0 dies with the lock in its hands; worker 1 asks for it once the child has it."""

LET_IN = "wait_for(lambda: child.memory.cells[1])"
"""The child stays until the other has been inside: under a lock that locks that is for ever."""

WAITED_FOR = """
        inode = f":{os.stat(child.path).st_ino} "
        waits = lambda line: " -> " in line and inode in line
        wait_for(lambda: any(map(waits, Path("/proc/locks").read_text().splitlines())))
""".strip()
"""The child stays until a request waits."""


def dying(path: Path, meanwhile: str) -> Path:
    return scenario_file(path, DIES_INSIDE.format(meanwhile=meanwhile))


def test_a_lock_that_lets_in_beside_a_holder_that_dies_then_is_caught(tmp_path: Path) -> None:
    there = other_package(tmp_path / "site")
    done = run_lab(
        "race",
        dying(tmp_path / "mine.py", LET_IN),
        *TWO,
        "--lock",
        "liar",
        "--faults",
        "none",
        "--json",
        "-",
        "--no-save",
        env=there,
    )
    (case,) = json.loads(done.stdout)["cases"]
    assert (done.returncode, case["overlapping_holds"], case["holds"]) == (1, 1, 2)
    assert "worker 1 was granted write 0-end while the second owner in worker 0 held write 0-end" in done.stderr


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_a_lock_that_the_kernel_frees_when_its_holder_dies_overlaps_with_nobody(lock: str, tmp_path: Path) -> None:
    code, made = race(dying(tmp_path / "mine.py", WAITED_FOR), *TWO, "--lock", lock)
    (case,) = made["cases"]
    assert (code, case["verdict"], case["overlapping_holds"], case["holds"]) == (0, "clean", 0, 2)
    assert case["contended_requests"] == 1, "the request met the holder that died"


CHILD = """
w.local.note = w.round
def say(child):
    notes = HERE / f"notes-{w.index}"
    with notes.open("a") as file:
        file.write(f"{child.round} {child.local.note} {child.index} {child.random.random()}\\n")
w.child(say).wait()
w.child(say).wait()
"""


def test_a_child_has_the_round_and_the_notes_of_its_parent_and_draws_of_its_own(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", CHILD.replace("\\\\n", "\\n"))
    drawn = []
    for _ in range(2):
        assert race(mine, *TWO, "--rounds", "3")[0] == 0
        notes = [tmp_path / f"notes-{index}" for index in range(2)]
        said = [[line.split() for line in note.read_text().splitlines()] for note in notes]
        assert [[line[:3] for line in each] for each in said] == [
            [[f"{n}", f"{n}", f"{index}"] for n in range(3) for _ in range(2)] for index in range(2)
        ]
        drawn.append([line[3] for each in said for line in each])
        for note in notes:
            note.unlink()
    assert drawn[0] == drawn[1], "the same draws in every run of a seed"
    assert len(set(drawn[0])) == 12, "and others for each child"


GIVES_UP = """
import os
class Shy:
    def __init__(self, path):
        self.asked = 0
    def acquire(self):
        self.asked += 1
        if self.asked % 3 == 0:
            {refuses}
    def release(self):
        pass
"""

REFUSALS = {"returns": "return False", "raises": "raise type('Timeout', (Exception,), {})('no more patience')"}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_lock_that_gives_up_is_counted_and_the_round_is_not_done(how: str, tmp_path: Path) -> None:
    (tmp_path / "shy.py").write_text(GIVES_UP.format(refuses=REFUSALS[how]))
    mine = scenario_file(
        tmp_path / "mine.py",
        "with w.write_lock():\n    w.memory.cells[0] += 1\n    w.memory.cells[1] += w.round",
        check="return Damage('gap', memory.cells[0] != outcome.rounds or memory.cells[1] != 15, 1)",
    )
    done = run_lab(
        "race", mine, "--workers", "1", "--trials", "1", "--rounds", "9", "--lock", "shy:Shy",
        "--json", tmp_path / "race.json", "--no-save", cwd=tmp_path,
    )  # fmt: skip
    (case,) = json.loads((tmp_path / "race.json").read_text())["cases"]
    assert (done.returncode, done.stderr) == (0, "")
    assert (case["gave_up"], case["operations"], case["holds"], case["verdict"]) == (3, 6, 6, "clean")
    assert "mine under shy:Shy: the lock gave up 3 times; these rounds were not done" in unfolded(done.stdout)


REGROWS = """
if w.index == 0:
    os.truncate(w.path, 8)
    w.memory.value = os.getpid()
    wait_for(lambda: (HERE / "dead").exists())
    os.truncate(w.path, ctypes.sizeof(self.Memory))
else:
    wait_for(lambda: w.memory.value)
    mine = os.getpid()
    if not os.fork():
        wait_for(lambda: os.getppid() != mine)
        (HERE / "dead").touch()
        os._exit(0)
    w.memory.far
"""


def test_a_file_that_was_truncated_and_has_grown_again_is_told_as_that(tmp_path: Path) -> None:
    attributes = """
class Memory(Structure):
    _fields_ = [("value", c_uint64), ("cells", c_uint64 * 4095), ("far", c_uint64)]
"""
    mine = scenario_file(tmp_path / "mine.py", REGROWS, attributes=attributes)
    mine.write_text("import ctypes\n" + mine.read_text())
    done = run_lab("race", mine, *TWO)
    assert done.returncode == 4
    assert "worker 1 was killed by SIGBUS: the file was truncated under the mapping; it has grown again" in done.stderr


def test_a_negative_count_is_a_mistake_of_the_scenario(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", check="return Damage('lost update', -2, 8)")
    done = run_lab("race", mine, *TWO, "--quiet")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (4, "")
    assert f"check counted -2 of 'lost update' ({mine}:" in line
    assert line.endswith("; count what is broken, 0 where nothing is")


def test_a_recorded_trial_whose_workers_died_says_so(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "if w.rounds < 20: w.die()", attributes="rounds = 20")
    done = run_lab("race", mine, *TWO, "--record", "10", "--quiet", "--no-save")
    assert done.returncode == 4
    assert "died: in the recorded trial, worker 0 was killed by SIGKILL, in round 0" in done.stderr


def test_one_that_waits_while_later_ones_are_granted_is_told_as_starved(tmp_path: Path) -> None:
    """A lock whose writer looks whether somebody reads, and lets all come before."""
    (tmp_path / "polite.py").write_text(POLITE)
    mine = scenario_file(tmp_path / "mine.py", POLITE_WORK, attributes="holds_per_round = 60")
    done = run_lab("race", mine, *TWO, "--lock", "polite:lock", "--faults", "none",
                   "--json", tmp_path / "race.json", "--no-save", cwd=tmp_path)  # fmt: skip
    (case,) = json.loads((tmp_path / "race.json").read_text())["cases"]
    assert (done.returncode, done.stderr) == (0, "")
    assert (case["starved"], case["overtaken"], case["verdict"]) == (1, 50, "clean")
    assert case["write_wait_max_ns"] > 100_000_000
    assert "mine under polite: STARVED: 1 request waited for more than half of a trial" in unfolded(done.stdout)


POLITE = """
import time
from contextlib import contextmanager
from pathlib import Path
from lab.locking import adapt

class Polite:
    def __init__(self, path):
        self.reading, self.asked = Path(path + ".reading"), Path(path + ".asked")

    @contextmanager
    def read(self):
        yield

    @contextmanager
    def write(self):
        self.asked.touch()
        while self.reading.exists():
            time.sleep(0.001)
        yield

lock = adapt(Polite, read="read", write="write", name="polite")
"""

POLITE_WORK = """
lock_file = w.path + ".lock"
if w.index == 0:
    wait_for(Path(lock_file + ".reading").exists)
    with w.write_lock():
        pass
else:
    Path(lock_file + ".reading").touch()
    wait_for(Path(lock_file + ".asked").exists)
    for _ in range(50):
        with w.read_lock():
            time.sleep(0.004)
    Path(lock_file + ".reading").unlink()
"""
