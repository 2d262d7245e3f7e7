"""What the samples of a race come to: whose locks were seen, and who was seen inside together with a lab's worker."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import pytest

from lab.analysis.holds import Row, Span
from lab.locking.observer import ObservedLock
from lab.racing.programs.samples import EVERY_NS, Samples
from lab.records import LockFile, SampledLocks

pytestmark = pytest.mark.usefixtures("clock")

LABS, PROGRAM = 1001, 1002
"""The process ids of worker 0, the lab's, and of worker 1, a program."""
WHOLE = Span(0, 0, write=True)
BYTES = Span(0, 8, write=True)


class Shown:
    """An observer of what the test says."""

    source = "the test"

    def __init__(self, *looks: set[ObservedLock], names: Sequence[set[str]] = ()) -> None:
        self._looks = list(looks)
        self._names = list(names)

    def look(self) -> set[ObservedLock]:
        return self._looks.pop(0)

    def inodes(self, file: str) -> list[int]:
        return []

    def names(self) -> set[str]:
        return self._names.pop(0) if self._names else set()

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one interval of sampling with each look at it: sample i is from 2 i to 2 i + 1."""
    ticks = iter(range(0, 1000 * EVERY_NS, EVERY_NS))
    monkeypatch.setattr("lab.racing.programs.samples.monotonic_ns", lambda: next(ticks))


def sampled(*looks: set[ObservedLock], holds: list[Row] = [], nameless: bool = True) -> SampledLocks:  # noqa: B006 - not changed
    samples = Samples(Shown(*looks), {LABS: 0, PROGRAM: 1}, range(1, 2), "data", nameless=nameless)
    for _ in looks:
        samples.look()
    return samples.result(holds)


def held(pid: int, span: Span = WHOLE, *, kind: str = "FLOCK", waits: bool = False) -> ObservedLock:
    return ObservedLock(kind, pid, span, waits)


def hold(granted: float, released: float, span: Span = BYTES) -> Row:
    """A hold of worker 0, in intervals."""
    return int(granted * EVERY_NS), int(released * EVERY_NS), 0, 0, span.pack()


def test_locks_of_programs_are_counted_and_those_of_the_labs_workers_are_not() -> None:
    came = sampled({held(LABS)}, {held(PROGRAM)}, {held(PROGRAM), held(PROGRAM, waits=True)}, set())
    assert (came.samples, came.held, came.waiting, came.holders, came.overlapping) == (4, 2, 1, 1, 0)
    assert came.source == "the test"


@pytest.mark.parametrize(("nameless", "seen"), [(True, 1), (False, 0)])
def test_a_lock_of_an_open_file_is_a_programs_where_the_lab_takes_none_of_that_kind(nameless: bool, seen: int) -> None:
    assert sampled({held(-1, kind="OFDLCK")}, nameless=nameless).held == seen


def test_a_process_that_a_worker_forked_is_the_workers() -> None:
    samples = Samples(Shown({held(os.getpid())}), {LABS: 0, os.getppid(): 1}, range(1, 2), "data", nameless=True)
    samples.look()
    assert samples.result([]).held == 1


def test_where_all_are_programs_a_strangers_lock_is_not_theirs_and_that_of_one_left_behind_is() -> None:
    left_behind = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    samples = Samples(Shown({held(1), held(left_behind.pid)}), {PROGRAM: 0}, range(1), "data", nameless=True)
    samples.look()
    left_behind.communicate()
    assert samples.result([]).holders == 1


def test_a_process_that_is_no_longer_there_is_nobodys_beside_the_labs_workers() -> None:
    assert sampled({held(2**22 + 1)}).held == 0


@pytest.mark.parametrize(
    ("granted", "released", "inside"),
    [(0, 1, 1), (-1, 5, 2), (0.1, 1, 0), (0, 0.9, 0), (-3, -2, 0), (1.5, 3.5, 1), (9, 10, 0)],
)
def test_only_a_hold_that_lasts_as_long_as_a_sample_shows_two_in(granted: float, released: float, inside: int) -> None:
    came = sampled({held(PROGRAM)}, {held(PROGRAM)}, holds=[hold(granted, released)])
    assert (came.inside, came.overlapping) == (inside, inside)


@pytest.mark.parametrize(
    ("seen", "overlapping"),
    [
        (held(PROGRAM, Span(8, 8, write=True)), 0),
        (held(PROGRAM, Span(7, 1, write=True)), 1),
        (held(PROGRAM, Span(7, 1, write=False)), 1),
        (held(PROGRAM, waits=True), 0),
        (held(LABS), 0),
    ],
)
def test_only_locks_that_may_not_be_held_together_are_two_in(seen: ObservedLock, overlapping: int) -> None:
    came = sampled({seen}, holds=[hold(0, 1)])
    assert (came.inside, came.overlapping) == (1, overlapping)


def test_two_readers_may_be_in_together() -> None:
    reader = held(PROGRAM, Span(0, 8, write=False))
    assert sampled({reader}, holds=[hold(0, 1, Span(0, 8, write=False))]).overlapping == 0


def test_the_evidence_names_both_and_the_time() -> None:
    (text,) = sampled({held(PROGRAM)}, holds=[hold(0, 1)]).evidence
    assert text == (
        f"process {PROGRAM} of the program held FLOCK write 0-end while worker 0 held write 0-7: "
        f"seen within {EVERY_NS:,} ns"
    )


def test_what_a_program_was_last_seen_to_hold_and_wait_for_is_told() -> None:
    look = {held(PROGRAM), held(PROGRAM, BYTES, kind="POSIX", waits=True), held(LABS)}
    samples = Samples(Shown(look, set()), {LABS: 0, PROGRAM: 1}, range(1, 2), "data", nameless=True)
    samples.look()
    samples.look()
    told = ", seen to hold FLOCK write 0-end, seen to wait for POSIX write 0-7"
    assert [samples.stuck(1, EVERY_NS), samples.stuck(1, 3 * EVERY_NS), samples.stuck(0, EVERY_NS)] == [told, "", ""]


def test_samples_are_taken_no_more_often_than_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.racing.programs.samples.monotonic_ns", lambda: 5)
    samples = Samples(Shown(set()), {PROGRAM: 0}, range(1), "data", nameless=True)
    samples._due_ns = 5
    for _ in range(3):
        samples.look()
    assert samples.result([]).samples == 1


def test_a_lock_on_a_file_beside_it_is_counted_by_its_name_and_excludes_nobody_from_the_file() -> None:
    beside = held(PROGRAM)._replace(file="data.lock")
    waits = held(PROGRAM, waits=True)._replace(file="data.lock")
    came = sampled({beside}, {beside, waits}, set(), holds=[hold(-1, 10)])
    assert (came.held, came.waiting, came.overlapping) == (2, 1, 0)
    assert came.beside == [LockFile("{file}.lock", held=2, waiting=1)]


@pytest.mark.parametrize(
    ("names", "present"),
    [
        ("data.lock - data.lock", {"{file}.lock": 2}),
        ("- data.lock -", {"{file}.lock": 1}),
        ("- LCK..x -", {"LCK..x": 1}),
        ("- data.lock data.lock", {}),
        ("- data.tmp -", {}),
    ],
)
def test_a_lock_file_that_comes_and_goes_is_named_and_is_no_lock_of_the_kernel(
    names: str, present: dict[str, int]
) -> None:
    looks = [{each} - {"-"} for each in names.split()]
    samples = Samples(Shown(*[set()] * 3, names=looks), {PROGRAM: 0}, range(1), "data", nameless=True)
    for _ in looks:
        samples.look()
    came = samples.result([])
    assert came.beside == [LockFile(name, held, 0, kernel=False) for name, held in present.items()]
    assert came.held == 0


def test_a_lock_file_on_which_the_kernel_lists_a_lock_is_named_once() -> None:
    beside = held(PROGRAM)._replace(file="data.lock")
    looks, names = [{beside}, set(), {beside}], [{"data.lock"}, set(), {"data.lock"}]
    samples = Samples(Shown(*looks, names=names), {PROGRAM: 0}, range(1), "data", nameless=True)
    for _ in names:
        samples.look()
    assert samples.result([]).beside == [LockFile("{file}.lock", held=2, waiting=0)]
