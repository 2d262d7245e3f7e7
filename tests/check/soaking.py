"""What the tests of the soak call in a fresh process, since pytest's own may not fork."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from lab.check.soak import races as module
from lab.check.soak.races import soak
from lab.locks import Leaky, find_lock
from lab.locks.polled import polled

Told = list[dict[str, Any]]


def soaked(folders: Collection[str], asked: Collection[str], seconds: float, workers: int = 4) -> Told:
    """The rows as the document has them, without their samples."""
    heard: list[str] = []
    rows = list(soak([Path(folder) for folder in folders], asked, seconds, 1, workers, heard.append))
    assert len(heard) == len(rows)
    left = [entry.name for folder in folders for entry in Path(folder).iterdir()]
    return [{**asdict(row), "left": left} for row in rows]


def soaked_under_a_liar(folder: str, asked: Collection[str], seconds: float, probability: float) -> Told:
    """The same, with locks that grant falsely with this probability."""
    lies = Random(1)
    vars(module).update(
        find_lock=lambda name: Leaky(find_lock(name), probability, lies),
        polled=lambda name: Leaky(polled(name), probability, lies),
    )
    return soaked([folder], asked, seconds)
