"""Define the calls of the tour: what a call is, how it is made, and how its numbers are written.

A `Program` has the variables that the tutorial's examples name; bytes are written as in C.
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
    """Return a character constant; unprintable characters, the quote and the backslash are escaped."""
    text = "\\'" if byte == ord("'") else repr(bytes([byte]))[2:-1]
    return f"'{text}'"


def dump(content: bytes, offset: int) -> Iterator[str]:
    """Return lines of 16 bytes: the offset of the first in hexadecimal, the bytes, and the text.

    A dot stands for a byte that is no printable character.
    """
    for start in range(0, len(content), ACROSS):
        line = content[start : start + ACROSS]
        halves = [line[:HALF].hex(" "), line[HALF:].hex(" ")]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{offset + start:08x}  {halves[0]:23}  {halves[1]:23}  |{text}|"


class NotMapped(Exception):  # noqa: N818 - a finding
    """The program has no mapping: the kernel refused it."""


@dataclass(slots=True)
class Program:
    """The variables of a program: the file by its name, the open file, where it is mapped, and a char.

    They are the program's own, as is its memory.
    """

    path: str
    fd: int = -1
    data: int | None = None
    c: int = 0

    def address(self, index: int) -> int:
        """Return the address of `data[index]`. Raises NotMapped."""
        if self.data is None:
            raise NotMapped
        return self.data + index


def how_it_ended(code: int) -> str:
    """Return an exit code, or the name of the signal, as text."""
    if code >= 0:
        return f"exit {code}"
    try:
        return Signals(-code).name
    except ValueError:  # of the real-time signals only the first and the last have names
        return f"signal {-code}"


WORKS = "works"
NOT_MAPPED = "not mapped"


class Call(Protocol):
    """One call; its `str` is the call as C writes it."""

    def perform(self, program: Program) -> str:
        """Make the call in this process and return its result. Raises OSError, NotMapped."""


def perform_call(call: Call, program: Program) -> str:
    """Return the result of the call in this process: a value, "works", or the name of an errno.

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


def perform_in_child(call: Call, program: Program) -> str:
    """Return the result of the call in a child of this process; where the child dies of it, the name of the signal."""
    try:
        with ChildRpc(lambda _: perform_call(call, program).encode()) as child:
            return child.ask(b"?").decode()
    except Gone as gone:
        return how_it_ended(gone.code)


def in_pages(number: int) -> str:
    """Return a length or an offset as a C program writes it that got the page size from sysconf(3)."""
    pages, rest = divmod(number + PAGE // 2, PAGE)
    rest -= PAGE // 2
    if not pages or abs(rest) > PAGE // 4:
        return f"{number}" if number != PAGE // 2 else "page / 2"
    whole = "page" if pages == 1 else f"{pages} * page"
    return whole if not rest else f"{whole} {'+' if rest > 0 else '-'} {abs(rest)}"
