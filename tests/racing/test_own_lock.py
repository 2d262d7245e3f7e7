from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import unfolded
from tests.helpers import PATIENCE_S, ROOT, race, run_lab
from tests.once import once

HERE = ("--dir", "data", "--faults", "none")
"""How these tests race: faults, which every lock of a user gets, have tests of their own."""

LOCKS = '''
import errno, fcntl, os, threading, time
from contextlib import contextmanager

from lab.locking import adapt


class Own:
    """flock(2) on an open file of its own; after five holds it does what its name says."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)
        self.holds = 0

    def acquire(self):
        self.holds += 1
        if self.holds > 5:
            return self.later()
        fcntl.flock(self.file, fcntl.LOCK_EX)

    later = lambda self: fcntl.flock(self.file, fcntl.LOCK_EX)

    def release(self):
        fcntl.flock(self.file, fcntl.LOCK_UN)


def raising(error):
    def call(self):
        raise error
    return call


def waiting(self):
    threading.Event().wait()


class Fails(Own):
    later = raising(RuntimeError("no more"))

class Several(Own):
    later = raising(RuntimeError("one\\nline\\n  more"))

class Refuses(Own):
    later = lambda self: False

class Hangs(Own):
    later = waiting

class NeverAnswers(Own):
    acquire = waiting

class FailsAtOnce(Own):
    acquire = raising(RuntimeError("not even once"))

class ReleasesOthers(Own):
    release = raising(RuntimeError("not the holder"))

class EndsItsProcess(Own):
    acquire = lambda self: os._exit(0)

class Interrupts(Own):
    acquire = raising(KeyboardInterrupt())

class Lost(Own):
    acquire = raising(FileNotFoundError(errno.ENOENT, "no such file"))


class Refused(Own):
    """As a library tells what the kernel answered."""

    def acquire(self):
        try:
            raise OSError(errno.ENOLCK, "no locks")
        except OSError as error:
            raise NotImplementedError("this filesystem has no locks") from error


class Imports(Own):
    def acquire(self):
        import no_such_library


class Threads(Own):
    """Whose thread lives for longer than anybody wants to wait."""

    def __init__(self, path):
        super().__init__(path)
        self.later = super().acquire
        self.thread = threading.Thread(target=time.sleep, args=(3600,))
        self.thread.start()

    def acquire(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)


class Prints(Own):
    def acquire(self):
        print("taken", flush=True)
        os.write(1, b"by hand")
        fcntl.flock(self.file, fcntl.LOCK_EX)


class Alone:
    """A lock of the lab's own kind with the one method that it needs."""

    def actions(self, descriptor, start, length, *, write):
        take = lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX, length, start)
        return take, lambda: fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)


class Five(Alone):
    def actions(self, descriptor, start, length, *, write):
        return 5


class Unprepared(Alone):
    def prepared(self, path):
        raise RuntimeError("not today")


@contextmanager
def generator(path):
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Directory:
    """A lock that is a directory, which stays when the holder is done for good."""

    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.own = Own(path + "/inner")

    def __enter__(self):
        self.own.acquire()

    def __exit__(self, *error):
        self.own.release()


own = adapt(Own, name="own")
MADE = Own(os.devnull)
TEXT = "text"


def inside_one_process(path):
    return threading.Lock()


def nothing(path):
    pass


def raises(path):
    raise ValueError("no such thing")
'''


CLEAN = ["Own", "own", "generator", "Directory", "Alone", "Threads"]

FAILING = {
    "NeverAnswers": ("timeout", "*within 2 s; fix the lock, or try another --lock or another --dir"),
    "FailsAtOnce": ("died", "acquire() raised RuntimeError: not even once; fix the lock"),
    "ReleasesOthers": ("died", "release() raised RuntimeError: not the holder; fix the lock"),
    "nothing": ("died", "its factory returned None, which has neither acquire() and release() nor `with`;*"),
    "raises": ("died", "its factory raised ValueError: no such thing; fix it"),
    "EndsItsProcess": ("died", "it ended the process that took it (exit code 0); fix the lock"),
    "Interrupts": ("died", "*raised KeyboardInterrupt; fix the lock"),
    "Lost": ("died", "acquire() raised FileNotFoundError: [[]Errno 2] no such file; fix the lock"),
    "Five": ("died", "raised TypeError: actions() returned an int, not two calls: acquire, release; fix the lock"),
    "Unprepared": ("died", "prepared() raised RuntimeError: not today; fix the lock"),
    "Refused": ("unsupported", "refused on * (No locks available); try another --lock or another --dir"),
    "Imports": ("unsupported",
                "needs a module that is missing (*: No module named 'no_such_library'); install it"),
}  # fmt: skip
"""Whose fault it is that a lock cannot be taken decides the verdict, and is told with the lock's name."""


