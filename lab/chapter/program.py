"""What a program of the tour has: its variables, as the chapter's examples name them."""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals


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
