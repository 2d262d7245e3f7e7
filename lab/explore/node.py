"""A worker before its next step: what it is about to do, and where that leads when it meets one thing or another."""

from __future__ import annotations

from typing import Any

from .operation import Operation

GRANTED, REFUSED = False, True
"""What a lock meets; loads meet bytes, stores and unlocks nothing (None)."""


class Node:
    """A worker before its next step; once it has finished, `ended` is True and there is no `operation`.

    `data` are the bytes that a store puts there, known once it was run. At the end `seen` are the reports of the whole
    run (kind and evidence) and `failed` is what the worker raised.
    """

    __slots__ = ("data", "ended", "failed", "met", "next", "number", "operation", "parent", "round", "seen")

    def __init__(self, parent: Node | None, met: Any, number: int) -> None:
        self.parent = parent
        self.met = met
        self.number = number
        self.operation: Operation | None = None
        self.data: bytes = b""
        self.next: dict[Any, Node] = {}
        self.round = 0
        self.ended = False
        self.seen: tuple[tuple[str, str], ...] = ()
        self.failed: Exception | SystemExit | None = None

    def history(self) -> list[Any]:
        """What was met at each step from the first on."""
        found = []
        node = self
        while node.parent is not None:
            found.append(node.met)
            node = node.parent
        return found[::-1]
