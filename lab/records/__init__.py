"""Layer 2: the record types of each command's document, their JSON Schema, save and load.

A run is one JSON document; every table is made from it and can be made again. Times are in the unit that the name
ends in. The records are dataclasses, which take some time to make: a module of them is imported when a name of it is
asked for. msgspec is imported where it is used: a process that forks pays for every library that it has mapped.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        CutOffCall,
        Difference,
        Guarantee,
        Hang,
        LockProbe,
        PartitionResult,
        RandomPrograms,
        RuleResult,
        StressResult,
        Stuck,
        TurnResult,
    )
    from .common import NEVER, SCHEMA, Damage, Document, Environment, Holds, Mount, Quantiles, Request
    from .documents import encode, json_schema, load, load_any, untrusted
    from .explore import (
        CallMade,
        CaseFailure,
        Crashes,
        Exploration,
        ExploredCase,
        ExploreOptions,
        OnDisk,
        Programs,
        Replay,
        ReplayOptions,
        SmallestShape,
        Step,
    )
    from .history import History, HistoryCall, HistoryCore, HistoryOptions, HistoryVerdict, RefutedOrder
    from .hosts import BetweenHosts, Host, HostPart, Hosts, HostsOptions
    from .race import (
        CHECK,
        HOST,
        ITS_OWN,
        RECOVERY,
        Accesses,
        Block,
        Case,
        Cpu,
        Failure,
        Field,
        How,
        LockFile,
        Options,
        RacedCalls,
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
        Plug,
        ShortestFailure,
        Story,
        StoryCall,
        Tour,
        TourStep,
        WhatIsFound,
        WhatIsLeft,
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

_NAMES = {
    "bench": (
        "Bench BenchOptions BenchWorker CaseComparison CompareOptions Comparison Copying Distribution "
        "EnvironmentDifference HarnessCost Judgement Latency LeftOutCase LockCost MeasuredRun Noise Price "
        "Ranges"
    ),
    "check": (
        "Check CheckOptions CheckVerdict CutOffCall Difference Guarantee Hang LockProbe PartitionResult "
        "RandomPrograms RuleResult StressResult Stuck TurnResult"
    ),
    "common": "NEVER SCHEMA Damage Document Environment Holds Mount Quantiles Request",
    "documents": "encode json_schema load load_any untrusted",
    "explore": (
        "CallMade CaseFailure Crashes Exploration ExploredCase ExploreOptions OnDisk Programs Replay "
        "ReplayOptions SmallestShape Step"
    ),
    "history": "History HistoryCall HistoryCore HistoryOptions HistoryVerdict RefutedOrder",
    "hosts": "BetweenHosts Host HostPart Hosts HostsOptions",
    "race": (
        "CHECK HOST ITS_OWN RECOVERY Accesses Block Case Cpu Failure Field How LockFile Options "
        "RacedCalls Recording Run SampledLocks Switches Trial Verdict"
    ),
    "survey": "ActorCall BackingSurvey Cell ComparedLock LockCell LockSurvey Property",
    "tutorial": "OPERATIONS Account LeftOut Observation Play Plays Plug ShortestFailure Story StoryCall Tour "
    "TourStep WhatIsFound WhatIsLeft",
    "watch": (
        "LockedFile LockNow LockProcess LocksNow Outcome Replayed ReplayedOrder Watch WatchedCall "
        "WatchedLocks WatchedProcess WatchFinding WatchOptions WatchStep WatchTimeline groups_of"
    ),
}
"""The names of each module; those above are for tools that read the source."""

_PLACES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import the module of a name when it is asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    return value
