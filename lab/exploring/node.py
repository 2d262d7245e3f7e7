"""Define the nodes of a worker's tree: the worker before each of its steps, by what the steps before have met."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .operation import LOCK, Operation

GRANTED, REFUSED = False, True
"""The results that a lock request meets; loads meet bytes, stores and unlocks nothing (None)."""


class Node:
    """A worker before its next step; once it has finished, `ended` is True and there is no `operation`.

    `data` are the bytes that a store puts there, known once it was run. At the end `seen` are the reports of the whole
    run (kind and evidence) and `failed` is what the worker raised; one that comes after a crash has its reports so far
    anywhere. `results` are those of the calls that it has made. It steps `aside` where its last lock was refused.
    """

    __slots__ = (
        "aside", "data", "ended", "failed", "met", "next", "number", "operation", "parent", "results", "round", "seen",
    )  # fmt: skip

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
        self.results: tuple[Hashable, ...] = ()
        self.aside = parent is not None and parent.aside_after(met)

    def aside_after(self, met: Any) -> bool:
        """Return whether the worker steps aside once its step has met this."""
        return met is REFUSED if self.operation is not None and self.operation.kind == LOCK else self.aside

    @property
    def between_rounds(self) -> bool:
        """Return True where the worker is in no round."""
        return self.ended or self.parent is None or self.round != self.parent.round

    def history(self) -> list[Any]:
        """Return what each step met, from the first on."""
        found = []
        node = self
        while node.parent is not None:
            found.append(node.met)
            node = node.parent
        return found[::-1]
