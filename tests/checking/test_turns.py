"""Turns between hosts: what is said of hosts with page caches of their own, of locks that each keeps, of refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

import pytest

from lab.checking import turns
from lab.checking.guarantees import EXCLUSION, GUARANTEES
from lab.checking.language import Call
from lab.checking.oracle import ModelStage
from lab.checking.request import request_for
from lab.checking.turns import DATA, HANDOFFS, JUDGED, OTHER, cells, probe, take_turns
from lab.checking.verdict.advice import advice
from lab.checking.verdict.judge import Findings, judge
from lab.checking.verdict.situation import causes
from lab.records import LockProbe, Mount, TurnResult
from lab.report.text.check_hosts import hosts_text
from tests.report.checked_records import case, check_of, guarantee, host, race

HOSTS = ("a", "b", "c")


@pytest.fixture(autouse=True)
def all_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is."""
    for name in ("SHORT_S", "LONG_S", "LONGEST_S"):
        monkeypatch.setattr(turns, name, inf)


class Caching(ModelStage):
    """Each actor has what it once read of a file by a descriptor, until `forgets` says of a call that it drops it."""

    def __init__(self, forgets: Callable[[Call, Caching], bool], maps: bool = True) -> None:
        super().__init__()
        self.opened: dict[tuple[str, str], int] = {}
        self._cached: dict[tuple[str, str], str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._forgets = forgets
        self._maps = maps

    def perform(self, call: Call, expected: object = ()) -> str:
        if call.verb == "map" and not self._maps:
            return "ENODEV"
        self._count(call)
        file = self.file(call)
        if self._forgets(call, self):
            self._cached.pop((call.actor, file), None)
        observed = super().perform(call)
        if call.verb in ("write", "store") and call.args[1] == "0":
            self._cached[call.actor, file] = call.args[2]
        if call.verb in ("read", "load"):
            return self._cached.setdefault((call.actor, file), observed)
        return observed

    def file(self, call: Call) -> str:
        """The file that a call is about."""
        name = call.args[0] if call.args else ""
        return self._names.get((call.actor, name), name)

    def _count(self, call: Call) -> None:
        if call.verb == "open":
            known = call.args[2] if "as" in call.args else call.args[0]
            self._names[call.actor, known] = call.args[0]
            key = (call.actor, call.args[0])
            self.opened[key] = self.opened.get(key, 0) + 1
        elif call.verb == "close":
            self.opened[call.actor, self.file(call)] -= 1


class CachingFar(Caching):
    """The same, but the first page is always read anew."""

    def perform(self, call: Call, expected: object = ()) -> str:
        near = call.verb in ("read", "load", "write", "store") and call.args[1] == "0"
        return ModelStage.perform(self, call) if near else super().perform(call)


def at_each_lock_and_first_open(call: Call, stage: Caching) -> bool:
    """NFS: the file is read anew where it is locked, and where it is opened and nobody else there has it open."""
    first = call.verb == "open" and stage.opened[call.actor, call.args[0]] == 1
    return first or call.verb in ("F_SETLKW", "F_OFD_SETLKW") or "wait" in call.args


def at_each_open(call: Call, _: Caching) -> bool:
    """FUSE without direct_io: the file is read anew where it is opened."""
    return call.verb == "open"


def never(_: Call, __: Caching) -> bool:
    return False


def always(_: Call, __: Caching) -> bool:
    return True


class Twice(ModelStage):
    """Grants each request of a host whatever others hold."""

    def perform(self, call: Call, expected: object = ()) -> str:
        observed = super().perform(call)
        return "granted" if observed == "EAGAIN" else observed


class NoReaders(ModelStage):
    """Takes each request for a shared lock for one for an exclusive lock."""

    def perform(self, call: Call, expected: object = ()) -> str:
        alone = {"read": "write", "shared": "exclusive"}
        return super().perform(call._replace(args=tuple(alone.get(word, word) for word in call.args)))


class WritersBesideReaders(ModelStage):
    """Grants an exclusive lock beside a shared one."""

    def perform(self, call: Call, expected: object = ()) -> str:
        observed = super().perform(call)
        if {"read", "shared"} & {*call.args}:
            self.shared = observed == "granted"
        elif "unlock" in call.args:
            self.shared = False
        return "granted" if observed == "EAGAIN" and getattr(self, "shared", False) else observed


class Seen(NamedTuple):
    probes: list[LockProbe]
    turns: list[TurnResult]


def found_on(make: Callable[[], ModelStage], hosts: int = 2) -> Seen:
    """What probes and turns of so many hosts come to."""

    @contextmanager
    def stages() -> Iterator[ModelStage]:
        yield make()

    names = HOSTS[:hosts]
    probes = [each for lock in EXCLUSION for each in probe(stages, names, lock)]
    useful = [lock for lock in EXCLUSION if not any(each.granted_falsely for each in probes if each.lock == lock)]
    taken = [take_turns(make(), names, *cell) for cell in cells(JUDGED, useful)]
    return Seen(probes, taken)


REQUEST = request_for(["probe", "turns"], on_hosts=True)
DATA_OF_FILES = {"pread", "mapping", "mixed", "remapped", "remapped_pread", "whole_file"}
OF_THE_DATA_FILE = "On this mount lock the data file itself"
REOPEN = "Reopen the file inside a lock on another file"
ALONE = "is fresh only where no process of that host has it open besides"

CACHES: dict[str, tuple[Callable[[], ModelStage], set[str], set[str], list[str]]] = {
    "one cache": (lambda: Caching(always), set(), set(), []),
    "a cache that is dropped at each open": (
        lambda: Caching(at_each_open), {"pread", "mapping", "mixed"}, set(), [REOPEN],
    ),
    "a cache that is dropped at each lock and first open": (
        lambda: Caching(at_each_lock_and_first_open), set(), set(), [OF_THE_DATA_FILE, ALONE],
    ),
    "a cache that is never dropped": (lambda: Caching(never), DATA_OF_FILES, set(), []),
    "a cache of later pages": (lambda: CachingFar(never), DATA_OF_FILES - {"mixed"}, set(), []),
    "no mappings": (lambda: Caching(always, maps=False), set(), {"mapping", "mixed", "remapped"}, ["Files cannot be"]),
}  # fmt: skip


@pytest.mark.parametrize("about", CACHES)
@pytest.mark.parametrize("hosts", [2, 3])
def test_turns_show_which_ways_to_the_data_are_stale_and_advise_the_others(about: str, hosts: int) -> None:
    make, unsafe, unsupported, said = CACHES[about]
    probes, taken = found_on(make, hosts)
    judged = {each.name: each for each in judge(REQUEST, Findings(probes=probes, turns=taken))}
    verdicts = {name: each.verdict for name, each in judged.items()}
    expected = (
        dict.fromkeys(verdicts, "safe") | dict.fromkeys(unsafe, "unsafe") | dict.fromkeys(unsupported, "unsupported")
    )
    assert verdicts == expected
    for name in unsafe:
        assert "hand-offs stale" in judged[name].evidence[0]
    mounts = [Mount(f"{name}:/mnt", "fuse", "") for name in HOSTS[:hosts]]
    told = " ".join(advice(list(judged.values()), mounts, probes=probes, turns=taken, on_hosts=True))
    for words in (OF_THE_DATA_FILE, REOPEN, ALONE, "Files cannot be"):
        assert (words in told) is any(words in each for each in said), told


def test_what_shows_it_are_the_calls_of_two_turns() -> None:
    way = next(way for way in turns.WAYS if way.guarantees.get(DATA) == "pread")
    found = take_turns(Caching(never), ["a", "b"], way, DATA, "posix")
    assert (found.handoffs, found.stale, found.expected, found.observed) == (
        HANDOFFS,
        HANDOFFS - 1,
        "00000002",
        "00000001",
    )
    assert found.calls[-2:] == ["A: F_SETLKW d write 0 10 = granted", "A: read d 0 8 = 00000001"]


@pytest.mark.parametrize("place", [DATA, OTHER])
def test_fewer_turns_than_are_needed_show_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_S", -1.0)
    found = take_turns(ModelStage(), ["a", "b"], turns.WAYS[0], place, "posix")
    assert (found.verdict, found.reason) == ("unknown", "only 0 hand-offs between hosts")


def test_a_lock_that_each_host_keeps_is_granted_twice_and_no_turns_are_taken_under_it() -> None:
    probes, taken = found_on(Twice, 3)
    assert not taken
    assert {(each.lock, each.holder, each.asker) for each in probes if each.verdict == "unsafe"} == {
        (lock, holder, asker) for lock in EXCLUSION for holder in HOSTS for asker in HOSTS if holder != asker
    }
    judged = {each.name: each for each in judge(REQUEST, Findings(probes=probes, turns=taken))}
    assert {judged[lock].verdict for lock in EXCLUSION} == {"unsafe"}
    assert judged["posix"].evidence[0] == "held on a, and granted on b too"
    assert judged["pread"].verdict == "unknown"
    assert judged["pread"].evidence == ["turns: no lock that was tried excludes between the hosts"]


@pytest.mark.parametrize(
    ("make", "wrong", "says", "turns_taken"),
    [
        (ModelStage, set(), "readers admitted 2 of 2", True),
        (NoReaders, {("shared", "shared", "EAGAIN")}, "held shared on a, and refused to a reader on b (EAGAIN)", True),
        (WritersBesideReaders, {("shared", "exclusive", "granted")}, "held shared on a, and granted on b too", False),
    ],
)
def test_readers_are_admitted_beside_readers_and_beside_nobody_else(
    make: Callable[[], ModelStage], wrong: set[tuple[str, str, str]], says: str, turns_taken: bool
) -> None:
    probes, taken = found_on(make)
    assert len(probes) == len(EXCLUSION) * 2 * 4
    assert {(each.held, each.asked, each.answer) for each in probes if each.verdict != "safe"} == wrong
    judged = {each.name: each for each in judge(REQUEST, Findings(probes=probes, turns=taken))}
    for lock in EXCLUSION:
        assert judged[lock].verdict == ("unsafe" if wrong else "safe")
        assert says in (judged[lock].evidence[0] if wrong else judged[lock].strength)
    assert bool(taken) is turns_taken
    run = check_of(*judged.values(), hosts=[host("a"), host("b")], probes=probes, turns=taken)
    assert ("readers alone admitted" in hosts_text(run)) is not bool(wrong)
    mounts = [Mount(f"{name}:/mnt", "fuse", "") for name in "ab"]
    told = " ".join(advice(list(judged.values()), mounts, probes=probes, turns=taken, on_hosts=True))
    assert ("granted twice" in told) is not turns_taken
    assert {cause.title.partition(": ")[2] for cause in causes(run) if cause.exchanges} == (
        set() if not wrong else {"a reader is refused beside a reader" if turns_taken else "granted to two at once"}
    )


def test_a_race_in_which_the_lock_stayed_on_one_host_leaves_open_what_turns_found_fresh() -> None:
    _, taken = found_on(lambda: Caching(always))
    request = request_for(["turns", "stress", "pread"], on_hosts=True)
    stayed = race("pread", raced=case(verdict="inconclusive", reason="3 hand-offs between hosts"))
    for rows, verdict in (([race("pread")], "safe"), ([stayed], "unknown")):
        (judged,) = judge(request, Findings(turns=taken, stress=rows))
        assert judged.verdict == verdict
        assert judged.strength.startswith("0 of 60 hand-offs stale")
    assert judged.evidence == ["counter under fcntl, stream: 3 hand-offs between hosts"]


def test_the_turns_are_a_table_with_a_row_for_each_way_that_tells_something() -> None:
    probes, taken = found_on(lambda: Caching(at_each_lock_and_first_open))
    run = check_of(guarantee("pread"), hosts=[host("a"), host("b")], probes=probes, turns=taken)
    shown = [line.split("  ") for line in hosts_text(run).splitlines()]
    cells_of = {line[0]: [each.strip() for each in line[1:] if each.strip()] for line in shown if len(line) > 1}
    assert cells_of["pread, pwrite"] == ["0 of 60", "57 of 60"]
    assert cells_of["reopened"] == ["0 of 60", "0 of 60"]
    assert cells_of["reopened, also open elsewhere"] == ["0 of 60", "57 of 60"]
    assert cells_of["names"] == ["-", "0 of 60"]
    assert "mapping, msync" not in cells_of
    assert "mapping, msync" in hosts_text(run, full=True)


def test_every_way_judges_what_there_is() -> None:
    assert {*JUDGED} <= {*GUARANTEES}
    assert {way.beside for way in turns.WAYS} <= {*JUDGED, ""}
