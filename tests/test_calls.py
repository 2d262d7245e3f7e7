"""The recorder of calls: threads, processes and crashes write one history, which is read back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from threading import Thread

import pytest

import lab
from lab.api.histories import checked_history
from lab.calls import Calls
from lab.histories.call import UNKNOWN, Call
from lab.histories.readers import read
from tests.helpers import in_fresh_process


def recorded(path: Path) -> list[tuple[object, ...]]:
    """What the file has: name, arguments, result and whether the call came back, in the order of their starts."""
    calls = [line.call for line in read(path.read_text(), "it")]
    return [(call.name, call.args, call.result, not call.open) for call in calls]


def test_a_call_is_recorded_with_its_result_and_one_that_raises_stays_open(tmp_path: Path) -> None:
    with Calls(tmp_path / "it") as calls:
        with calls.call("write", 5, [1]):
            pass
        with pytest.raises(ZeroDivisionError), calls.call("read"):
            raise ZeroDivisionError
        with calls.call("read") as call:
            call.result = [5]

        @calls.record
        def add(amount: int, to: int, *, twice: bool) -> int:
            return to + amount * (1 + twice)

        assert add(twice=True, to=4, amount=3) == 10
    assert recorded(tmp_path / "it") == [
        ("write", (5, (1,)), None, True), ("read", (), UNKNOWN, False), ("read", (), (5,), True),
        ("add", (3, 4, True), 10, True),
    ]  # fmt: skip


@pytest.mark.parametrize("odd", [object(), {1, 2}, b"", {"a": object()}])
def test_what_is_no_value_of_json_is_refused_with_its_call(odd: object, tmp_path: Path) -> None:
    calls = Calls(tmp_path / "it")
    with pytest.raises(TypeError, match=r"the arguments of write: no value of JSON \(.*\); record numbers, texts"):
        calls.call("write", odd)
    assert (tmp_path / "it").read_text() == ""
    with pytest.raises(TypeError, match="the result of read: no value of JSON"), calls.call("read") as call:
        call.result = odd
    assert recorded(tmp_path / "it") == [("read", (), UNKNOWN, False)]


def test_two_recorders_of_one_file_in_one_thread_do_not_mix_their_calls(tmp_path: Path) -> None:
    one, other = Calls(tmp_path / "it"), Calls(tmp_path / "it")
    with one.call("read") as outer, other.call("write", 1) as inner:
        outer.result, inner.result = 1, "ok"
    assert recorded(tmp_path / "it") == [("read", (), 1, True), ("write", (1,), "ok", True)]


def test_threads_write_whole_lines_of_their_own_process_numbers(tmp_path: Path) -> None:
    calls = Calls(tmp_path / "it")

    def client() -> None:
        for number in range(200):
            with calls.call("put", number):
                pass

    threads = [Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = read((tmp_path / "it").read_text(), "it")
    assert [len(lines), sum(line.call.open for line in lines)] == [800, 0]
    assert len({line.call.process for line in lines}) == 4


def killed_in_a_call(path: str) -> None:
    """Two processes over one fork: the child is killed within a call, the parent writes on."""
    calls = Calls(path)
    child = os.fork()
    if child == 0:
        with calls.call("write", 1):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with calls.call("read") as call:
        call.result = 1


def test_a_process_that_is_killed_leaves_an_open_call(tmp_path: Path) -> None:
    in_fresh_process(killed_in_a_call, str(tmp_path / "it"))
    assert recorded(tmp_path / "it") == [("write", (1,), UNKNOWN, False), ("read", (), 1, True)]
    assert checked_history(tmp_path / "it", "register", 5).verdict == "linearizable"


def rows(*results: int | None) -> list[dict[str, object]]:
    """A write of 1, and reads after it that gave these results."""
    calls: list[dict[str, object]] = [{"process": 0, "op": "write", "args": [1], "start_ns": 0, "end_ns": 1}]
    return calls + [
        {"process": 1, "op": "read", "result": result, "start_ns": 2 * at, "end_ns": 2 * at + 1}
        for at, result in enumerate(results, 1)
    ]


class Constant:
    def read(self) -> int:
        return 1


def test_a_history_is_asserted_to_be_linearizable_from_calls_a_file_or_what_recorded_it(tmp_path: Path) -> None:
    lab.assert_linearizable(rows(1, 1), "register")
    (tmp_path / "it").write_text("\n".join(map(json.dumps, rows(1, None))))
    for calls in (rows(1, None), tmp_path / "it", Calls(tmp_path / "it")):
        with pytest.raises(AssertionError) as failed:
            lab.assert_linearizable(calls, "register")
        assert "not linearizable: no order explains these 2 calls" in str(failed.value)
        assert " ".join(str(failed.value).split()).endswith("1 write(1) 2 read() 1 nothing")
    with pytest.raises(lab.UsageError, match="no class, no file, and none of"):
        lab.assert_linearizable(rows(1), "registre")
    with pytest.raises(lab.UsageError, match="calls:1: 'write' is no call of Constant"):
        lab.assert_linearizable(rows(1), Constant)


def test_the_fixture_has_the_assertion_too(lab: object) -> None:
    with pytest.raises(AssertionError, match="not linearizable"):
        lab.assert_linearizable(rows(2), "register")  # type: ignore[attr-defined]


def test_moments_that_no_clock_gives_are_refused() -> None:
    with pytest.raises(lab.UsageError, match="calls:2: ends before it starts"):
        lab.assert_linearizable([Call(0, "read", (), None, 1, 2), Call(0, "read", (), None, 5, 4)], "register")
