"""The records of a benchmark: what was measured, each figure with the samples that it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Environment
from .priced import HarnessCost, LockCost, Noise, Price, Ranges


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What was asked for: regions by name, sizes in bytes, seconds a case (or a region), repeats of each figure.

    Without locks it is copying that is measured. `held` ranges lie on the file already; each pair holds its lock for
    `hold_ns` and waits `think_ns` before the next, spending both at work.
    """

    regions: list[str]
    sizes: list[int]
    directory: str
    seconds: float
    repeats: int
    locks: list[str] = field(default_factory=list)
    prices: list[Price] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    ranges: list[Ranges] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    hold_ns: int = 0
    think_ns: int = 0
    pin: str = "spread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """What one load or store of so many bytes costs in a region, in ns a call.

    Each sample is the mean of `calls` calls; `interval_95` is the bootstrap interval of their median. The region
    `call` is the baseline: a call of the same shape that copies nothing. `reason` says why a region could not be
    measured, and is empty where it was.
    """

    region: str
    access: Literal["load", "store"] = "load"
    bytes: int = 0
    calls: int = 0
    samples_ns: list[float] = field(default_factory=list)
    median_ns: float = 0.0
    interval_95: tuple[float, float] = (0.0, 0.0)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """One invocation of `bench`: of locks, or of copying."""

    schema: int
    command: Literal["bench"]
    started: str
    wall_s: float
    environment: Environment
    options: BenchOptions
    copying: list[Copying]
    locks: list[LockCost] = field(default_factory=list)
    harness: list[HarnessCost] = field(default_factory=list)
    noise: Noise | None = None
    interrupted: bool = False
