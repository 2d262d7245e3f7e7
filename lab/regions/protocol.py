"""What a process has of a file that it opened through a region."""

from __future__ import annotations

import mmap
from contextlib import AbstractContextManager
from typing import Protocol

Held = AbstractContextManager[object]
"""A lock, held within the block."""


class OpenFile(Protocol):
    """One process's open file and its way to the bytes; the process owns it until it exits."""

    @property
    def descriptor(self) -> int:
        """Open on the file itself."""

    @property
    def guard(self) -> int:
        """Open on the file that locks are taken on; open as long as this is."""

    @property
    def buffer(self) -> mmap.mmap | None:
        """The mapping, where there is one that stays as long as the file is open; else only `load` and `store`."""

    def load(self, start: int, length: int) -> bytes:
        """The bytes as they are now."""

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Put these bytes there."""

    def around(self, held: Held) -> Held:
        """The lock, with what this way to the bytes does once it is held and before it is given back."""

    def abandon(self) -> None:
        """Close it though somebody may still look at the buffer."""

    def close(self) -> None:
        """Close it, and unmap what was mapped."""
