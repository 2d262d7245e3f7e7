"""The struct proxy held against ctypes over the same bytes: what the struct answers and leaves, the proxy does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import (
    Array,
    BigEndianStructure,
    Structure,
    Union,
    c_bool,
    c_char,
    c_double,
    c_float,
    c_int8,
    c_int16,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_wchar,
    sizeof,
)
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.exploring.operation import LOAD, STORE, Operation, SteppedBytes, moves
from lab.memory.mapped import Streamed
from lab.memory.struct_proxy import BytesProxy, struct_proxy


class Recorded:
    """Bytes that write down which of them are loaded and stored; `numbers` are the same bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.done: list[tuple[int, int, int, bool]] = []
        self.numbers = RecordedNumbers(self)

    def load(self, start: int, length: int, *, number: bool = False) -> bytes:
        self.done.append((LOAD, start, length, number))
        return bytes(self.content[start : start + length])

    def store(self, start: int, data: bytes | memoryview, *, number: bool = False) -> None:
        self.done.append((STORE, start, len(data), number))
        self.content[start : start + len(data)] = data

    @property
    def accesses(self) -> list[tuple[str, int, int]]:
        return [(("load", "store")[kind], start, length) for kind, start, length, _ in self.done]


class RecordedNumbers:
    def __init__(self, memory: Recorded) -> None:
        self._memory = memory

    def load(self, start: int, length: int) -> bytes:
        return self._memory.load(start, length, number=True)

    def store(self, start: int, data: bytes | memoryview) -> None:
        self._memory.store(start, data, number=True)


def outcome(use: Callable[[Any], object], memory: Any) -> object:
    """What the use comes to, in a form that can be compared: an exception by its type, a part by its bytes."""
    try:
        return plain(use(memory))
    except Exception as error:
        return type(error)


def plain(value: Any) -> object:
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, int | str | bytes | None) else bytes(value)


class Number(c_uint16):
    """ctypes gives out a subclass of a number as an object, which has a value."""

    def double(self) -> int:
        return 2 * self.value


Key = str | int | slice
"""A field or attribute, an element, or a slice."""


def get(memory: Any, path: list[Key]) -> Any:
    for key in path:
        memory = getattr(memory, key) if isinstance(key, str) else memory[key]
    return memory


def put(memory: Any, path: list[Key], value: Any) -> None:
    *way, last = path
    whole = get(memory, way)
    if isinstance(last, str):
        setattr(whole, last, value)
    else:
        whole[last] = value


SIMPLE = [c_bool, c_char, c_wchar, c_int8, c_uint8, c_int16, c_uint16, c_uint32, c_int64, c_uint64, c_float, c_double]
WHOLE = [c_uint8, c_int16, c_uint32, c_int64]


