"""What every region is: a name, what it promises, and the way to share bytes through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from .protocol import Shared


@dataclass(frozen=True, slots=True)
class Region(ABC):
    """A way to share the bytes of a trial.

    `shares`: what one worker stores the others load. `of_file`: the bytes are those of the file at the path; where
    they are not, the file is empty, and only locked.
    """

    name: str
    summary: str
    of_file: bool = field(default=True, kw_only=True)
    shares: bool = field(default=True, kw_only=True)

    @abstractmethod
    def share(self, path: Path, content: bytes | bytearray, *, sparse: bool = False) -> AbstractContextManager[Shared]:
        """Bytes with this content, of at least 1, and a new file at the path; all is gone after the block.

        Where they are to be `sparse`, pages of zeros cost nothing until somebody stores there; else room for all is
        reserved. Whoever opens them in this process closes before the block ends. Raises CannotRunError.
        """
