"""Somebody replaces the lab's folder by a link to a directory of somebody else, before any call of any command.

By default before some of the calls; with LAB_EXHAUSTIVE=1 before every one, which takes 20 minutes.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from tests.attacker import Attacker, link_to, untouched, victim_in
from tests.helpers import EXHAUSTIVE, in_fresh_process

SHORT = ("--workers", "2", "--rounds", "3", "--trials", "1", "--time-limit", "5", "--no-save")
COMMANDS = {
    "race": ("race", "counter", "--locked", *SHORT),
    "remapped": ("race", "counter", "--region", "reopened", "--lock", "fcntl", *SHORT),
    "a lock of a file": ("race", "counter", "--lock", "lockfile", *SHORT),
    "a lock with a file beside": ("race", "counter", "--lock", "filelock", *SHORT),
    "memory": ("race", "counter", "--region", "sysv", "--lock", "fcntl", *SHORT),
    "bench": ("bench", "--price", "uncontended", "--repeats", "5", "--seconds", "0.01", "--lock", "fcntl"),
    "copying": ("bench", "--region", "mapped", "--sizes", "64", "--repeats", "5", "--seconds", "0.01"),
    "locks": ("locks", "fcntl"),
    "tour": ("tour", "1"),
    "regions": ("regions",),
}


CALLS = {
    "race": 66, "remapped": 80, "a lock of a file": 80, "a lock with a file beside": 150, "memory": 57, "bench": 246,
    "copying": 35, "locks": 460, "tour": 56, "regions": 147,
}  # fmt: skip
"""About how many calls on files there are."""

NAMES = ("1", "2", "foo", "bare", "bare_loop", "replayed", "looped")
"""Files of the victim under names that the lab itself uses."""


def exchanged(directory: str, command: str, numbers: list[int]) -> list[list[object]]:
    """Run it with the folder replaced before each of these calls on files: the number, the exit code, what is said."""
    from lab.cli.main import main

    came_to: list[list[object]] = []
    for number in numbers:
        place = Path(directory) / str(number)
        place.mkdir()
        victim = victim_in(place, NAMES)
        attacker = Attacker(place, number, link_to(victim))
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
            patch.chdir(place)
            attacker.hook(patch)
            with contextlib.redirect_stdout(io.StringIO()):
                code = main([*COMMANDS[command], "--dir", str(place)])
        assert untouched(victim, NAMES), f"exchanged before call {number}: {said.getvalue()}"
        if not attacker.acted:
            return came_to
        came_to.append([number, code, said.getvalue().replace(str(place), "DIR")])
    return came_to


def numbers(command: str) -> list[int]:
    """All calls, or a few: two that make the folder, and two on the way."""
    calls = CALLS[command]
    return list(range(10_000)) if EXHAUSTIVE else [*range(4), *range(5, calls, calls // 4)]


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_elses_files_are_touched_whenever_the_folder_is_exchanged(command: str, tmp_path: Path) -> None:
    came_to = in_fresh_process(exchanged, str(tmp_path), command, numbers(command))
    assert len(came_to) >= 3
    for number, code, said in came_to:
        assert code in (0, 1, 2, 3, 4), f"before call {number}: exit {code}: {said}"
        assert "fault of the lab" not in said
        assert "DIR" in said, f"before call {number} nothing is said of it: {said!r}"
