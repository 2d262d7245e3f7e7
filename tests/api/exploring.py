"""Explorations made here, for the tests of what is claimed of them."""

from __future__ import annotations

from lab.exploring.beside_race import _options
from lab.records import SCHEMA, Exploration, ExploredCase
from lab.scenario import find_scenarios
from tests.report.records import CLEAN, run_of

OPTIONS = _options(find_scenarios(["counter"])[0], "none")


def exploration_of(case: ExploredCase) -> Exploration:
    """A document with this row alone."""
    here = run_of(CLEAN)
    return Exploration(
        schema=SCHEMA, started=here.started, wall_s=1.0, environment=here.environment, options=OPTIONS, cases=[case]
    )
