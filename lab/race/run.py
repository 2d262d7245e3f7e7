"""One invocation: all cases, one after the other, and the record of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.environment import anonymous_text, environment
from lab.processes import Terminated, stop_on_sigterm, stops_held
from lab.regions import workspace
from lab.results import SCHEMA, Options, Run
from lab.results import Case as Row

from .hold import RECORDER
from .matrix import Case, run_case


def run(cases: Sequence[Case], options: Options, tell: Callable[[str], None]) -> Run:
    """Race every case; `tell` hears what comes next.

    What is finished when somebody interrupts (Ctrl-C, SIGTERM) is kept, and the record says `interrupted`.
    Raises CannotRunError where the directory cannot be used at all.
    """
    rows: list[Row] = []
    load = os.getloadavg()[0]
    started, clock, interrupted = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic(), False
    with workspace(Path(options.directory)) as folder:
        try:
            with stop_on_sigterm():
                for case in cases:
                    tell(case.title)
                    rows.append(run_case(case, options.trials, folder))
        except (KeyboardInterrupt, Terminated):
            interrupted = True
        with stops_held():
            where = environment(folder, load, RECORDER)
    return Run(
        schema=SCHEMA,
        command="race",
        started=started,
        wall_s=round(time.monotonic() - clock, 3),
        interrupted=interrupted,
        environment=where,
        options=replace(options, directory=anonymous_text(options.directory)),
        cases=rows,
    )
