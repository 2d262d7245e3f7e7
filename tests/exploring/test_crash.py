"""Crashes: what is left is what brute force leaves, the gallery breaks where it says so, and a failure is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ctypes import Structure, c_uint8, c_uint64
from random import Random
from typing import Any, ClassVar, Literal

import pytest

from lab import Damage, Outcome, Scenario, paged
from lab.errors import ScenarioError, UsageError
from lab.exploring import sandbox
from lab.exploring.crash import run
from lab.exploring.crash.recovery import Dead, rounds_of
from lab.exploring.crash.search import Search
from lab.exploring.locks import Ranges
from lab.exploring.operation import Operation, change_of
from lab.exploring.run import cases_of, explore
from lab.exploring.simplify import world_of
from lab.exploring.worker import Shape, shape_of
from lab.exploring.world import World
from lab.model.disk import Disk
from lab.records import ExploredCase
from lab.report.text.explore import text_of
from lab.scenario import Found, find_scenarios
from tests.exploring.worlds import LONGEST, scenario_of
from tests.helpers import EXHAUSTIVE
from tests.report.explored_records import asked, exploration_of

Kind = Literal["kill", "power"]
UNIT, PAGE, CELLS = 2, 4, 8


def explored(found: Found | str, crash: Kind, workers: int = 2, rounds: int = 2, **options: Any) -> ExploredCase:
    found = find_scenarios([found])[0] if isinstance(found, str) else found
    options = {"time_limit_s": 60.0, **options}
    asked_for = asked(workers=[workers], rounds=[rounds], crash=[crash], locks=["fcntl"], **options)
    return explore(cases_of([found], asked_for)[0], asked_for)


class Program(Scenario):
    """Worker n runs its text under a lock or not; the check writes down what it is shown, and finds nothing."""

    texts: ClassVar[list[tuple[bool, list[tuple[str, int, int]]]]]
    shown: ClassVar[set[Any]]

    class Memory(Structure):
        _fields_ = [("cells", c_uint8 * CELLS)]

    def work(self, w: Any) -> None:
        locked, text = self.texts[w.index] if w.index < len(self.texts) else (False, [])
        if locked:
            with w.write_lock():
                self.run(w, text)
        else:
            self.run(w, text)

    def run(self, w: Any, text: list[tuple[str, int, int]]) -> None:
        for does, cell, number in text:
            if does == "store":
                w.memory.cells[cell] = number
            elif does == "add":
                w.memory.cells[cell] += number
            else:
                w.sync(self.Memory.cells, cell, min(number, CELLS - cell))

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        left = bytes(memory.cells[:]), frozenset(outcome.files.items())
        self.shown.add((left, tuple(outcome.by_worker), tuple(outcome.begun)))
        return []


def drawn(random: Random) -> Found:
    """A program of two workers, three instructions each at most."""
    texts = []
    for _ in range(2):
        does = [random.choice(["store", "store", "add", "sync"]) for _ in range(random.randint(1, 3))]
        texts.append((random.random() < 0.5, [(each, random.randrange(CELLS), random.randint(1, 3)) for each in does]))
    return Found("drawn", type("Drawn", (Program,), {"texts": texts, "shown": set()}), "")


def by_search(found: Found, kind: Kind) -> set[Any]:
    """What the check is shown by the search, with one crash at most."""
    shown: set[Any] = found.kind.shown  # type: ignore[attr-defined]
    shown.clear()
    world = World(shape_of(found, "fcntl", 2, 1, 64, crashes=True), LONGEST)
    search = Search(world, kind, UNIT, 1, time.monotonic() + 60, again=0, page=PAGE)
    assert search.run() is None
    assert search.counts.complete
    return set(shown)


def synced(disk: bytes, before: bytes, content: bytes, operation: Operation | None) -> bytes:
    """The disk after this step: a sync writes its pages, or files and names, and nothing else writes any."""
    assert operation
    for start, end in change_of(operation, b"", lambda start, end: before[start:end]).syncs:
        mapped = start < CELLS
        first, last = (start // PAGE * PAGE, -(-end // PAGE) * PAGE) if mapped else (start, end)
        disk = disk[:first] + content[first:last] + disk[last:]
    return disk


def units_of(shape: Shape) -> list[slice]:
    """What the disk writes each for itself."""
    of_files = shape.directory.parts(UNIT) if shape.directory else []
    return [slice(start, start + UNIT) for start in range(0, CELLS, UNIT)] + of_files


def written_back(disk: bytes, content: bytes, units: list[slice]) -> Iterator[bytes]:
    """The disks once one of the units has been written."""
    for unit in units:
        if disk[unit] != content[unit]:
            yield disk[: unit.start] + content[unit] + disk[unit.stop :]


def rounds_in(world: World) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The rounds that each worker has finished and begun now."""
    pairs = [*(rounds_of(node, 1) for node in world.at), (0, 0)]
    return tuple(finished for finished, _ in pairs), tuple(begun for _, begun in pairs)


