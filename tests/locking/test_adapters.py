from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.locking import LockFailed, adapt, prepared
from tests.locking import theirs
from tests.locking.theirs import Deadlocking, Door, Library, Raising, Refused, Sticking, Switch, tunnel


@pytest.fixture
def done() -> list[str]:
    """What is done to the locks from now on."""
    Switch.made.clear()
    Switch.done.clear()
    return Switch.done


@pytest.mark.parametrize(
    ("factory", "expected"),
    [(Switch, ["acquire", "release"]), (Door, ["enter", "exit"]), (tunnel, ["in", "out"])],
)
def test_a_lock_is_taken_and_given_back_in_its_own_way_as_often_as_asked(
    factory: Callable[[str], object], expected: list[str], here: int, done: list[str]
) -> None:
    acquire, release = adapt(factory).actions(here, 0, 8, write=True)
    for _ in range(3):
        acquire()
        release()
    assert done == expected * 3


def test_the_factory_gets_the_name_of_a_lock_file_beside_the_data_that_is_not_there(
    here: int, path: Path, done: list[str]
) -> None:
    adapt(Switch).actions(here, 0, 8, write=True)
    assert Switch.made == [f"{path}.lock"]
    assert not Path(f"{path}.lock").exists()


def test_a_data_file_that_was_replaced_keeps_its_lock_file(here: int, path: Path, done: list[str]) -> None:
    path.with_name("new").touch()
    path.with_name("new").replace(path)
    adapt(Switch).actions(here, 0, 8, write=True)
    assert Switch.made == [f"{path}.lock"]


def test_each_open_file_has_an_object_of_its_own_for_all_its_ranges(here: int, path: Path, done: list[str]) -> None:
    lock = adapt(Switch)
    second = os.open(path, os.O_RDWR)
    for descriptor in (here, second):
        for start in (0, 8):
            lock.actions(descriptor, start, 8, write=True)
    os.close(second)
    assert len(Switch.made) == 2


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("W w", ["write", "write ends"]),
        ("R r", ["read", "read ends"]),
        ("W W w", ["write"]),
        ("W W w w", ["write", "write ends"]),
        ("R W w r", ["read", "read ends", "write", "write ends"]),
        ("W R r", ["write"]),
        ("W R r w", ["write", "write ends"]),
    ],
)
def test_ranges_held_together_are_one_lock_of_its_readers_or_writers(
    steps: str, expected: list[str], here: int, done: list[str]
) -> None:
    """A writer inside a reader gives up the shared lock first, and a reader inside a writer needs none."""
    lock = adapt(Library, read="reading", write="writing")
    ranges = {letter: lock.actions(here, 0, 8, write=letter == "W") for letter in "RW"}
    for step in steps.split():
        ranges[step.upper()][step.islower()]()
    assert done == expected


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (Refused, r"lock sour: acquire\(\) returned False"),
        (Raising, r"lock sour: acquire\(\) raised ValueError: no more"),
        (Sticking, r"lock sour: release\(\) raised RuntimeError: not the holder"),
    ],
)
def test_what_it_refuses_or_raises_is_told_with_its_name_each_time(
    factory: Callable[[str], object], told: str, here: int
) -> None:
    acquire, release = adapt(factory, name="sour").actions(here, 0, 8, write=True)
    for _ in range(2):
        with pytest.raises(LockFailed, match=told) as raised:
            acquire(), release()
    assert (raised.value.__cause__ is None) is (factory is Refused)


def test_a_deadlock_that_it_notices_passes_as_it_is(here: int) -> None:
    acquire, _ = adapt(Deadlocking).actions(here, 0, 8, write=True)
    with pytest.raises(OSError, match="deadlock"):
        acquire()


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (lambda path: None, "its factory returned None, which has neither"),
        (lambda path: "text", "its factory returned a str, which has neither"),
        (theirs.raises, "its factory raised ValueError: no such thing; fix it"),
        (theirs.leaves, "its factory raised SystemExit: 0; fix it"),
    ],
)
def test_a_factory_that_makes_no_lock_is_named(factory: Callable[[str], object], told: str, here: int) -> None:
    with pytest.raises(UsageError, match=f"^lock odd: {told}"):
        adapt(factory, name="odd").actions(here, 0, 8, write=True)


def test_a_method_that_is_not_there_is_named(here: int) -> None:
    with pytest.raises(UsageError, match=r"lock Library: a Library has no method peeking\(\)"):
        adapt(Library, read="peeking", write="writing").actions(here, 0, 8, write=True)


def test_a_method_that_gives_no_context_manager_is_named(here: int) -> None:
    acquire, _ = adapt(Library, read="nothing", write="writing").actions(here, 0, 8, write=False)
    with pytest.raises(LockFailed, match="lock Library: __enter__ raised TypeError: None is no context manager"):
        acquire()


def test_one_method_alone_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"names reading\(\) alone; name both"):
        adapt(Library, read="reading")


def test_what_cannot_be_called_cannot_be_adapted() -> None:
    with pytest.raises(UsageError, match="adapt: 'text' cannot be called"):
        adapt("text")  # type: ignore[arg-type]


@pytest.mark.parametrize(("factory", "name"), [(Switch, "Switch"), (lambda path: Switch(path), "adapted")])
def test_without_a_name_it_goes_by_its_factory_s(factory: Callable[[str], object], name: str) -> None:
    assert adapt(factory).name == name


def test_a_trial_begins_with_no_object_and_leaves_no_lock_file(here: int, path: Path, done: list[str]) -> None:
    lock = adapt(Switch)
    lock.actions(here, 0, 8, write=True)
    with prepared(lock, str(path)) as made:
        made.actions(here, 0, 8, write=True)
        path.with_name("file.lock").touch()
        path.with_name("file.lock-journal").touch()
        path.with_name("file.locks").mkdir()
        path.with_name("file.locks").joinpath("inner").touch()
    assert len(Switch.made) == 2
    assert list(path.parent.iterdir()) == [path]


def test_nothing_else_beside_the_data_is_removed(path: Path) -> None:
    others = [path.with_name(name) for name in ("file2.lock", "file.loc", "other.lock")]
    for other in others:
        other.touch()
    with prepared(adapt(Switch), str(path)):
        pass
    assert sorted(path.parent.iterdir()) == sorted([path, *others])
