from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    Union,
    c_char,
    c_char_p,
    c_uint8,
    c_uint32,
    c_uint64,
    py_object,
    sizeof,
)
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import CannotRunError, ScenarioError
from lab.scenario import Layout

ELEMENTS = 5


class Account(Structure):
    _fields_ = [("owner", c_uint32), ("balance", c_uint64)]


class Memory(Structure):
    _fields_ = [
        ("flag", c_uint8),
        ("value", c_uint64),
        ("record", c_uint8 * 100),
        ("accounts", Account * ELEMENTS),
        ("name", c_char * 3),
    ]


class Other(Structure):
    _fields_ = [("value", c_uint64)]


memory: Any = Memory
FIELDS = [getattr(Memory, name) for name, *_ in Memory._fields_]
layout = Layout(Memory)


def bytes_changed(memory: Memory) -> set[int]:
    return {at for at, byte in enumerate(bytes(memory)) if byte}


def test_the_layout_is_as_large_as_the_struct() -> None:
    assert layout.size == sizeof(Memory)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_lies_where_the_struct_puts_it(field: Any) -> None:
    assert layout.extent(field) == (field.offset, field.size)


def test_a_store_into_a_field_changes_bytes_of_its_extent_only() -> None:
    stored = Memory()
    stored.value = 2**64 - 1
    start, length = layout.extent(memory.value)
    assert bytes_changed(stored) == set(range(start, start + length))


@given(st.integers(0, ELEMENTS - 1), st.integers(1, ELEMENTS))
def test_elements_lie_one_after_the_other_and_the_last_ends_the_field(index: int, count: int) -> None:
    field, each = memory.accounts, sizeof(Account)
    if index + count > ELEMENTS:
        with pytest.raises(ScenarioError, match="accounts has 5 elements"):
            layout.extent(field, index, count)
    else:
        assert layout.extent(field, index, count) == (field.offset + index * each, count * each)


def test_a_store_into_an_element_changes_bytes_of_its_extent_only() -> None:
    stored = Memory()
    stored.accounts[3] = Account(2**32 - 1, 2**64 - 1)
    start, length = layout.extent(memory.accounts, 3)
    assert bytes_changed(stored) <= set(range(start, start + length))
    assert bytes_changed(stored)


def test_no_field_is_the_whole_file_and_what_may_be_appended() -> None:
    assert layout.extent(None) == (0, 0)


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (ELEMENTS, 1), (0, 0), (0, -1), (0, ELEMENTS + 1)])
def test_elements_that_are_not_there_are_beyond_the_file(index: int, count: int) -> None:
    with pytest.raises(ScenarioError, match="beyond the file: accounts has 5 elements"):
        layout.extent(memory.accounts, index, count)


def test_one_missing_element_is_named_as_an_index_and_more_as_a_slice() -> None:
    with pytest.raises(ScenarioError, match=r"accounts\[5\] is beyond"):
        layout.extent(memory.accounts, 5)
    with pytest.raises(ScenarioError, match=r"accounts\[4:6\] is beyond"):
        layout.extent(memory.accounts, 4, 2)


def test_an_index_into_a_plain_field_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"value\[0\]: value is no array; leave the index out"):
        layout.extent(memory.value, 0)


@pytest.mark.parametrize("field", [Other.value, "value", 7, [], Memory])
def test_what_is_no_field_of_the_struct_is_refused(field: object) -> None:
    with pytest.raises(ScenarioError, match=r"is no field of Memory; name it as self\.Memory\.field") as raised:
        layout.extent(field)
    assert raised.value.exit_code == 4


def test_a_field_of_the_same_name_in_another_struct_is_not_confused() -> None:
    assert Layout(Other).extent(Other.value) == (0, 8)
    assert layout.extent(memory.value) == (8, 8)


class Bits(Structure):
    _fields_ = [("before", c_uint32), ("low", c_uint32, 3), ("high", c_uint32, 5)]


@pytest.mark.parametrize("name", ["low", "high"])
def test_a_bit_field_lies_in_the_bytes_that_hold_it(name: str) -> None:
    assert Layout(Bits).extent(getattr(Bits, name)) == (4, 4)


def test_bytes_of_text_have_elements_of_one_byte() -> None:
    assert layout.extent(memory.name, 1) == (memory.name.offset + 1, 1)


def test_fields_of_an_extended_struct_and_of_an_anonymous_part_lie_where_the_struct_puts_them() -> None:
    class Either(Union):
        _fields_ = [("whole", c_uint32), ("bytes", c_uint8 * 4)]

    class Extended(Account):
        _anonymous_ = ("either",)
        _fields_ = [("before", c_uint32), ("either", Either)]

    extended: Any = Extended
    extents = [Layout(Extended).extent(field) for field in (extended.balance, extended.before, extended.bytes)]
    assert extents == [(8, 8), (16, 4), (20, 4)]


@pytest.mark.parametrize("kind", [POINTER(c_uint32), CFUNCTYPE(None), c_char_p, py_object, c_char_p * 2])
def test_a_pointer_is_refused_by_name(kind: Any) -> None:
    class Inner(Structure):
        _fields_ = [("link", kind)]

    class Linked(Structure):
        _fields_ = [("inner", Inner * 2)]

    with pytest.raises(CannotRunError, match=r"Inner\.link: \w+ is a pointer, which leads nowhere in another process"):
        Layout(Linked)


def test_a_field_outside_of_its_union_is_refused() -> None:
    class Outside(Union):
        _fields_ = [("low", c_uint8, 1), ("high", c_uint8, 1)]

    class Whole(Structure):
        _fields_ = [("outside", Outside)]

    high: Any = getattr(Outside, "high")  # noqa: B009
    if high.offset >= 0:  # CPython 3.11 has it at -1
        assert Layout(Whole).size == 1
    else:
        with pytest.raises(CannotRunError, match=r"Outside\.high: lies outside of it"):
            Layout(Whole)
