"""Anonymous memory: mmap(2) with MAP_SHARED | MAP_ANONYMOUS, made by the parent and inherited by fork(2).

It has neither a name nor an id: only children of its maker have it, at the address where the maker has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .mapped import anonymous
from .segments import Memory, SegmentRegion


class Inherited(SegmentRegion):
    """The region of anonymous memory."""

    __slots__ = ()

    @contextmanager
    def memory(self, size: int, *, sparse: bool) -> Iterator[Memory]:
        """One mapping, which all look at; pages cost nothing until touched, sparse or not."""
        mapping = anonymous(size)
        try:
            yield Memory(mapping, lambda: (mapping, lambda: None))
        finally:
            mapping.close()
