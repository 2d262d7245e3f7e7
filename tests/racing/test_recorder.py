from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from runpy import run_path
from time import monotonic_ns
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis import statistics
from lab.analysis.holds import Span
from lab.analysis.statistics import BUCKETS, LONGEST_NS
from lab.locking import NATIVE, RECORDER, Deadlock, find_lock
from lab.memory.protocol import Held
from lab.racing import recorder as module
from lab.racing.recorder import (
    CURSOR,
    HEADER,
    RECORD,
    UNRECORDED,
    CompiledHold,
    MakeHold,
    PurePythonHold,
    Segment,
    Unlocked,
    bound,
)
from tests.helpers import OtherProcess, wait_until
from tests.locking.holder import listed_on, take_through, waiters
from tests.needs import need

SPAN = Span(8, 16, write=True).pack()
NOT_OPEN = 10_000
RECORDERS = {"compiled": CompiledHold, "python": PurePythonHold}


def recorder(name: str) -> MakeHold:
    if name == "compiled":
        need("compiled")
    make = RECORDERS[name]
    assert make
    return make


@pytest.fixture(params=RECORDERS)
def make(request: pytest.FixtureRequest) -> MakeHold:
    """Either recorder."""
    return recorder(request.param)


def segment_for(records: int) -> Segment:
    segment = memoryview(bytearray(8 * (HEADER + RECORD * records))).cast("Q")
    segment[CURSOR] = HEADER
    return segment


def record(segment: Segment, number: int = 0) -> list[int]:
    """requested_ns, granted_ns, released_ns, span."""
    start = HEADER + RECORD * number
    return segment[start : start + RECORD].tolist()


def nothing() -> None:
    pass


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


class Lock:
    """Stamps each call, as the recorder stamps what is around it."""

    def __init__(self) -> None:
        self.acquired: list[int] = []
        self.released: list[int] = []

    def acquire(self) -> None:
        self.acquired.append(monotonic_ns())

    def release(self) -> None:
        self.released.append(monotonic_ns())


def test_a_hold_acquires_before_its_block_and_releases_after_it_and_stamps_that(make: MakeHold) -> None:
    lock, segment = Lock(), segment_for(1)
    before = monotonic_ns()
    with make(lock.acquire, lock.release, segment, 2**64 - 1):
        inside = monotonic_ns()
        assert (len(lock.acquired), len(lock.released)) == (1, 0)
    assert (len(lock.acquired), len(lock.released)) == (1, 1)
    requested, granted, released, span = record(segment)
    assert before <= requested <= lock.acquired[0] <= granted <= inside <= released <= lock.released[0]
    assert span == 2**64 - 1


def test_each_hold_gets_the_next_record(make: MakeHold) -> None:
    segment = segment_for(4)
    hold = make(nothing, nothing, segment, SPAN)
    for number in range(3):
        with hold:
            pass
        assert segment[CURSOR] == HEADER + RECORD * (number + 1)
    stamps = [stamp for number in range(3) for stamp in record(segment, number)[:3]]
    assert stamps == sorted(stamps)
    assert 0 not in stamps
    assert record(segment, 3) == [0, 0, 0, 0]


def test_a_hold_in_progress_shows_as_a_record_without_a_release(make: MakeHold) -> None:
    segment = segment_for(1)
    with make(nothing, nothing, segment, SPAN):
        assert segment[CURSOR] == HEADER + RECORD
        requested, granted, released, span = record(segment)
    assert 0 < requested <= granted
    assert (released, span) == (0, SPAN)


def test_a_request_that_waits_shows_under_the_cursor_without_a_grant(make: MakeHold) -> None:
    segment = segment_for(1)
    seen: list[int] = []
    segment[HEADER + 1] = 7  # what a request that failed later than its grant could have left
    with make(lambda: seen.extend([segment[CURSOR], *record(segment)]), nothing, segment, SPAN):
        pass
    cursor, requested, granted, released, span = seen
    assert requested > 0
    assert (cursor, granted, released, span) == (HEADER, 0, 0, SPAN)


def test_nested_holds_are_each_released_in_their_own_record(make: MakeHold) -> None:
    segment = segment_for(2)
    outer, inner = make(nothing, nothing, segment, 1), make(nothing, nothing, segment, 2)
    with outer:
        with inner:
            pass
        assert (record(segment, 0)[2], record(segment, 0)[3]) == (0, 1)
        assert record(segment, 1)[2] > 0
    assert record(segment, 0)[2] >= record(segment, 1)[2]


