"""Histories of Jepsen and of its tests of etcd, and what is broken in them."""

from __future__ import annotations

import pytest

from lab.cli.history import OBJECTS
from lab.errors import UsageError
from lab.histories.call import UNKNOWN, Call
from lab.histories.models import MODELS
from lab.histories.readers import Line, guessed_format, model_of, read

EDN = """
; a partition begins
[{:process :nemesis, :type :info, :f :start, :value nil}
 {:process 0, :type :invoke, :f :write, :value 3}
 {:process 1, :type :invoke, :f :cas, :value [3 4]}
 {:process 0, :type :ok, :f :write, :value 3}
 {:process 1, :type :ok, :f :cas, :value [3 4]}
 {:process 2, :type :invoke, :f :read, :value nil}
 #_ {:process 2, :type :fail, :f :read}
 {:process 2, :type :ok, :f :read, :value 4, :time 1.5, :error "a \\"b\\""}
 {:process 0, :type :invoke, :f :write, :value 5}
 {:process 0, :type :fail, :f :write, :value 5}
 {:process 1, :type :invoke, :f :write, :value 6}
 {:process 1, :type :info, :f :write, :value :timed-out}]
"""

ETCD = """INFO  jepsen.core - starting
INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:invoke\t:cas\t[2 4]
INFO  jepsen.util - 0\t:ok\t:read\t3
INFO  jepsen.util - 1\t:fail\t:cas\t[2 4]
INFO  jepsen.util - 0\t:invoke\t:write\t1
INFO  jepsen.util - 0\t:fail\t:write\t:timed-out
INFO  jepsen.util - 2\t:invoke\t:cas\t[1 2]
INFO  jepsen.util - 2\t:info\t:cas\t:timed-out
INFO  jepsen.util - 3\t:invoke\t:read\tnil
INFO  jepsen.util - 3\t:fail\t:read\t:timed-out
"""


def calls(text: str) -> list[tuple[object, ...]]:
    return [(line.number, *line.call[:4], line.call.open) for line in read(text, "it")]


def test_a_history_of_jepsen_is_read() -> None:
    assert guessed_format(EDN) == "jepsen"
    assert calls(EDN) == [
        (4, 0, "write", (3,), None, False), (5, 1, "cas", (3, 4), True, False), (8, 2, "read", (), 4, False),
        (13, 1, "write", (6,), UNKNOWN, True),
    ]  # fmt: skip
    assert model_of(read(EDN, "it"), "it") == "register"


def test_calls_that_several_objects_have_are_of_the_first_in_the_order_of_the_help() -> None:
    """An empty list is what only a log gives at first."""
    assert tuple(MODELS) == OBJECTS
    for calls, kind in (
        ([Call(0, "read", (), 1, 0, 1)], "register"),
        ([Call(0, "append", (1,), None, 0, 1), Call(0, "read", (), (1,), 2, 3)], "register"),
        ([Call(0, "append", (1,), None, 2, 3), Call(0, "read", (), (), 0, 1)], "log"),
        ([Call(0, "write", ((),), None, 0, 1), Call(0, "read", (), (), 2, 3)], "register"),
        ([Call(0, "add", (1,), 1, 0, 1), Call(0, "read", (), 1, 2, 3)], "counter"),
    ):
        assert model_of([Line(1, call) for call in calls], "it") == kind


def test_a_log_of_etcd_is_read() -> None:
    """A `cas` that failed with its values found another one; a write that failed may have been made."""
    assert guessed_format(ETCD) == "etcd"
    assert calls(ETCD) == [
        (2, 0, "read", (), 3, False), (3, 1, "cas", (2, 4), False, False), (6, 0, "write", (1,), UNKNOWN, True),
        (8, 2, "cas", (1, 2), UNKNOWN, True),
    ]  # fmt: skip


INVOKED = "{:process 0, :type :invoke, :f :write, :value 3}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (INVOKED + "{:process 0, :type :ok", "it:2: has a { that nothing closes"),
        (INVOKED + "{:process 0, :type}", "it:2: has a map with a key that has no value"),
        (INVOKED + "}", "it:2: has a } too many"),
        (INVOKED + '"', 'it:2: has a stray "'),
        (INVOKED + "#_", "it:2: ends in the middle of a value"),
        (INVOKED + "[" * 200, "it:2: is nested too deeply"),
        (INVOKED + "{{1 2} 3}", "it:2: has a map as a key"),
        (INVOKED + INVOKED, "it:2: process 0 begins a call before its last one ended"),
        (INVOKED + "{:process 1, :type :ok, :f :read}", "it:2: process 1 ends a call that did not begin"),
        (INVOKED + "{:process 1, :type :maybe, :f :read}", "it:2: has the :type :maybe, and not"),
    ],
)
def test_a_broken_history_of_jepsen_is_told_with_its_line(text: str, why: str) -> None:
    with pytest.raises(UsageError) as failed:
        read(text, "it")
    assert str(failed.value).startswith(why)


def test_a_call_in_two_lines_is_one_and_without_its_end_it_is_open() -> None:
    text = """{"process": 1, "call": 1, "op": "take", "args": [], "start_ns": 5}
{"process": 2, "call": 1, "op": "put", "args": [[1, 2]], "start_ns": 6}
{"process": 1, "call": 1, "end_ns": 9, "result": null}
"""
    assert [line.call for line in read(text, "it")] == [
        Call(1, "take", (), None, 5, 9), Call(2, "put", ((1, 2),), UNKNOWN, 6, None),
    ]  # fmt: skip
