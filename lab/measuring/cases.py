"""List the cases of a benchmark of locks: each kind of cost of each lock, along the axes that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.analysis.statistics import plural
from lab.errors import CannotRunError, UsageError
from lab.locking import NATIVE, Lock
from lab.locking.registry import KERNEL
from lab.records import BenchOptions, LockCost, Price, Ranges

PRICES: tuple[Price, ...] = ("uncontended", "hand-off", "queue")
MOST_HELD = 10_000
_PINNED = {"none": "not pinned", "spread": "", "one": "on one CPU"}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table, before it is measured; the fields are those of `lab.records.LockCost`."""

    lock: Lock
    price: Price
    workers: int
    ranges: Ranges
    held: int
    backing: str
    hold_ns: int
    think_ns: int
    pin: str
    native: bool = False

    @property
    def name(self) -> str:
        """Return the name that distinguishes it from all others; defaults are left out, to pair up with other runs."""
        parts: dict[str, object] = {
            plural(self.workers, "worker"): self.price != "uncontended",
            "disjoint": self.ranges == "disjoint",
            f"{self.held:,} held": self.held,
            self.backing: self.backing and not self.native,
            f"hold {self.hold_ns / 1000:g} us": self.hold_ns,
            f"think {self.think_ns / 1000:g} us": self.think_ns,
            _PINNED[self.pin]: self.pin != "spread",
            "native": self.native,
        }
        return ", ".join([f"{self.lock.name} {self.price}", *(words for words, named in parts.items() if named)])

    @property
    def unable(self) -> str:
        """Return why the lock has no such case; empty where it has."""
        if self.lock.has_ranges or not (self.held or self.ranges == "disjoint"):
            return ""
        return f"{self.lock.name} locks the whole file: it has no ranges apart"

    def row(self, reason: str) -> LockCost:
        """Return the row of this case without figures; with the reason where none will follow."""
        return LockCost(
            name=self.name,
            lock=self.lock.name,
            price=self.price,
            workers=self.workers,
            ranges=self.ranges,
            held=self.held,
            backing=self.backing,
            hold_ns=self.hold_ns,
            think_ns=self.think_ns,
            pin=self.pin,
            native=self.native,
            reason=reason,
            exists=not self.unable,
        )


def cases_of(lock: Lock, options: BenchOptions) -> Iterator[Case]:
    """Yield the cases of one lock: alone once, hand-offs from two workers on, queues of every length and range.

    Holding a lock for some time, and waiting before the next, belong to the queue.
    """
    for backing in options.backings or [""]:
        for held in options.held:
            for price, workers, ranges in _situations(options):
                queues = price == "queue"
                yield Case(
                    lock=lock,
                    price=price,
                    workers=workers,
                    ranges=ranges,
                    held=held,
                    backing=backing,
                    hold_ns=options.hold_ns if queues else 0,
                    think_ns=options.think_ns if queues else 0,
                    pin=options.pin,
                    native=options.native,
                )


def _situations(options: BenchOptions) -> Iterator[tuple[Price, int, Ranges]]:
    for price in options.prices:
        if price == "uncontended":
            yield price, 1, "same"
        for workers in options.workers:
            if price == "hand-off" and workers > 1:
                yield price, workers, "same"
            elif price == "queue":
                yield from ((price, workers, ranges) for ranges in options.ranges)


def check_native(locks: Sequence[str], *, backing: bool, busy: bool) -> None:
    """Raise UsageError for what the loops in C do not do, CannotRunError where they are not compiled."""
    for name in locks:
        if name not in KERNEL:
            raise UsageError(f"--native --lock {name}: only the kernel's locks have a loop in C: {', '.join(KERNEL)}")
    if backing:
        raise UsageError("--native adds in the mapped file; leave out --backing")
    if busy:
        raise UsageError("--native: nothing but one addition is inside; leave out --hold and --think")
    if not NATIVE:
        raise CannotRunError(
            "--native needs the lab's compiled part: install again with a C compiler and Python.h, without LAB_PURE"
        )