def structs(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Structs and unions of these and of bit fields; packed, big-endian, extended, with an anonymous part, or not."""
    bits = st.sampled_from(WHOLE).flatmap(lambda kind: st.tuples(st.just(kind), st.integers(1, 8 * sizeof(kind))))
    fields = st.lists(st.tuples(inner) | bits, min_size=1, max_size=4)
    bases = st.sampled_from([Structure, BigEndianStructure])
    options = st.booleans(), st.booleans(), st.booleans()
    unions = st.builds(struct_of, st.just(Union), st.lists(st.tuples(inner), min_size=1, max_size=4), *options)
    return st.builds(struct_of, bases, fields, *options) | unions


def struct_of(base: Any, fields: list[Any], packed: bool, extended: bool, anonymous: bool) -> Any:
    members: dict[str, Any] = {"_pack_": 1, "_layout_": "ms"} if packed else {}
    named = [(f"f{number}", *field) for number, field in enumerate(fields)]
    if anonymous and issubclass(fields[0][0], Structure | Union):
        inside = [(f"deep{name}", *rest) for name, *rest in fields[0][0]._fields_]
        named[0] = "f0", type("Inside", (Structure,), {"_fields_": inside})
        members["_anonymous_"] = ("f0",)
    try:
        made = type("Made", (base,), members | {"_fields_": named})
    except TypeError:  # not every type has another order of bytes
        made = type("Made", (Structure,), members | {"_fields_": named})
    if not extended or base is Union:
        return made
    return type("Extended", (made,), {"_fields_": [("more", c_uint32)]})


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda kind, length: kind * length, inner, st.integers(1, 9))


kinds = st.recursive(
    st.sampled_from([*SIMPLE, Number]), lambda inner: structs(inner) | arrays(inner) | arrays(inner), max_leaves=6
)
layouts = structs(kinds)


@st.composite
def paths(draw: st.DrawFn, kind: Any) -> list[Key]:
    """The way to a field, an element, a slice, or what is not there; not always to the end."""
    path: list[Key] = []
    while True:
        if issubclass(kind, Structure | Union):
            name, kind = draw(
                st.sampled_from(
                    [(each[0], each[1]) for base in kind.__mro__ for each in vars(base).get("_fields_", ())]
                )
            )
            path.append(name)
        elif issubclass(kind, Array):
            length = kind._length_
            texts = {c_char: ["value", "raw"], c_wchar: ["value"]}.get(kind._type_, [])
            keys = st.integers(-length - 1, length) | st.slices(length)
            path.append(key := draw(keys | st.sampled_from(texts) if texts else keys))
            kind = kind._type_
            if not isinstance(key, int):
                return path
        else:
            return [*path, "value"] if kind is Number and draw(st.booleans()) else path
        if not draw(st.integers(0, 3)):
            return path


values = st.one_of(
    st.integers(-(2**66), 2**66),
    st.integers(0, 255),
    st.floats(allow_nan=False),
    st.binary(max_size=9),
    st.text(max_size=9),
    st.none(),
    st.lists(st.integers(0, 300), max_size=9),
    st.lists(st.integers(0, 300), max_size=9).map(tuple),
)


@st.composite
def uses(draw: st.DrawFn, layout: Any) -> Callable[[Any], object]:
    """A load, a store of a value, or a store of one part of the memory over another."""
    path = draw(paths(layout))
    which = draw(st.sampled_from(["load", "store", "store", "copy"]))
    if which == "load":
        return lambda memory: get(memory, path)
    if which == "store":
        value = draw(values)
        return lambda memory: put(memory, path, value)
    other = draw(st.just(path) | paths(layout))
    return lambda memory: put(memory, path, get(memory, other))


@contextmanager
def streamed(content: bytes) -> Iterator[tuple[Any, Path]]:
    """The bytes through the race's own pread and pwrite."""
    with NamedTemporaryFile() as file:
        path = Path(file.name)
        path.write_bytes(content)
        stream = Streamed("stream", "", 0).open(path, len(content))
        try:
            yield stream, path
        finally:
            stream.close()


@given(st.data(), layouts, st.sampled_from([1, 5, 16, 64]))
def test_any_layout_is_loaded_and_stored_as_ctypes_does(data: st.DataObject, layout: Any, line: int) -> None:
    content = (
        bytes(at * 37 % 256 for at in range(sizeof(layout))) if data.draw(st.booleans()) else bytes(sizeof(layout))
    )
    mapped, recorded, stepped = bytearray(content), Recorded(content), bytearray(content)
    steps: list[Operation] = []
    explored = SteppedBytes(stepped, line, steps.append)
    with streamed(content) as (stream, path):
        memories = [
            layout.from_buffer(mapped),
            struct_proxy(layout, recorded, recorded.numbers),
            struct_proxy(layout, stream),
            struct_proxy(layout, explored, explored.numbers),
        ]
        for use in data.draw(st.lists(uses(layout), max_size=6)):
            expected, *others = [outcome(use, memory) for memory in memories]
            assert others == [expected] * 3
            assert mapped == recorded.content == path.read_bytes() == stepped
    moved = [
        (kind, at, at + size)
        for kind, start, length, number in recorded.done
        for at, size in moves(kind, start, length, line, plain=number)
    ]
    assert [(step.kind, step.start, step.end) for step in steps] == moved


class Point(Structure):
    LIMIT = 100
    _fields_ = [("x", c_uint64), ("y", c_uint64)]

    def sum(self) -> int:
        return int(self.x + self.y)

    @property
    def far(self) -> bool:
        return bool(self.x > self.LIMIT)


class Memory(Structure):
    _fields_ = [
        ("value", c_uint64),  # 0-7
        ("numbers", c_uint32 * 4),  # 8-23
        ("point", Point),  # 24-39
        ("points", Point * 2),  # 40-71
        ("name", c_char * 8),  # 72-79
        ("table", (c_uint8 * 3) * 2),  # 80-85
        ("number", Number),  # 86-87
        ("ratio", c_double),  # 88-95
        ("names", (c_char * 4) * 2),  # 96-103
    ]


FULL = Memory(7, (1, 2, 3, 4), Point(5, 6), (Point(7, 8), Point(9, 10)), b"lab", ((1, 2, 3), (4, 5, 6)), 9, 0.5)


def laid_over(content: bytes = bytes(FULL)) -> tuple[Any, Any, Recorded]:
    """The proxy, the struct that lies over the same bytes, and the bytes."""
    memory = Recorded(content)
    return struct_proxy(Memory, memory, memory.numbers), Memory.from_buffer(memory.content), memory


@pytest.mark.parametrize(
    ("load", "loads"),
    [
        (lambda m: m.value, [(0, 8)]),
        (lambda m: m.numbers[-1], [(20, 4)]),
        (lambda m: m.numbers[1:3], [(12, 4), (16, 4)]),
        (lambda m: m.numbers[2:2], []),
        (lambda m: m.numbers[::2], [(8, 4), (16, 4)]),
        (lambda m: len(m.numbers), []),
        (lambda m: list(m.numbers), [(8, 4), (12, 4), (16, 4), (20, 4)]),
        (lambda m: m.points[1].x, [(56, 8)]),
        (lambda m: [point.y for point in m.points[:]], [(48, 8), (64, 8)]),
        (lambda m: m.point.sum(), [(24, 8), (32, 8)]),
        (lambda m: m.point.far, [(24, 8)]),
        (lambda m: m.name, [(72, 8)]),
        (lambda m: m.table[1][2], [(85, 1)]),
        (lambda m: m.table[0], [(80, 3)]),
        (lambda m: m.number.double(), [(86, 2)]),
        (lambda m: m.names[1].value, [(100, 4)]),
        (lambda m: m, [(0, sizeof(Memory))]),
    ],
)
def test_a_load_loads_just_what_it_returns(load: Callable[[Any], object], loads: list[tuple[int, int]]) -> None:
    memory, struct, recorded = laid_over()
    assert outcome(load, memory) == outcome(load, struct)
    assert recorded.accesses == [("load", *extent) for extent in loads]


@pytest.mark.parametrize(
    ("path", "value", "stores"),
    [
        (["value"], 2**64 - 1, [(0, 8)]),
        (["numbers", 3], 9, [(20, 4)]),
        (["numbers", slice(1, 3)], [8, 9], [(12, 4), (16, 4)]),
        (["numbers"], (9, 8), [(8, 16)]),
        (["point"], Point(8, 9), [(24, 16)]),
        (["points", 1], Point(8, 9), [(56, 16)]),
        (["points", slice(0, 2)], [Point(1, 2), (8, 9)], [(40, 16), (56, 16)]),
        (["name"], b"ab", [(72, 3)]),
        (["name"], b"a\0bc", [(72, 2)]),
        (["name"], b"abcdefgh", [(72, 8)]),
        (["table", 1, 2], 255, [(85, 1)]),
        (["number", "value"], 8, [(86, 2)]),
        (["names", 1, "value"], b"a\0b", [(100, 4)]),
        (["names", 1, "raw"], b"ab", [(100, 2)]),
    ],
)
def test_a_store_touches_nothing_else(path: list[Key], value: object, stores: list[tuple[int, int]]) -> None:
    memory, struct, recorded = laid_over()
    expected = Memory.from_buffer_copy(FULL)
    put(memory, path, value)
    put(expected, path, value)
    assert bytes(struct) == bytes(expected) != bytes(FULL)
    assert recorded.accesses == [("store", *extent) for extent in stores]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["value"], "x"),
        (["numbers", 4], 1),
        (["numbers", slice(1, 3)], [1]),
        (["numbers", slice(1, 3)], 7),
        (["points", -3], Point(1, 2)),
        (["point"], 7),
        (["name"], b"much too long"),
        (["names", 0], b"text"),
    ],
)
def test_a_store_that_ctypes_refuses_is_none(path: list[Key], value: object) -> None:
    memory, struct, recorded = laid_over()
    refused = outcome(lambda memory: put(memory, path, value), memory)
    assert refused == outcome(lambda memory: put(memory, path, value), struct) is not None
    assert recorded.accesses == []


