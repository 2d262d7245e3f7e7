from __future__ import annotations

from collections.abc import Callable
from ctypes import BigEndianStructure, Structure, Union, c_char, c_double, c_int8, c_uint8, c_uint32, c_uint64, sizeof
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.memory.layout import PlaceBytes
from lab.race.memory import laid_over


class Point(Structure):
    _fields_ = [("x", c_uint64), ("y", c_uint64)]

    def sum(self) -> int:
        return int(self.x + self.y)


class Memory(Structure):
    _fields_ = [
        ("value", c_uint64),
        ("numbers", c_uint32 * 4),
        ("point", Point),
        ("points", Point * 2),
        ("name", c_char * 8),
        ("table", (c_uint8 * 3) * 2),
        ("ratio", c_double),
    ]


class Big(BigEndianStructure):
    _fields_ = [("value", c_uint32)]


class Either(Union):
    _fields_ = [("whole", c_uint64), ("halves", c_uint32 * 2)]


class Odd(Point):
    _anonymous_ = ("either",)
    _fields_ = [("either", Either), ("low", c_uint8, 4), ("high", c_uint8, 4)]


class Place:
    """Bytes that tell which of them are loaded and stored."""

    def __init__(self, struct: Structure) -> None:
        self.content = bytearray(bytes(struct))
        self.done: list[tuple[str, int, int]] = []

    def load(self, start: int, length: int) -> bytes:
        self.done.append(("load", start, length))
        return bytes(self.content[start : start + length])

    def store(self, start: int, data: bytes | memoryview) -> None:
        self.done.append(("store", start, len(data)))
        self.content[start : start + len(data)] = data


def laid(struct: Structure) -> tuple[Any, Any, Place]:
    """The proxy, the struct that lies over the same bytes, and the place."""
    place = Place(struct)
    return laid_over(place, type(struct)), type(struct).from_buffer(place.content), place


FULL = Memory(7, (1, 2, 3, 4), Point(5, 6), (Point(7, 8), Point(9, 10)), b"lab", ((1, 2, 3), (4, 5, 6)), 0.5)


@pytest.mark.parametrize(
    ("look", "found", "loads"),
    [
        (lambda m: m.value, 7, [(0, 8)]),
        (lambda m: m.numbers[2], 3, [(16, 4)]),
        (lambda m: m.numbers[-1], 4, [(20, 4)]),
        (lambda m: m.numbers[1:3], [2, 3], [(12, 8)]),
        (lambda m: m.numbers[2:2], [], []),
        (lambda m: m.numbers[::2], [1, 3], [(8, 4), (16, 4)]),
        (lambda m: len(m.numbers), 4, []),
        (lambda m: list(m.numbers), [1, 2, 3, 4], [(8, 4), (12, 4), (16, 4), (20, 4)]),
        (lambda m: m.point.y, 6, [(32, 8)]),
        (lambda m: m.points[1].x, 9, [(56, 8)]),
        (lambda m: [point.y for point in m.points[:]], [8, 10], [(48, 8), (64, 8)]),
        (lambda m: m.point.sum(), 11, [(24, 8), (32, 8)]),
        (lambda m: m.name, b"lab", [(72, 8)]),
        (lambda m: m.table[1][2], 6, [(85, 1)]),
        (lambda m: bytes(m.table[0]), b"\1\2\3", [(80, 3)]),
        (lambda m: m.ratio, 0.5, [(88, 8)]),
    ],
)
def test_a_look_loads_just_what_it_gives(
    look: Callable[[Any], object], found: object, loads: list[tuple[int, int]]
) -> None:
    memory, _, place = laid(FULL)
    assert look(memory) == found
    assert place.done == [("load", *extent) for extent in loads]


@pytest.mark.parametrize(
    ("store", "stores"),
    [
        (lambda m: setattr(m, "value", 2**64 - 1), [(0, 8)]),
        (lambda m: m.numbers.__setitem__(3, 9), [(20, 4)]),
        (lambda m: m.numbers.__setitem__(slice(1, 3), [8, 9]), [(12, 8)]),
        (lambda m: setattr(m, "numbers", (9, 8)), [(8, 16)]),
        (lambda m: setattr(m.point, "y", 9), [(32, 8)]),
        (lambda m: setattr(m, "point", Point(8, 9)), [(24, 16)]),
        (lambda m: m.points.__setitem__(1, Point(8, 9)), [(56, 16)]),
        (lambda m: m.points.__setitem__(slice(0, 2), [Point(1, 2), Point(8, 9)]), [(40, 32)]),
        (lambda m: setattr(m, "name", b"ab"), [(72, 3)]),
        (lambda m: setattr(m, "name", b"abcdefgh"), [(72, 8)]),
        (lambda m: m.table[1].__setitem__(2, 255), [(85, 1)]),
        (lambda m: setattr(m, "ratio", 1.5), [(88, 8)]),
    ],
)
def test_a_store_does_what_ctypes_does_and_touches_nothing_else(
    store: Callable[[Any], object], stores: list[tuple[int, int]]
) -> None:
    memory, struct, place = laid(FULL)
    plain: Any = Memory.from_buffer_copy(FULL)
    store(memory)
    store(plain)
    assert bytes(struct) == bytes(plain) != bytes(FULL)
    assert place.done == [("store", *extent) for extent in stores]


