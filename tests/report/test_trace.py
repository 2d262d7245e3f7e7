from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lab.records import Document, Holds, Recording
from lab.report.trace import NOT_RECORDED, render, trace_of
from tests.report.page.recordings import LOST, counted, held
from tests.report.plots_records import alone, bench_of, queue
from tests.report.records import CLEAN, REFUSED, run_of
from tests.report.toured_records import tour_of
from tests.report.trace_form import of_kind, problems

RACE = run_of(held(20), LOST)
BENCH = bench_of(alone("fcntl", 1000), queue("ofd", 3, 2000), queue("flock", 2, 0.0, reason="refused", holds=Holds()))


def holding(*rows: tuple[int, int, int, int, int, int]) -> Document:
    """A race of two workers with these holds: worker, requested, granted, released, start, length."""
    worker, requested, granted, released, start, length = (list(column) for column in zip(*rows, strict=True))
    holds = Holds(worker, requested, granted, released, start, length, [1] * len(rows))
    return run_of(replace(CLEAN, recording=counted([], 0, holds)))


def bars(document: Document) -> list[tuple[str, float, float, str]]:
    """Name, begin and length in us, and the name of the row, of each bar."""
    trace = trace_of(document)
    rows = {event["tid"]: event["args"]["name"] for event in of_kind(trace, "M") if event["name"] == "thread_name"}
    return [(bar["name"], bar["ts"], bar["dur"], rows[bar["tid"]]) for bar in of_kind(trace, "X")]


def instants(document: Document) -> list[dict[str, Any]]:
    return of_kind(trace_of(document), "i")


@pytest.mark.parametrize("document", [RACE, BENCH, tour_of()], ids=["race", "bench", "tour"])
def test_the_form_is_that_of_the_trace_event_format(document: Document) -> None:
    assert problems(trace_of(document)) == []
    assert json.loads(render(document)) == trace_of(document)


def test_the_form_is_not_taken_on_trust() -> None:
    trace = trace_of(RACE)
    (first, second) = of_kind(trace, "X")[:2]
    for spoil in ({"dur": -1}, {"ts": None}, {"ph": "Q"}, {"tid": 10**6}, {"dur": first["dur"] + second["dur"] / 2}):
        spoilt = {
            **trace,
            "traceEvents": [{**first, **spoil} if each is first else each for each in trace["traceEvents"]],
        }
        assert problems(spoilt), spoil


def test_a_process_is_a_case_and_a_row_a_worker() -> None:
    named = [event["args"]["name"] for event in of_kind(trace_of(BENCH), "M") if event["name"].endswith("_name")]
    assert named[-6:-2] == ["ofd queue, 3 workers", "worker 0", "worker 1", "worker 2"]
    assert named[-2:] == ["flock queue, 2 workers", NOT_RECORDED]
    (counter, *_) = [event["args"]["name"] for event in of_kind(trace_of(RACE), "M") if event["name"] == "process_name"]
    assert counter == "counter, fcntl, 2 workers"


def test_each_request_is_a_bar_of_waiting_and_one_of_holding() -> None:
    run = holding((0, 100, 200, 900, 0, 8), (1, 300, 1000, 1500, 0, 8))
    assert bars(run) == [
        ("waiting", 0.1, 0.1, "worker 0"),
        ("holding", 0.2, 0.7, "worker 0"),
        ("waiting", 0.3, 0.7, "worker 1"),
        ("holding", 1.0, 0.5, "worker 1"),
    ]
    told = [event["args"] for event in of_kind(trace_of(run), "X")]
    assert told[2] == {"start": 0, "length": 8, "mode": "write", "holder": "worker 0"}
    assert told[0]["holder"] == "nobody"


def test_what_was_never_granted_or_released_says_so() -> None:
    run = holding((0, 100, 200, -1, 0, 8), (1, 300, -1, -1, 0, 8))
    assert [(name, row) for name, _, _, row in bars(run)] == [
        ("waiting", "worker 0"),
        ("holding, never released", "worker 0"),
        ("waiting, never granted", "worker 1"),
    ]


def test_locks_that_are_held_across_each_other_have_rows_of_their_own() -> None:
    run = holding((0, 0, 10, 500, 0, 8), (0, 100, 110, 900, 8, 8), (0, 600, 610, 700, 0, 8))
    assert problems(trace_of(run)) == []
    assert [(begin, row) for name, begin, _, row in bars(run) if name == "holding"] == [
        (0.01, "worker 0"),
        (0.11, "worker 0, row 2"),
        (0.61, "worker 0"),
    ]


def test_damage_is_an_instant_where_it_happened_and_what_the_check_found_one_of_the_case() -> None:
    lost, check = instants(run_of(LOST))
    assert (lost["name"], lost["ts"], lost["s"]) == ("lost update", 3.0, "t")
    assert "over the 1 of worker 0" in lost["args"]["message"]
    assert (check["name"], check["s"], check["args"]["message"]) == ("damage: lost update", "p", "1 of 3")


def test_two_in_at_once_is_an_instant() -> None:
    run = holding((0, 100, 200, 900, 0, 8), (1, 300, 500, 1500, 0, 8))
    assert [(each["name"], each["ts"]) for each in instants(run)] == [("overlap", 0.5)]


def test_a_failure_and_holds_without_room_are_told_of_the_case() -> None:
    recording = replace(counted([], 0), failures=["worker 1 was killed"], unrecorded_holds=2)
    told = [(each["name"], each["args"]["message"]) for each in instants(run_of(replace(CLEAN, recording=recording)))]
    assert told == [("failure", "worker 1 was killed"), ("not all is shown", "2 holds found no room in the log")]


def test_a_case_that_was_not_recorded_says_why() -> None:
    (event,) = instants(run_of(REFUSED))
    assert event["name"] == NOT_RECORDED
    assert event["args"]["message"].startswith("lock fcntl: refused")


def test_times_are_the_same_ns_again_however_a_reader_cuts_them() -> None:
    run = holding(*((0, 1000 * n, 1000 * n + 1, 1000 * n + 999, 0, 8) for n in range(500)))
    for name, begin, length, _ in bars(run):
        assert int(begin * 1000) % 1000 == (0 if name == "waiting" else 1)
        assert int(length * 1000) == (1 if name == "waiting" else 998)


def test_paths_and_names_stay_out() -> None:
    recording: Recording = replace(counted([], 0), failures=["worker 1: /srv/secret/place/file broke"])
    assert b"secret" not in render(run_of(replace(CLEAN, recording=recording)))
    assert b"secret" not in render(replace(BENCH, locks=[replace(BENCH.locks[2], reason="/mnt/secret/x is full")]))


def test_names_that_are_no_text_do_not_break_it() -> None:
    assert b'"odd?, fcntl, 2 workers"' in render(run_of(replace(CLEAN, scenario="odd\udcff")))