def test_a_bit_field_is_stored_beside_what_its_neighbours_are_now() -> None:
    class Bits(Structure):
        _fields_ = [("low", c_uint8, 4), ("high", c_uint8, 4)]

    recorded = Recorded(bytes(1))
    memory, struct = struct_proxy(Bits, recorded), Bits.from_buffer(recorded.content)
    memory.high = 6
    struct.low = 5
    memory.high = 7
    assert (struct.low, struct.high, memory.low, memory.high) == (5, 7, 5, 7)
    assert recorded.accesses[:2] == [("load", 0, 1), ("store", 0, 1)]


def test_a_part_that_is_kept_shows_what_others_stored() -> None:
    memory, struct, _ = laid_over()
    point = memory.points[0]
    struct.points[0].x, struct.points[0].y = 70, 80
    point.x += 1
    assert (struct.points[0].x, struct.points[0].y) == (71, 80)


def test_fields_may_have_any_name_and_others_are_missing() -> None:
    class Odd(Structure):
        _fields_ = [(name, c_uint64) for name in ("struct", "load", "store", "value", "raw", "pause")]

    recorded = Recorded(bytes(sizeof(Odd)))
    memory = struct_proxy(Odd, recorded)
    for number, (name, *_) in enumerate(Odd._fields_):
        setattr(memory, name, number)
    assert [getattr(memory, name) for name, *_ in Odd._fields_] == list(range(6))
    with pytest.raises(AttributeError, match="valeu"):
        memory.valeu  # noqa: B018


