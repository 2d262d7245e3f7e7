"""One invocation of `explore`: all cases, one after the other, and the record of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.environment import Begun, environment
from lab.errors import LabError
from lab.processes import Terminated, stop_on_sigterm
from lab.results import SCHEMA, CaseFailure, Exploration, Explored, ExploreOptions
from lab.scenario import Scenario

from .bypass import Bypass
from .case import Case, Interrupted, explore


def run(cases: Sequence[Case], options: ExploreOptions, tell: Callable[[str], None]) -> Exploration:
    """Explore every case; `tell` hears what comes next. What was covered when somebody interrupts is kept.

    So are the other cases where one cannot be explored; the error of the only one is raised.
    """
    rows: list[Explored] = []
    begun = Begun()
    interrupted = False
    failures: list[CaseFailure] = []
    bypassed: dict[type[Scenario], Bypass] = {}
    try:
        with stop_on_sigterm():
            for case in cases:
                tell(case.title)
                try:
                    if case.found.kind in bypassed:
                        raise bypassed[case.found.kind]
                    rows.append(explore(case, options))
                except LabError as error:
                    if len(cases) == 1:
                        raise
                    if isinstance(error, Bypass):  # what it left behind would not be seen to change a second time
                        bypassed[case.found.kind] = error
                    failures.append(CaseFailure(case.title, str(error), error.exit_code))
    except Interrupted as stop:
        rows.append(stop.case)
        interrupted = True
    except (KeyboardInterrupt, Terminated):
        interrupted = True
    return Exploration(
        schema=SCHEMA,
        command="explore",
        started=begun.moment,
        wall_s=begun.wall_s,
        interrupted=interrupted,
        environment=environment(None, begun.load),
        options=options,
        cases=rows,
        failures=failures,
    )
