"""What parent and workers of a replay pass among them: the turn, and in shared memory what a worker has to say."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

GO, BLOCK, START, DONE, DIVERGED = b"g", b"b", b"s", b"d", b"x"
HUB = -1
SLOT = 1 << 16
TOLD = 20
SHOWN = 400
"""Bytes of shared memory for what a worker has to say, and how many reports of how many characters that is at most."""


@dataclass(frozen=True, slots=True)
class Pipes:
    """The ends that the workers and the parent pass the turn through; the parent's are the last of each list."""

    reading: list[int]
    writing: list[int]

    @classmethod
    def make(cls, workers: int) -> Pipes:
        """One pipe for each worker and one for the parent."""
        pairs = [os.pipe() for _ in range(workers + 1)]
        return cls([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def close(self) -> None:
        """Close all of them here."""
        for end in self.reading + self.writing:
            os.close(end)


def digest(reports: Sequence[tuple[str, str]]) -> str:
    """Equal for equal reports."""
    return blake2b(json.dumps([list(each) for each in reports]).encode(), digest_size=16).hexdigest()


SILENT: dict[str, Any] = {"divergence": "", "digest": digest([]), "seen": [], "raised": ""}
"""What a worker says that has nothing to say."""


def said(slot: memoryview) -> dict[str, Any]:
    """What a worker left in its slot; nothing is the usual case."""
    length = int.from_bytes(slot[:4], "little")
    return json.loads(bytes(slot[4 : 4 + length])) if length else {**SILENT}
