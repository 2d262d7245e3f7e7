"""One invocation: all cases, one after the other, and the record of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.environment import Begun, anonymous_text, environment
from lab.locks import RECORDER
from lab.processes import Keeper, Terminated, stop_on_sigterm, stops_held
from lab.regions import workspace
from lab.results import SCHEMA, Options, Run
from lab.results import Case as Row

from .matrix import Case, run_case
from .recorded import with_recording
from .strength import held_to


def run(cases: Sequence[Case], options: Options, tell: Callable[[str], None]) -> Run:
    """Race every case; `tell` hears what comes next.

    What is finished when somebody interrupts (Ctrl-C, SIGTERM) is kept, and the record says `interrupted`.
    Raises CannotRunError where the directory cannot be used at all.
    """
    rows: list[Row] = []
    begun, interrupted = Begun(), False
    with Keeper(), workspace(Path(options.directory)) as folder:
        try:
            with stop_on_sigterm():
                for case in cases:
                    tell(case.title)
                    rows.append(held_to(options.detects, run_case(case, options.trials, [folder])))
                    if options.record:
                        rows[-1] = with_recording(rows[-1], case.setting, options.record, [folder])
        except (KeyboardInterrupt, Terminated):
            interrupted = True
        with stops_held():
            where = environment(folder, begun.load, RECORDER)
    return Run(
        schema=SCHEMA,
        command="race",
        started=begun.moment,
        wall_s=begun.wall_s,
        interrupted=interrupted,
        environment=where,
        options=_anonymous(options),
        cases=rows,
    )


def _anonymous(options: Options) -> Options:
    """What was asked for, without the user's name in its paths."""
    return replace(
        options,
        directory=anonymous_text(options.directory),
        program=anonymous_text(options.program),
        check=anonymous_text(options.check),
    )