def module_in(folder: Path) -> Path:
    """This directory with a module of locks, and one for the data."""
    (folder / "my_locks.py").write_text(LOCKS)
    (folder / "data").mkdir()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return module_in(tmp_path)


def raced(
    folder: Path, *locks: str, rounds: int = 100, limit_s: float = PATIENCE_S
) -> tuple[int, list[dict[str, Any]]]:
    """Race the append log, where workers yield inside the lock, under these locks; every file must be gone after."""
    names = [part for lock in locks for part in ("--lock", lock)]
    args = ("append_log", *names, "--rounds", str(rounds), "--trials", "1", "--time-limit", f"{limit_s:g}", *HERE)
    code, document = race(*args, cwd=folder)
    assert list((folder / "data").iterdir()) == []
    return code, document["cases"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The rows of one race under all of the locks, by the lock's name in the module."""
    ending, others = [*CLEAN, "Refuses", "Fails"], ["Hangs", *FAILING]

    def make() -> list[dict[str, Any]]:
        folder = module_in(tmp_path_factory.mktemp("locks"))
        code, rows = raced(folder, *(f"my_locks:{name}" for name in ending))
        hangs, more = raced(folder, *(f"my_locks:{name}" for name in others), limit_s=2.0)
        assert (code, hangs) == (4, 4)
        return [*rows, *more]

    return dict(zip([*ending, *others], once(tmp_path_factory, "own-locks", make), strict=True))


def reason(row: dict[str, Any]) -> str:
    return str(row["reason"] or row["failures"][0]["reason"])


@pytest.mark.parametrize("name", CLEAN)
def test_a_lock_from_the_current_directory_protects_the_file(name: str, rows: dict[str, dict[str, Any]]) -> None:
    row = rows[name]
    assert (row["verdict"], row["holds"], row["overlapping_holds"]) == ("clean", 400, 0)
    assert row["lock"] == ("own" if name == "own" else f"my_locks:{name}")


def test_a_lock_that_gives_up_is_counted_and_its_rounds_are_not(rows: dict[str, dict[str, Any]]) -> None:
    row = rows["Refuses"]
    assert (row["verdict"], row["operations"], row["gave_up"]) == ("clean", 4 * 5, 4 * 95)


def test_a_lock_that_fails_later_ends_its_workers_and_one_that_hangs_the_trial(rows: dict[str, dict[str, Any]]) -> None:
    assert (rows["Fails"]["verdict"], rows["Hangs"]["verdict"]) == ("died", "timeout")
    assert "lock my_locks:Fails: acquire() raised RuntimeError: no more, " in reason(rows["Fails"])


@pytest.mark.parametrize("name", FAILING)
def test_whose_fault_it_is_that_a_lock_cannot_be_taken_decides_the_verdict(
    name: str, rows: dict[str, dict[str, Any]]
) -> None:
    verdict, told = FAILING[name]
    assert rows[name]["verdict"] == verdict
    assert fnmatchcase(reason(rows[name]), f"lock my_locks:{name}: {told}")
    assert "\n" not in reason(rows[name])


def test_a_lock_that_excludes_nobody_outside_its_process_is_caught(folder: Path) -> None:
    code, (row,) = raced(folder, "my_locks:inside_one_process", rounds=500)
    assert (code, row["verdict"]) == (1, "damaged")
    assert row["overlapping_holds"] > 0


def test_of_what_a_lock_raises_only_its_own_frames_are_shown_and_in_one_line_what(folder: Path) -> None:
    args = ("counter", "--lock", "my_locks:Several", "--trials", "1", "--quiet", "--no-save", *HERE)
    done = run_lab("race", *args, cwd=folder)
    first, *trace = done.stderr.splitlines()
    told = "acquire() raised RuntimeError: one line more, in round 5 of trial 0; likewise 3 more workers; fix the lock"
    assert first.endswith(f"lock my_locks:Several: {told}")
    assert trace[0] == "lab: Traceback (most recent call last):"
    assert {line.split('"')[1] for line in trace if line.startswith("  File ")} == {str(folder / "my_locks.py")}


def test_a_lock_that_gives_up_is_a_sentence_and_no_failure(folder: Path) -> None:
    args = ("counter", "--lock", "my_locks:Refuses", "--rounds", "6", "--trials", "1", "--no-save", *HERE)
    done = run_lab("race", *args, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "counter under my_locks:Refuses: the lock gave up 4 times; these rounds were not done" in unfolded(
        done.stdout
    )


def test_what_a_lock_prints_does_not_come_into_the_document(folder: Path) -> None:
    args = ("counter", "--lock", "my_locks:Prints", "--rounds", "5", "--trials", "1", "--no-save", *HERE)
    done = run_lab("race", *args, "--json", "-", cwd=folder)
    assert json.loads(done.stdout)["cases"][0]["verdict"] == "clean"
    assert done.stderr.count("taken") == done.stderr.count("by hand") == 1 + 4 * 5


def test_a_lock_of_a_package_that_is_missing_is_a_row_and_the_others_are_raced(folder: Path) -> None:
    (folder / "filelock.py").write_text("raise ModuleNotFoundError('none here', name='filelock')")
    code, rows = raced(folder, "fcntl", "filelock", "my_locks:Own")
    assert (code, [row["verdict"] for row in rows]) == (3, ["clean", "unsupported", "clean"])
    assert reason(rows[1]) == "lock filelock: needs the Python package filelock; pip install 'lock-race-lab[locks]'"


@pytest.mark.parametrize("lock", ["no_such_module:lock", "my_locks:missing", "my_locks:TEXT", "my_locks:MADE"])
def test_a_lock_that_cannot_be_had_is_a_usage_error_before_anything_is_raced(lock: str, folder: Path) -> None:
    done = run_lab("race", "counter", "--lock", lock, *HERE, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"lab: lock {lock}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["explore", "counter"], ["race", "append_log", "--leak", "1", "--explain"]])
def test_that_there_is_no_model_of_it_is_said_in_one_line(command: list[str], folder: Path) -> None:
    done = run_lab(*command, "--lock", "my_locks:Own", cwd=folder)
    told = [line for line in done.stderr.splitlines() if "no model of" in line]
    assert len(told) == 1
    assert "my_locks:Own" in told[0]


def test_a_worker_s_threads_and_children_have_lock_objects_of_their_own(folder: Path) -> None:
    args = ("threads", "forked_holder:fixed", "--lock", "my_locks:Own", "--trials", "1", *HERE)
    code, document = race(*args, cwd=folder)
    assert [row["verdict"] for row in document["cases"] if row["scenario"] != "forked_holder"] == ["clean", "clean"]
    assert code == 0


def test_the_five_lines_of_the_page_about_locks_are_raced(tmp_path: Path) -> None:
    lines = (ROOT / "docs" / "locks.md").read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_module.py").write_text(lines)
    args = ("counter", "append_log", "--lock", "my_module:my_lock", "--workers", "8", "--rounds", "20", *HERE[2:])
    code, document = race(*args, cwd=tmp_path)
    assert (code, [row["lock"] for row in document["cases"]]) == (0, ["mine", "mine"])


def test_the_lock_of_one_method_on_that_page_is_raced(tmp_path: Path) -> None:
    block = (ROOT / "docs" / "locks.md").read_text().partition("```python\n# ranges.py\n")[2].partition("```")[0]
    (tmp_path / "ranges.py").write_text(block)
    how = ("--lock", "ranges:Mine", "--rounds", "200", "--trials", "1", *HERE[2:])
    code, document = race("bank", *how, cwd=tmp_path)
    (row,) = document["cases"]
    assert (code, row["lock"], row["verdict"], row["holds"] > 0) == (0, "ranges:Mine", "clean", True)
