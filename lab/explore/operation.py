"""One step of a worker: a load, a store, a lock or an unlock of a byte range of the shared file."""

from __future__ import annotations

from lab.model.holds import END, Span

LOAD, STORE, LOCK, UNLOCK = range(4)
NAMES = ("load", "store", "lock", "unlock")


class Operation:
    """What a worker does next; made once and told apart by identity in the hot loop.

    `start` to `end` are bytes of the file, the end exclusive. `write` is True for stores and exclusive locks.
    """

    __slots__ = ("end", "kind", "span", "start", "write")

    def __init__(self, kind: int, start: int, length: int, *, write: bool) -> None:
        self.kind = kind
        self.start = start
        self.end = start + length if length else END
        self.write = write
        self.span = Span(start, length, write)

    def __repr__(self) -> str:
        return f"{NAMES[self.kind]} {self.start}-{'' if self.end == END else self.end - 1}"

    @property
    def word(self) -> str:
        """The operation in a word, for people and for fingerprints."""
        return NAMES[self.kind]

    def depends_on(self, other: Operation) -> bool:
        """True when the order of the two, by different workers, can matter.

        Loads and stores: they share a byte and one of them writes. Locks and unlocks: their ranges conflict; two
        unlocks never do, since each frees only what its owner holds. Data and locks never touch.
        """
        if (self.kind >= LOCK) != (other.kind >= LOCK):
            return False
        if self.kind == other.kind == UNLOCK:
            return False
        return (self.write or other.write) and self.start < other.end and other.start < self.end
