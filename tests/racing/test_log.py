from __future__ import annotations

import os
from typing import Any

import pytest

from lab.analysis.holds import Span
from lab.analysis.statistics import BUCKETS
from lab.locking import NATIVE
from lab.racing.recorder import (
    CURSOR,
    FINISHED_NS,
    HEADER,
    PRIVATE_BYTES,
    RECORD,
    ROUNDS_DONE,
    SPARE_RECORDS,
    UNRECORDED,
    Log,
    PurePythonHold,
    Segment,
    Stuck,
    python_rounds,
)
from tests.helpers import in_fresh_process

READ, WRITE = Span(0, 8, write=False), Span(16, 0, write=True)


def started(log: Log, index: int) -> Segment:
    segment = log.segment(index)
    segment[CURSOR] = HEADER
    return segment


def put(segment: Segment, *records: tuple[int, int, int, Span]) -> None:
    """Records of requested, granted, released and span, and the cursor behind those that were granted."""
    for record in records:
        *stamps, span = record
        for word, value in enumerate([*stamps, span.pack()]):
            segment[segment[CURSOR] + word] = value
        segment[CURSOR] += RECORD if record[1] else 0


def hold_nothing() -> None:
    pass


def test_a_new_log_holds_nothing() -> None:
    log = Log(2, 10)
    assert list(log.holds()) == []
    assert log.total(UNRECORDED) == 0
    assert log.stuck(1) == Stuck([], None)
    assert log.header(CURSOR) == [0, 0]


def test_segments_of_workers_and_twins_do_not_overlap() -> None:
    log = Log(3, 5)
    numbers = [*range(3), *(log.twin_of(index) for index in range(3))]
    for number in numbers:
        log.segment(number)[:] = memoryview(bytes([number + 1]) * len(log.segment(number)) * 8).cast("Q")
    for number in numbers:
        assert set(log.segment(number).cast("B")) == {number + 1}
    assert len(set(numbers)) == 6


def test_a_segment_has_room_for_the_records_asked_for_and_some_more() -> None:
    log = Log(1, 5)
    segment = started(log, 0)
    hold = PurePythonHold(hold_nothing, hold_nothing, segment, WRITE.pack())
    for _ in range(5 + SPARE_RECORDS + 3):
        with hold:
            pass
    assert len(list(log.holds())) == 5 + SPARE_RECORDS
    assert log.total(UNRECORDED) == 3


def test_beside_each_segment_lies_a_histogram_where_one_is_asked_for() -> None:
    log = Log(2, 0, histograms=True)
    waits = [log.histogram(index) for index in (0, 1, log.twin_of(0), log.twin_of(1))]
    for number, each in enumerate(waits):
        assert each is not None
        assert not any(each)
        each[0] = each[BUCKETS - 1] = number + 1
    assert [sum(each) for each in waits if each] == [2, 4, 6, 8]
    assert Log(2, 0).histogram(1) is None


def test_a_header_word_is_told_of_every_worker_and_no_twin() -> None:
    log = Log(3, 5)
    for word in (ROUNDS_DONE, FINISHED_NS, PRIVATE_BYTES):
        for number in range(6):
            log.segment(number)[word] = 100 * word + number
        assert log.header(word) == [100 * word, 100 * word + 1, 100 * word + 2]


def test_unrecorded_holds_are_counted_over_workers_and_twins() -> None:
    log = Log(2, 5)
    for number in range(4):
        log.segment(number)[UNRECORDED] = 10**number
    assert log.total(UNRECORDED) == 1111


def test_holds_are_told_with_the_number_of_their_segment() -> None:
    log = Log(2, 5)
    put(started(log, 0), (1, 2, 3, READ), (4, 5, 6, WRITE))
    put(started(log, 1), (7, 8, 9, READ))
    put(started(log, log.twin_of(1)), (10, 11, 12, WRITE))
    assert list(log.holds()) == [
        (2, 3, 1, 0, READ.pack()),
        (5, 6, 4, 0, WRITE.pack()),
        (8, 9, 7, 1, READ.pack()),
        (11, 12, 10, 3, WRITE.pack()),
    ]


