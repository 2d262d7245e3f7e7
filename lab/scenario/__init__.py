"""Floor 3: what a scenario is, what it may ask of its worker, and how scenarios are found."""

from __future__ import annotations

from .base import EVERY_LOCK, Damage, Outcome, Scenario
from .find import builtin_names, find_installed, find_scenarios, scenario_file
from .found import Found
from .installed import installed_names
from .layout import Layout
from .worker import Worker

__all__ = [
    "EVERY_LOCK",
    "Damage",
    "Found",
    "Layout",
    "Outcome",
    "Scenario",
    "Worker",
    "builtin_names",
    "find_installed",
    "find_scenarios",
    "installed_names",
    "scenario_file",
]
