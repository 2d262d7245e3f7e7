"""The steps of loads and stores; tests/memory/test_struct_proxy.py holds their values to ctypes."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, c_char, c_int16, c_uint8, c_uint16, c_uint32, c_uint64, sizeof
from typing import Any

import pytest

from lab.exploring.operation import Operation, SteppedBytes
from lab.memory.struct_proxy import BytesProxy, struct_proxy


class Point(Structure):
    _fields_ = [("x", c_uint8), ("y", c_int16)]

    def move(self, by: int) -> None:
        self.x += by
        self.y += by


class Memory(Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [
        ("value", c_uint64),  # 0-7
        ("words", c_uint16 * 5),  # 8-17
        ("name", c_char * 2),  # 18-19
        ("number", c_uint16),  # 20-21
        ("names", (c_char * 4) * 2),  # 22-29
        ("point", Point),  # 30-33
        ("low", c_uint8, 3),  # 34
        ("high", c_uint8, 5),  # 34
        ("before", c_uint8 * 25),  # 35-59
        ("across", c_uint64),  # 60-67
    ]


def exchange(memory: Any) -> None:
    memory.words[0], memory.words[1] = memory.words[1], memory.words[0]


def add(memory: Any) -> None:
    memory.value += 1


@pytest.mark.parametrize(
    ("use", "steps"),
    [
        (add, ["load 0-7", "store 0-7"]),
        (lambda m: m.words[1:3], ["load 10-11", "load 12-13"]),
        (lambda m: m.words.__setitem__(slice(1, 3), [5, 6]), ["store 10-11", "store 12-13"]),
        (lambda m: m.words[2:2], []),
        (lambda m: list(m.words), [f"load {at}-{at + 1}" for at in range(8, 18, 2)]),
        (lambda m: bytes(m.words), ["load 10-17", "load 8-9"]),  # ten bytes are two moves, and the end is loaded first
        (exchange, ["load 10-11", "load 8-9", "store 8-9", "store 10-11"]),
        (lambda m: (m.number, m.name), ["load 20-21", "load 18-18", "load 19-19"]),
        (lambda m: setattr(m.names[1], "value", b"ab"), ["store 27-28", "store 26-26"]),
        (lambda m: m.names[1].value, ["load 26-29"]),
        (lambda m: m.point.move(3), ["load 30-30", "store 30-30", "load 32-33", "store 32-33"]),
        (lambda m: setattr(m, "high", 3), ["load 34-34", "store 34-34"]),
        (lambda m: (m.point, m.words, m.names[0], len(m.before)), []),
        (lambda m: setattr(m, "across", 2**63), ["store 60-63", "store 64-67"]),
        (lambda m: m.across, ["load 60-63", "load 64-67"]),
    ],
)
def test_an_access_is_these_steps(use: Callable[[Any], object], steps: list[str]) -> None:
    taken: list[Operation] = []
    memory = SteppedBytes(bytearray(sizeof(Memory)), 64, taken.append)
    use(struct_proxy(Memory, memory, memory.numbers))
    assert [repr(step) for step in taken] == steps


def test_a_torn_load_is_put_together_from_what_each_move_loads() -> None:
    class Pair(Structure):
        _fields_ = [("values", c_uint32 * 2)]

    content = bytearray(8)

    def others_store(operation: Operation) -> None:
        if operation.start == 4:
            content[:] = b"\xff" * 8

    memory = SteppedBytes(content, 4, others_store)
    assert bytes(struct_proxy(Pair, memory, memory.numbers)) == bytes(4) + b"\xff" * 4


def test_a_store_into_a_run_of_bytes_is_a_step_a_move_and_two_across_a_line() -> None:
    steps: list[Operation] = []
    view = BytesProxy(SteppedBytes(bytearray(100), 64, steps.append), 60, 10)
    view[:] = b"0123456789"
    assert [repr(step) for step in steps] == ["store 60-63", "store 64-67", "store 62-63", "store 64-69"]
    view[2:2] = view[3:3]
    assert (view[2:6], len(steps)) == (b"2345", 6)
