"""One invocation of `bench`, and the record of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lab.environment import Begun, anonymous_text, environment
from lab.regions import workspace
from lab.results import SCHEMA, Bench, BenchOptions

from .copying import copy_costs


def run(options: BenchOptions, tell: Callable[[str], None]) -> Bench:
    """Measure what the options ask for, in a fresh directory inside the one that they name.

    Raises CannotRunError where that directory cannot be used.
    """
    begun = Begun()
    with workspace(Path(options.directory)) as folder:
        copying = list(copy_costs(options, folder, tell))
        where = environment(folder, begun.load)
    return Bench(
        schema=SCHEMA,
        command="bench",
        started=begun.moment,
        wall_s=begun.wall_s,
        environment=where,
        options=replace(options, directory=anonymous_text(options.directory)),
        copying=[replace(each, reason=anonymous_text(each.reason)) for each in copying],
    )
