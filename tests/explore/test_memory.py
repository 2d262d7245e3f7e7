"""The proxies held against the plain struct over the same bytes: what it answers, they answer."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import (
    Array,
    BigEndianStructure,
    Structure,
    Union,
    c_char,
    c_double,
    c_int16,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    sizeof,
)
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import CannotRunError
from lab.explore.memory import Stepped, stepped
from lab.explore.operation import Operation, Place
from lab.memory.layout import PlaceBytes


class Point(Structure):
    _fields_ = [("x", c_uint8), ("y", c_int16)]  # a byte of padding between them

    def sum(self) -> int:
        return int(self.x + self.y)

    def move(self, by: int) -> None:
        self.x += by
        self.y += by

    @property
    def far(self) -> bool:
        return bool(self.x > 100)


class Either(Union):
    _fields_ = [("whole", c_uint32), ("parts", c_uint8 * 4)]


class Memory(Structure):
    _fields_ = [
        ("small", c_uint8),
        ("value", c_int64),
        ("real", c_double),
        ("name", c_char * 6),
        ("point", Point),
        ("either", Either),
        ("words", c_uint16 * 5),
        ("points", Point * 3),
        ("table", (c_uint32 * 3) * 2),
        ("names", (c_char * 4) * 2),
        ("record", c_uint8 * 200),
    ]


class Twins:
    """The proxies over one buffer, the plain struct over another, and the steps that the proxies took."""

    def __init__(self, kind: type[Structure] = Memory, line: int = 64, content: bytes | None = None) -> None:
        content = bytes(n * 37 % 256 for n in range(sizeof(kind))) if content is None else content
        self.content, self.plain_content = bytearray(content), bytearray(content)
        self.steps: list[Operation] = []
        self.place = Place(self.content, line, self.steps.append)
        self.proxy = stepped(kind, self.place)
        self.plain: Any = kind.from_buffer(self.plain_content)

    def both(self, use: Callable[[Any], object]) -> tuple[object, object]:
        """What comes of it on the proxies and on the struct: a value, or the type of the exception."""
        return outcome(use, self.proxy), outcome(use, self.plain)

    def agree(self, use: Callable[[Any], object]) -> None:
        proxied, plain = self.both(use)
        assert proxied == plain
        assert self.content == self.plain_content

    def told(self) -> list[str]:
        """The steps since the last time."""
        told = [repr(step) for step in self.steps]
        self.steps.clear()
        return told


def outcome(use: Callable[[Any], object], memory: Any) -> object:
    try:
        return plainly(use(memory))
    except Exception as error:
        return type(error)


def plainly(value: object) -> object:
    """Structs by their bytes, so that two of them can be compared."""
    if isinstance(value, list):
        return [plainly(each) for each in value]
    return bytes(value) if isinstance(value, Structure | Union | Array | Stepped) else value


def stores(path: str, value: Any) -> Callable[[Any], object]:
    """The assignment `memory.path = value`, told as a path such as `points[1].x`."""
    code = compile(f"memory.{path} = value", path, "exec")
    return lambda memory: exec(code, {"memory": memory, "value": value})  # noqa: S102 - our own text


def loads(path: str) -> Callable[[Any], object]:
    code = compile(f"memory.{path}", path, "eval")
    return lambda memory: eval(code, {"memory": memory})  # noqa: S307 - our own text


NUMBERS = ["small", "value", "point.x", "point.y", "either.whole", "either.parts[3]", "words[0]", "words[-1]"]
NUMBERS += ["points[2].y", "points[-3].x", "table[1][2]", "table[-1][-3]", "record[0]", "record[199]"]
WHOLE = ["name", "real", "names[1]", "words[1:3]", "words[:]", "words[4:2]", "record[60:70]", "table[1][:2]"]


@pytest.mark.parametrize("path", [*NUMBERS, *WHOLE])
@pytest.mark.parametrize("line", [1, 3, 64])
def test_a_load_meets_what_the_struct_shows(path: str, line: int) -> None:
    Twins(line=line, content=bytes(range(65, 65 + 60)) * 10).agree(loads(path))


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("line", [1, 3, 64])
@pytest.mark.parametrize("value", [0, 1, -1, 127, 255, 2**40 + 77])
def test_a_store_leaves_what_the_struct_would(path: str, line: int, value: int) -> None:
    twins = Twins(line=line)
    twins.agree(stores(path, value))
    twins.agree(loads(path))


@pytest.mark.parametrize("line", [1, 3, 64])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("real", 2.5),
        ("real", 3),
        ("name", b"abcdef"),
        ("names[1]", b"abcd"),
        ("words[1:3]", [7, 8]),
        ("words[:]", (1, 2, 3, 4, 5)),
        ("words[-2:]", (1, 70_000)),
        ("record[10:150]", bytes(range(140))),
        ("point", Point(200, -300)),
        ("points[1]", Point(1, 2)),
        ("point", (4, 5)),
        ("words", (1, 2, 3, 4, 5)),
        ("words", (1, 2)),
        ("table[0]", (9, 8, 7)),
        ("table", ((1, 2, 3), (4, 5, 6))),
        ("either.parts[1:3]", [1, 2]),
    ],
)
def test_what_is_stored_as_a_whole_lies_as_the_struct_lays_it(path: str, line: int, value: object) -> None:
    Twins(line=line).agree(stores(path, value))


def test_a_struct_stored_as_a_whole_brings_its_padding_along() -> None:
    twins = Twins(content=bytes([255]) * sizeof(Memory))
    twins.agree(stores("point", Point(1, 2)))
    assert twins.content[Memory.point.offset + 1] == 0


def test_a_value_within_a_line_is_one_step() -> None:
    twins = Twins()
    twins.proxy.value += 1
    assert twins.told() == ["load 8-15", "store 8-15"]


def test_a_value_across_lines_is_a_step_a_line_in_the_order_of_addresses() -> None:
    class Crossing(Structure):
        _pack_ = 1
        _layout_ = "ms"
        _fields_ = [("before", c_uint8 * 60), ("value", c_uint64)]

    twins = Twins(Crossing)
    twins.agree(stores("value", 2**63 + 5))
    assert twins.told() == ["store 60-63", "store 64-67"]
    twins.agree(loads("value"))
    assert twins.told() == ["load 60-63", "load 64-67"]


def test_a_torn_load_is_put_together_from_what_each_piece_met() -> None:
    class Pair(Structure):
        _fields_ = [("value", c_uint64)]

    content = bytearray(8)

    def others_store(operation: Operation) -> None:
        if operation.start == 4:
            content[:] = b"\xff" * 8

    assert stepped(Pair, Place(content, 4, others_store)).value == 0xFFFF_FFFF_0000_0000


def test_an_element_longer_than_any_move_is_a_step_a_move() -> None:
    class Crossing(Structure):
        _fields_ = [("words", c_uint64 * 4)]

    twins = Twins(Crossing, line=4)
    twins.agree(stores("words[1]", 2**64 - 3))
    assert twins.told() == ["store 8-11", "store 12-15"]
    twins.agree(loads("words[1]"))
    assert twins.told() == ["load 8-11", "load 12-15"]


def test_a_slice_of_an_array_is_a_step_an_element_as_ctypes_copies_it() -> None:
    twins = Twins()
    start = Memory.words.offset
    twins.agree(loads("words[1:3]"))
    assert twins.told() == [f"load {start + at}-{start + at + 1}" for at in (2, 4)]
    twins.agree(stores("words[1:3]", [5, 6]))
    assert twins.told() == [f"store {start + at}-{start + at + 1}" for at in (2, 4)]


def test_iterating_an_array_loads_one_element_after_the_other() -> None:
    twins = Twins()
    start = Memory.words.offset
    twins.agree(lambda memory: list(memory.words))
    assert twins.told() == [f"load {at}-{at + 1}" for at in range(start, start + 10, 2)]


def test_looking_at_a_part_is_no_step() -> None:
    twins = Twins()
    _ = twins.proxy.points[1], twins.proxy.table[0], twins.proxy.point, len(twins.proxy.record)
    assert twins.told() == []


def test_parts_are_as_long_as_the_struct_s() -> None:
    Twins().agree(lambda memory: [len(memory.words), len(memory.points), len(memory.table), len(memory.table[0])])


def test_the_bytes_of_an_array_are_loaded_as_one_run() -> None:
    twins = Twins()
    twins.agree(lambda memory: bytes(memory.words))
    start = Memory.words.offset  # ten bytes are two moves of eight, and the end is loaded first
    assert twins.told() == [f"load {start + 2}-{start + 9}", f"load {start}-{start + 1}"]


def test_several_elements_can_be_exchanged_in_one_statement() -> None:
    def exchange(memory: Any) -> None:
        memory.words[0], memory.words[1] = memory.words[1], memory.words[0]

    twins = Twins()
    twins.agree(exchange)
    assert [step.split()[0] for step in twins.told()] == ["load", "load", "store", "store"]


def test_the_struct_s_own_methods_go_through_steps() -> None:
    twins = Twins()
    twins.agree(lambda memory: memory.point.move(3))
    assert len(twins.told()) == 4
    twins.agree(lambda memory: memory.points[1].sum())
    assert len(twins.told()) == 2


def test_the_struct_s_own_properties_go_through_steps() -> None:
    twins = Twins()
    twins.agree(loads("point.far"))
    assert len(twins.told()) == 1


def test_fields_of_a_union_share_their_bytes() -> None:
    twins = Twins()
    twins.agree(stores("either.whole", 0x0403_0201))
    twins.agree(loads("either.parts[:]"))


def test_big_endian_fields_keep_their_order_of_bytes() -> None:
    class Swapped(BigEndianStructure):
        _fields_ = [("value", c_uint32), ("words", c_uint16 * 2)]

    for line in (1, 64):
        twins = Twins(Swapped, line=line)
        for use in (stores("value", 0x0102_0304), loads("value"), stores("words[1]", 0x0506), loads("words[1]")):
            twins.agree(use)


@pytest.mark.parametrize("path", ["words[5]", "words[-6]", "points[3]", "table[2][0]", "table[0][3]", "missing"])
def test_what_is_not_there_is_refused_as_the_struct_refuses_it(path: str) -> None:
    twins = Twins()
    twins.agree(loads(path))
    assert twins.told() == []


@pytest.mark.parametrize("path", ["words[5]", "words[-6]", "points[3]", "table[2][0]"])
def test_a_store_to_what_is_not_there_is_refused_as_the_struct_refuses_it(path: str) -> None:
    twins = Twins()
    twins.agree(stores(path, 1))
    assert twins.told() == []


@pytest.mark.parametrize("line", [1, 64])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("value", "text"),
        ("value", 1.5),
        ("value", None),
        ("words[1]", "text"),
        ("point.x", b"x"),
        ("point", 7),
        ("points[1]", 7),
        ("name", "text"),
        ("words[:2]", 7),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_as_the_struct_refuses_it(path: str, line: int, value: object) -> None:
    Twins(line=line).agree(stores(path, value))


@pytest.mark.parametrize("line", [1, 64])
@pytest.mark.parametrize(
    ("path", "value"), [("value", "text"), ("value", 1.5), ("words[1]", "text"), ("name", b"much too long")]
)
def test_a_store_that_is_refused_is_no_step(path: str, line: int, value: object) -> None:
    twins = Twins(line=line)
    twins.both(stores(path, value))
    assert twins.told() == []


@pytest.mark.parametrize("value", [[], [1], [1, 2, 3], b"abcdef"])
def test_a_slice_takes_only_as_many_values_as_it_has(value: Any) -> None:
    twins = Twins()
    assert twins.both(stores("words[1:3]", value)) == (ValueError, ValueError)
    assert twins.content == twins.plain_content


@pytest.mark.parametrize("value", [b"much too long"])
def test_text_that_is_too_long_is_refused_as_the_struct_refuses_it(value: bytes) -> None:
    for line in (1, 64):
        Twins(line=line).agree(stores("name", value))


@pytest.mark.parametrize("line", [1, 64])
def test_text_that_is_shorter_leaves_what_the_struct_leaves(line: int) -> None:
    Twins(line=line, content=b"z" * sizeof(Memory)).agree(stores("name", b"ab"))


def test_an_empty_slice_is_no_step() -> None:
    twins = Twins()
    twins.agree(loads("words[2:2]"))
    twins.agree(stores("words[2:2]", []))
    assert twins.told() == []


def test_an_index_that_is_no_number_is_refused_as_the_struct_refuses_it() -> None:
    Twins().agree(loads("words['1']"))


@pytest.mark.parametrize("path", ["point = memory.points[1]", "points[0] = memory.point", "words = memory.words"])
def test_one_part_can_be_stored_in_place_of_another(path: str) -> None:
    code = compile(f"memory.{path}", path, "exec")
    Twins().agree(lambda memory: exec(code, {"memory": memory}))  # noqa: S102 - our own text


def test_an_array_of_arrays_can_be_stored_in_place_of_itself() -> None:
    def again(memory: Any) -> None:
        memory.table = memory.table

    Twins().agree(again)


def test_a_struct_that_extends_another_has_the_fields_and_methods_of_both() -> None:
    class Named(Point):
        _fields_ = [("name", c_char * 4)]

    twins = Twins(Named)
    for use in (stores("x", 9), stores("name", b"abcd"), loads("x"), lambda memory: memory.sum()):
        twins.agree(use)


def test_fields_of_an_anonymous_part_are_fields_of_the_whole() -> None:
    class Whole(Structure):
        _anonymous_ = ("either",)
        _fields_ = [("either", Either)]

    twins = Twins(Whole)
    twins.agree(stores("whole", 7))
    twins.agree(loads("parts[0]"))


@pytest.mark.parametrize("path", ["words[::2]", "words[::-1]", "words[3:1:-1]"])
def test_a_slice_with_a_stride_meets_what_the_struct_shows(path: str) -> None:
    Twins().agree(loads(path))


def test_a_subclass_of_a_simple_type_is_refused() -> None:
    class Number(c_uint32):
        pass

    class Numbered(Structure):
        _fields_ = [("number", Number)]

    with pytest.raises(CannotRunError, match="number: a subclass of c_uint cannot be explored"):
        stepped(Numbered, Place(bytearray(4), 64, print))


def test_a_text_in_an_array_is_loaded_and_stored_by_its_value() -> None:
    twins = Twins()
    twins.agree(stores("names[1].value", b"ab"))
    twins.agree(loads("names[1].value"))
    at = Memory.names.offset + 4
    assert twins.told() == [f"store {at + 1}-{at + 2}", f"store {at}-{at}", f"load {at}-{at + 3}"]


def test_a_number_of_two_bytes_is_loaded_at_once_and_a_text_of_two_is_not() -> None:
    class Two(Structure):
        _fields_ = [("number", c_uint16), ("text", c_char * 2)]

    twins = Twins(Two, content=b"abcd")
    twins.agree(loads("number"))
    assert twins.told() == ["load 0-1"]
    twins.agree(loads("text"))
    assert twins.told() == ["load 2-2", "load 3-3"]


def test_a_bit_field_is_refused_with_what_to_do() -> None:
    class Bits(Structure):
        _fields_ = [("low", c_uint32, 3)]

    with pytest.raises(CannotRunError, match="low: a bit field cannot be explored; give it a whole integer"):
        stepped(Bits, Place(bytearray(4), 64, print))


def run_of_bytes(line: int = 64) -> tuple[PlaceBytes, memoryview, list[Operation]]:
    """Bytes 60 to 69 of 100, stepped and plain, over different copies."""
    content, steps = bytes(range(100)), list[Operation]()
    place = Place(bytearray(content), line, steps.append)
    return PlaceBytes(place, 60, 10), memoryview(bytearray(content))[60:70], steps


@pytest.mark.parametrize("where", [slice(None), slice(2, 5), slice(-3, None), slice(0, 99), slice(3, 3), slice(5, 2)])
def test_a_slice_of_a_run_of_bytes_is_the_view_s(where: slice) -> None:
    ours, plain, _ = run_of_bytes()
    assert ours[where] == plain[where]


@pytest.mark.parametrize("index", [0, 4, 9, -1, -10])
def test_a_byte_of_a_run_of_bytes_is_the_view_s(index: int) -> None:
    ours, plain, _ = run_of_bytes()
    assert ours[index] == plain[index]
    ours[index] = 7
    assert ours[index] == 7


@pytest.mark.parametrize("index", [10, 11, 40, -11])
def test_a_byte_beyond_a_run_of_bytes_is_an_index_error(index: int) -> None:
    ours, _, steps = run_of_bytes()
    with pytest.raises(IndexError):
        ours[index]
    with pytest.raises(IndexError):
        ours[index] = 1
    assert not steps


def test_a_run_of_bytes_can_be_iterated() -> None:
    ours, plain, _ = run_of_bytes()
    proxied: Any = ours
    assert list(islice(proxied, 20)) == list(plain)  # no more than 20: a bug here went on for ever


def test_a_store_into_a_run_of_bytes_is_a_step_a_move_and_two_across_a_line() -> None:
    ours, _, steps = run_of_bytes()
    ours[:] = b"0123456789"
    assert [repr(step) for step in steps] == ["store 60-63", "store 64-67", "store 62-63", "store 64-69"]
    assert ours[:] == b"0123456789"


def test_an_empty_slice_of_a_run_of_bytes_is_no_step() -> None:
    ours, _, steps = run_of_bytes()
    assert ours[2:2] == b""
    ours[2:2] = b""
    assert not steps


@pytest.mark.parametrize("data", [b"", b"12", b"1234"])
def test_a_slice_of_a_run_of_bytes_takes_only_as_many_as_it_has(data: bytes) -> None:
    ours, _, steps = run_of_bytes()
    with pytest.raises(ValueError, match="different structures"):
        ours[2:5] = data
    assert not steps


def test_a_slice_of_a_run_of_bytes_with_a_stride_is_refused() -> None:
    ours, _, _ = run_of_bytes()
    with pytest.raises(ValueError, match="step of 1"):
        ours[::2]


integers = st.integers(-(2**66), 2**66)
uses = st.one_of(
    st.builds(loads, st.sampled_from([*NUMBERS, *WHOLE])),
    st.builds(stores, st.sampled_from(NUMBERS), integers),
    st.builds(stores, st.just("name"), st.binary(min_size=6, max_size=6)),
    st.builds(stores, st.just("real"), st.floats(allow_nan=False)),
    st.builds(stores, st.just("points[1]"), st.builds(Point, integers, integers)),
    st.builds(stores, st.just("words[1:4]"), st.lists(integers, min_size=3, max_size=3)),
    st.builds(stores, st.just("record[30:130]"), st.binary(min_size=100, max_size=100)),
    st.builds(stores, st.just("table[0]"), st.tuples(integers, integers, integers)),
)


@given(st.sampled_from([1, 5, 64]), st.lists(uses, max_size=12))
def test_any_series_of_loads_and_stores_meets_and_leaves_what_it_would_in_the_struct(
    line: int, series: list[Callable[[Any], object]]
) -> None:
    twins = Twins(line=line, content=bytes(sizeof(Memory)))
    for use in series:
        twins.agree(use)
