"""What a worker has to say besides its figures: damage that it saw, and how it failed.

Said once, at its end, into a file in memory that all workers inherit (memfd_create(2)); writes to one open
file description do not interleave (write(2), since Linux 3.14). A worker with nothing to say writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

EVIDENCE_KEPT = 3


class Seen(msgspec.Struct):
    """Damage of one kind that one worker saw."""

    count: int = 0
    evidence: list[str] = []


class Report(msgspec.Struct):
    """One worker's words; `error` is empty where it ended well, else the exception in one line."""

    worker: int
    seen: dict[str, Seen]
    error: str = ""
    kind: str = ""
    trace: str = ""


class Reports:
    """What one worker collects while it runs."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def damaged(self, kind: str, evidence: str) -> None:
        """Count one damaged operation, and keep the first few pieces of evidence."""
        seen = self.seen.setdefault(kind, Seen(evidence=[]))
        seen.count += 1
        if len(seen.evidence) < EVIDENCE_KEPT:
            seen.evidence.append(evidence)


class Mailbox:
    """The file in memory; the parent makes it and reads it, the workers write to it."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("lab-reports")

    def send(self, report: Report) -> None:
        """Leave one report, in the worker."""
        os.write(self._descriptor, msgspec.json.encode(report) + b"\n")

    def read(self) -> Iterator[Report]:
        """All whole reports, in the parent, once; a worker killed while it wrote leaves none."""
        size = os.fstat(self._descriptor).st_size
        for line in os.pread(self._descriptor, size, 0).splitlines():
            try:
                yield msgspec.json.decode(line, type=Report)
            except msgspec.DecodeError:
                continue

    def close(self) -> None:
        """Give the memory back."""
        os.close(self._descriptor)
