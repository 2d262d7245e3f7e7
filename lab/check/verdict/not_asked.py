"""What a check did not ask, so that nobody takes silence for safety."""

from __future__ import annotations

from collections.abc import Sequence

from ..promises import NAMES, PROMISES, Asked
from ..rule import Rule

OF_LOCK_FILES = "O_EXCL, mkdir, link and rename between mounts, on which lock files stand (no check asks)"
"""What a user of two mounts might take `names` for."""


def not_asked(asked: Asked, *, several: bool, left_out: Sequence[Rule]) -> list[str]:
    """One sentence for all guarantees that were not asked for, one for those that need a second directory, one for what
    no check asks of two mounts, and one for each rule that was left out since it may harm a mount.
    """
    names = [name for name in PROMISES if name not in asked.promises]
    for_two = [name for name in names if name in NAMES and not several]
    rest = [name for name in names if name not in for_two]
    said = [f"{', '.join(rest)} (--only)"] if rest else []
    said += [f"{', '.join(for_two)} (takes a second mount of the filesystem)"] if for_two else []
    said += [OF_LOCK_FILES] if several else []
    return said + [f"rule {rule.number}, for {rule.risk}; --faults asks it all the same" for rule in left_out]
