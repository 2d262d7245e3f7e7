"""Trials that are written down: what is in the record, and what it tells."""

from __future__ import annotations

import json
from ctypes import Structure, c_double, c_int64, c_ubyte, c_uint64
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any, ClassVar

import pytest

from lab.analysis.accesses import LOAD, REPORT, STORE
from lab.api.values import temporary_directory
from lab.memory import workspace
from lab.racing import tracing
from lab.racing.cases import run_case
from lab.racing.recorder import ROUNDS_DONE, Log
from lab.racing.timed import with_recording
from lab.racing.tracing import RecordedBytes, Tape, values_of
from lab.records import Case, encode
from lab.report.page.build import recording_part
from lab.report.text.race_verdict import exit_code
from lab.scenario import Outcome, Scenario, find_scenarios
from tests.helpers import in_fresh_process
from tests.racing.racing import case_of
from tests.report.records import run_of

DEFAULT_SET = [found.name for found in find_scenarios([])]
MILLISECOND = 1_000_000
SLICED = {"workers": 2, "pin": "one", "window_ns": 5 * MILLISECOND, "rounds": 10}


class Cells:
    """A place in this process."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)

    def load(self, start: int, length: int) -> bytes:
        return bytes(self.content[start : start + length])

    def store(self, start: int, data: bytes | memoryview) -> None:
        self.content[start : start + len(data)] = data


def tape_of(workers: int = 1) -> tuple[Log, Tape]:
    log = Log(workers, 4)
    return log, Tape(log, workers, bytes(16))


def written(scenario: str | type[Scenario], lock: str, *, asked: int = 100, **changed: Any) -> Case:
    """The row of a case and its recorded trial."""
    case = case_of(scenario, lock, **changed)
    with workspace(temporary_directory()) as folder:
        row = run_case(case, 1, [folder])
        return with_recording(row, case.setting, asked, [folder])


def shown(scenario: str, lock: str, **changed: Any) -> dict[str, Any]:
    """What the page is given of it, and the damage that the recorded trial's check found."""
    row = written(scenario, lock, **changed)
    assert row.recording
    told = recording_part(row)
    assert told
    return {**told, "found": [each.count for each in row.recording.damage], "row": row.damaged}


def test_a_load_and_a_store_are_written_down_with_their_bytes_and_round() -> None:
    log, tape = tape_of()
    log.segment(0)[ROUNDS_DONE] = 7
    place = RecordedBytes(Cells(bytes(16)), tape.track(0, 0, whole=True))
    place.store(4, b"abc")
    assert place.load(3, 5) == b"\0abc\0"
    store, load = tape.accesses()
    assert store[2:] == (0, 7, STORE, 4, 3, b"abc")
    assert load[2:] == (0, 7, LOAD, 3, 5, b"\0abc\0")
    assert store.begun_ns <= store.ended_ns <= load.begun_ns <= load.ended_ns


def test_a_store_in_which_the_worker_ended_is_written_down_as_begun() -> None:
    class Ends(Cells):
        def store(self, start: int, data: bytes | memoryview) -> None:
            raise SystemExit

    _, tape = tape_of()
    with pytest.raises(SystemExit):
        RecordedBytes(Ends(b""), tape.track(0, 0, whole=True)).store(0, b"half")
    (store,) = tape.accesses()
    assert (store.ended_ns, store.data) == (1 << 63, b"half")


def test_what_finds_no_room_is_done_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "ACCESSES", 2)
    monkeypatch.setattr(tracing, "CONTENT_BYTES", 5)
    _, tape = tape_of()
    place = RecordedBytes(Cells(bytes(16)), tape.track(0, 0, whole=True))
    place.store(0, b"abcd")
    place.store(4, b"efgh")
    place.store(8, b"ijkl")
    assert place.load(0, 12) == b"abcdefghijkl"
    assert [access.data for access in tape.accesses()] == [b"abcd", b"e"]
    assert tape.unrecorded == 2


