"""Floor 1: the record types of each command's document, their JSON Schema, save and load.

A run is one JSON document; every table is made from it and can be made again. Times are in the unit that the name
ends in. The records are dataclasses, and msgspec is imported where it is used: a process that forks pays for every
library that it has mapped.
"""

from __future__ import annotations

from .benched import Bench, BenchOptions, Copying
from .checked import (
    Answered,
    Check,
    CheckOptions,
    Difference,
    Hang,
    Mount,
    Promise,
    RandomPrograms,
    RuleResult,
    Soaked,
    Stuck,
)
from .chosen import ComparedLock, LockCell, LocksCompared, Shown
from .common import SCHEMA, Damage, Environment
from .compared import Cell, Property, RegionsCompared
from .comparison import Compared, CompareOptions, Comparison, Judgement, Measured, NotCompared, Unlike
from .documents import Document, encode, json_schema, load, load_any
from .explored import CaseFailure, Exploration, Explored, ExploreOptions, Replay, ReplayOptions, Shrunk, Step
from .played import OPERATIONS, LeftOut, Play, Plays, ShortestFailure
from .priced import BenchWorker, Distribution, HarnessCost, Latency, LockCost, Noise, Price, Ranges
from .raced import (
    ITS_OWN,
    Case,
    Cpu,
    Failure,
    How,
    LockFile,
    Options,
    Quantiles,
    Run,
    Sampled,
    Switches,
    Trial,
    Verdict,
)
from .recorded import Accesses, Block, Field, Holds, Recording
from .told import Story, Telling, Told
from .toured import Observation, Tour, TourStep
from .untrusted import untrusted

__all__ = [
    "ITS_OWN",
    "OPERATIONS",
    "SCHEMA",
    "Accesses",
    "Answered",
    "Bench",
    "BenchOptions",
    "BenchWorker",
    "Block",
    "Case",
    "CaseFailure",
    "Cell",
    "Check",
    "CheckOptions",
    "CompareOptions",
    "Compared",
    "ComparedLock",
    "Comparison",
    "Copying",
    "Cpu",
    "Damage",
    "Difference",
    "Distribution",
    "Document",
    "Environment",
    "Exploration",
    "ExploreOptions",
    "Explored",
    "Failure",
    "Field",
    "Hang",
    "HarnessCost",
    "Holds",
    "How",
    "Judgement",
    "Latency",
    "LeftOut",
    "LockCell",
    "LockCost",
    "LockFile",
    "LocksCompared",
    "Measured",
    "Mount",
    "Noise",
    "NotCompared",
    "Observation",
    "Options",
    "Play",
    "Plays",
    "Price",
    "Promise",
    "Property",
    "Quantiles",
    "RandomPrograms",
    "Ranges",
    "Recording",
    "RegionsCompared",
    "Replay",
    "ReplayOptions",
    "RuleResult",
    "Run",
    "Sampled",
    "ShortestFailure",
    "Shown",
    "Shrunk",
    "Soaked",
    "Step",
    "Story",
    "Stuck",
    "Switches",
    "Telling",
    "Told",
    "Tour",
    "TourStep",
    "Trial",
    "Unlike",
    "Verdict",
    "encode",
    "json_schema",
    "load",
    "load_any",
    "untrusted",
]