def run_of_bytes() -> tuple[Any, memoryview, Recorded]:
    """Bytes 60 to 69 of 100 as a proxy and as a view, over different copies."""
    content = Recorded(bytes(range(100)))
    return BytesProxy(content, 60, 10), memoryview(bytearray(content.content))[60:70], content


SLICES = [slice(None), slice(2, 5), slice(-3, None), slice(0, 99), slice(5, 2)]


@pytest.mark.parametrize("where", [0, 4, 9, -1, -10, 10, -11, *SLICES], ids=str)
@pytest.mark.parametrize("data", [7, b"", b"abc", bytearray(b"0123456789"), bytes(11)], ids=str)
def test_a_run_of_bytes_is_loaded_and_stored_as_a_memoryview_is(where: int | slice, data: Any) -> None:
    proxy, view, content = run_of_bytes()
    for use in (lambda each: each[where], lambda each: each.__setitem__(where, data)):
        assert outcome(use, proxy) == outcome(use, view)
    assert content.content[60:70] == view
    assert (bytes(proxy), len(proxy), list(islice(proxy, 20))) == (bytes(view), 10, list(view))


def test_a_slice_of_a_run_of_bytes_is_one_access_and_has_no_stride() -> None:
    proxy, _, content = run_of_bytes()
    proxy[2:5] = proxy[1:4]
    assert content.accesses == [("load", 61, 3), ("store", 62, 3)]
    with pytest.raises(ValueError, match="step of 1"):
        proxy[::2]
