"""A race as text: what broke, what it cost, what it used, and the sentences under the tables."""

from __future__ import annotations

from lab.results import Run

from . import exploration
from .formats import DEFAULT_FORMAT
from .tables import what_broke, what_it_cost, what_it_used
from .verdicts import conclusions, heading
from .words import plural


def text_of(run: Run, style: str) -> str:
    """The whole report of a run. A format that is not for people gets its tables and nothing else."""
    tables = [what_broke(run, style)]
    if any(case.operations for case in run.cases):
        tables += [what_it_cost(run, style), what_it_used(run, style)]
    if style != DEFAULT_FORMAT:
        return "\n\n".join(tables)
    explanations = [exploration.explanation(case.explanation) for case in run.cases if case.explanation]
    return "\n\n".join([heading(run), *tables, "\n".join(conclusions(run)), *explanations])


def interruption(run: Run) -> str:
    """What is kept of a run that was interrupted; empty where it was not."""
    return f"interrupted; {plural(len(run.cases), 'finished case')} kept" if run.interrupted else ""