REFUSED = OSError(errno.EDEADLK, "Resource deadlock avoided")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O"), ValueError("no"), KeyboardInterrupt(), REFUSED], ids=repr)
@pytest.mark.parametrize("records", [0, 1])
def test_a_failing_acquire_raises_what_it_raised_and_leaves_no_record(
    make: MakeHold, error: BaseException, records: int
) -> None:
    """EDEADLK arrives as Deadlock."""
    segment, lock = segment_for(records), Lock()
    hold = make(raising(error), lock.release, segment, SPAN)
    with pytest.raises(Deadlock if error is REFUSED else type(error)) as raised, hold:
        pytest.fail("the block ran without the lock")
    assert raised.value is error or (error is REFUSED and raised.value.args == error.args)
    assert (segment[CURSOR], segment[UNRECORDED], lock.released) == (HEADER, 0, [])
    assert not any(record(segment)[:3])


def test_the_record_of_a_failed_request_is_used_by_the_next(make: MakeHold) -> None:
    segment = segment_for(1)
    with pytest.raises(Deadlock), make(raising(OSError(errno.EDEADLK, "")), nothing, segment, 1):
        pass
    with make(nothing, nothing, segment, 2):
        pass
    requested, granted, released, span = record(segment)
    assert 0 < requested <= granted <= released
    assert (span, segment[CURSOR]) == (2, HEADER + RECORD)


def test_an_error_in_the_block_releases_and_goes_on(make: MakeHold) -> None:
    segment, lock = segment_for(1), Lock()
    with pytest.raises(ValueError, match="in the block"), make(lock.acquire, lock.release, segment, SPAN):
        raise ValueError("in the block")
    assert len(lock.released) == 1
    assert record(segment)[2] > 0


def test_a_failing_release_is_raised_after_it_was_recorded(make: MakeHold) -> None:
    segment = segment_for(1)
    with (
        pytest.raises(OSError, match="unlock"),
        make(nothing, raising(OSError(errno.EIO, "unlock")), segment, SPAN),
    ):
        pass
    assert record(segment)[2] > 0


def test_a_full_segment_counts_the_holds_that_it_cannot_record_and_keeps_the_others(make: MakeHold) -> None:
    segment, lock = segment_for(1), Lock()
    hold = make(lock.acquire, lock.release, segment, SPAN)
    with hold:
        pass
    first = record(segment)
    for _ in range(2):
        with hold:
            pass
    assert (len(lock.acquired), len(lock.released), record(segment)) == (3, 3, first)
    assert (segment[CURSOR], segment[UNRECORDED]) == (HEADER + RECORD, 2)


def test_the_wait_of_a_hold_that_is_not_recorded_is_counted_in_the_histogram(make: MakeHold) -> None:
    segment, waits = segment_for(1), memoryview(bytearray(8 * BUCKETS)).cast("Q")
    lock = Lock()
    hold = make(lock.acquire, lock.release, segment, SPAN, waits)
    before = monotonic_ns()
    for held in range(3):
        with hold:
            assert sum(waits) == held
    longest = statistics.bucket(monotonic_ns() - before)
    assert (segment[CURSOR], segment[UNRECORDED], sum(waits[: longest + 1])) == (HEADER + RECORD, 2, 2)


def test_a_failed_request_is_not_counted_in_the_histogram(make: MakeHold) -> None:
    waits = memoryview(bytearray(8 * BUCKETS)).cast("Q")
    with pytest.raises(ValueError, match="no"), make(raising(ValueError("no")), nothing, segment_for(0), SPAN, waits):
        pass
    assert sum(waits) == 0


@pytest.mark.parametrize("waits", [memoryview(bytearray(40)), memoryview(bytes(8 * BUCKETS))], ids=["short", "fixed"])
def test_a_histogram_that_cannot_be_counted_in_is_refused(make: MakeHold, waits: memoryview) -> None:
    segment = segment_for(1)
    with pytest.raises(ValueError, match=f"a histogram has {BUCKETS} words, to be written to"):
        make(nothing, nothing, segment, SPAN, waits.cast("Q"))
    segment.release()


def test_a_log_without_its_header_is_refused(make: MakeHold) -> None:
    with pytest.raises(ValueError, match=f"a log has at least {HEADER} words"):
        make(nothing, nothing, segment_for(1)[: HEADER - 1], SPAN)


