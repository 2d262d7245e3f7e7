"""One invocation of `bench`, and the record of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lab.host.environment import RunStart, anonymous_text, environment
from lab.locks import RECORDER
from lab.memory import workspace
from lab.records import Bench, BenchOptions, Copying, Noise

from .prices import Prices, price


def run(options: BenchOptions, tell: Callable[[str], None]) -> Bench:
    """Measure what the options ask for, in a fresh directory inside the one that they name.

    Raises CannotRunError where that directory cannot be used.
    """
    begun = RunStart()
    with workspace(Path(options.directory)) as folder:
        prices = price(options, folder, tell) if options.locks else None
        copying = [] if prices else _copying(options, folder, tell)
        where = environment(folder, begun.load, RECORDER if prices else "none")
    done = Bench(
        **begun.header(where),
        options=replace(options, directory=anonymous_text(options.directory)),
        copying=copying,
    )
    return _with_prices(done, prices) if prices else done


def _copying(options: BenchOptions, folder: Path, tell: Callable[[str], None]) -> list[Copying]:
    from .copying import copy_costs  # it draws random numbers, which those who fork must not

    return [replace(each, reason=anonymous_text(each.reason)) for each in copy_costs(options, folder, tell)]


def _with_prices(done: Bench, prices: Prices) -> Bench:
    from .rows import harness_cost, lock_cost

    return replace(
        done,
        locks=[lock_cost(each) for each in prices.cases],
        harness=[harness_cost(each) for each in prices.harness],
        noise=Noise(prices.others.cores, *prices.clock),
        interrupted=prices.interrupted,
    )
