"""Define the records of an exploration and of a replay: what was covered, and the interleaving that breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Damage, Header
from .history import RefutedOrder

Verdict = Literal["broken", "holds", "unknown"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a schedule: what the worker did, where, and what it loaded or stored.

    `operation` is "load", "store", "lock", "unlock" or "sync"; for a call on a file or on names "create", "open",
    "read", "write", "rename" or "unlink", whose value is what was read or written, or the error that it met; "nothing"
    for a call of an operation that touches no byte; "pause" of a worker that would read the same until another stores
    something; also "killed", the end of the worker, and "power", the end of all (`worker` is -1), whose value says what
    is old on the disk. `value` is a number or bytes in hexadecimal,
    and for a lock "exclusive", "shared", "EDEADLK" (refused), "gives up" (a shared flock, to wait for it as an
    exclusive one) or "waits" (for ever, after the last step). `turn` says how the worker came to its turn:
    "same" (it had it), "preempted" (the one before could have gone on), "free" (the one before waited, had finished, or
    was refused).
    `start` and `length` are bytes of the file; length 0 runs to its end and beyond.
    """

    worker: int
    round: int
    operation: Literal[
        "load", "store", "lock", "unlock", "sync", "nothing", "pause",
        "create", "open", "read", "write", "rename", "unlink",
        "killed", "power",
    ]  # fmt: skip
    field: str
    value: int | float | str | None
    turn: Literal["same", "preempted", "free"]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class SmallestShape:
    """The smallest shape in which the same corruption was found, and from how many steps it was reduced."""

    workers: int
    rounds: int
    schedules: int
    steps_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashes:
    """What crashed in an exploration: "kill" a worker, or "power" all of them; in a row `at_most` so many.

    `points` are the moments at which something crashed, `images` the different files that these may leave, as far as a
    disk that writes `unit_bytes` whole decides (null for a kill, which leaves what was stored), and `recoveries` those
    that were run: a part of the file that recovery does not read is not decided. A failure `needed` so many crashes;
    its `cause` says which model it takes to break it.
    """

    kind: Literal["kill", "power"]
    unit_bytes: int | None
    at_most: int
    points: int
    images: int
    recoveries: int
    needed: int | None = None
    cause: Literal["", "without a crash", "recovery", "half an update", "not durable", "out of order"] = ""


@dataclass(frozen=True, slots=True)
class CallMade:
    """A call of an operation in a schedule, `put(10)`, its result as text, and its first and last step, from 1."""

    worker: int
    call: str
    result: str
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The programs of calls that were explored: up to so many `operations` by so many `workers`.

    `count` programs were explored; all of those with up to `complete` operations were (0: not all of any number). Of
    the first program that breaks there are its `calls`, and `orders` of them, each of which contradicts a result;
    `more_orders` do too.
    """

    operations: int
    workers: list[int]
    count: int
    complete: int
    calls: list[CallMade] = field(default_factory=list)
    orders: list[RefutedOrder] = field(default_factory=list)
    more_orders: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploredCase:
    """The exploration of one case: scenario x lock x workers x rounds.

    `schedules` counts runs, each of one schedule to its end, and `broken_schedules` those that broke. `exhausted` is
    True when every interleaving, or one of each class that leads to the same end, was covered; `bound` is the largest
    number of preemptions up to which all were. `preemptions`, `damage`, `headline`, `steps`, `reasons` and `token` are
    those of the failure shown, `shrunk` its shape; a failure `by_invariant` ends with the step after which the
    invariant does not hold. `interleavings` are the schedules that the search covered, run or not,
    `broken_interleavings` those of them that break; null where it did not count them. A case that holds does so under
    the `memory_model`; with an `invariant`, the scenario's own was checked whenever no worker was inside. `states` and
    `ends`, the final ones, count once where workers that run the same have only swapped their places. With `crashes`
    there are no schedules to count. With `programs` the counts are those of all programs together, `workers` and
    `rounds` the most that one of them has. `expected` is what the scenario announces for this lock.
    """

    scenario: str
    lock: str
    workers: int
    rounds: int
    search: str
    verdict: Verdict
    exhausted: bool
    covered: str
    schedules: int
    broken_schedules: int
    schedules_per_s: float
    wall_s: float
    expected: Verdict
    line_bytes: int
    memory_model: Literal["sequential consistency"] = "sequential consistency"
    interleavings: int | None = None
    broken_interleavings: int | None = None
    bound: int | None = None
    states: int | None = None
    ends: int = 0
    invariant: bool = False
    preemptions: int | None = None
    damage: list[Damage] = field(default_factory=list)
    by_invariant: bool = False
    headline: str = ""
    steps: list[Step] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    shrunk: SmallestShape | None = None
    token: str | None = None
    why: str = ""
    schedules_shown: list[str] = field(default_factory=list)
    crashes: Crashes | None = None
    programs: Programs | None = None

    @property
    def as_expected(self) -> bool:
        """Return True when the result is conclusive, and nothing broke that the scenario does not announce."""
        return self.verdict == "holds" or self.verdict == self.expected

    @property
    def how_it_breaks(self) -> str:
        """Return in words how it breaks: in 1 preemption: lost update."""
        kind = self.damage[0].kind if self.damage else "corruption"
        if self.crashes:
            return ": ".join(filter(None, (self.crashes.cause, kind)))
        count = self.preemptions or 0
        return f"in {count:,} preemption{'s' * (count != 1)}: {kind}"


@dataclass(frozen=True, slots=True)
class CaseFailure:
    """A case that could not be explored, the reason, and the exit code that the command would have because of it."""

    case: str
    reason: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class ExploreOptions:
    """The options of an exploration; programs of at most so many `operations` (null: as each
    class says) are made for so many `callers`.
    """

    scenarios: list[str]
    locks: list[str]
    workers: list[int]
    rounds: list[int]
    search: str
    preemptions: int
    line_bytes: int
    seed: int
    jobs: int
    time_limit_s: float
    show_schedules: int
    crash: list[Literal["kill", "power"]] = field(default_factory=list)
    unit: str = "page"
    crashes: int = 2
    operations: int | None = None
    callers: list[int] = field(default_factory=lambda: [2, 3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration(Header):
    """One invocation of `explore`."""

    command: Literal["explore"] = "explore"
    options: ExploreOptions
    cases: list[ExploredCase]
    failures: list[CaseFailure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of a replay; `real` are the filesystems whose power is cut, none where it is not."""

    token: str
    times: int
    directory: str
    time_limit_s: float
    real: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OnDisk:
    """How many of `times` performances on one filesystem ended as the model does.

    Its power was cut at each power failure of the schedule, and the file that it left compared with the model's.
    `divergence` says where the two part; `disturbed` performances were made again: something else on the machine had
    written to the disk what should have been lost.
    """

    filesystem: str
    times: int
    reproduced: int
    divergence: str
    disturbed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(Header):
    """One invocation of `replay`: how many of `times` the schedule led real processes to exactly the same end.

    `divergence` says where the kernel, or the scenario, did otherwise than the model; it is empty where they agreed.
    Where power was really cut, `on_disks` has the figures of each filesystem, and the others are their sums.
    """

    command: Literal["replay"] = "replay"
    options: ReplayOptions
    scenario: str
    lock: str
    workers: int
    rounds: int
    line_bytes: int
    times: int
    reproduced: int
    divergence: str
    schedules_per_s: float
    damage: list[Damage]
    headline: str
    steps: list[Step]
    on_disks: list[OnDisk] = field(default_factory=list)
