"""What Python's own mmap does where C is killed."""

from __future__ import annotations

from dataclasses import dataclass

from lab.regions.calls import map_read_only

from ..program import Program
from .call import WORKS


@dataclass(frozen=True, slots=True)
class PythonStore:
    """A store to a read-only mapping."""

    def __str__(self) -> str:
        return "Python: mmap(fd, 0, access=ACCESS_READ)[0] = 120"

    def perform(self, program: Program) -> str:
        """The name of the exception."""
        with map_read_only(program.fd) as mapping:
            try:
                mapping[0] = 120
            except TypeError as error:
                return type(error).__name__
        return WORKS


@dataclass(frozen=True, slots=True)
class PythonUseAfterClose:
    """A load from a mapping that was unmapped."""

    def __str__(self) -> str:
        return "Python: mapping.close(); mapping[0]"

    def perform(self, program: Program) -> str:
        """The name of the exception."""
        mapping = map_read_only(program.fd)
        mapping.close()
        try:
            mapping[0]
        except ValueError as error:
            return type(error).__name__
        return WORKS