def test_on_a_file_that_replaced_the_first_accesses_are_only_counted() -> None:
    _, tape = tape_of()
    RecordedBytes(Cells(bytes(16)), tape.track(0, 0, whole=False)).store(0, b"abcd")
    assert (tape.accesses(), tape.unrecorded) == ([], 1)


def test_reports_and_twins_are_written_down_in_the_order_of_time() -> None:
    _, tape = tape_of(2)
    tape.track(3, 1, whole=True).report("odd")
    RecordedBytes(Cells(bytes(16)), tape.track(0, 0, whole=True)).load(0, 1)
    assert [(access.worker, access.what) for access in tape.accesses()] == [(3, REPORT), (0, LOAD)]


def test_a_report_in_what_is_no_text_ends_no_worker() -> None:
    _, tape = tape_of()
    tape.track(0, 0, whole=True).report("odd \udcff")
    assert [access.data for access in tape.accesses()] == [b"odd \\udcff"]


def test_the_layout_is_told_down_to_plain_values() -> None:
    class Inner(Structure):
        _fields_ = [("x", c_int64), ("y", c_double)]

    class Outer(Structure):
        _fields_ = [("head", c_uint64), ("rows", (Inner * 3) * 2), ("tail", c_ubyte * 5)]

    assert [(each.name, each.start, each.size, each.kind, each.dimensions) for each in values_of(Outer)] == [
        ("head", 0, 8, "unsigned", []),
        ("rows[][].x", 8, 8, "signed", [(2, 48), (3, 16)]),
        ("rows[][].y", 16, 8, "real", [(2, 48), (3, 16)]),
        ("tail[]", 104, 1, "unsigned", [(5, 1)]),
    ]


def test_a_lost_update_names_its_writers_and_the_bytes_left_are_those_of_the_last_store() -> None:
    """Two workers on one processor, each of which loads before the other stores: the window is a scheduler's slice."""
    told = in_fresh_process(shown, "counter", "none", **SLICED)
    assert told["found"][0] >= 1
    kind, _, _, _, start, end, workers, sentence, accesses = told["problems"][told["first"]]
    assert (kind, start, end, sorted(workers)) == ("lost update", 0, 8, [0, 1])
    assert "worker 0" in sentence.lower()
    assert "worker 1" in sentence.lower()
    look, store = told["accesses"], accesses[-1]
    assert look["kind"][accesses[0]] == LOAD
    assert look["kind"][store] == STORE
    (origin,) = told["origins"]
    assert origin[:2] == [0, 8]
    assert origin[5] == 1
    (block,) = told["blocks"]
    assert look["bytes"][origin[2]] == block[1][:16]


@pytest.mark.parametrize("scenario", DEFAULT_SET)
def test_under_a_lock_that_works_nothing_goes_wrong_and_every_byte_is_accounted_for(scenario: str) -> None:
    told = in_fresh_process(shown, scenario, "fcntl", workers=3, rounds=30)
    assert told["problems"] == []
    assert told["found"] == []
    assert told["cut"] == []
    assert sum(told["done"]) == 90
    assert [origin for origin in told["origins"] if not origin[5]] == []
    assert told["origins"] != []
    assert len(told["holds"]["worker"]) >= 90


def test_a_lock_that_grants_falsely_shows_holds_that_overlap() -> None:
    told = in_fresh_process(shown, "counter", "fcntl", leak=0.5, **SLICED)
    assert "overlap" in {each[0] for each in told["problems"]}