def by_brute_force(found: Found, kind: Kind) -> set[Any]:
    """The same from every schedule: a worker is killed at each place, or each unit is written back at any moment."""
    shape = shape_of(found, "fcntl", 2, 1, 64, crashes=True)
    world = World(shape, LONGEST)
    world.in_between = False
    units = units_of(shape)
    left: set[Any] = set()
    seen: set[Any] = set()

    def go(disk: bytes, killed: bool) -> None:
        key = bytes(world.content), world.state, tuple(node.number for node in world.at), disk, killed
        if key in seen:
            return
        seen.add(key)
        content = bytes(world.content)
        if kind == "power":
            left.add((seen_in(disk), *rounds_in(world)))
            for written in written_back(disk, content, units):
                go(written, killed)
        choices = world.choices()
        if not choices:
            left.add((seen_in(content), *rounds_in(world)))
        for worker in choices:
            operation = world.at[worker].operation
            world.do(worker)
            go(synced(disk, content, bytes(world.content), operation) if kind == "power" else b"", killed)
            world.undo()
        for worker, node in enumerate(world.at):
            if kind == "kill" and not killed and node.operation and node.parent:
                at, state = world.at[worker], world.state
                world.at[worker], world.state = Dead(*rounds_of(node, 1)), world.locks.drop(state, worker)
                go(disk, True)
                world.at[worker], world.state = at, state

    def seen_in(disk: bytes) -> tuple[bytes, frozenset[tuple[str, bytes]]]:
        return disk[:CELLS], frozenset(shape.files(disk).items())

    go(world.initial if kind == "power" else b"", False)
    return left


def covers(one: Any, other: Any) -> bool:
    """Whether one image is the other with as many rounds finished, or more, and as many begun, or fewer."""
    more = all(mine >= its for mine, its in zip(one[1], other[1], strict=True))
    fewer = all(mine <= its for mine, its in zip(one[2], other[2], strict=True))
    return bool(one[0] == other[0] and more and fewer)


def left_by_both(programs: Iterator[Found], kind: Kind) -> int:
    """How many different files these programs leave; the search finds just those that brute force does."""
    count = 0
    for found in programs:
        left, expected = by_search(found, kind), by_brute_force(found, kind)
        assert left <= expected, found.kind.texts  # type: ignore[attr-defined]
        assert all(any(covers(each, other) for each in left) for other in expected), found.kind.texts  # type: ignore[attr-defined]
        count += len(left)
    return count


@pytest.mark.parametrize("kind", ["kill", "power"])
def test_what_is_left_is_what_brute_force_leaves(kind: Kind) -> None:
    random = Random(7)
    assert left_by_both((drawn(random) for _ in range(60)), kind) > 250


def keeps_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranges, "drop", lambda _, state, worker: state)


def forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disk, "stored", lambda self, versions, *_: versions)


def syncs_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disk, "synced", lambda self, *_: {})


