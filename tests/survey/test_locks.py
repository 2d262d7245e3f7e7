"""The comparison: the kernel's locks as their manual pages have them, and locks that break one guarantee each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.locking import find_lock
from lab.survey import Candidate, compare, find_candidates, races
from lab.survey.locks import PLAYS
from tests.helpers import in_fresh_process
from tests.needs import missing
from tests.once import once
from tests.survey import broken

HEAD = [
    "threads", "opens", "readers", "ranges", "kill", "pause", "signal", "namespace", "close", "fork", "exit", "child",
    "unlock", "exec", "deadlock", "order",
]  # fmt: skip
KERNEL = {
    name: dict(zip(HEAD, values.split(), strict=True))
    for name, values in {
        "fcntl": "no  no  yes yes yes yes yes yes no  yes yes yes yes open yes fifo",
        "ofd": "  yes yes yes yes yes yes yes yes yes no  yes yes no  open no  fifo",
        "flock": "yes yes yes no  yes yes yes yes yes no  yes yes no  open no  fifo",
    }.items()
}
"""fcntl(2), flock(2), execve(2); the order is what Linux does."""

BROKEN_BY_CHANCE = ("stale_pid", "careless")
"""Locks that a fault breaks now and then."""

MAY_HANG = ("LastComeFirstServed",)
"""Locks for which a race with a fault may wait in vain."""

LIMIT_S = 20.0
PAUSE_S = 0.4


def looked(directory: str, *names: str, make: str = "", **how: Any) -> dict[str, Any]:
    """The document of these locks, or of one that a function of `broken` makes."""
    brief(make)
    some = [Candidate(make, getattr(broken, make)(**how))] if make else find_candidates(names)
    return asdict(compare(some, Path(directory), LIMIT_S, lambda _: None, PAUSE_S))


def brief(name: str) -> None:
    """Races as short as they can be and still meet: the locks here break at once or never, but for a few."""
    vars(races).update(RACE_S=0.05, ENOUGH=20, MADE=20 if name in BROKEN_BY_CHANCE else 4)
    if name in MAY_HANG:
        vars(races).update(STANDS_S=1.5)


def looked_at_broken(directory: str, name: str, limit_s: float = LIMIT_S) -> list[object]:
    """The cells of a lock of `broken`, and how many processes are left."""
    brief(name)
    lock = getattr(broken, name)()
    run = compare([Candidate(name, lock)], Path(directory), limit_s, lambda _: None, PAUSE_S)
    try:
        left = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = (0, 0)
    return [asdict(run)["cells"], left[0], [path.name for path in Path(directory).iterdir()]]


def documented(lock: str) -> dict[str, str]:
    """What the manual pages say of it; in a pid namespace too, where one can be made here."""
    return KERNEL[lock] | ({"namespace": "-"} if missing("pid_namespaces") else {})


def values(run: dict[str, Any], lock: str) -> dict[str, str]:
    return {cell["property"]: cell["value"] for cell in run["cells"] if cell["lock"] == lock}


def seen(name: str, directory: Path) -> dict[str, dict[str, Any]]:
    cells, _, _ = in_fresh_process(looked_at_broken, str(directory), name)
    return {cell["property"]: cell for cell in cells}


@pytest.fixture
def of_kernel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """The document of the kernel's locks in a directory."""

    def look(directory: str) -> dict[str, Any]:
        make = partial(in_fresh_process, looked, directory, "none", *KERNEL)
        run: dict[str, Any] = once(tmp_path_factory, f"locks-of-the-kernel-{Path(directory).name}", make)
        return run

    return look


DISK, MEMORY = "/tmp", "/dev/shm"  # noqa: S108 - a fresh directory is made there


@pytest.mark.parametrize("directory", [DISK, MEMORY])
def test_the_kernel_s_locks_are_as_their_manual_pages_have_them(
    directory: str, of_kernel: Callable[[str], dict[str, Any]]
) -> None:
    run = of_kernel(directory)
    for lock in KERNEL:
        found = values(run, lock)
        assert found.pop("processes") == "yes"
        assert (found.pop("pair"), found.pop("hand-over")) == ("measured", "measured")
        assert found == documented(lock), lock
    assert values(run, "none") == {"processes": "no", "pair": "measured"} | dict.fromkeys([*HEAD, "hand-over"], "-")
    assert [cell for cell in run["cells"] if not cell["ok"]] == []


