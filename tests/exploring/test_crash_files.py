"""Files by their names where crashes are explored: how they fail is told, and a real process has real ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from ctypes import Structure, c_uint64
from errno import ELOOP
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lab import Damage, Outcome, Scenario
from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.exploring.crash.replay import reproduce
from lab.exploring.run import cases_of, explore
from lab.locking import find_lock
from lab.memory.named_files import NamedFile, NamedFiles, files_left, fill, named_files
from lab.model.directory import Call
from lab.racing.faults import CRASH
from lab.racing.trial import run_trial
from lab.racing.worker import Setting
from lab.records import ReplayOptions
from lab.scenario import Found, find_scenarios
from lab.scenario.files import files_of
from tests.exploring.test_crash import Kind, explored, left_by_both
from tests.exploring.test_crash import Program as Both
from tests.helpers import PATIENCE_S, in_fresh_process
from tests.report.explored_records import asked

STORIES: list[tuple[str, Kind, list[str], list[str]]] = [
    (
        "renamed_unsynced", "power", ["the name settings.new as after step 6; settings holds 10 zeros"],
        ["step 7 (rename settings.new -> settings) reached the disk and step 6 (write settings.new 'start 0.0 '), done "
         "before it, did not: no sync of settings.new comes between them"],
    ),
    (
        "name_not_synced", "power", ["the name settings as after step 7; the name settings.new as after step 7"],
        ["worker 0 had finished its round 0 with step 9, and step 8 (rename settings.new -> settings) was not on the "
         "disk: no sync of the directory comes between them"],
    ),
    (
        "leftover_reused", "power", ["the name settings.new as after step 6", "settings holds 10 zeros"],
        ["step 7 (rename settings.new -> settings) reached the disk in part: settings.new is as before it, the rest is "
         "not",
         "step 14 (create settings.new) reached the disk in part: the length is as before it, the rest is not"],
    ),
    (
        "in_place", "kill", [],
        ["worker 0 crashed in the middle of its round 0, after step 5 (create settings); what it would have stored "
         "next, write settings 'start 0.0 ', is missing"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "kind", "left", "reasons"), STORIES, ids=[each[0] for each in STORIES])
def test_a_failure_names_the_files_and_the_calls(variant: str, kind: Kind, left: list[str], reasons: list[str]) -> None:
    case = explored(f"saved_by_rename:{variant}", kind)
    assert [step.value for step in case.steps if step.operation == "power"] == left
    assert case.reasons == reasons


class Named(Both):
    """A program whose workers use two files: each instruction is some calls on one of them."""

    def files(self, workers: int, rounds: int) -> dict[str, bytes | None]:
        return {"a": b"1", "b": None}

    def run(self, w: Any, text: list[tuple[str, int, int]]) -> None:
        for does, file, number in text:
            with suppress(OSError):
                self.do(w, does, "ab"[file % 2], number)

    def do(self, w: Any, does: str, name: str, number: int) -> None:
        if does == "create":
            with w.create(name, exclusive=number > 1) as file:
                file.write(b"%d" % number)
                if number > 2:
                    file.sync()
        elif does == "append":
            with w.open(name) as file:
                file.write(b"%d" % (number + 3))
        elif does == "rename":
            w.rename(name, "ab"["ba".index(name)])
        elif does == "unlink":
            w.unlink(name)
        else:
            w.sync_directory()


CALLS = ["create", "create", "append", "rename", "rename", "unlink", "sync"]


def drawn(random: Random) -> Found:
    """A program of two workers, two instructions each at most."""
    texts = []
    for _ in range(2):
        does = random.choices(CALLS, k=random.randint(1, 2))
        texts.append((random.random() < 0.5, [(each, random.randrange(2), random.randint(1, 3)) for each in does]))
    return Found("drawn", type("Drawn", (Named,), {"texts": texts, "shown": set()}), "")


@pytest.mark.parametrize("kind", ["kill", "power"])
def test_the_files_that_are_left_are_those_that_brute_force_leaves(kind: Kind) -> None:
    random = Random(11)
    assert left_by_both((drawn(random) for _ in range(40)), kind) > 200


class Program(Scenario):
    """One worker does all that can be done with files; what it cannot do is no error where it catches it."""

    class Memory(Structure):
        _fields_ = [("lock", c_uint64)]

    def files(self, workers: int, rounds: int) -> dict[str, bytes | None]:
        return {"a": b"1", "b": None, "c": None}

    def work(self, w: Any) -> None:
        with w.open("a") as file, file.write_lock():
            w.unlink("a")
            file.write(b"2")
            assert file.read() == b"12"  # it lives on without a name
            file.sync()
        for does in (lambda: w.open("a"), lambda: w.rename("a", "b"), lambda: w.unlink("a")):
            self.refused(FileNotFoundError, does)
        with w.create("b", exclusive=True) as file:
            file.write(b"new")
        self.refused(FileExistsError, lambda: w.create("b", exclusive=True))
        w.create("c").close()
        w.rename("b", "c")
        w.sync_directory()

    def refused(self, error: type[OSError], does: Callable[[], object]) -> None:
        try:
            does()
        except error:
            return
        raise AssertionError(f"no {error.__name__}")

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("wrong files", int(dict(outcome.files) != {"c": b"new"}), 1)


class Wrong(Program):
    """Its check expects another file."""

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("wrong files", int(dict(outcome.files) != {"c": b"old"}), 1)


MADE: dict[str, type[Scenario]] = {kind.__name__: kind for kind in (Program, Wrong)}


@pytest.mark.parametrize("kind", MADE.values())
def test_what_a_worker_does_with_files_is_explored(kind: type[Scenario]) -> None:
    options = asked(workers=[1], rounds=[1], locks=["fcntl"])
    case = explore(cases_of([Found("made", kind, "")], options)[0], options)
    assert (case.verdict == "holds") == (kind is Program)


def raced(name: str, directory: str, workers: int, trials: int, crash: bool) -> list[Any]:
    """The kinds of damage of some trials, how often each was found, and why any failed."""
    scenario = MADE[name]() if name in MADE else find_scenarios([name])[0].kind()
    setting = Setting(
        scenario=scenario, lock=find_lock("fcntl"), backing="mapped", workers=workers, rounds=1 if name in MADE else 4,
        pin="none", window_ns=0, leak=0.0, time_limit_s=PATIENCE_S, seed="0", fault=CRASH if crash else None,
    )  # fmt: skip
    results = [run_trial(setting, number, [Path(directory)]) for number in range(trials)]
    kinds = [each.kind for result in results for each in result.damage]
    failed = [failure.reason for result in results for failure in result.failures]
    return [sorted(kinds), failed, os.listdir(directory)]  # noqa: PTH208


@pytest.mark.parametrize(("name", "kinds"), [("Program", []), ("Wrong", ["wrong files"])])
def test_a_race_has_the_same_files(name: str, kinds: list[str], tmp_path: Path) -> None:
    assert in_fresh_process(raced, name, str(tmp_path), 1, 1, False) == [kinds, [], []]


def test_a_holder_is_killed_between_two_calls_on_files(tmp_path: Path) -> None:
    kinds, failed, left = in_fresh_process(raced, "saved_by_rename:in_place", str(tmp_path), 2, 12, True)
    assert (failed, left) == ([], [])
    assert "file not whole" in kinds
    assert in_fresh_process(raced, "saved_by_rename", str(tmp_path), 2, 12, True) == [[], [], []]


def test_names_of_one_file_stay_so_and_a_link_is_not_followed(tmp_path: Path) -> None:
    path, outside = tmp_path / "file", tmp_path / "outside"
    outside.write_bytes(b"kept")
    with named_files(path, {"a": b"1", "b": None}):
        fill(path, {"a": NamedFile(3, b"both"), "b": NamedFile(3, b"both"), "c": NamedFile(4, b"")})
        assert files_left(path) == {"a": b"both", "b": b"both", "c": b""}
        files = NamedFiles(path)
        assert files.perform(Call("open", "a")) == 0
        files.perform(Call("write", "a", data=b"!"))
        assert files_left(path)["b"] == b"both!"
        (tmp_path / "file.files" / "link").symlink_to(outside)
        assert files.perform(Call("create", "link")) == -ELOOP
        files.close_all()
    assert (outside.read_bytes(), [each.name for each in tmp_path.iterdir()]) == (b"kept", ["outside"])


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ([], "a mapping of names"),
        ({"a/b": b""}, "the name of a file"),
        ({"": b""}, "the name of a file"),
        ({"..": None}, "the name of a file"),
        ({"a": "text"}, "is to be bytes, or None"),
        ({str(number): None for number in range(128)}, "there may be 127"),
    ],
)
def test_files_that_are_none_are_refused(files: Any, error: str) -> None:
    scenario = type("Made", (Scenario,), {"files": lambda *_: files})()
    with pytest.raises(ScenarioError, match=error):
        files_of(scenario, 1, 1)


def made(work: Any, **members: Any) -> Found:
    return Found("made", type("Made", (Program,), {"work": work, "check": lambda *_: [], **members}), "")


def opens_five(scenario: Any, w: Any) -> None:
    for _ in range(5):
        w.open("a")


def in_start(scenario: Any, w: Any) -> None:
    w.open("a")


@pytest.mark.parametrize(
    ("found", "error", "said"),
    [
        (made(opens_five), ScenarioError, "4 files are open already"),
        (made(lambda _, w: w.create("d")), ScenarioError, "there is no file 'd'"),
        (made(lambda _, w: w.unlink("a"), files=lambda *_: {}), ScenarioError, "the scenario has no files"),
        (made(lambda *_: None, start=in_start), CannotRunError, "calls on files in start"),
    ],
)
def test_what_cannot_be_done_with_files_is_said(found: Found, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        explored(found, "kill", 1, 1)


def test_a_whole_file_lock_on_a_file_by_its_name_is_not_simulated() -> None:
    options = asked(workers=[2], rounds=[1], locks=["flock"])
    (found,) = find_scenarios(["saved_by_rename:locks_the_saved"])
    with pytest.raises(CannotRunError, match="simulated for locks on byte ranges only"):
        explore(cases_of([found], options)[0], options)


def test_files_by_their_names_are_on_no_real_filesystem_yet(tmp_path: Path) -> None:
    token = explored("saved_by_rename:name_not_synced", "power").token
    assert token
    with pytest.raises(UsageError, match="uses files by their names"):
        reproduce(ReplayOptions(token, 1, str(tmp_path), PATIENCE_S, ["all"]))
