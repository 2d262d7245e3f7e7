"""Directories, kernels and limits that do not allow the race: told in one line, exit code 3."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from errno import ENODEV, ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.cli.commands import QUICK, document, ended, lines, on_tmpfs, other_package, scenario_file
from tests.helpers import run_lab
from tests.needs import STRACE, need, other_user

LAB = [sys.executable, "-m", "lab"]
REFUSALS = {"ENOLCK": ENOLCK, "ENOSYS": ENOSYS, "EOPNOTSUPP": EOPNOTSUPP}

mounts = pytest.mark.needs("private_mounts")
traced = pytest.mark.needs("strace")


def refused(done: subprocess.CompletedProcess[str], code: int = 3) -> str:
    """The one line of a race that could not take place."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: ")
    return line


@mounts
def test_a_read_only_directory_is_named(tmp_path: Path) -> None:
    place = tmp_path / "place"
    done, left = on_tmpfs(place, "ro", "race", "counter", *QUICK, "--dir", place)
    assert (done.stdout, left) == ("", [])
    assert refused(done) == f"lab: --dir {place}: cannot be written (Read-only file system); give another"


@mounts
def test_a_full_directory_ends_the_cases_that_do_not_fit_and_keeps_the_others(tmp_path: Path) -> None:
    place = tmp_path / "place"
    which = ("counter", "append_log", "bank", "--locked", "--rounds", "5000", "--workers", "2", "--trials", "1")
    done, left = on_tmpfs(place, "size=64k", "race", *which, "--dir", place)
    assert re.fullmatch(
        rf"lab: {place}/\S+: cannot make a file of [\d,]+ bytes \(No space left on device\); "
        r"free some, or ask for less: fewer rounds or workers, smaller sizes \(1 case not run\)",
        refused(done),
    )
    rows = {line.split()[0]: line for line in lines(done.stdout.split("\n\n")[1])[2:]}
    assert [" clean " in rows[name] for name in ("counter", "bank", "append_log")] == [True, True, False]
    assert " not available " in rows["append_log"]
    assert left == []


@mounts
def test_a_page_for_which_there_is_no_room_is_told_as_that(tmp_path: Path) -> None:
    """A sparse file fits, the pages that are stored to do not: the kernel answers with SIGBUS."""
    place = tmp_path / "place"
    mine = scenario_file(
        tmp_path / "mine.py",
        "w.bytes(self.Memory.big)[:] = b'x' * (1 << 18)",
        attributes="sparse = True\nclass Memory(Structure):\n    _fields_ = [('big', c_uint64 * (1 << 15))]",
    )
    done, left = on_tmpfs(place, "size=64k", "race", mine, *QUICK, "--dir", place)
    assert done.returncode == 4
    assert "SIGBUS: the filesystem had no room for a page of the file (no space)" in done.stderr
    assert left == []


REFUSING = """
import fcntl, os, sys
call, error = fcntl.fcntl, int(sys.argv.pop(1))
def refusing(descriptor, command, argument=0):
    if command == fcntl.F_SETLKW:
        raise OSError(error, os.strerror(error))
    return call(descriptor, command, argument)
fcntl.fcntl = refusing
from lab.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""strace can fail the n-th call of fcntl in every process only, and the interpreter makes some of its own."""


@pytest.mark.parametrize("error", REFUSALS)
def test_a_filesystem_that_refuses_record_locks_is_named(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PURE", "1")
    race = ["race", "counter", "--locked", *QUICK, "--dir", str(tmp_path)]
    told = refused(ended([sys.executable, "-c", REFUSING, str(REFUSALS[error]), *race]))
    assert re.search(
        rf"lock fcntl: refused on \S+ \({re.escape(os.strerror(REFUSALS[error]))}\); try another --lock", told
    )


@traced
@pytest.mark.parametrize("error", REFUSALS)
def test_a_filesystem_that_refuses_flock_is_named_and_the_other_cases_run(error: str) -> None:
    inject = ("-f", "-e", "trace=flock", "-e", f"inject=flock:error={error}")
    done = ended([*STRACE, *inject, *LAB, "race", "counter", "--lock", "flock", "--locked", *QUICK, "--json", "-"])
    assert "lock flock: refused on " in refused(done)
    assert os.strerror(REFUSALS[error]) in done.stderr
    assert [case["verdict"] for case in document(done.stdout)["cases"]] == ["unsupported", "clean"]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_lock_of_another_package_that_is_refused_is_named(error: str, tmp_path: Path) -> None:
    there = other_package(tmp_path / "site", REFUSALS[error])
    done = run_lab("race", "counter", "--lock", "liar", "--faults", "none", *QUICK, env=there)
    assert f"({os.strerror(REFUSALS[error])}); try another --lock or another --dir (1 case not run)" in refused(done)


REFUSING_MAPS = """
import mmap, os, sys
error = int(sys.argv.pop(1))
class Refusing(mmap.mmap):
    def __new__(cls, descriptor, *how, **more):
        if descriptor >= 0:
            raise OSError(error, os.strerror(error))
        return super().__new__(cls, descriptor, *how, **more)
mmap.mmap = Refusing
from lab.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""How many maps the interpreter makes before the file's differs from run to run, so strace cannot count to it."""


def test_a_filesystem_that_refuses_the_mapping_is_named(tmp_path: Path) -> None:
    """As on filesystems that have no shared mappings (mmap(2), ENODEV)."""
    race = ["race", "counter", "--unlocked", *QUICK, "--dir", str(tmp_path)]
    done = ended([sys.executable, "-c", REFUSING_MAPS, str(ENODEV), *race])
    assert "this filesystem refuses the mapping of backing mapped (No such device); try another --dir" in refused(done)


@pytest.fixture
def stranger() -> Iterator[tuple[list[str], str, Path]]:
    """The command that runs a program as a user who has no other process, and a folder where that user may write."""
    need("other_users")
    user = 100_000 + os.getpid()
    folder = Path(mkdtemp(prefix="lab-test-"))
    folder.chmod(0o777)
    yield other_user(user), str(user), folder
    shutil.rmtree(folder)


def running_as(user: str) -> list[str]:
    """The processes of a user."""
    return [each.name for each in Path("/proc").glob("[0-9]*") if each.exists() and str(each.stat().st_uid) == user]


def test_a_fork_that_is_refused_part_way_is_told_and_those_forked_are_reaped(
    stranger: tuple[list[str], str, Path],
) -> None:
    become, user, folder = stranger
    race: list[str | Path] = [
        *LAB,
        "race",
        "counter",
        "--locked",
        *QUICK,
        "--workers",
        "9",
        "--no-save",
        "--dir",
        folder,
    ]
    done = ended([*become, "prlimit", "--nproc=5", *race])  # the lab, the keeper of its group and three workers
    told = "fork refused for worker 3 of 9 (Resource temporarily unavailable); lower --workers or raise the limit"
    assert told in refused(done)
    assert running_as(user) == []
    assert list(folder.iterdir()) == []
