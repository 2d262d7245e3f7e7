"""What a lock costs that nobody else wants."""

from __future__ import annotations

from .deeds import SAMPLES, Locked
from .found import Found
from .process import Process
from .stage import Stage, Unclear


def pair(stage: Stage) -> Found:
    """One process locks and unlocks, again and again."""
    alone = Process("A", stage)
    samples = alone.does("cost", *Locked(), told_as=f"locks and unlocks, {SAMPLES} samples")
    if not isinstance(samples, list):
        raise Unclear(f"{alone.name}: {samples}")
    return Found("measured", samples_ns=samples)
