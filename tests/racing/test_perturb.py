from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, c_uint8, c_uint64, sizeof
from typing import Any

import pytest

from lab.memory.struct_proxy import BytesProxy, struct_proxy
from lab.racing import perturb
from lab.racing.perturb import HalvedStores, PausedStores, spin


class Memory(Structure):
    _fields_ = [("value", c_uint64), ("numbers", c_uint64 * 4)]


class Windows:
    """A pause that counts itself, and does something inside the next one."""

    def __init__(self) -> None:
        self.count = 0
        self.inside: Callable[[], object] = list

    def __call__(self) -> None:
        self.count += 1
        inside, self.inside = self.inside, list
        inside()


class Over:
    """Loads and stores over a struct or bytes of this process."""

    def __init__(self, content: Any) -> None:
        self._view = memoryview(content).cast("B") if isinstance(content, bytearray) else bytes_of(content)

    def load(self, start: int, length: int) -> bytes:
        return bytes(self._view[start : start + length])

    def store(self, start: int, data: bytes | memoryview) -> None:
        self._view[start : start + len(data)] = bytes(data)


def bytes_of(struct: Structure) -> memoryview:
    return memoryview((c_uint8 * sizeof(struct)).from_buffer(struct)).cast("B")


def widened(struct: Structure, windows: Callable[[], None]) -> Any:
    return struct_proxy(type(struct), PausedStores(Over(struct), windows))


def halved(content: bytearray, windows: Callable[[], None]) -> BytesProxy:
    return BytesProxy(HalvedStores(Over(content), windows), 0, len(content))


@pytest.fixture
def windows() -> Windows:
    return Windows()


def test_a_store_goes_through_after_one_window(windows: Windows) -> None:
    memory: Any = Memory()
    windows.inside = lambda: seen.append(memory.value)
    seen: list[int] = []
    widened(memory, windows).value = 7
    assert (seen, memory.value, windows.count) == ([0], 7, 1)


def test_a_load_goes_through_without_a_window(windows: Windows) -> None:
    wide = widened(Memory(value=7, numbers=(1, 2, 3, 4)), windows)
    assert (wide.value, wide.numbers[2], windows.count) == (7, 3, 0)


def test_an_addition_is_lost_when_another_store_falls_into_its_window(windows: Windows) -> None:
    memory: Any = Memory(value=10)
    windows.inside = lambda: setattr(memory, "value", 100)
    widened(memory, windows).value += 1
    assert memory.value == 11


def test_a_slice_of_an_array_is_stored_after_a_window_an_element(windows: Windows) -> None:
    memory: Any = Memory()
    widened(memory, windows).numbers[1:3] = [5, 6]
    assert (list(memory.numbers), windows.count) == ([0, 5, 6, 0], 2)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 64])
def test_bytes_are_stored_in_two_halves_with_the_window_between_them(windows: Windows, size: int) -> None:
    content = bytearray(size)
    seen: list[bytes] = []
    windows.inside = lambda: seen.append(bytes(content))
    halved(content, windows)[:] = b"x" * size
    half = size // 2
    assert seen == [b"x" * half + bytes(size - half)]
    assert content == b"x" * size
    assert windows.count == 1


def test_part_of_the_bytes_is_stored_in_halves_of_the_part(windows: Windows) -> None:
    content = bytearray(b"........")
    seen: list[bytes] = []
    windows.inside = lambda: seen.append(bytes(content))
    halved(content, windows)[2:6] = b"abcd"
    assert (seen, bytes(content)) == ([b"..ab...."], b"..abcd..")


def test_bytes_are_loaded_without_a_window_and_have_their_length(windows: Windows) -> None:
    view = halved(bytearray(b"abcd"), windows)
    assert (bytes(view[1:3]), len(view), windows.count) == (b"bc", 4, 0)


def test_a_pause_lasts_until_the_clock_has_passed_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100, 101, 149, 150, 151])
    monkeypatch.setattr(perturb, "monotonic_ns", lambda: next(times))
    spin(50)()
    assert next(times) == 151