@pytest.mark.parametrize("cursor", [HEADER + RECORD + 1, 2**32, 2**61 - 4, 2**61, 2**63, 2**64 - RECORD, 2**64 - 1])
def test_a_cursor_that_points_outside_the_log_writes_nothing_there(make: MakeHold, cursor: int) -> None:
    around = memoryview(bytearray(8 * (HEADER + 4 * RECORD))).cast("Q")
    segment = around[: HEADER + RECORD]
    segment[CURSOR] = cursor
    with make(nothing, nothing, segment, SPAN):
        pass
    assert (segment[CURSOR], segment[UNRECORDED]) == (cursor, 1)
    assert not any(around[HEADER:])


@pytest.mark.parametrize("name", ["fcntl", "ofd", "flock"])
def test_a_hold_takes_and_gives_back_the_real_lock(make: MakeHold, name: str, tmp_path: Path) -> None:
    path, segment = tmp_path / "file", segment_for(2)
    path.touch()
    with path.open("r+b") as file:
        lock = find_lock(name)
        holds = [
            make(*lock.actions(file.fileno(), start, 8, write=write), segment, SPAN)
            for start, write in ((0, False), (8, True))
        ]
        for hold, count in zip(holds, (1, 1 if name == "flock" else 2), strict=True):
            hold.__enter__()
            wait_until(lambda count=count: len(listed_on(path)) == count, f"{count} held")  # type: ignore[misc]
        for hold, count in zip(holds, (int(name == "flock") or 1, 0), strict=True):
            hold.__exit__(None, None, None)
            wait_until(lambda count=count: len(listed_on(path)) == count, f"{count} held")  # type: ignore[misc]
    assert [0 in record(segment, number) for number in range(2)] == [False, False]
    assert record(segment)[1] <= record(segment, 1)[0]


@pytest.mark.parametrize("name", ["fcntl", "ofd", "flock"])
def test_what_the_kernel_refuses_to_a_hold_is_raised_with_its_errno(make: MakeHold, name: str) -> None:
    segment = segment_for(1)
    with pytest.raises(OSError, match="Bad file") as raised:
        make(*find_lock(name).actions(NOT_OPEN, 0, 8, write=True), segment, SPAN).__enter__()
    assert (type(raised.value), raised.value.errno, segment[CURSOR]) == (OSError, errno.EBADF, HEADER)


def test_a_segment_with_room_for_part_of_a_record_is_full(make: MakeHold) -> None:
    segment = segment_for(2)[: HEADER + RECORD + 3]
    hold = make(nothing, nothing, segment, SPAN)
    for _ in range(2):
        with hold:
            pass
    assert (segment[CURSOR], segment[UNRECORDED]) == (HEADER + RECORD, 1)
    assert segment[HEADER + RECORD :].tolist() == [0, 0, 0]


def test_a_hold_keeps_no_reference_to_what_it_was_given_once_it_is_gone(make: MakeHold) -> None:
    segment = segment_for(1)
    acquire, release = Lock().acquire, Lock().release
    before = [sys.getrefcount(each) for each in (acquire, release)]
    hold = make(acquire, release, segment, SPAN)
    with hold:
        pass
    del hold
    assert [sys.getrefcount(each) for each in (acquire, release)] == before
    segment.release()


@pytest.mark.parametrize("number", [0, errno.EIO, errno.EDEADLK])
def test_entering_and_leaving_a_thousand_times_leaks_nothing(make: MakeHold, number: int) -> None:
    def call() -> object:
        if number:
            raise OSError(number, os.strerror(number))
        return object()

    hold = make(call, call, segment_for(1), SPAN)

    def enter_and_leave() -> None:
        for _ in range(1000):
            with suppress(OSError), hold:
                pass

    def growth() -> tuple[int, int]:
        blocks, references = sys.getallocatedblocks(), sys.getrefcount(OSError)
        enter_and_leave()
        return sys.getallocatedblocks() - blocks, sys.getrefcount(OSError) - references

    blocks, references = zip(*(growth() for _ in range(5)), strict=True)  # other threads allocate too, but not always
    assert min(blocks) < 100
    assert min(references) < 100


