from __future__ import annotations

from ctypes import Structure, Union, c_bool, c_char, c_double, c_int8, c_int64, c_uint8, c_uint32, c_uint64, sizeof
from typing import Any

import pytest

from lab.analysis.holds import END
from lab.exploring.operation import named, shown, value_of


class Part(Structure):
    _fields_ = [("low", c_uint32), ("high", c_uint32)]


class Memory(Structure):
    _fields_ = [
        ("value", c_uint64),  # 0-7
        ("balances", c_int64 * 4),  # 8-39
        ("record", c_uint8 * 256),  # 40-295
        ("part", Part),  # 296-303
        ("parts", Part * 3),  # 304-327
        ("rows", (c_uint64 * 2) * 2),  # 328-359
        ("small", c_uint8),  # 360, and 7 bytes of padding
        ("ratio", c_double),  # 368-375
    ]


class Either(Union):
    _fields_ = [("whole", c_uint64), ("bytes", c_uint8 * 8)]


class Single(Structure):
    _fields_ = [("value", c_uint64)]


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        (0, 8, "value"),
        (8, 16, "balances[0]"),
        (24, 32, "balances[2]"),
        (8, 40, "balances"),
        (16, 32, "balances[1:3]"),
        (40, 296, "record"),
        (40, 104, "record[0:64]"),
        (232, 296, "record[192:256]"),
        (41, 42, "record[1]"),
        (296, 300, "part.low"),
        (300, 304, "part.high"),
        (316, 320, "parts[1].high"),
        (312, 320, "parts[1]"),
        (344, 352, "rows[1][0]"),
        (344, 360, "rows[1]"),
        (360, 361, "small"),
        (368, 376, "ratio"),
    ],
)
def test_bytes_go_by_the_smallest_part_that_has_them_all(start: int, end: int, name: str) -> None:
    assert named(Memory, start, end).name == name


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        (2, 4, "value bytes 2-3"),  # within one value, from its beginning
        (0, 4, "value bytes 0-3"),
        (26, 28, "balances[2] bytes 2-3"),
        (298, 300, "part.low bytes 2-3"),
        (0, 16, "value to balances"),  # from the first field to the last
        (4, 64, "value to record"),
        (356, 376, "rows to ratio"),
        (300, 310, "part to parts"),
        (362, 365, "bytes 362-364"),  # of no field
        (0, END, "the file"),
        (0, sizeof(Memory), "the file"),
        (40, END, "the file"),  # without an end
    ],
)
def test_other_bytes_go_by_their_numbers_in_a_value_by_their_fields_or_as_the_file(
    start: int, end: int, name: str
) -> None:
    assert named(Memory, start, end).name == name


def test_the_only_field_goes_by_its_own_name_and_not_as_the_file() -> None:
    assert named(Single, 0, 8).name == "value"


def test_a_union_goes_by_its_first_field_that_has_the_bytes() -> None:
    assert named(Either, 3, 4).name == "whole bytes 3-3"


@pytest.mark.parametrize(
    ("start", "end", "kind"),
    [
        (0, 8, c_uint64), (8, 16, c_int64), (41, 42, c_uint8), (368, 376, c_double), (300, 304, c_uint32),
        (0, 4, None), (8, 24, None), (40, 104, None), (0, 16, None), (296, 304, None), (304, 312, None),
    ],
)  # fmt: skip
def test_only_one_whole_value_has_a_type(start: int, end: int, kind: Any) -> None:
    assert named(Memory, start, end).kind is kind


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (c_uint64, b"\x01" + bytes(7), 1),
        (c_int64, b"\xff" * 8, -1),
        (c_int8, b"\x80", -128),
        (c_double, bytes(6) + b"\xf8\x3f", 1.5),
        (c_bool, b"\x01", 1),
        (c_char, b"a", "61"),
        (None, b"\x01\x02", "0102"),
    ],
)
def test_a_value_is_a_number_and_all_else_is_hexadecimal(kind: Any, data: bytes, value: object) -> None:
    assert value_of(kind, data) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-1, "-1"),
        (1.5, "1.5"),
        (None, "None"),
        ("0a", "0a"),
        ("0a0b", "0a 0b"),
        ("07" * 8, "07 07 07 07 07 07 07 07"),
        ("07" * 9, "9 x 07"),
        ("00" * 4096, "4,096 x 00"),
        ("0102030405060708", "01 02 03 04 05 06 07 08"),
        ("010203040506070809", "01 02 03 04 05 06 07 08.. (9 bytes)"),
    ],
)
def test_long_runs_of_bytes_are_shown_short(value: Any, text: str) -> None:
    assert shown(value) == text
