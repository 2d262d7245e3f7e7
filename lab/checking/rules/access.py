"""Rules 96 to 98, 103 and 104: a mapping beside pread and pwrite, and files that are opened inside a lock."""

from __future__ import annotations

from lab.checking.language import REQUESTS
from lab.checking.runner import Rule

from .helpers import BOTH_OPEN


def _beside(call: str) -> str:
    """Return the lock call on the lock file l in place of f."""
    return call.replace(" f ", " l ", 1)


RULES = (
    Rule(
        96,
        "Under a lock pread returns what the holder before stored through a mapping, and a load what it wrote.",
        "mmap(2), MAP_SHARED; write(2); the page cache of Linux, which both use",
        "mixed",
        tuple(
            f"""{BOTH_OPEN}
            A: truncate f 4096
            A: map f 4096
            B: open f as g r
            A: {take}
            A: store f 0 text
            A: {unlock}
            B: {take}
            B: read g 0 4 = text
            B: write f 0 more
            B: {unlock}
            A: {take}
            A: load f 0 4 = more
            """
            for take, _, unlock in REQUESTS.values()
        ),
    ),
    Rule(
        97,
        "Pages of a mapping that were cut off and come back with the size are zeros.",
        "mmap(2), Notes; ftruncate(2)",
        "mixed",
        (
            """
            A: open f
            A: truncate f 8192
            A: map f 8192
            A: store f 4096 text
            A: truncate f 4096
            A: truncate f 8192
            A: load f 4096 4 = ....
            """,
        ),
        unguaranteed="mmap(2) leaves open what a change of the size does to pages that are mapped",
    ),
    Rule(
        98,
        "What was written, synced and closed inside a lock on another file is read by the next holder that opens it.",
        "fsync(2); close(2); nfs(5), Close-to-open cache consistency",
        "whole_file",
        tuple(
            f"""
            A: open l
            B: open l
            A: {_beside(take)}
            A: open f
            A: write f 0 text
            A: sync f
            A: close f
            A: {_beside(unlock)}
            B: {_beside(take)}
            B: open f existing
            B: read f 0 4 = text
            B: write f 0 more
            B: sync f
            B: close f
            B: {_beside(unlock)}
            A: {_beside(take)}
            A: open f existing
            A: read f 0 4 = more
            """
            for take, _, unlock in REQUESTS.values()
        ),
    ),
)

STRESS_RULES = (
    Rule(
        103,
        "Under a lock a mapping and pread both show what the holder before wrote, by whichever of the two.",
        "mmap(2), MAP_SHARED; read(2); write(2)",
        "mixed",
        part="stress",
    ),
    Rule(
        104,
        "A file that is opened, read, written, synced and closed inside a lock on another file loses no update.",
        "fsync(2); close(2); nfs(5), Close-to-open cache consistency",
        "whole_file",
        part="stress",
    ),
)
