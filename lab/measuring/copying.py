"""Measure what it costs to copy bytes out of a backing and into it: the mapping against read and write.

Loads and stores of the same size go to every backing in one process, one after the other, forwards in one repeat and
backwards in the next, so that a machine that grows slower favours none of them. The bytes are touched before: the
measurement covers the copy and the call, not the first page fault. The baseline is a call of the same shape that copies
nothing: it shows what Python itself costs in every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import product, repeat
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Literal

from lab.analysis.statistics import median_interval
from lab.errors import CannotRunError, LabError
from lab.memory import OpenFile, find_backing
from lab.records import BenchOptions, Copying

Access = Literal["load", "store"]
ACCESSES: tuple[Access, ...] = ("load", "store")
BASELINE = "call"
SIZES = (64, 4096, 1 << 20)
NOTHING = nullcontext()
FIRST_CALLS = 4
CALIBRATED_NS = 200_000


class NoBytes:
    """The baseline: the same calls, which copy nothing."""

    def load(self, start: int, length: int) -> None:
        """Do nothing."""

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Candidate:
    """One backing, one access, one size: the call to be timed, and its times."""

    backing: str
    access: Access
    size: int
    call: Callable[[], object]
    calls: int = FIRST_CALLS
    samples_ns: list[float] = field(default_factory=list)

    def calibrate(self, slice_ns: float) -> None:
        """Find out how many calls take about so long; this also warms up what they touch."""
        while (took := self._time()) < min(CALIBRATED_NS, slice_ns):
            self.calls *= 2
        self.calls = max(1, round(self.calls * slice_ns / took))

    def measure(self) -> None:
        """Take one more sample: ns for one call."""
        self.samples_ns.append(round(self._time() / self.calls, 2))

    def _time(self) -> int:
        call = self.call
        began = perf_counter_ns()
        for _ in repeat(None, self.calls):
            call()
        return perf_counter_ns() - began

    @property
    def record(self) -> Copying:
        """Return the result, with the bootstrap interval of the median."""
        samples = self.samples_ns
        return Copying(
            backing=self.backing,
            access=self.access,
            bytes=self.size,
            calls=self.calls,
            samples_ns=samples,
            median_ns=round(median(samples), 2),
            interval_95=median_interval(samples, seed=f"{self.backing}/{self.access}/{self.size}"),
        )


def copy_costs(options: BenchOptions, folder: Path, tell: Callable[[str], None]) -> Iterator[Copying]:
    """Yield the rows: the baseline, then each backing, each with every access and size.

    A backing that does not work in this folder gives one row with the reason. Raise CannotRunError where there is no
    memory for the sizes.
    """
    try:
        yield from _copy_costs(options, folder, tell)
    except (MemoryError, OverflowError) as error:
        raise CannotRunError(
            f"--sizes: no memory for {max(options.sizes):,} bytes at once; ask for less, or raise the limit (ulimit -v)"
        ) from error


def _copy_costs(options: BenchOptions, folder: Path, tell: Callable[[str], None]) -> Iterator[Copying]:
    with ExitStack() as opened:
        refused: list[Copying] = []
        candidates = list(_candidates(BASELINE, NoBytes(), [0]))
        for name in options.backings:
            try:
                file = _opened(opened, name, folder, max(options.sizes))
            except (LabError, OSError) as error:
                refused.append(Copying(backing=name, reason=str(error)))
            else:
                candidates += _candidates(name, file, options.sizes)
        _time_all(candidates, options, tell)
        yield from (candidate.record for candidate in candidates if candidate.samples_ns)
        yield from refused


def _opened(opened: ExitStack, name: str, folder: Path, size: int) -> OpenFile:
    path = folder / name
    shared = opened.enter_context(find_backing(name).share(path, bytes(size), sparse=False))
    file = shared.open(path)
    opened.callback(file.close)
    return file


def _candidates(name: str, file: OpenFile | NoBytes, sizes: Sequence[int]) -> Iterator[Candidate]:
    for access, size in product(ACCESSES, sizes):
        call = partial(file.load, 0, size) if access == "load" else partial(file.store, 0, bytes(size))
        yield Candidate(name, access, size, call if isinstance(file, NoBytes) else _as_locked(file, call))


def _as_locked(file: OpenFile, call: Callable[[], object]) -> Callable[[], object]:
    """Return the call with what the backing does around it inside every lock, where it does anything."""
    held = file.around(NOTHING)
    if held is NOTHING:
        return call

    def within() -> None:
        with held:
            call()

    return within


def _time_all(candidates: list[Candidate], options: BenchOptions, tell: Callable[[str], None]) -> None:
    slice_ns = 1e9 * options.seconds * len(options.backings) / (len(candidates) * (options.repeats + 1))
    tell("warming up")
    for candidate in candidates:
        candidate.calibrate(slice_ns)
    for number in range(options.repeats):
        tell(f"repeat {number + 1} of {options.repeats}")
        for candidate in candidates[:: -1 if number % 2 else 1]:
            candidate.measure()
