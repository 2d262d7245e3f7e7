"""Somebody replaces the lab's folder by a link to a directory of somebody else, before any call of any command.

By default before some of the calls; with LAB_EXHAUSTIVE=1 before every one, which takes 20 minutes.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacker import Attacker, link_to, untouched, victim_in
from tests.helpers import EXHAUSTIVE, in_fresh_process

IN_IT = ("--dir", "DIR")
SHORT = ("--workers", "2", "--rounds", "3", "--trials", "1", "--time-limit", "5", "--no-save", *IN_IT)
COMMANDS = {
    "race": ("race", "counter", "--locked", *SHORT),
    "remapped": ("race", "counter", "--backing", "remapped", "--lock", "fcntl", *SHORT),
    "a lock of a file": ("race", "counter", "--lock", "lockfile", *SHORT),
    "a lock with a file beside": ("race", "counter", "--lock", "filelock", *SHORT),
    "memory": ("race", "counter", "--backing", "sysv", "--lock", "fcntl", *SHORT),
    "bench": ("bench", "--price", "uncontended", "--repeats", "5", "--seconds", "0.01", "--lock", "fcntl", *IN_IT),
    "copying": ("bench", "--backing", "mapped", "--sizes", "64", "--repeats", "5", "--seconds", "0.01", *IN_IT),
    "locks": ("locks", "fcntl", *IN_IT),
    "tour": ("tour", "1", *IN_IT),
    "backings": ("backings", *IN_IT),
    "replay": ("replay", "TOKEN", "--times", "2", *IN_IT),
    "rules": ("check", "DIR", "--only", "ownership,rules"),
    "stress": ("check", "DIR", "--only", "pread,remapped,stress", "--seconds", "0.1"),
}

CHUNK = 6
"""So many runs do not take long, whatever the command."""

CALLS = {
    "race": 50, "remapped": 80, "a lock of a file": 80, "a lock with a file beside": 150, "memory": 57, "bench": 246,
    "copying": 35, "locks": 460, "tour": 56, "backings": 147,
    "replay": 35, "rules": 166, "stress": 759,
}  # fmt: skip
"""About how many calls on files there are."""

NAMES = ("1", "2", "foo", "bare", "bare_loop", "replayed", "looped", "shown", *(f"{n:x}-f" for n in range(1, 40)))
"""Files of the victim under names that the lab itself uses."""


def exchanged(directory: str, command: str, numbers: list[int]) -> list[list[object]]:
    """Run it with the folder replaced before each of these calls on files: the number, the exit code, what is said."""
    from lab.checking import mounts
    from lab.cli.main import main

    asked = [token_of_the_counter(Path(directory)) if word == "TOKEN" else word for word in COMMANDS[command]]
    came_to: list[list[object]] = []
    for number in numbers:
        place = Path(directory) / str(number)
        place.mkdir()
        victim = victim_in(place, NAMES)
        attacker = Attacker(place, number, link_to(victim))
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
            patch.chdir(place)
            patch.setattr(mounts, "SHOWN_S", 0.0)  # the folder never comes back
            attacker.hook(patch)
            with contextlib.redirect_stdout(io.StringIO()):
                code = main([str(place) if word == "DIR" else word for word in asked])
        assert untouched(victim, NAMES), f"exchanged before call {number}: {said.getvalue()}"
        if not attacker.acted:
            return came_to
        came_to.append([number, code, said.getvalue().replace(str(place), "DIR")])
    return came_to


def token_of_the_counter(directory: Path) -> str:
    from lab.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()):
        main(["explore", "counter", "--unlocked", "--quiet", "--json", str(directory / "explored.json")])
    (case,) = json.loads((directory / "explored.json").read_text())["cases"]
    return str(case["token"])


def chunks(command: str) -> Iterator[list[int]]:
    """All calls, or a few: two that make the folder, and two on the way; in parts that do not take long."""
    calls = CALLS[command]
    if EXHAUSTIVE:
        yield from (list(range(first, first + CHUNK)) for first in range(0, 10_000, CHUNK))
    elif COMMANDS[command][0] == "check":
        yield [4, calls // 3, calls // 2]
    else:
        yield [*range(4), *range(5, calls, calls // 4)]


@pytest.mark.timeout(7200 if EXHAUSTIVE else 120)
@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_elses_files_are_touched_whenever_the_folder_is_exchanged(command: str, tmp_path: Path) -> None:
    came_to: list[list[object]] = []
    for chunk in chunks(command):
        part = in_fresh_process(exchanged, str(tmp_path), command, chunk)
        came_to += part
        if len(part) < len(chunk):  # the command ended before
            break
    assert len(came_to) >= 3
    for number, code, said in came_to:
        assert code in (0, 1, 2, 3, 4), f"before call {number}: exit {code}: {said}"
        assert "fault of the lab" not in str(said)
        assert "DIR" in str(said), f"before call {number} nothing is said of it: {said!r}"
