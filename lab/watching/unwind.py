"""Find who called a function of a stopped process: its stack, by the tables that compilers write for exceptions.

A row of such a table says, for an address of the code, where the caller's stack began and where on the stack its
address and its frame pointer are. Sources: DWARF 5, 6.4, and the Linux Standard Base, "Exception Frames" (.eh_frame).
Code without a table, as that of Go, is taken to keep frame pointers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from struct import Struct, unpack_from
from typing import NamedTuple

from .symbols import address_at, segments

WORD = Struct("=Q")
DEPTH = 12

STACK, FRAME, RETURN = 0, 1, 2
"""The registers that are followed."""

REGISTERS = {"x86_64": {7: STACK, 6: FRAME, 16: RETURN}, "aarch64": {31: STACK, 29: FRAME, 30: RETURN}}
"""Their numbers in DWARF, by machine."""


class Row(NamedTuple):
    """How to leave a function at an address: the caller's stack pointer is a register plus an offset, and the return
    address and the caller's frame pointer are on the stack at offsets from that, None where they are in their
    registers still.
    """

    base: int
    offset: int
    caller: int | None
    frame: int | None


class _Common(NamedTuple):
    """A common information entry (CIE)."""

    code_unit: int
    data_unit: int
    encoding: int
    has_size: bool
    instructions: bytes


class Tables:
    """The tables of one file that is loaded."""

    def __init__(self, path: str, machine: str) -> None:
        self._path, self._names = path, REGISTERS.get(machine, {})
        self._rows: dict[int, Row | None] = {}

    def row(self, offset: int) -> Row | None:
        """Return the row for an offset in the file, None where there is none that can be followed."""
        if offset not in self._rows:
            try:
                self._rows[offset] = self._row(address_at(self._parsed[0], offset))
            except (IndexError, ValueError, KeyError):  # what it has is more than is followed here
                self._rows[offset] = None
        return self._rows[offset]

    @cached_property
    def _parsed(self) -> tuple[list[tuple[int, int, int]], int, bytes]:
        """Return the segments of the file, and the address and the content of its tables."""
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile

        try:
            with Path(self._path).open("rb") as file:
                elf = ELFFile(file)
                section = elf.get_section_by_name(".eh_frame")
                return segments(elf), *((section["sh_addr"], section.data()) if section else (0, b""))
        except (OSError, ELFError):
            return [], 0, b""

    @cached_property
    def _entries(self) -> tuple[list[int], list[tuple[int, _Common, bytes]]]:
        """Return where functions begin, in order, and of each its end, its common entry and its instructions."""
        _, address, content = self._parsed
        commons: dict[int, _Common] = {}
        found = []
        at = 0
        while at + 4 < len(content):
            size = int.from_bytes(content[at : at + 4], "little")
            if not size or size == 0xFFFF_FFFF:
                break
            body, end = at + 4, at + 4 + size
            kind = int.from_bytes(content[body : body + 4], "little")
            if not kind:
                commons[at] = _common(content[body + 4 : end])
            elif common := commons.get(body - kind):
                begin, length, rest = _span(content, body + 4, address, common)
                if common.has_size:
                    more, rest = _unsigned(content, rest)
                    rest += more
                found.append((begin, (begin + length, common, content[rest:end])))
            at = end
        found.sort(key=lambda each: each[0])
        return [each[0] for each in found], [each[1] for each in found]

    def _row(self, address: int) -> Row | None:
        starts, entries = self._entries
        place = bisect_right(starts, address) - 1
        if place < 0 or address >= entries[place][0]:
            return None
        _, common, instructions = entries[place]
        state = _State(common, self._names)
        state.run(common.instructions, starts[place], address)
        state.initial = dict(state.saved)
        state.run(instructions, starts[place], address)
        base = self._names.get(state.register)
        if base not in (STACK, FRAME):
            return None
        return Row(base, state.offset, state.saved.get(RETURN), state.saved.get(FRAME))


class _State:
    """What the instructions of a table have come to."""

    def __init__(self, common: _Common, names: dict[int, int]) -> None:
        self._common, self._names = common, names
        self.register = self.offset = 0
        self.saved: dict[int, int] = {}
        self.initial: dict[int, int] = {}
        self._kept: list[tuple[int, int, dict[int, int]]] = []

    def run(self, code: bytes, location: int, until: int) -> None:
        """Follow instructions up to an address. Raises ValueError for those that compute what is not followed."""
        at = 0
        while at < len(code):
            first = code[at]
            at += 1
            operation, low = first & 0xC0, first & 0x3F
            if operation == 0x40:  # advance
                location += low * self._common.code_unit
            elif operation == 0x80:
                value, at = _unsigned(code, at)
                self._save(low, value * self._common.data_unit)
            elif operation == 0xC0:
                self._restore(low)
            elif first in (0x02, 0x03, 0x04):
                size = 1 << (first - 2)
                location += int.from_bytes(code[at : at + size], "little") * self._common.code_unit
                at += size
            else:
                at = self._other(first, code, at)
            if location > until:
                return

    def _other(self, first: int, code: bytes, at: int) -> int:  # noqa: C901 - one branch an instruction
        if first == 0x0A:
            self._kept.append((self.register, self.offset, dict(self.saved)))
        elif first == 0x0B:
            self.register, self.offset, self.saved = self._kept.pop()
        elif first in (0x0C, 0x12):  # the caller's stack is a register and an offset
            self.register, at = _unsigned(code, at)
            value, at = (_unsigned if first == 0x0C else _signed)(code, at)
            self.offset = value if first == 0x0C else value * self._common.data_unit
        elif first == 0x0D:
            self.register, at = _unsigned(code, at)
        elif first == 0x0E:
            self.offset, at = _unsigned(code, at)
        elif first in (0x05, 0x11):
            register, at = _unsigned(code, at)
            value, at = (_unsigned if first == 0x05 else _signed)(code, at)
            self._save(register, value * self._common.data_unit)
        elif first in (0x06, 0x07, 0x08):
            register, at = _unsigned(code, at)
            if first == 0x06:
                self._restore(register)
            elif self._names.get(register) == RETURN and first == 0x07:
                raise ValueError("nobody called it")
        elif first == 0x09:
            _, at = _unsigned(code, at)
            _, at = _unsigned(code, at)
        elif first == 0x2E:
            _, at = _unsigned(code, at)
        elif first in (0x10, 0x16):  # of a register that is computed
            register, at = _unsigned(code, at)
            size, at = _unsigned(code, at)
            at += size
            if register in self._names:
                raise ValueError("its place is computed")
        elif first not in (0x00, 0x2D):
            raise ValueError(f"instruction {first:#x}")
        return at

    def _save(self, register: int, offset: int) -> None:
        if register in self._names:
            self.saved[self._names[register]] = offset

    def _restore(self, register: int) -> None:
        name = self._names.get(register)
        if name in self.initial:
            self.saved[name] = self.initial[name]
        elif name is not None:
            self.saved.pop(name, None)


def _common(content: bytes) -> _Common:
    """Return a common entry, from behind its zero. Raises ValueError for one that is not known."""
    end = content.index(0, 1)
    letters = content[1:end].decode("ascii")
    code_unit, at = _unsigned(content, end + 1)
    data_unit, at = _signed(content, at)
    _, at = _unsigned(content, at)
    encoding = 0
    if letters.startswith("z"):
        size, at = _unsigned(content, at)
        rest = at + size
        for letter in letters[1:]:
            if letter == "R":
                encoding = content[at]
                at += 1
            elif letter == "L":
                at += 1
            elif letter == "P":
                at += 1 + {0: 8, 2: 2, 3: 4, 4: 8}[content[at] & 7]
        at = rest
    return _Common(code_unit, data_unit, encoding, letters.startswith("z"), content[at:])


def _span(content: bytes, at: int, address: int, common: _Common) -> tuple[int, int, int]:
    """Return where a function begins, how long it is, and what comes behind that."""
    form = {0: "q", 3: "I", 4: "Q", 0xB: "i", 0xC: "q"}[common.encoding & 0xF]
    size = 4 if form in "Ii" else 8
    begin, length = unpack_from(f"={form}{form.upper()}", content, at)
    return begin + (address + at if common.encoding & 0x70 == 0x10 else 0), length, at + 2 * size


def _unsigned(content: bytes, at: int) -> tuple[int, int]:
    """Return a LEB128 number and the place behind it (DWARF 5, 7.6)."""
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _signed(content: bytes, at: int) -> tuple[int, int]:
    value, end = _unsigned(content, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if content[end - 1] & 0x40 else value), end


tables = cache(Tables)

NEAR = 1 << 16

Code = Sequence[tuple[int, int, int, str]]
"""Where code is loaded: start and end, the offset in the file, and its path."""


def callers(
    code: Code, machine: str, instruction: int, registers: Sequence[int], read: Callable[[int, int], bytes]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the address of an instruction and the return addresses of its callers, innermost first.

    Returned too are the words of memory that say so, each with its address: where they are the same, and the registers,
    so are the callers. `registers` are the stack pointer, the frame pointer and the return address, 0 where that is on
    the stack; `read` returns bytes at an address, fewer where they cannot be read.
    """
    stack, frame, caller = registers
    low, memory = stack, read(stack, 4096)
    found = [instruction]
    words: list[tuple[int, int]] = []

    def word(address: int) -> int:
        if low <= address <= low + len(memory) - 8:
            value = int(WORD.unpack_from(memory, address - low)[0])
        else:
            content = read(address, 8)
            value = int(WORD.unpack(content)[0]) if len(content) == 8 else 0
        if low <= address < low + NEAR:  # else it is no place in the stack, and ends the search
            words.append((address, value))
        return value

    while len(found) < DEPTH:
        row = _row_at(code, machine, found[-1] - (len(found) > 1))
        if row is not None:
            top = (frame if row.base == FRAME else stack) + row.offset
            back, caller = (word(top + row.caller) if row.caller is not None else caller), 0
            frame = word(top + row.frame) if row.frame is not None else frame
        else:
            top, back, frame = frame + 16, word(frame + 8), word(frame)
        if (top <= stack and len(found) > 1) or not any(start <= back < end for start, end, _, _ in code):
            break
        stack = top
        found.append(back)
    return found, words


def _row_at(code: Code, machine: str, address: int) -> Row | None:
    for start, end, offset, path in code:
        if start <= address < end:
            return tables(path, machine).row(address - start + offset)
    return None
