"""Layer 2: the record types of each command's document, their JSON Schema, save and load.

A run is one JSON document; every table is made from it and can be made again. Times are in the unit that the name
ends in. The records are dataclasses, and msgspec is imported where it is used: a process that forks pays for every
library that it has mapped.
"""

from __future__ import annotations

from .bench import (
    Bench,
    BenchOptions,
    BenchWorker,
    CaseComparison,
    CompareOptions,
    Comparison,
    Copying,
    Distribution,
    EnvironmentDifference,
    HarnessCost,
    Judgement,
    Latency,
    LeftOutCase,
    LockCost,
    MeasuredRun,
    Noise,
    Price,
    Ranges,
)
from .check import (
    Check,
    CheckOptions,
    CheckVerdict,
    Difference,
    Guarantee,
    Hang,
    LockProbe,
    RandomPrograms,
    RuleResult,
    StressResult,
    Stuck,
    TurnResult,
)
from .common import NEVER, SCHEMA, Damage, Document, Environment, Holds, Mount, Quantiles, Request
from .documents import encode, json_schema, load, load_any, untrusted
from .explore import (
    CaseFailure,
    Crashes,
    Exploration,
    ExploredCase,
    ExploreOptions,
    Replay,
    ReplayOptions,
    SmallestShape,
    Step,
)
from .hosts import Host, Hosts, HostsOptions
from .race import (
    CHECK,
    HOST,
    ITS_OWN,
    Accesses,
    BetweenHosts,
    Block,
    Case,
    Cpu,
    Failure,
    Field,
    HostPart,
    How,
    LockFile,
    Options,
    Recording,
    Run,
    SampledLocks,
    Switches,
    Trial,
    Verdict,
)
from .survey import ActorCall, BackingSurvey, Cell, ComparedLock, LockCell, LockSurvey, Property
from .tutorial import (
    OPERATIONS,
    Account,
    LeftOut,
    Observation,
    Play,
    Plays,
    ShortestFailure,
    Story,
    StoryCall,
    Tour,
    TourStep,
)
from .watch import (
    LockedFile,
    LockNow,
    LockProcess,
    LocksNow,
    Outcome,
    Replayed,
    ReplayedOrder,
    Watch,
    WatchedCall,
    WatchedLocks,
    WatchedProcess,
    WatchFinding,
    WatchOptions,
    WatchStep,
    WatchTimeline,
    groups_of,
)
