"""Cases for the tests that race: called in a fresh process, since pytest's own may not fork."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lab.racing import Case, cases_of, race_for
from lab.racing.cases import run_case
from lab.records import Options
from lab.scenario import Found, Scenario, find_scenarios


def case_of(scenario: str | type[Scenario], lock: str, backing: str = "", **changed: Any) -> Case:
    """The case of a built-in scenario by name, or of a class; `changed` are fields of its setting."""
    found = find_scenarios([scenario])[0] if isinstance(scenario, str) else Found("mine", scenario, "")
    options = Options(
        scenarios=[],
        locks=[lock],
        workers=[4],
        rounds=None,
        trials=1,
        directory="",
        seed=1,
        pin=None,
        window_ns=0,
        leak=0.0,
        time_limit_s=30.0,
        faults="none",
    )
    (case,) = cases_of([found], options)
    chosen = {"backing": backing or case.setting.backing, **changed}
    return replace(case, setting=replace(case.setting, **chosen))


def raced(case: Case, folders: Sequence[str], *, seconds: float = 0, trials: int = 1) -> dict[str, Any]:
    """Its row, raced for a time or for some trials; and what is left in the folders."""
    paths = [Path(folder) for folder in folders]
    row = race_for(case, paths, seconds) if seconds else run_case(case, trials, paths)
    return {**asdict(row), "left": [entry.name for path in paths for entry in path.iterdir()]}
