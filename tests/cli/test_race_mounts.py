"""Workers dealt out over several mounts of one directory: each has its own path, and the document says which."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.checking.fuse.serving import fuse
from tests.checking.mounts import FILESYSTEMS
from tests.helpers import run_lab

SEEN = """
from ctypes import Structure, c_uint64
from pathlib import Path
from lab import Damage, Scenario
from lab.locking import adapt

PATHS = []


class Beside:
    '''A lock that never waits, and notes for which file it was made.'''

    def __init__(self, path):
        PATHS.append(path)
        with (Path(__file__).parent / "made").open("a") as made:
            made.write(f"{Path(path).parent.parent.name}\\n" * ("-trial-" in path))

    def acquire(self):
        pass

    release = acquire


beside = adapt(Beside, name="beside")


class Seen(Scenario):
    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        with w.write_lock():
            import seen  # the module of the lock; the file of the scenario is another one
            own, locks = (Path(each).parent.parent.name for each in (w.path, seen.PATHS[-1]))
            w.damaged(f"{w.index} by {own}, lock by {locks}")

    def check(self, memory, outcome):
        return Damage("nothing", 0, 1)
"""

CHECK = """
from lab import Damage

def check(path, outcome):
    return [Damage(line, 1, 1) for line in path.read_text().splitlines()]
"""

LOCK_FILE = """
import os, sys, time

file, worker, rounds, start = sys.argv[1:]
with open(start) as signal:
    signal.read()
for _ in range(int(rounds)):
    while True:
        try:
            os.close(os.open(file + ".lock", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            time.sleep(0.001)
    with open(file) as data:
        number = int(data.read())
    with open(f"{file}.{worker}", "w") as data:
        data.write(f"{number + 1:08}")  # the kernel may have the size of the file that was there before
    os.replace(f"{file}.{worker}", file)
    try:
        os.unlink(file + ".lock")
    except FileNotFoundError:
        pass
"""

COUNT = """
from lab import Damage

def prepare(path):
    path.write_text("0" * 8)

def check(path, outcome):
    return Damage("lost addition", outcome.rounds - int(path.read_text()), outcome.rounds)
"""

PROGRAM = "sh -c 'echo {worker} by $(basename $(dirname $(dirname $(dirname {file})))) >>{file}'"
ALL = ["0 by original", "1 by bound", "2 by original", "3 by bound"]
OPTIONS = ("--rounds", "1", "--trials", "1", "--faults", "none", "--json", "-")


@pytest.fixture(scope="module")
def mounts() -> Iterator[list[Path]]:
    """One directory by its own path and by a bind mount of it."""
    with ExitStack() as stack:
        yield list(stack.enter_context(FILESYSTEMS["bind_pair"]()))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "look.py").write_text(CHECK)
    return tmp_path


@pytest.mark.mounts
@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (("seen.py", "--lock", "seen:beside", "--workers", "3"), [
            "0 by original, lock by original", "1 by bound, lock by bound", "2 by original, lock by original",
        ]),
        (("--program", PROGRAM, "--check", "look.py"), ALL),
    ],
    ids=["a scenario with a lock of its own", "a program alone"],
)  # fmt: skip
def test_worker_i_uses_directory_i_modulo_their_number(
    arguments: tuple[str, ...], kinds: list[str], mounts: list[Path], place: Path
) -> None:
    given = [option for mount in mounts for option in ("--dir", str(mount))]
    done = run_lab("race", *arguments, *OPTIONS, *given, cwd=place)
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)
    assert sorted(damage["kind"] for damage in run["cases"][0]["damage"]) == kinds
    assert run["options"]["directories"] == [str(mount) for mount in mounts]
    assert [mount["directory"] for mount in run["environment"]["mounts"]] == [str(mount) for mount in mounts]
    assert run["environment"]["filesystem"] == run["environment"]["mounts"][0]["filesystem"]
    assert [list(mount.iterdir()) for mount in mounts] == [[], []]


@pytest.mark.mounts
def test_programs_beside_workers_and_a_benchmark_are_dealt_out_too(mounts: list[Path], place: Path) -> None:
    given = [option for mount in mounts for option in ("--dir", str(mount))]
    beside = f"sh -c 'echo {{worker}} $(basename $(dirname $(dirname {{file}}))) >>{place}/copies'"
    raced = run_lab(
        "race", "counter", "--program", beside, "--program-workers", "2", "--workers", "1", "--rounds", "1",
        "--trials", "1", "--faults", "none", "--no-save", *given, cwd=place,
    )  # fmt: skip
    assert re.match(r"\S+ through 2 mounts on Linux", raced.stdout), raced.stderr
    assert sorted((place / "copies").read_text().splitlines()) == ["1 bound", "2 original"]
    priced = run_lab(
        "bench", "--lock", "seen:beside", "--price", "queue", "--seconds", "0.02", "--repeats", "5", *given, cwd=place
    )
    assert " through 2 mounts" in priced.stdout, priced.stderr
    assert {"original", "bound"} == set((place / "made").read_text().split())


@pytest.mark.mounts
@pytest.mark.parametrize(("excludes", "code"), [(False, 1), (True, 0)], ids=["O_EXCL of each host alone", "bind mount"])
def test_a_lock_file_that_each_mount_makes_for_itself_loses_additions(
    excludes: bool, code: int, tmp_path: Path
) -> None:
    """A third of the rounds is lost where two hosts make one name: none of 60 would be by chance."""
    (tmp_path / "excl.py").write_text(LOCK_FILE)
    (tmp_path / "count.py").write_text(COUNT)
    program = f"{sys.executable} -S excl.py {{file}} {{worker}} {{rounds}} {{start}}"
    with FILESYSTEMS["bind_pair"]() if excludes else fuse("no_excl", 2) as pair:
        given = [option for mount in pair for option in ("--dir", str(mount))]
        done = run_lab(
            "race", "--program", program, "--check", "count.py", "--rounds", "15", "--trials", "1", "--faults", "none",
            "--json", "-", *given, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == code, done.stderr
    (case,) = json.loads(done.stdout)["cases"]
    assert [damage["kind"] for damage in case["damage"]] == ["lost addition"] * code


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("race counter --dir A --dir A", 2, "--dir A and A: are the same mount; give only one"),
        ("bench --dir A --dir A/.", 2, "--dir A and A: are the same mount; give only one"),
        ("race counter --dir A --dir B", 2, "--dir A and B: are not the same directory; give only one"),
        ("race counter --workers 1 --dir A --dir B", 2, "--dir: 2 directories for one worker, which uses one; add"),
        ("race counter --dir A --dir B --dir A --dir B --dir A", 2, "--dir: 5 directories for 4 workers, of which"),
        ("bench --backing --dir A --dir B", 2, "--dir: 2 directories for one worker, which uses one; add workers"),
        ("bench --price uncontended --dir A --dir B", 2, "--dir: 2 directories for one worker, which uses one"),
        ("race counter --dir A --dir none", 2, "--dir none: does not exist; give a directory"),
        *[
            (f"{command} --dir A --dir B", 2, "--dir: given twice, and this command uses one directory; race and bench")
            for command in ("replay token", "tour", "locks", "backings", "list")
        ],
    ],
)
def test_directories_that_are_not_one_seen_twice_are_refused(
    arguments: str, code: int, told: str, tmp_path: Path
) -> None:
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
    done = run_lab(*arguments.split(), cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, "")
    assert line.startswith(f"lab: {told}")
    assert [list((tmp_path / name).iterdir()) for name in ("A", "B")] == [[], []]