def test_an_addition_is_a_load_and_a_store() -> None:
    memory, struct, place = laid(FULL)
    memory.value += 1
    assert (struct.value, place.done) == (8, [("load", 0, 8), ("store", 0, 8)])


def test_what_others_stored_is_seen_and_what_they_store_elsewhere_stays() -> None:
    memory, struct, _ = laid(FULL)
    points, point = memory.points, memory.points[0]
    assert point.x == 7
    struct.points[0].x, struct.points[0].y = 70, 80
    assert (point.x, points[0].y) == (70, 80)
    point.x = 1
    assert (struct.points[0].x, struct.points[0].y) == (1, 80)


def test_a_part_of_the_memory_can_be_stored_elsewhere_in_it() -> None:
    memory, struct, _ = laid(FULL)
    memory.points[0] = memory.point
    assert (struct.points[0].x, struct.points[0].y) == (5, 6)


def test_inherited_anonymous_and_bit_fields_are_fields() -> None:
    memory, struct, place = laid(Odd())
    memory.x, memory.whole, memory.halves[1] = 1, 2, 3
    assert (struct.x, struct.whole, memory.whole) == (1, 3 << 32 | 2, 3 << 32 | 2)
    struct.low = 5
    place.done.clear()
    memory.high = 6
    assert (struct.low, struct.high, memory.low, memory.high) == (5, 6, 5, 6)
    assert place.done[:2] == [("load", 24, 1), ("store", 24, 1)]


def test_the_order_of_bytes_is_the_struct_s_own() -> None:
    memory, _, place = laid(Big())
    memory.value = 1
    assert (bytes(place.content), memory.value) == (b"\0\0\0\1", 1)


@pytest.mark.parametrize("index", [2, -3])
def test_an_element_beyond_the_end_is_neither_loaded_nor_stored(index: int) -> None:
    memory, _, place = laid(FULL)
    for parts in (memory.points, memory.table):
        with pytest.raises(IndexError):
            parts[index]
        with pytest.raises(IndexError):
            parts[index] = parts[0]
    assert not [done for done in place.done if done[0] == "store"]


def test_a_value_that_ctypes_refuses_is_not_stored() -> None:
    memory, _, place = laid(FULL)
    for refused in (1.5, "x", None):
        with pytest.raises(TypeError):
            memory.value = refused
    assert place.done == []


def test_a_field_that_the_struct_does_not_have_cannot_be_loaded() -> None:
    with pytest.raises(AttributeError, match="valeu"):
        laid(FULL)[0].valeu  # noqa: B018


def test_a_type_whose_objects_store_by_themselves_is_refused_by_name() -> None:
    class Mine(c_int8):
        pass

    class Own(Structure):
        _fields_ = [("mine", Mine)]

    with pytest.raises(CannotRunError, match=r"Own\.mine: Mine works only where the memory is mapped"):
        laid(Own())


def test_bytes_are_loaded_and_stored_by_the_slice() -> None:
    place = Place(Memory())
    view = PlaceBytes(place, 8, 16)
    view[:] = b"0123456789abcdef"
    view[2:4] = memoryview(b"AB")
    view[-1] = 70
    assert (view[:4], bytes(view), view[0], len(view)) == (b"01AB", b"01AB456789abcdeF", 48, 16)
    stores = [("store", 8, 16), ("store", 10, 2), ("store", 23, 1)]
    assert place.done == [*stores, ("load", 8, 4), ("load", 8, 16), ("load", 8, 1)]


@pytest.mark.parametrize("wrong", [b"", b"abc", bytes(17)])
def test_bytes_of_another_length_are_not_stored(wrong: bytes) -> None:
    place = Place(Memory())
    with pytest.raises(ValueError, match="different structures"):
        PlaceBytes(place, 8, 16)[:] = wrong
    assert place.done == []


def test_bytes_have_no_stride_and_an_end() -> None:
    view = PlaceBytes(Place(Memory()), 8, 16)
    with pytest.raises(ValueError, match="step of 1"):
        view[::2]
    with pytest.raises(IndexError):
        view[16]


def test_all_of_a_struct_is_loaded_at_once() -> None:
    memory, _, place = laid(FULL)
    assert bytes(memory) == bytes(FULL)
    assert place.done == [("load", 0, sizeof(Memory))]