def test_each_cell_of_a_lock_that_excludes_has_the_calls_that_show_it(
    of_kernel: Callable[[str], dict[str, Any]],
) -> None:
    cells = [cell for cell in of_kernel(DISK)["cells"] if cell["lock"] == "fcntl"]
    shown = {cell["property"]: [tuple(call.values()) for call in cell["run"]] for cell in cells}
    assert all(shown.values())
    assert shown["close"] == [
        ("A", "locks bytes 0 to 7 to write", "granted"),
        ("A", "opens the file once more, and closes that", "ok"),
        ("B", "locks bytes 0 to 7 to write", "granted"),
    ]
    assert shown["deadlock"][-3:] == [
        ("B", "locks bytes 0 to 7 to write", "EDEADLK"),
        ("B", "unlocks", "ok"),
        ("A", "the lock that it waited for", "granted"),
    ]
    assert shown["processes"][1:-1] == [
        ("B", "locks bytes 0 to 7 to write", "waits"),
        ("A", "unlocks", "ok"),
        ("B", "the lock that it waited for", "granted"),
    ]
    assert re.fullmatch(r"[\d,]+ requests met a holder: 0 overlaps", shown["processes"][-1][2])
    assert re.fullmatch(r"race, holder killed [\d,]+ times", shown["kill"][-1][1])
    assert [call for _, call, _ in shown["pause"]] == [
        "locks bytes 0 to 7 to write", "SIGSTOP", "locks bytes 0 to 7 to write", "SIGCONT", "unlocks",
        "the lock that it waited for",
    ]  # fmt: skip


def test_costs_are_medians_of_their_samples(of_kernel: Callable[[str], dict[str, Any]]) -> None:
    pair, hand_over = [cell for cell in of_kernel(DISK)["cells"] if cell["lock"] == "flock"][-2:]
    assert len(pair["samples_ns"]) == 9
    assert sorted(pair["samples_ns"])[4] == pair["median_ns"] > 0
    assert len(hand_over["samples_ns"]) == 6
    assert min(hand_over["samples_ns"]) > 0


@pytest.mark.parametrize(
    ("name", "column", "value", "like"),
    [
        ("LetsThreadsIn", "threads", "no", "ofd"),
        ("LetsItselfIn", "opens", "no", "ofd"),
        ("NoReaders", "readers", "no", "ofd"),
        ("CarelessReaders", "readers", "no", "ofd"),
        ("NoRanges", "ranges", "no", "ofd"),
        ("FirstRangeOnly", "ranges", "no", "ofd"),
        ("EndsWithAChild", "exit", "no", "fcntl"),
    ],
)
def test_a_lock_that_breaks_one_guarantee_is_seen_to_break_it_and_no_other(
    name: str, column: str, value: str, like: str, tmp_path: Path
) -> None:
    expected = documented(like)
    assert expected[column] != value
    found = {key: cell["value"] for key, cell in seen(name, tmp_path).items() if key in HEAD}
    assert found == expected | {column: value}


def test_a_lock_that_excludes_nobody_is_told_by_its_first_cell(tmp_path: Path) -> None:
    cells = seen("Lying", tmp_path)
    assert (cells["processes"]["value"], cells["processes"]["claimed"], cells["processes"]["ok"]) == (
        "no",
        "yes",
        False,
    )
    assert {cells[name]["value"] for name in HEAD} == {"-"}
    assert cells["pair"]["value"] == "measured"