@pytest.mark.parametrize(
    ("mutant", "kind", "name"),
    [
        (keeps_locks, "kill", "undo_journal"),
        (forgets, "power", "undo_journal:journal_not_synced"),
        (syncs_all, "power", "two_headers:header_first"),
    ],
)
def test_a_model_of_the_crash_that_is_wrong_changes_a_verdict(
    mutant: Any, kind: Kind, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = explored(name, kind, 2, 1).verdict
    mutant(monkeypatch)
    assert explored(name, kind, 2, 1).verdict != right


GALLERY = [found for found in find_scenarios([], crashes=True) if found.path.parent.name == "crash"]
BUGS = {
    "undo_journal:no_journal": ("half an update", "half an update"),
    "undo_journal:journal_not_synced": ("", "out of order"),
    "undo_journal:flag_with_journal": ("", "out of order"),
    "undo_journal:cleared_early": ("", "out of order"),
    "undo_journal:not_synced_at_end": ("", "not durable"),
    "undo_journal:recovery_clears_early": ("", "out of order"),
    "undo_journal:recovery_adds": ("half an update", "half an update"),
    "undo_journal:nobody_looks": ("half an update", ""),
    "redo_log:commit_with_log": ("", "out of order"),
    "redo_log:commit_not_synced": ("", "out of order"),
    "redo_log:cleared_early": ("", "out of order"),
    "redo_log:logs_amounts": ("half an update", "half an update"),
    "two_headers:header_first": ("", "not durable"),
    "two_headers:no_checksum": ("half an update", "half an update"),
    "two_headers:one_header": ("half an update", "half an update"),
    "two_headers:same_place": ("half an update", "half an update"),
    "durable_log:no_checksum": ("half an update", "half an update"),
    "durable_log:not_synced": ("", "not durable"),
    "durable_log:end_first": ("half an update", "half an update"),
    "durable_log:skips": ("half an update", "half an update"),
    "saved_by_rename:renamed_unsynced": ("", "out of order"),
    "saved_by_rename:name_not_synced": ("", "not durable"),
    "saved_by_rename:in_place": ("half an update", "half an update"),
    "saved_by_rename:leftover_reused": ("", "out of order"),
    "saved_by_rename:one_name_beside": ("without a crash", "without a crash"),
    "saved_by_rename:locks_the_saved": ("without a crash", "without a crash"),
}
"""How each bug breaks by a kill, and by a power failure."""


def test_the_gallery_has_these_bugs() -> None:
    every = [found.name for found in find_scenarios([], counterexamples=True, crashes=True)]
    assert {name for name in every if name.partition(":")[0] in {each.name for each in GALLERY}} == {
        *BUGS, *(each.name for each in GALLERY),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["kill", "power"])
@pytest.mark.parametrize("name", BUGS)
def test_each_bug_of_the_gallery_breaks_as_it_says(name: str, kind: Kind) -> None:
    case = explored(name, kind)
    cause = BUGS[name][kind == "power"]
    assert case.crashes
    assert (case.verdict, case.crashes.cause) == ("broken" if cause else "holds", cause)
    assert case.as_expected
    assert not cause or case.expected == "broken"


STATES = {
    "undo_journal": (1048, 213), "redo_log": (1108, 225), "two_headers": (845, 183), "durable_log": (1007, 229),
    "saved_by_rename": (1377, 181),
}  # fmt: skip
"""The states of two workers with two rounds: with up to two kills, and until the power fails."""


@pytest.mark.parametrize("kind", ["kill", "power"])
@pytest.mark.parametrize("name", STATES)
def test_what_is_right_is_exhausted(name: str, kind: Kind) -> None:
    case = explored(name, kind)
    assert (case.verdict, case.exhausted, case.states) == ("holds", True, STATES[name][kind == "power"])


@pytest.mark.parametrize("name", STATES)
def test_three_workers_are_exhausted_too(name: str) -> None:
    assert explored(name, "power", 3, 2, crashes=1).exhausted
    assert not EXHAUSTIVE or explored(name, "kill", 3, 2, crashes=1).exhausted


HOLD = {"counter", "append_log", "linked_list", "sparse_pages"}


@pytest.mark.parametrize("found", find_scenarios([]), ids=lambda found: found.name)
def test_a_lock_that_ends_with_its_holder_protects_four_of_the_default_scenarios(found: Found) -> None:
    case = explored(found, "kill")
    assert (case.verdict, case.as_expected) == ("holds" if found.name in HOLD else "broken", True)


class Batch(Scenario):
    """Pages behind a head that counts them: written, synced, and only then counted."""

    pages = 24
    Memory = paged(("head", c_uint64), *((f"page{number}", c_uint64) for number in range(24)))

    def work(self, w: Any) -> None:
        for number in range(self.pages):
            setattr(w.memory, f"page{number}", number + 1)
        w.sync()
        w.memory.head = self.pages
        w.sync(self.Memory.head)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        wrong = sum(getattr(memory, f"page{number}") != number + 1 for number in range(memory.head))
        return [Damage("page missing", wrong, self.pages)]


class Ahead(Batch):
    """The head counts pages that may not be on the disk."""

    def work(self, w: Any) -> None:
        w.memory.head = self.pages
        super().work(w)


def test_what_nobody_reads_needs_no_decision() -> None:
    case = explored(Found("batch", Batch, ""), "power", 1, 1)
    assert case.crashes
    assert case.verdict == "holds"
    assert case.crashes.images > 2**24 > 1000 > case.crashes.recoveries
    assert explored(Found("ahead", Ahead, ""), "power", 1, 1).verdict == "broken"


def test_a_sync_takes_the_page_and_not_what_lies_on_another() -> None:
    def flag_after_data(field: str) -> Found:
        def work(scenario: Any, w: Any) -> None:
            w.memory.data = 1
            w.sync(getattr(scenario.Memory, field))
            w.memory.flag = 1

        return Found("made", type("Made", (Scenario,), {
            "Memory": paged(("data", c_uint64), ("flag", c_uint64), ("other", c_uint64)),
            "work": work,
            "check": lambda _, memory, outcome: Damage("flag first", int(memory.flag > memory.data), 1),
        }), "")  # fmt: skip

    assert explored(flag_after_data("data"), "power", 1, 1).verdict == "holds"
    assert explored(flag_after_data("other"), "power", 1, 1).verdict == "broken"


def test_syncs_are_no_steps_where_nothing_crashes() -> None:
    def counts(name: str) -> tuple[int | None, int | None]:
        options = asked(workers=[2], rounds=[1], locks=["fcntl"], search="states")
        case = explore(cases_of(find_scenarios([name]), options)[0], options)
        return case.states, case.interleavings

    assert counts("durable_log") == counts("durable_log:not_synced")


def raises_in_recovery(scenario: Any, w: Any) -> None:
    if w.memory.value:
        raise ValueError("what is this?")


def never_ends(scenario: Any, w: Any) -> None:
    while w.memory.value:
        pass


def takes_no_step_any_more(scenario: Any, w: Any) -> None:
    if w.memory.value:
        while True:
            pass


def add(scenario: Any, w: Any) -> None:
    with w.write_lock():
        w.memory.value += 1


@pytest.mark.parametrize(
    ("recover", "kind"),
    [
        (raises_in_recovery, "the next one raised ValueError"),
        (never_ends, "the next one does not end"),
        (takes_no_step_any_more, "the next one does not end"),
    ],
)
def test_a_recovery_that_fails_is_damage(recover: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "LOOK_S", 0.02)
    monkeypatch.setattr(sandbox, "ENDLESS_S", 0.4)
    case = explored(scenario_of(add, recover=recover), "kill", 1, 1)
    assert [each.kind for each in case.damage] == [kind]
    assert case.token is None  # nothing is left that a replay could compare


def adds_for_ever(scenario: Any, w: Any) -> None:
    while w.memory.value:
        w.memory.value += 1


@pytest.mark.parametrize(("recover", "shown"), [(never_ends, 4), (adds_for_ever, 40)])
def test_of_a_recovery_that_does_not_end_the_first_steps_are_shown(recover: Any, shown: int) -> None:
    case = explored(scenario_of(add, recover=recover), "kill", 1, 1)
    assert [step.worker for step in case.steps].count(1) == shown
    assert case.reasons[-1].startswith(f"it had not ended after 3,000 steps of recovery and work; the first {shown} ")


def test_a_search_for_crashes_looks_at_its_deadline_after_each_state_and_each_recovery() -> None:
    world = World(shape_of(find_scenarios(["counter"])[0], "fcntl", 2, 2, 32, crashes=True), LONGEST)
    search = Search(world, "power", UNIT, 1, deadline=0.0)
    assert search.run() is None
    assert (search.counts.states, search.counts.recoveries, search.counts.complete) == (1, 1, False)


def test_once_the_time_is_over_only_the_shape_that_was_asked_for_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[str] = []

    def counted(shape: Shape) -> World:
        shapes.append(shape.size)
        return world_of(shape)

    monkeypatch.setattr(run, "world_of", counted)
    assert explored("counter", "kill", 2, 2, time_limit_s=1e-9).verdict == "unknown"
    assert shapes == ["2 workers x 2 rounds"]


def test_a_cause_that_was_not_found_in_time_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PATIENCE_S", 0.0)
    case = explored("undo_journal:flag_with_journal", "power")
    assert case.crashes
    assert case.crashes.cause == ""
    assert "was not found in the time" in case.reasons[-1]
    lines = text_of(exploration_of(case, crash=["power"])).splitlines()
    assert f"found: {case.damage[0].kind}, with 1 crash (power) of 1 worker x 2 rounds" in lines


def pair(scenario: Any, w: Any) -> None:
    """Stores two halves and syncs both at the end: the second may be on the disk without the first."""
    with w.write_lock():
        w.memory.first = w.memory.second = w.memory.first + 1
        w.sync()


def first_is_first(scenario: Any, memory: Any, outcome: Outcome) -> Damage:
    return Damage("second without first", int(memory.first < memory.second), 1)


class Paged(Scenario):
    """Two counters on pages of their own, one of which is never behind the other."""

    Memory = paged(("first", c_uint64), ("second", c_uint64))
    work, check = pair, first_is_first


@pytest.mark.parametrize("crashes", [1, 2])
def test_what_a_round_after_recovery_would_heal_is_seen_before_it(crashes: int) -> None:
    case = explored(Found("paged", Paged, ""), "power", 1, 1, crashes=crashes)
    assert case.crashes
    assert (case.crashes.cause, case.crashes.needed) == ("out of order", 1)
    assert [reason.partition(" reached")[0] for reason in case.reasons] == ["step 4 (second = 1)"]


def adds_five(scenario: Any, w: Any) -> None:
    w.memory.value += 5


@pytest.mark.parametrize("kind", ["kill", "power"])
def test_a_recovery_that_breaks_a_whole_file_is_the_cause(kind: Kind) -> None:
    check = {"check": lambda _, memory, outcome: Damage("wrong", abs(memory.value - outcome.rounds), 1)}
    case = explored(scenario_of(add, recover=adds_five, **check), kind, 1, 1)
    assert case.crashes
    assert case.crashes.cause == "recovery"
    assert case.reasons == ["no crash is needed: the next one breaks a file that was whole"]


@pytest.mark.parametrize("found", [None, 7, "text", Damage("counted", -1, 1)])
def test_a_check_that_is_at_fault_is_an_error_and_no_finding(found: Any) -> None:
    with pytest.raises(ScenarioError, match=r"fix the check|return Damage|count what is broken"):
        explored(scenario_of(add, check=lambda *_: found), "kill", 1, 1)


def test_a_file_that_is_too_large_to_be_copied_at_each_step_is_refused() -> None:
    with pytest.raises(UsageError, match=r"at most 8,388,608 can crash"):
        explored(scenario_of(add, ("value", c_uint64), ("rest", c_uint8 * (1 << 23))), "kill", 1, 1)


def test_what_breaks_without_a_crash_is_said_to() -> None:
    def unlocked(scenario: Any, w: Any) -> None:
        w.memory.value += 1

    check = {"check": lambda _, memory, outcome: Damage("lost", max(0, outcome.rounds - memory.value), 1)}
    case = explored(scenario_of(unlocked, **check), "kill", 2, 1)
    assert case.crashes
    assert (case.crashes.cause, case.crashes.needed) == ("without a crash", 0)
    assert "explore without --crash" in case.reasons[-1]


def test_who_waits_for_ever_for_a_flag_of_the_dead_breaks() -> None:
    def busy(scenario: Any, w: Any) -> None:
        while True:
            with w.write_lock(scenario.Memory.owner):
                if not w.memory.owner:
                    w.memory.owner = w.index + 1
                    break
        w.memory.owner = 0

    case = explored(scenario_of(busy, ("owner", c_uint64)), "kill", 2, 1)
    assert [each.kind for each in case.damage] == ["the next one does not end"]


def told(name: str, kind: Kind) -> Iterator[str]:
    text = text_of(exploration_of(explored(name, kind), crash=[kind]))
    yield from text[text.index("\n\n", text.index("verdict")) :].splitlines()


def test_a_failure_is_told_step_by_step() -> None:
    lines = [line.rstrip() for line in told("undo_journal:flag_with_journal", "power")]
    assert [line for line in lines if "POWER FAILS" in line and line.startswith(" ")] == [
        "    26      POWER FAILS                       on the disk: journal as after step"
    ]
    assert "  step 25 (valid = 1) reached the disk and step 24 (journal.b = 1), done before" in lines
    assert "found: out of order, with 1 crash (power) of 1 worker x 2 rounds" in lines
    assert max(len(line) for line in lines if not line.startswith("replay: ")) <= 80  # the token is one word


def test_what_breaks_without_a_crash_is_told_so_and_what_a_sync_of_files_waits_for() -> None:
    lines = " ".join(" ".join(told("saved_by_rename:locks_the_saved", "power")).split())
    assert "found: breaks without a crash: 2 workers x 1 round" in lines
    assert "sync x: waits until the file is on the disk; of the directory, its names" in lines
    assert "replay:" not in lines


def test_a_kill_is_told_with_what_is_missing() -> None:
    case = explored("undo_journal:nobody_looks", "kill")
    assert [step.worker for step in case.steps if step.operation == "killed"] == [0]
    assert case.reasons == [
        "worker 0 crashed in the middle of its round 0, after step 10 (a = -1); what it would have stored next, "
        "b = 1, is missing"
    ]