def hold_and_wait(name: str, path: str) -> list[Any]:
    """Hold bytes 0 to 7, and ask for 8 to 15 through a Hold: what came of it, and what the log shows."""
    descriptor = os.open(path, os.O_RDWR)
    take_through(descriptor, "fcntl", 0, 8, True)
    Path(path).with_name("held").touch()
    wait_until(lambda: waiters(Path(path)) == 1, "the other one waits")
    segment = segment_for(1)
    acquire, release = find_lock("fcntl").actions(descriptor, 8, 8, write=True)
    make = RECORDERS[name]
    assert make
    try:
        with make(acquire, release, segment, SPAN):
            return ["granted"]
    except Deadlock as error:
        return [type(error).__name__, error.errno, segment[CURSOR], *record(segment)[:3]]


def take_in_opposite_order(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    take_through(descriptor, "fcntl", 8, 8, True)
    wait_until(Path(path).with_name("held").exists, "the other one holds its lock")
    take_through(descriptor, "fcntl", 0, 8, True)


@pytest.mark.parametrize("name", RECORDERS)
def test_a_real_deadlock_arrives_as_deadlock(name: str, tmp_path: Path) -> None:
    recorder(name)
    path = tmp_path / "file"
    path.touch()
    with OtherProcess() as one, OtherProcess() as other:
        other.start(take_in_opposite_order, str(path))
        wait_until(lambda: bool(listed_on(path)), "the other one holds")
        assert one.call(hold_and_wait, name, str(path)) == ["Deadlock", errno.EDEADLK, HEADER, 0, 0, 0]
        one.kill()
        other.answer()


OUTCOMES = {
    "granted": None,
    "deadlock": OSError(errno.EDEADLK, "deadlock"),
    "io": OSError(errno.EIO, "io"),
    "other": ValueError("other"),
}
steps = st.lists(
    st.tuples(st.sampled_from([*OUTCOMES, "leave"]), st.booleans(), st.integers(0, 1)), min_size=1, max_size=12
)


class Scripted:
    """A lock whose next call ends as the script says."""

    error: BaseException | None = None

    def call(self) -> None:
        if self.error:
            raise self.error


def played(make: MakeHold, script: list[tuple[str, bool, int]]) -> tuple[list[str], list[int]]:
    """What two holds of one segment with room for three raise and leave, stamps told apart by zero or not."""
    segment, lock = segment_for(3), Scripted()
    holds = [make(lock.call, lock.call, segment, span) for span in (5, 6)]
    open_holds: list[Held] = []
    said = []
    for outcome, release_fails, which in script:
        try:
            if outcome != "leave" and holds[which] not in open_holds:
                lock.error = OUTCOMES[outcome]
                holds[which].__enter__()
                open_holds.append(holds[which])
            elif open_holds:
                lock.error = OUTCOMES["io"] if release_fails else None
                open_holds.pop().__exit__(None, None, None)
            said.append("done")
        except Exception as error:
            said.append(repr(error))
    words = segment.tolist()
    kept = [word if at < HEADER or (at - HEADER) % RECORD == 3 else int(word > 0) for at, word in enumerate(words)]
    return said, kept


@pytest.mark.needs("compiled")
@given(steps)
def test_both_recorders_leave_the_same_after_the_same(script: list[tuple[str, bool, int]]) -> None:
    assert CompiledHold
    compiled, python = played(CompiledHold, script), played(PurePythonHold, script)
    assert compiled == python


@pytest.mark.needs("compiled")
@given(st.integers(0, 2**64 - 1) | st.integers(0, 64).map(lambda bits: 2**bits - 1) | st.just(LONGEST_NS))
def test_the_compiled_recorder_puts_a_time_into_the_bucket_that_python_puts_it_into(time_ns: int) -> None:
    assert NATIVE
    assert NATIVE.bucket(time_ns) == statistics.bucket(time_ns)


@pytest.mark.needs("compiled")
def test_the_compiled_recorder_refuses_what_it_cannot_use() -> None:
    compiled: Any = CompiledHold
    with pytest.raises((BufferError, TypeError)):
        compiled(nothing, nothing, bytes(96), SPAN)
    with pytest.raises(TypeError):
        object.__new__(compiled)
    with pytest.raises(TypeError, match="required argument"):
        compiled()


@pytest.mark.parametrize("error", [None, ValueError("in the block"), REFUSED], ids=repr)
def test_a_hold_whose_methods_are_bound_records_and_raises_what_the_hold_does(
    make: MakeHold, error: Exception | None
) -> None:
    kept = []
    for rounds in (0, 1_000_000):
        segment, lock = segment_for(2), Lock()
        hold = bound(make(raising(error) if error is REFUSED else lock.acquire, lock.release, segment, SPAN), rounds)
        said = ""
        for _ in range(2):
            try:
                with hold:
                    if error:
                        raise error
            except (ValueError, Deadlock) as raised:
                said += repr(raised)
        words = [word if at % RECORD == 3 else int(word > 0) for at, word in enumerate(segment[HEADER:])]
        kept.append((said, len(lock.acquired), len(lock.released), segment[CURSOR], words))
    assert kept[0] == kept[1]
    assert kept[0][1] == (0 if error is REFUSED else 2)


def words(count: int) -> tuple[memoryview, ...]:
    return tuple(memoryview(bytearray(8)) for _ in range(count))


@pytest.mark.needs("compiled")
def test_the_loop_in_c_leaves_what_the_same_rounds_leave_in_python() -> None:
    """Signals are looked for every 256 rounds, and a log with room for fewer counts the others."""
    assert NATIVE
    kept, lock = [], Lock()
    for in_c in (True, False):
        segment, counter = segment_for(280), words(1)
        hold = CompiledHold(lock.acquire, lock.release, segment, SPAN) if CompiledHold else Unlocked()
        if in_c:
            NATIVE.add_in_turn((hold,), counter, memoryview(bytearray(8)), -1, 300)
        else:
            for _ in range(300):
                with hold:
                    counter[0].cast("Q")[0] += 1
        stamps = [stamp for number in range(280) for stamp in record(segment, number)[:3]]
        assert stamps == sorted(stamps)
        kept.append((counter[0].cast("Q")[0], segment[CURSOR], segment[UNRECORDED], record(segment, 279)[3]))
    assert kept[0] == kept[1] == (300, HEADER + 280 * RECORD, 20, SPAN)


@pytest.mark.needs("compiled")
def test_the_loop_in_c_walks_around_a_ring_and_stops_at_the_word() -> None:
    """Each lock is acquired before the one before it is released; the one that was held at first has no addition."""
    assert NATIVE
    assert CompiledHold
    stop, order = memoryview(bytearray(8)), ""

    def note(what: str) -> Callable[[], None]:
        def action() -> None:
            nonlocal order
            order += what
            stop.cast("Q")[0] = len(order) > 7

        return action

    segment, counters = segment_for(9), words(3)
    holds = tuple(CompiledHold(note("abc"[i]), note("ABC"[i]), segment, i) for i in range(3))
    holds[1].__enter__()
    NATIVE.add_in_turn(holds, counters, stop, 1)
    assert order == "bcBaCbAcBC"
    assert [counter.cast("Q")[0] for counter in counters] == [1, 1, 2]


@pytest.mark.needs("compiled")
def test_the_loop_in_c_refuses_what_does_not_fit_and_raises_what_a_lock_raises() -> None:
    assert NATIVE
    add: Any = NATIVE.add_in_turn
    assert CompiledHold
    holds, stop = (CompiledHold(raising(REFUSED), nothing, segment_for(1), SPAN),), memoryview(bytearray(8))
    for wrong in (
        ((), (), stop, -1),
        (holds, words(2), stop, -1),
        (holds, words(1), stop, 1),
        (holds, words(1), stop[:7], -1),
        (holds, (memoryview(bytearray(9)),), stop, -1),
        ((nothing,), words(1), stop, -1),
    ):
        with pytest.raises(ValueError, match="as many holds as places"):
            add(*wrong)
    with pytest.raises(BufferError):
        add(holds, (memoryview(bytes(8)),), stop, -1)
    with pytest.raises(Deadlock):
        add(holds, words(1), stop, -1)


def test_without_a_lock_nothing_is_called_and_errors_go_on() -> None:
    with pytest.raises(ValueError, match="in the block"), Unlocked():
        raise ValueError("in the block")


def test_the_recorder_in_use_is_named_as_what_it_is() -> None:
    better = CompiledHold or PurePythonHold
    assert module.Hold is better
    assert ("compiled" if CompiledHold else "python") == RECORDER


@pytest.mark.needs("compiled")
@pytest.mark.parametrize("word", sorted(module.LAYOUT))
def test_a_compiled_recorder_that_writes_to_other_words_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NATIVE
    run_path(module.__file__)
    monkeypatch.setitem(NATIVE.LAYOUT, word, NATIVE.LAYOUT[word] + 1)
    with pytest.raises(ImportError, match="install again"):
        run_path(module.__file__)