def test_what_a_lock_claims_and_does_not_is_marked(tmp_path: Path) -> None:
    cells = seen("NoRanges", tmp_path)
    assert [name for name, cell in cells.items() if not cell["ok"]] == ["ranges"]
    assert 0 < cells["processes"]["detection_limit"] < 1
    assert (cells["ranges"]["claimed"], cells["ranges"]["value"]) == ("yes", "no")
    assert [name for name, cell in cells.items() if cell["claimed"]] == [
        "processes",
        "threads",
        "readers",
        "ranges",
        "kill",
        "fork",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("NeverReturns", "inconclusive within 0.5 s"),
        ("Raises", "which no process holds: raised ValueError: no such lock"),
        ("Dies", "A ended with 7"),
        ("NeverReleases", "B is not granted the lock when no process holds it any more: still waits"),
    ],
)
def test_a_lock_of_which_nothing_is_found_out_is_told_with_the_reason_and_ends(
    name: str, reason: str, tmp_path: Path
) -> None:
    cells, left, files = in_fresh_process(looked_at_broken, str(tmp_path), name, 5.0 if "Releases" in name else 0.5)
    assert {cell["value"] for cell in cells} == {"?"}
    assert reason in cells[0]["reason"]
    assert [bool(cell["run"]) for cell in cells] == [True] + [False] * (len(cells) - 1)
    assert (left, files) == (0, [])


@pytest.mark.parametrize("refused", [0, 1, 7])
def test_who_is_refused_is_kept_out_whenever_the_lock_gives_up(refused: int, tmp_path: Path) -> None:
    """A lock that gives up so often before it waits: the script of events that a patience is, without its time."""
    run = in_fresh_process(looked, str(tmp_path), make="gives_up", refused=refused)
    expected = documented("flock") | {"readers": "no", "fork": "yes"}
    found = values(run, "gives_up")
    assert found.pop("processes") == "yes"
    assert {name: found[name] for name in HEAD if name != "order"} == {
        name: value for name, value in expected.items() if name != "order"
    }
    (pause,) = [cell for cell in run["cells"] if cell["property"] == "pause"]
    assert ("gives up" in pause["reason"]) is bool(refused)


def test_every_property_has_a_sentence_and_a_name_of_its_own() -> None:
    assert [play.name for play in PLAYS] == ["processes", *(name for name in HEAD if name != "pause"), "pair"]
    assert len({play.how for play in PLAYS}) == len(PLAYS)


def test_all_locks_are_candidates_and_what_cannot_be_had_says_why() -> None:
    found = find_candidates([])
    assert {"none", *KERNEL} <= {each.name for each in found}
    assert all((each.lock is None) == bool(each.trouble) for each in found)
    assert find_candidates(["ofd", "ofd"])[0].name == find_lock("ofd").name
    assert len(find_candidates(["ofd", "ofd"])) == 1


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("OutlivesItsHolder", {"kill": "no", "exec": "yes"}),
        ("OfAThread", {"exec": "no"}),
        ("Polls", {"order": "polls"}),
        # In pid namespaces of their own all have one number, by which each names its pipe: who wakes whom is chance.
        ("LastComeFirstServed", {"order": "other", "signal": "yes", "namespace": "fails|hangs|no|-"}),
    ],
)
def test_a_lock_of_another_kind_is_seen_to_be_one(name: str, columns: dict[str, str], tmp_path: Path) -> None:
    cells = seen(name, tmp_path)
    for column, value in columns.items():
        assert re.fullmatch(value, cells[column]["value"]), column


ONE_MEETING = {
    "tidied": {
        "processes": ("no", False, "overlaps?.* was granted write 0-end while worker [0-3] held write 0-end"),
    },
    "looked_again": {"processes": ("yes", True, "detects 1 in")},
    "stale_pid": {"kill": ("both", False, "overlap")},
    "careless": {"signal": ("no", False, "overlap"), "kill": ("yes", True, "holder killed")},
    "impatient": {
        "pause": ("no", False, "taken from a holder that was only stopped"),
        "kill": ("no", True, "after a time, dead or not"),
    },
    "closed_only": {
        "child": ("no", True, "the child keeps what it inherited"),
        "fork": ("yes", True, "and for good"),
        "pause": ("yes", True, ""),
    },
}


@pytest.mark.parametrize("name", ONE_MEETING)
def test_one_meeting_is_not_enough(name: str, tmp_path: Path) -> None:
    cells = {cell["property"]: cell for cell in in_fresh_process(looked, str(tmp_path), make=name)["cells"]}
    for column, (value, ok, reason) in ONE_MEETING[name].items():
        assert (cells[column]["value"], cells[column]["ok"]) == (value, ok), column
        assert re.search(reason, cells[column]["reason"]), column
