"""One invocation of `explore`: all cases, one after the other, and the record of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from lab.environment import environment
from lab.results import SCHEMA, Exploration, Explored, ExploreOptions

from .case import Case, Interrupted, explore


def run(cases: Sequence[Case], options: ExploreOptions, tell: Callable[[str], None]) -> Exploration:
    """Explore every case; `tell` hears what comes next. What was covered when somebody interrupts is kept."""
    rows: list[Explored] = []
    load = os.getloadavg()[0]
    started, clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic()
    interrupted = False
    try:
        for case in cases:
            tell(case.title)
            rows.append(explore(case, options))
    except Interrupted as stop:
        rows.append(stop.case)
        interrupted = True
    except KeyboardInterrupt:
        interrupted = True
    return Exploration(
        schema=SCHEMA,
        command="explore",
        started=started,
        wall_s=round(time.monotonic() - clock, 3),
        interrupted=interrupted,
        environment=environment(None, load),
        options=options,
        cases=rows,
    )
