from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import ended
from tests.helpers import ROOT, race, run_lab
from tests.needs import private_mounts

SCRIPT = """
    mount -t tmpfs -o size=4k tmpfs "$1"; cd "$1"; head -c 4096 /dev/zero >full; mount -o "remount,$2" "$1"
    shift 2; "$@"; code=$?
    ls -A; exit $code
    """
mounts = pytest.mark.needs("private_mounts")


@pytest.fixture
def mine(elsewhere: Path) -> Path:
    """The file, as `new` writes it."""
    assert run_lab("new", "mine").returncode == 0
    return elsewhere / "mine.py"


def test_a_file_is_written_here_and_nothing_else(mine: Path) -> None:
    assert list(mine.parent.iterdir()) == [mine]


def test_without_a_lock_it_breaks_and_under_one_it_does_not(mine: Path) -> None:
    code, run = race(mine.name, "--trials", "2")
    assert [(case["lock"], bool(case["damaged"])) for case in run["cases"]] == [
        ("none", True), ("fcntl", False),
    ]  # fmt: skip
    assert code == 0
    assert run["cases"][0]["damage"][0]["evidence"]


def explored(*args: str | Path) -> list[dict[str, Any]]:
    done = run_lab("explore", *args, "--json", "-")
    assert done.returncode == 0, done.stderr
    cases: list[dict[str, Any]] = json.loads(done.stdout)["cases"]
    return cases


def test_no_order_of_steps_breaks_it_under_a_lock_and_one_does_without(mine: Path) -> None:
    cases = explored(mine.name)
    assert [(case["lock"], case["verdict"]) for case in cases] == [("none", "broken"), ("fcntl", "holds")]
    assert cases[1]["exhausted"]


def test_it_says_three_commands_that_all_end_well() -> None:
    told = run_lab("new", "mine").stdout
    commands = re.findall(r"lab (\S.*?)(?:  |$)", told, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["race", "explore", "race"]
    for command in commands:
        assert run_lab(*command.split()).returncode == 0, command


def test_every_part_of_it_has_a_comment_above(mine: Path) -> None:
    lines = mine.read_text().splitlines()
    parts = ("rounds =", "holds_per_round =", "expects =", "class Memory", "def prepare", "def work", "def check")
    for part in parts:
        (at,) = [number for number, line in enumerate(lines) if line.strip().startswith(part)]
        assert lines[at - 1].strip().startswith("#"), part


def test_it_is_formatted_as_the_gallery_is(mine: Path) -> None:
    done = ended([sys.executable, "-m", "ruff", "format", "--check", "--config", ROOT / "pyproject.toml", mine])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_time_it_is_left_alone(mine: Path) -> None:
    mine.write_text("changed")
    done = run_lab("new", "mine.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lab: mine.py is there already, and stays as it is; choose another name\n"
    assert mine.read_text() == "changed"


@pytest.mark.parametrize(
    ("name", "said"), [("random", "would hide the module random"), ("counter", "built-in"), ("a-b", "no name")]
)
def test_a_name_that_will_not_do_is_refused(name: str, said: str, elsewhere: Path) -> None:
    done = run_lab("new", name)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(elsewhere.iterdir()) == []


@mounts
@pytest.mark.parametrize(("option", "said"), [("rw", "No space left on device"), ("ro", "Read-only file system")])
def test_a_folder_that_takes_nothing_is_told_and_left_as_it_was(option: str, said: str, elsewhere: Path) -> None:
    (elsewhere / "place").mkdir()
    lab = [sys.executable, "-m", "lab", "new", "mine"]
    done = ended([*private_mounts(), "sh", "-c", SCRIPT, "sh", elsewhere / "place", option, *lab])
    assert done.stderr == f"lab: mine.py: cannot be written ({said}); choose another name or folder\n"
    assert (done.returncode, done.stdout) == (3, "full\n")
