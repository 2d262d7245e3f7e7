"""Floor 1: the record types of each command's document, their JSON Schema, save and load.

A run is one JSON document; every table is made from it and can be made again. Times are in the unit that the name
ends in. The records are dataclasses, and msgspec is imported where it is used: a process that forks pays for every
library that it has mapped.
"""

from __future__ import annotations

from .checked import (
    Answered,
    Check,
    CheckOptions,
    Difference,
    Mount,
    Promise,
    RandomPrograms,
    RuleResult,
    Soaked,
    Stuck,
)
from .common import SCHEMA, Damage, Environment
from .documents import Document, encode, json_schema, load, load_any
from .explored import CaseFailure, Exploration, Explored, ExploreOptions, Replay, ReplayOptions, Shrunk, Step
from .raced import Case, Cpu, Failure, Options, Quantiles, Run, Switches, Trial, Verdict

__all__ = [
    "SCHEMA",
    "Answered",
    "Case",
    "CaseFailure",
    "Check",
    "CheckOptions",
    "Cpu",
    "Damage",
    "Difference",
    "Document",
    "Environment",
    "Exploration",
    "ExploreOptions",
    "Explored",
    "Failure",
    "Mount",
    "Options",
    "Promise",
    "Quantiles",
    "RandomPrograms",
    "Replay",
    "ReplayOptions",
    "RuleResult",
    "Run",
    "Shrunk",
    "Soaked",
    "Step",
    "Stuck",
    "Switches",
    "Trial",
    "Verdict",
    "encode",
    "json_schema",
    "load",
    "load_any",
]
