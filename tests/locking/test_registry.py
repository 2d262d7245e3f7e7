from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lab.checking.guarantees import LOCKS
from lab.checking.language import REQUESTS
from lab.errors import UsageError
from lab.host import packages
from lab.locking import abilities, find_lock, lock_names, registry
from lab.locking.registry import READY

GROUP = "lab.locks"
BUILT_IN = {name: find_lock(name) for name in registry.OWN}
LAB = Path(registry.__file__).parents[1]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """The entry points that are installed, for the test to add to."""
    points = list(metadata.entry_points(group=GROUP))
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point for point in points if point.group == group])
    monkeypatch.setattr(packages, "may_declare", lambda group: True)
    registry._others.cache_clear()
    yield points
    registry._others.cache_clear()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_lock_is_found_under_its_own_name(name: str) -> None:
    assert find_lock(name).name == name
    assert find_lock(name).summary


def test_each_finding_makes_a_new_lock() -> None:
    assert find_lock("flock") is not find_lock("flock")


def test_the_built_in_locks_come_first_and_in_the_order_of_reading() -> None:
    assert lock_names()[:4] == ["none", "fcntl", "ofd", "flock"]


def test_locks_of_other_packages_follow_by_name(offer: list[EntryPoint]) -> None:
    offer += [EntryPoint("semaphore", "lab.locking.control:Unlocked", GROUP), EntryPoint("aaa", "x:Y", GROUP)]
    assert lock_names() == [*BUILT_IN, *READY, "aaa", "semaphore"]
    assert find_lock("semaphore").summary == BUILT_IN["none"].summary


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fnctl", "unknown lock 'fnctl'; did you mean fcntl"),
        ("floc", "unknown lock 'floc'; did you mean flock"),
        ("odf", "unknown lock 'odf'; did you mean ofd"),
        ("zzzzzz", "unknown lock 'zzzzzz'; known: none, fcntl, ofd, flock"),
        ("my_module.sub.make", "did you mean my_module.sub:make"),
    ],
)
def test_an_unknown_name_gives_the_nearest_or_all(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as raised:
        find_lock(name)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("value", ["no_such_module_anywhere:Lock", "lab.locking.control:NoSuchLock", "os:name"])
def test_a_lock_that_cannot_be_loaded_is_named_with_the_cause(offer: list[EntryPoint], value: str) -> None:
    offer.append(EntryPoint("broken", value, GROUP))
    with pytest.raises(UsageError, match=r"^lock broken: ") as raised:
        find_lock("broken")
    assert "\n" not in str(raised.value)


def test_a_package_may_offer_a_factory_under_a_name(offer: list[EntryPoint]) -> None:
    offer.append(EntryPoint("theirs", "tests.locking.theirs:Switch", GROUP))
    assert find_lock("theirs").name == "theirs"


def test_the_labs_own_locks_are_found_without_an_installation(offer: list[EntryPoint]) -> None:
    offer.clear()
    assert lock_names() == [*BUILT_IN, *READY]
    assert [find_lock(name).name for name in BUILT_IN] == list(BUILT_IN)


def test_the_labs_own_locks_claim_what_their_entries_say() -> None:
    for name, entry in registry.OWN.items():
        lock = find_lock(name)
        claims = abilities(lock)
        assert claims
        assert lock.has_ranges == claims.ranges == (lock.excludes and not entry.whole_file)
        assert (bool(entry.title), bool(entry.owner)) == (bool(entry.family), lock.excludes)
        assert entry.owner != "process" or not claims.threads
        assert entry.polled is None or (entry.polled.name, entry.polled.has_ranges) == (name, lock.has_ranges)
    assert set(registry.FAMILIES) == {*LOCKS} & {*REQUESTS}


def test_a_lock_that_is_never_asked_for_without_waiting_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="lock none: cannot be asked for without waiting; known: fcntl, ofd, flock"):
        registry.polled("none")


def test_only_the_registry_lists_the_locks_of_the_kernel_by_name() -> None:
    assert [file.name for file in sorted(LAB.rglob("*.py")) if _lists_locks(file)] == []


def _lists_locks(file: Path) -> bool:
    """True where a list, a tuple, a set or the keys of a table name fcntl and another lock, and few other words."""
    text = file.read_text()
    for node in ast.walk(ast.parse(text)) if '"fcntl"' in text else ():
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = {part.value for part in parts if isinstance(part, ast.Constant)}
        locks = names & set(registry.KERNEL)
        if file.name != "registry.py" and "fcntl" in locks and len(locks) > max(1, len(names) / 4):
            return True
    return False


def test_another_package_cannot_take_the_place_of_the_labs_own(offer: list[EntryPoint]) -> None:
    offer.insert(0, EntryPoint("fcntl", "lab.locking.control:Unlocked", GROUP))
    assert type(find_lock("fcntl")) is type(BUILT_IN["fcntl"])
    assert lock_names() == [*BUILT_IN, *READY]
