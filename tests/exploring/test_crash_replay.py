"""Crashes on the real kernel: each that breaks the gallery or a default scenario is performed as the model has it."""

from __future__ import annotations

from ctypes import c_uint64
from pathlib import Path
from typing import Any

import pytest

from lab import Damage, Outcome
from lab.errors import UsageError
from lab.exploring.crash import script
from lab.exploring.crash.replay import reproduce
from lab.exploring.crash.script import Event
from lab.processes.actor import SteppedProcess
from lab.records import Replay, ReplayOptions
from lab.report.text.replay import text_of
from lab.scenario import Found, find_scenarios
from tests.exploring.test_crash import BUGS, HOLD, Kind, explored
from tests.exploring.worlds import scenario_of
from tests.helpers import PATIENCE_S, in_fresh_process

DEFAULT = [found.name for found in find_scenarios([])]
KILLED = [*[name for name, (kill, _) in BUGS.items() if kill], *[name for name in DEFAULT if name not in HOLD]]
FAILED = [*[name for name, (_, power) in BUGS.items() if power], *DEFAULT]


def tokens(kind: Kind, names: list[str]) -> dict[str, str]:
    made = {name: explored(name, kind).token for name in names}
    return {name: token for name, token in made.items() if token}


def performed(token: str, directory: str, times: int = 3) -> Replay:
    return reproduce(ReplayOptions(token, times, directory, PATIENCE_S))


def reproduced(made: dict[str, str], directory: str) -> dict[str, list[Any]]:
    """What each token came to: how often, and where it parted from the model."""
    return {
        name: [done.reproduced, done.divergence, bool(done.damage)]
        for name, done in ((name, performed(token, directory)) for name, token in made.items())
    }


@pytest.mark.parametrize(("kind", "names"), [("kill", KILLED), ("power", FAILED)], ids=["kill", "power"])
def test_each_failure_is_performed_by_real_processes(kind: Kind, names: list[str], tmp_path: Path) -> None:
    made = tokens(kind, names)
    without = {"torn_record", "readers_writers"}  # a worker itself reports what the dead one left: nobody recovers
    without |= {name for name, causes in BUGS.items() if "without a crash" in causes}
    assert set(names) - set(made) <= without
    assert in_fresh_process(reproduced, made, str(tmp_path)) == {name: [3, "", True] for name in made}


def not_killed(token: str, directory: str) -> list[Any]:
    """As where the one that is to be killed lives on, and keeps its lock."""
    SteppedProcess.end = lambda self: None  # type: ignore[method-assign]
    done = reproduce(ReplayOptions(token, 1, directory, 0.5))
    return [done.reproduced, "its lock is not granted" in done.divergence]


def test_a_kill_that_does_not_happen_is_noticed(tmp_path: Path) -> None:
    token = explored("undo_journal:nobody_looks", "kill").token
    assert token
    assert in_fresh_process(not_killed, token, str(tmp_path)) == [0, True]


def test_what_the_power_failure_left_decides(tmp_path: Path) -> None:
    """With nothing old on the disk the same steps are harmless, and the fingerprints say that recovery does others."""
    token = explored("undo_journal:flag_with_journal", "power").token
    assert token
    made = script.read(token)
    whole = tuple(event._replace(old=()) if event.kind == "p" else event for event in made.events)
    assert whole != made.events
    harmless = str(script.Script(*made_fields(made, whole)))
    assert "money made or lost" in {each.kind for each in performed(token, str(tmp_path), 1).damage}
    assert performed(harmless, str(tmp_path), 1).damage == []


def made_fields(made: script.Script, events: tuple[Event, ...]) -> tuple[Any, ...]:
    its = made.scenario, made.lock, made.workers, made.rounds, made.line, made.fingerprint, made.kind, made.unit
    return (*its, events)


EVENTS = [
    (Event("x", 1, 12, "a3f"), "1x12.a3f"),
    (Event("k", 0), "k0"),
    (Event("p"), "p"),
    (Event("p", old=((2, 23), (3, 0))), "p2@23_3@0"),
    (Event("r", 1, 9, "9c0"), "r1x9.9c0"),
]


@pytest.mark.parametrize(("event", "text"), EVENTS)
def test_an_event_is_read_as_it_is_written(event: Event, text: str) -> None:
    assert (str(event), Event.read(text)) == (text, event)


def token_of(**changes: Any) -> str:
    token = explored("bank", "kill").token
    assert token
    made = script.read(token)
    return str(script.Script(**{**{name: getattr(made, name) for name in made.__dataclass_fields__}, **changes}))


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (lambda: token_of()[:-1], "cut short or mistyped"),
        (lambda: token_of().replace("fcntl", "flock"), "cut short or mistyped"),
        (lambda: token_of(workers=300), "says nothing sensible"),
        (lambda: token_of(kind="fire"), "says nothing sensible"),
        (lambda: token_of(fingerprint="00000000"), "has changed since the token was made"),
        (lambda: token_of(events=(Event("x", 0, 5, "000"),)), "other operations are done"),
        (lambda: token_of(events=(Event("x", 1, 5, "000"),)), "worker 1 cannot do step 1"),
        (lambda: token_of(events=(Event("p", old=((0, 7),)),)), "there is no unit 0 as after step 7"),
        (lambda: token_of(events=(Event("k", 3),)), "there is no worker 3"),
    ],
)
def test_a_token_that_does_not_fit_is_refused(token: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        performed(token(), str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_scenario_that_does_other_steps_than_its_token_is_refused(tmp_path: Path) -> None:
    def add(scenario: Any, w: Any) -> None:
        with w.write_lock():
            w.memory.value += 1

    def add_twice(scenario: Any, w: Any) -> None:
        with w.write_lock():
            w.memory.value += 1
            w.memory.value += 1

    def check(scenario: Any, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost", max(0, outcome.rounds - memory.value), 1)

    found: Found = scenario_of(add, check=check)
    token = explored(found, "power", 1, 1).token
    assert token
    other = scenario_of(add_twice, check=check)
    with pytest.raises(UsageError, match="does not fit"):
        reproduce(ReplayOptions(token, 1, str(tmp_path), PATIENCE_S), other)


def test_what_the_next_one_saw_go_wrong_is_damage_of_a_replay_too(tmp_path: Path) -> None:
    def work(scenario: Any, w: Any) -> None:
        with w.write_lock():
            if w.memory.left != w.memory.right:
                w.damaged("half seen")
            w.memory.left += 1
            w.memory.right += 1

    found = scenario_of(work, ("left", c_uint64), ("right", c_uint64))
    token = explored(found, "kill", 1, 1).token
    assert token
    done = reproduce(ReplayOptions(token, 1, str(tmp_path), PATIENCE_S), found)
    assert (done.reproduced, [each.kind for each in done.damage]) == (1, ["half seen"])


def test_the_report_says_that_the_file_was_made(tmp_path: Path) -> None:
    token = explored("undo_journal:flag_with_journal", "power").token
    assert token
    text = text_of(performed(token, str(tmp_path), 1))
    assert "POWER FAILS" in text
    assert "on the disk: journal as after step" in text
    assert "the next one" in text
    assert "reproduced 1 of 1" in text
    assert "made by hand" in text
    assert "--real" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_replay_of_files_by_their_names_does_not_advise_what_is_refused_for_them(tmp_path: Path) -> None:
    token = explored("saved_by_rename:renamed_unsynced", "power").token
    assert token
    text = text_of(performed(token, str(tmp_path), 1))
    assert "made by hand" in text
    assert "--real" not in text
