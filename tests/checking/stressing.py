"""What the tests of the stress call in a fresh process, since pytest's own may not fork."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from lab.checking.stress import run
from lab.checking.stress.run import LOCKS, stress
from lab.locking import Leaky, Lock, find_lock
from lab.locking.registry import polled

Told = list[dict[str, Any]]


def stressed(
    folders: Collection[str], asked: Collection[str], seconds: float, workers: int = 4, asleep: Collection[str] = ()
) -> Told:
    """The rows as the document has them, without their samples."""
    heard: list[str] = []
    paths = [Path(folder) for folder in folders]
    rows = list(stress(paths, asked, seconds, 1, workers, heard.append, asleep=asleep))
    assert len(heard) == len(rows)
    left = [entry.name for folder in folders for entry in Path(folder).iterdir()]
    return [{**asdict(row), "left": left} for row in rows]


def stressed_under_a_liar(
    folder: str, asked: Collection[str], seconds: float, probability: float, liars: Collection[str] = LOCKS
) -> Told:
    """The same, with locks that grant falsely with this probability: all of them, or those of these names."""
    lies = Random(1)

    def lying(lock: Lock) -> Lock:
        return Leaky(lock, probability, lies) if lock.name in liars else lock

    vars(run).update(find_lock=lambda name: lying(find_lock(name)), polled=lambda name: lying(polled(name)))
    return stressed([folder], asked, seconds)
