"""Layer 4: the scenario, the worker that runs it, and the search for scenarios by name."""

from __future__ import annotations

from lab.memory.struct_proxy import Layout

from .base import EVERY_LOCK, Damage, Outcome, Scenario, Worker, paged
from .find import (
    Found,
    find_installed,
    find_scenarios,
    installed_names,
    scenario_file,
)
from .operations import Operations

__all__ = [
    "EVERY_LOCK",
    "Damage",
    "Found",
    "Layout",
    "Operations",
    "Outcome",
    "Scenario",
    "Worker",
    "find_installed",
    "find_scenarios",
    "installed_names",
    "paged",
    "scenario_file",
]