def test_a_torn_read_is_told_with_both_writers() -> None:
    """The record is stored in two halves with a pause between them, so that loads meet it half done."""
    told = in_fresh_process(shown, "torn_record", "none", workers=2, window_ns=MILLISECOND // 2, rounds=20)
    torn = [each for each in told["problems"] if each[0] == "torn read"]
    assert torn
    assert told["problems"][told["first"]][0] in ("torn read", "reported")
    stores = [[told["accesses"]["kind"][number] for number in each[8]].count(STORE) for each in torn]
    assert max(stores) == 2 or any("before" in each[7] for each in torn)


def test_children_that_are_killed_inside_the_lock_leave_what_they_did() -> None:
    told = in_fresh_process(shown, "killed_holder", "fcntl", workers=2, rounds=2)
    ended = [each for each in told["problems"] if each[0] == "ended inside"]
    assert len(ended) == 4
    assert "second owner in worker" in ended[0][7]
    assert [len(each[8]) for each in ended] == [1] * 4  # the half that each of them stored


def test_a_trial_that_hangs_keeps_who_held_what_and_waited_for_what() -> None:
    told = in_fresh_process(shown, "opposite_order", "ofd", workers=2, rounds=10, time_limit_s=0.5)
    assert {each[0] for each in told["problems"]} == {"stuck"}
    assert len(told["failures"]) == 2
    assert "waited for the one on" in told["problems"][0][7]


class Once(Scenario):
    """Stores once a round."""

    rounds = 5
    expects: ClassVar[dict[str, str]] = {}

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Any) -> None:
        w.memory.value = w.round

    def check(self, memory: Any, outcome: Outcome) -> list[Any]:
        return []


def recorded_rounds(asked: int) -> list[Any]:
    case = case_of(Once, "none", workers=2)
    with workspace(temporary_directory()) as folder:
        row = run_case(case, 1, [folder])
        told = with_recording(row, case.setting, asked, [folder])
    assert told.recording
    return [told.recording.rounds, replace(told, recording=None) == row, row.recording, told.recording.attempts]


@pytest.mark.parametrize(("asked", "each"), [(4, 2), (1, 1), (1000, 5)])
def test_the_rounds_are_shared_out_and_no_figure_of_the_case_changes(asked: int, each: int) -> None:
    assert in_fresh_process(recorded_rounds, asked) == [each, True, None, 1]


def refused() -> Any:
    case = case_of("counter", "fcntl")
    row = replace(run_case(case, 1, [Path("/nowhere")]))
    return [row.verdict, with_recording(row, case.setting, 10, [Path("/nowhere")]) == row]


def test_a_case_that_could_not_run_is_not_recorded() -> None:
    assert in_fresh_process(refused) == ["unsupported", True]


class FailsOnlyRecorded(Once):
    """Goes wrong in one way where its memory is recorded, and only there."""

    way = ""

    def work(self, w: Any) -> None:
        super().work(w)
        if isinstance(w.memory, self.Memory):
            return
        if self.way == "raises":
            raise ValueError("no")
        if self.way == "dies":
            Path(w.path).unlink(missing_ok=True)
            w.die()
        if self.way == "hangs":
            sleep(60)
        w.memory.value = 99

    def check(self, memory: Any, outcome: Outcome) -> list[Any]:
        if memory.value == 99:
            raise ValueError("no")
        return []


def recorded_trial(way: str) -> list[Any]:
    row = written(type("Fails", (FailsOnlyRecorded,), {"way": way}), "none", workers=2, time_limit_s=1.0)
    return [row.trials, row.verdict, row.reason, exit_code(run_of(row))]


@pytest.mark.parametrize(
    ("way", "verdict", "reason"),
    [
        ("raises", "died", "worker 0 raised ValueError: no, in round 0"),
        ("dies", "died", "worker 0 "),
        ("hangs", "timeout", "worker 0 still at work after 1 s, in round 0"),
        ("spoils", "died", "check raised ValueError: no"),
    ],
)
def test_a_recorded_trial_that_fails_makes_the_case_a_failed_one(way: str, verdict: str, reason: str) -> None:
    trials, told, why, code = in_fresh_process(recorded_trial, way)
    assert (trials, told, code) == (1, verdict, 4)
    assert why.startswith(f"in the recorded trial, {reason}")


def document() -> Any:
    row = written("torn_record", "fcntl", workers=2, rounds=6)
    return json.loads(encode(row))  # type: ignore[arg-type]


def test_a_recording_comes_back_from_json_as_it_was() -> None:
    import msgspec

    plain = in_fresh_process(document)
    back = msgspec.convert(plain, Case)
    assert json.loads(encode(back)) == plain  # type: ignore[arg-type]
    assert back.recording
    assert sum(back.recording.accesses.kept) == sum(back.recording.accesses.length)
