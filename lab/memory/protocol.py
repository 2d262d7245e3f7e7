"""Define the backing, and what a process has of the bytes that are shared through one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Held = AbstractContextManager[object]
"""A lock that is held within the block."""


class OpenFile(Protocol):
    """One process's open file and its way to the bytes; the process owns it until it exits."""

    @property
    def descriptor(self) -> int:
        """Return a descriptor of the file itself."""

    @property
    def guard(self) -> int:
        """Return a descriptor of the file on which locks are acquired; open as long as this is."""

    @property
    def buffer(self) -> WriteableBuffer | None:
        """Return the bytes, where they stay at one place as long as the file is open; else only `load` and `store`
        work.
        """

    def load(self, start: int, length: int) -> bytes:
        """Return the bytes as they are now."""

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store these bytes."""

    def sync(self, start: int, length: int) -> None:
        """Write these bytes to the disk, all from `start` on where the length is 0; memory without a file has none."""

    def around(self, held: Held) -> Held:
        """Return the lock, with what this way to the bytes does once it is held and before it is released."""

    def abandon(self) -> None:
        """Close it though views of the buffer may be left."""

    def close(self) -> None:
        """Close it, and unmap what was mapped; no view of the buffer may be left."""


class Shared(Protocol):
    """The bytes of one trial, for as long as it lasts; children inherit it by fork."""

    def open(self, path: Path | str) -> OpenFile:
        """Open the bytes in one process. `path` is a name of the file, one of several where it has them.

        It is called in each process that loads or stores, also in a child of one that did. Raises CannotRunError where
        that is refused, OSError where the name leads nowhere.
        """

    def read_back(self) -> bytearray:
        """Return the bytes that are left after the others ended. Raises CannotRunError."""


class Backing(ABC):
    """A way to share the bytes of a trial.

    `shares`: what one worker stores the others load. `of_file`: the bytes are those of the file at the path; where
    they are not, the file is empty, and only locked.
    """

    __slots__ = ("name", "of_file", "shares", "summary")

    def __init__(self, name: str, summary: str, *, of_file: bool = True, shares: bool = True) -> None:
        self.name = name
        self.summary = summary
        self.of_file = of_file
        self.shares = shares

    @abstractmethod
    def share(self, path: Path, content: bytes | bytearray, *, sparse: bool = False) -> AbstractContextManager[Shared]:
        """Make bytes with this content, of at least 1, and a new file at the path; all is removed after the block.

        Where they are `sparse`, pages of zeros cost nothing until a process stores there; else room for all is
        reserved. What this process opens it closes before the block ends. Raises CannotRunError.
        """
