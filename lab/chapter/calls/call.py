"""What a call is, how it is made, and how its numbers are written."""

from __future__ import annotations

from errno import errorcode
from typing import Protocol

from lab.processes.partner import Gone, attempt
from lab.regions.calls import PAGE

from ..limits import out_of_descriptors
from ..program import NotMapped, Program, how_it_ended

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
        return attempt(lambda: performed(call, program).encode()).decode()
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