@pytest.mark.parametrize(
    ("last", "holds"),
    [
        pytest.param((4, 5, 0, WRITE), [(5, 5, 4, 0, WRITE.pack())], id="not given back: released when granted"),
        pytest.param((4, 0, 0, WRITE), [], id="not granted: no hold"),
    ],
)
def test_the_last_request_of_a_worker_may_be_in_progress(
    last: tuple[int, int, int, Span], holds: list[tuple[int, ...]]
) -> None:
    log = Log(1, 5)
    put(started(log, 0), (1, 2, 3, READ), last)
    assert list(log.holds()) == [(2, 3, 1, 0, READ.pack()), *holds]


def test_a_stuck_worker_is_told_with_what_it_holds_and_waits_for() -> None:
    log = Log(2, 5)
    put(started(log, 1), (1, 2, 3, READ), (4, 5, 0, WRITE), (6, 7, 0, READ), (8, 0, 0, WRITE))
    assert log.stuck(1) == Stuck(holding=[WRITE, READ], waiting=WRITE)
    assert log.stuck(0) == Stuck([], None)


def test_a_worker_whose_segment_is_full_waits_for_nothing_that_the_log_knows() -> None:
    log = Log(1, 0)
    put(started(log, 0), *[(1, 2, 3, READ)] * SPARE_RECORDS)
    assert log.stuck(0) == Stuck([], None)


def test_a_worker_inside_its_hold_is_stuck_in_what_the_recorder_wrote() -> None:
    log = Log(1, 5)
    segment = started(log, 0)
    seen = []
    inner = PurePythonHold(lambda: seen.append(log.stuck(0)), hold_nothing, segment, READ.pack())
    with PurePythonHold(hold_nothing, hold_nothing, segment, WRITE.pack()), inner:
        seen.append(log.stuck(0))
    seen.append(log.stuck(0))
    assert seen == [Stuck([WRITE], READ), Stuck([WRITE, READ], None), Stuck([], None)]


def holds_recorded_by_children() -> list[list[int]]:
    log = Log(2, 5)
    for index in range(2):
        pid = os.fork()
        if not pid:
            put(started(log, index), (1, 2, 3, READ))
            os._exit(0)
        os.waitpid(pid, 0)
    return [list(row) for row in log.holds()]


def test_the_parent_reads_what_forked_workers_recorded() -> None:
    assert in_fresh_process(holds_recorded_by_children) == [[2, 3, 1, 0, READ.pack()], [2, 3, 1, 1, READ.pack()]]


WAYS: dict[str, Any] = {"compiled": NATIVE.Rounds if NATIVE else None, "python": python_rounds}


@pytest.mark.parametrize("way", [pytest.param("compiled", marks=pytest.mark.needs("compiled")), "python"])
def test_the_header_has_the_number_of_the_round_that_goes_on_and_all_of_them_in_the_end(way: str) -> None:
    count = WAYS[way]
    for rounds in (0, 1, 3):
        segment = Log(2, 0).segment(1)
        assert [(number, segment[ROUNDS_DONE]) for number in count(segment, rounds)] == [(n, n) for n in range(rounds)]
        assert segment.tolist()[:HEADER] == [rounds if word == ROUNDS_DONE else 0 for word in range(HEADER)]


@pytest.mark.parametrize("way", [pytest.param("compiled", marks=pytest.mark.needs("compiled")), "python"])
def test_who_ends_within_a_round_leaves_its_number(way: str) -> None:
    count = WAYS[way]
    segment = Log(1, 0).segment(0)
    for number in count(segment, 5):
        if number == 3:
            break
    assert segment[ROUNDS_DONE] == 3


@pytest.mark.needs("compiled")
def test_the_compiled_rounds_refuse_a_log_that_is_too_short_or_cannot_be_written_to() -> None:
    assert NATIVE
    for wrong, error in ((memoryview(bytearray(8)), ValueError), (memoryview(bytes(64)), TypeError)):
        with pytest.raises(error):
            NATIVE.Rounds(wrong, 1)
    with pytest.raises(TypeError):
        NATIVE.Rounds()
