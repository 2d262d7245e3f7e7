"""A benchmark of locks made by hand, for its pictures: what it measured, without measuring."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.records import Bench, BenchOptions, Distribution, Holds, Latency, LockCost
from tests.report.records import ENVIRONMENT, header

OPTIONS = BenchOptions(backings=[], sizes=[], directory="/mnt/secret", seconds=1.0, repeats=5)
TIMES = Distribution(from_ns=[500, 520, 1_000, 90_000], count=[600, 300, 90, 10])
WAITED = Latency(count=1000, p50=500, p90=520, p99=1_000, p999=90_000, max=91_000)


def taking_turns(workers: int, count: int = 40) -> Holds:
    """Each holds for 800 ns; the next has waited for 700 ns by then, and is granted the lock 100 ns later."""
    made = Holds()
    for number in range(count):
        granted = 10_000 + 900 * number
        facts = (number % workers, granted - 800, granted, granted + 800, 0, 1, 1)
        columns = (
            made.worker, made.requested_ns, made.granted_ns, made.released_ns, made.start, made.length, made.write,
        )  # fmt: skip
        for column, fact in zip(columns, facts, strict=True):
            column.append(fact)
    return made


def queue(lock: str, workers: int, ns: float, **facts: Any) -> LockCost:
    """A queue's price: its interval is from 4/5 to 5/4 of it."""
    return replace(
        LockCost(
            name=f"{lock} queue, {workers} workers",
            lock=lock,
            price="queue",
            workers=workers,
            samples_ns=[ns] * 5,
            median_ns=ns,
            interval_95=(0.8 * ns, 1.25 * ns),
            latency=WAITED,
            distribution=TIMES,
            holds=taking_turns(workers),
        ),
        **facts,
    )


def alone(lock: str, ns: float, **facts: Any) -> LockCost:
    """The price of a lock that nobody else wants."""
    return queue(lock, 1, ns, **{"name": f"{lock} uncontended", "price": "uncontended", **facts})


def bench_of(*costs: LockCost, **options: Any) -> Bench:
    """A benchmark with these cases; the options are those of `OPTIONS` but for the changes given."""
    return Bench(
        **header(ENVIRONMENT),
        options=replace(OPTIONS, locks=[cost.lock for cost in costs], **options),
        copying=[],
        locks=list(costs),
    )
