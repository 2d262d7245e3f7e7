"""Recordings written by hand, and the run that they belong to."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace

from lab.records import Accesses, Block, Case, Damage, Field, Holds, Recording
from tests.report.records import CLEAN, UNLOCKED

LOAD, STORE, REPORT = range(3)
VALUE = Field(name="value", start=0, size=8, kind="unsigned", dimensions=[])
Row = tuple[int, int, int, int, int, bytes]
"""Worker, round, kind, begin, end, bytes: of the whole counter."""


def word(number: int) -> bytes:
    return number.to_bytes(8, "little")


def accesses_of(rows: Sequence[Row]) -> Accesses:
    ordered = sorted(rows, key=lambda row: row[3])
    return Accesses(
        worker=[row[0] for row in ordered],
        round=[row[1] for row in ordered],
        kind=[row[2] for row in ordered],
        begun_ns=[row[3] for row in ordered],
        ended_ns=[row[4] for row in ordered],
        start=[0 for row in ordered],
        length=[len(row[5]) if row[2] != REPORT else 0 for row in ordered],
        kept=[len(row[5]) for row in ordered],
        content=b64encode(zlib.compress(b"".join(row[5] for row in ordered))).decode(),
    )


def counted(rows: Sequence[Row], left: int, holds: Holds | None = None) -> Recording:
    """A recording of the counter, which holds this at its end."""
    last = max([row[4] for row in rows], default=0)
    return Recording(
        rounds=2,
        done=[2, 2],
        attempts=1,
        wall_ns=last,
        size=8,
        fields=[VALUE],
        blocks=[Block(0, word(0).hex(), word(left).hex())],
        holds=holds or Holds(),
        accesses=accesses_of(rows),
    )


LOST_ROWS: list[Row] = [
    (0, 0, LOAD, 1000, 1100, word(0)),
    (1, 0, LOAD, 1200, 1300, word(0)),
    (0, 0, STORE, 2000, 2100, word(1)),
    (1, 0, STORE, 3000, 3100, word(1)),
    (0, 1, LOAD, 4000, 4100, word(1)),
    (0, 1, STORE, 5000, 5100, word(2)),
]
FOUND = [Damage("lost update", 1, 3, [])]
LOST = replace(UNLOCKED, recording=replace(counted(LOST_ROWS, 2), damage=FOUND))
"""Worker 1 stores 1 over worker 0's 1, which it had not seen."""


def held(count: int) -> Case:
    """Two workers that take turns, this many holds together; each adds 1 under its lock."""
    rows: list[Row] = []
    holds = Holds()
    for number in range(count):
        begun, worker = 1000 * number, number % 2
        columns = (holds.worker, holds.requested_ns, holds.granted_ns, holds.released_ns, holds.start, holds.length)
        for column, value in zip(columns, (worker, begun - 500, begun, begun + 900, 0, 8), strict=True):
            column.append(value)
        holds.write.append(1)
        rows.append((worker, number // 2, LOAD, begun + 100, begun + 150, word(number)))
        rows.append((worker, number // 2, STORE, begun + 500, begun + 550, word(number + 1)))
    return replace(CLEAN, recording=counted(rows, count, holds))
