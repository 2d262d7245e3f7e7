from __future__ import annotations

import fcntl
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.exploring.sandbox import Bypass, Watched, bypass, check_notes, notes
from tests.exploring.worlds import scenario_of, world

NOTEBOOK: list[int] = []

WAYS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a file": (lambda w: Path("beside").write_text("1"), "opens beside"),
    "a file by os.open": (lambda w: os.open("/dev/null", os.O_RDONLY), "opens /dev/null"),
    "a mapping": (lambda w: mmap.mmap(-1, 8), "maps memory itself"),
    "lockf": (lambda w: fcntl.lockf(0, fcntl.LOCK_EX), "locks by itself"),
    "flock": (lambda w: fcntl.flock(0, fcntl.LOCK_EX), "locks by itself"),
    "fcntl": (lambda w: fcntl.fcntl(0, fcntl.F_GETFL), "locks by itself"),
    "a thread": (lambda w: threading.Thread(target=int).start(), "starts a thread"),
    "a program": (lambda w: subprocess.run([sys.executable, "-V"], check=False), "starts a program"),
    "a socket": (lambda w: socket.socket(), "opens a socket"),
    "the path": (lambda w: w.path, "asks for w.path"),
    "reopen": (lambda w: w.reopen(), "asks for w.reopen"),
    "stale": (lambda w: w.stale(), "asks for w.stale"),
    "twin": (lambda w: w.twin(), "asks for w.twin"),
    "child": (lambda w: w.child(print), "asks for w.child"),
    "die": (lambda w: w.die(), "asks for w.die"),
}

each_way = pytest.mark.parametrize(("way", "said"), WAYS.values(), ids=WAYS.keys())


@each_way
def test_what_reaches_around_the_memory_ends_the_exploration_even_where_the_error_is_caught(
    way: Callable[[Any], object], said: str
) -> None:
    def work(_: object, w: Any) -> None:
        w.memory.value += 1
        way(w)

    def catches(_: object, w: Any) -> None:
        with suppress(Exception):
            work(_, w)

    with pytest.raises(Bypass) as raised:
        world(scenario_of(work))
    assert str(raised.value).startswith(f"the scenario {said}: that bypasses w.memory")
    assert str(raised.value).endswith("race it instead (lab race)")
    with pytest.raises(Bypass, match=said):
        world(scenario_of(catches))


def test_nothing_is_forked_and_it_is_the_environment_that_cannot() -> None:
    with pytest.raises(Bypass, match="forks") as raised, Watched():
        os.fork()
    assert isinstance(raised.value, CannotRunError)
    assert raised.value.exit_code == 3


def test_the_first_of_several_ways_is_the_one_told() -> None:
    def both(_: object, w: Any) -> None:
        for way in (w.reopen, w.stale):
            with suppress(Bypass):
                way()

    with pytest.raises(Bypass, match=r"asks for w\.reopen"):
        world(scenario_of(both))


@pytest.mark.parametrize("raises", [False, True])
def test_nothing_is_watched_any_more_once_the_scenario_has_ended_or_raised(raises: bool, tmp_path: Path) -> None:
    with suppress(ValueError), Watched():
        if raises:
            raise ValueError
    assert (tmp_path / "beside").write_text("1") == 1


def test_an_old_bypass_is_not_held_against_the_next_scenario() -> None:
    with suppress(Bypass), Watched():
        raise bypass("once")
    with Watched():
        pass


def imports(_: object, w: Any) -> None:
    sys.modules.pop("this", None)
    with redirect_stdout(StringIO()):
        import this  # noqa: F401
    w.memory.value += 1


def computes(_: object, w: Any) -> None:
    w.local.table = sorted({str(number): number for number in range(10)})
    w.memory.value += len(w.local.table)


def keeps_notes(_: object, w: Any) -> None:
    w.local.count = getattr(w.local, "count", 0) + 1
    w.memory.value += w.local.count


@pytest.mark.parametrize("work", [imports, computes, keeps_notes])
def test_what_stays_in_memory_is_no_bypass(work: Any) -> None:
    assert world(scenario_of(work), rounds=2).choices() == [0, 1]


def noting(note: Callable[[Any], object]) -> Any:
    def work(scenario: Any, w: Any) -> None:
        w.memory.value += 1
        note(scenario)

    return scenario_of(work, shared=[])


@pytest.mark.parametrize(
    ("note", "name"),
    [
        (lambda scenario: setattr(scenario, "count", getattr(scenario, "count", 0) + 1), "self.count"),
        (lambda scenario: scenario.shared.append(1), "Made.shared"),
        (lambda scenario: setattr(type(scenario), "count", getattr(scenario, "count", 0) + 1), "Made.count"),
    ],
)
def test_notes_that_workers_could_share_end_the_exploration(note: Callable[[Any], object], name: str) -> None:
    with pytest.raises(Bypass, match=rf"keeps {name} beside it, which no two processes share"):
        world(noting(note))


def test_notes_in_the_module_are_told_by_their_name() -> None:
    class Here:
        """Stands for a scenario of this module."""

    before = notes(Here())  # type: ignore[arg-type]
    NOTEBOOK.append(1)
    try:
        with pytest.raises(Bypass, match="keeps NOTEBOOK beside it"):
            check_notes(before, Here())  # type: ignore[arg-type]
    finally:
        NOTEBOOK.clear()


def test_notes_that_stay_as_they_are_are_fine() -> None:
    made = world(noting(lambda scenario: None)).shape.scenario
    check_notes(notes(made), made)


def test_the_layout_on_the_scenario_is_no_note() -> None:
    assert "self.Memory" not in notes(world("append_log").shape.scenario)
