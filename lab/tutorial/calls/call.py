"""What a call is, how it is made, and how its numbers are written.

Bytes as C writes them.

What a program of the tour has: its variables, as the tutorial's examples name them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from errno import errorcode
from signal import Signals
from typing import Protocol

from lab.errors import out_of_descriptors
from lab.memory.calls import PAGE
from lab.processes.rpc import ChildRpc, Gone

ACROSS = 16
HALF = ACROSS // 2


def literal(byte: int) -> str:
    """A character constant, with what cannot be printed, the quote and the backslash escaped."""
    text = "\\'" if byte == ord("'") else repr(bytes([byte]))[2:-1]
    return f"'{text}'"


def dump(content: bytes, offset: int) -> Iterator[str]:
    """Lines of 16 bytes: the offset of the first in hexadecimal, the bytes, and the text, a dot for what is none."""
    for start in range(0, len(content), ACROSS):
        line = content[start : start + ACROSS]
        halves = [line[:HALF].hex(" "), line[HALF:].hex(" ")]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{offset + start:08x}  {halves[0]:23}  {halves[1]:23}  |{text}|"


class NotMapped(Exception):  # noqa: N818 - a finding
    """The program has no mapping: it was refused."""


@dataclass(slots=True)
class Program:
    """The file by its name, the open file, where it is mapped, and a char; they are its own, as is its memory."""

    path: str
    fd: int = -1
    data: int | None = None
    c: int = 0

    def address(self, index: int) -> int:
        """Where `data[index]` lies. Raises NotMapped."""
        if self.data is None:
            raise NotMapped
        return self.data + index


def how_it_ended(code: int) -> str:
    """An exit code, or the name of the signal."""
    if code >= 0:
        return f"exit {code}"
    try:
        return Signals(-code).name
    except ValueError:  # of the real-time signals only the first and the last have names
        return f"signal {-code}"


WORKS = "works"
NOT_MAPPED = "not mapped"


class Call(Protocol):
    """One call; `str` of it is how C has it."""

    def perform(self, program: Program) -> str:
        """Make it in this process: what it came to. Raises OSError, NotMapped."""


def performed(call: Call, program: Program) -> str:
    """What the call comes to in this process: a value, "works", or the name of an errno.

    Raises CannotRunError where no descriptor is left: that says nothing about the call.
    """
    try:
        return call.perform(program)
    except OSError as error:
        if refusal := out_of_descriptors(error):
            raise refusal from error
        return errorcode.get(error.errno or 0, str(error))
    except NotMapped:
        return NOT_MAPPED


def risked(call: Call, program: Program) -> str:
    """The same, in a child of this process; where that dies of it, the name of the signal."""
    try:
        with ChildRpc(lambda _: performed(call, program).encode()) as child:
            return child.ask(b"?").decode()
    except Gone as gone:
        return how_it_ended(gone.code)


def in_pages(number: int) -> str:
    """A length or an offset as a C program has it that asked sysconf(3) for the page size."""
    pages, rest = divmod(number + PAGE // 2, PAGE)
    rest -= PAGE // 2
    if not pages or abs(rest) > PAGE // 4:
        return f"{number}" if number != PAGE // 2 else "page / 2"
    whole = "page" if pages == 1 else f"{pages} * page"
    return whole if not rest else f"{whole} {'+' if rest > 0 else '-'} {abs(rest)}"
