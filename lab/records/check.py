"""Define the document of a check: the verdict on each guarantee of a mount, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Header, Mount
from .hosts import TIMEOUT_S, Host
from .race import Case

CheckVerdict = Literal["safe", "unsafe", "unsupported", "unknown"]
""""unsupported" means that the calls are refused with an error; "unknown" that the answer is inconclusive."""


LockMode = Literal["exclusive", "shared"]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """The options of a check: the directories, the guarantees (all if `only` is empty), the time to fuzz and to race.

    `detects` is the rate of false grants that the races for each guarantee had to be able to notice; null where any
    strength will do. `hosts` are the other hosts, as they were named. `cut` and `heal` are the commands that take a
    host's network to the file server away and bring it back, `cut_s` the longest time between the two, and `timeout_s`
    the longest that an answer of a host may take.
    """

    directories: list[str]
    only: list[str]
    seconds: float
    seed: int
    workers: int
    detects: float | None = None
    faults: bool = False
    hosts: list[str] = field(default_factory=list)
    cut: str = ""
    heal: str = ""
    cut_s: float = 120.0
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One line of the verdict: `strength` says how strong it is, `evidence` what speaks against it.

    `detection_limit` is the smallest rate of faults that its races would have noticed with 95 % probability. For a lock
    the faults are false grants, for data stale or lost bytes, both counted among the requests that met a holder; for
    neighbours, which never meet, they are counted among all rounds. It is null where no race is about it, or no request
    met a holder.
    """

    name: str
    title: str
    verdict: CheckVerdict
    strength: str
    evidence: list[str]
    detection_limit: float | None = None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule: what it demands, the results of the calls up to the first difference, and where it is written.

    Where `guaranteed` is False Linux does not guarantee it, for this `reason`, and a difference makes nothing unsafe.
    """

    number: int
    sentence: str
    source: str
    guarantee: str
    verdict: CheckVerdict
    guaranteed: bool
    reason: str
    expected: str
    observed: str
    calls: list[str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A random program, shrunk, whose last call the kernel answered differently than the model."""

    guarantee: str
    calls: list[str]
    expected: str
    observed: str


@dataclass(frozen=True, slots=True)
class RandomPrograms:
    """The number of programs, and of all their calls, that were compared with the model; `open` had several answers."""

    programs: int
    calls: int
    open: int
    seconds: float
    differences: list[Difference]


@dataclass(frozen=True, slots=True)
class StressResult:
    """One race of the stress: the guarantee and the rules that it is about, and what it says for them.

    Its workers yielded before each request for a lock and before each store: they slept for the `window_ns` of the
    case, or called sched_yield(2) where that is 0. With `polled` requests did not wait: they were refused, and made
    again.
    """

    guarantee: str
    backing: str
    rules: list[int]
    polled: bool
    verdict: CheckVerdict
    case: Case


@dataclass(frozen=True, slots=True)
class LockProbe:
    """What one host was answered that asked for a lock while another held it; `reported` is what F_GETLK said there.

    It was `held` and `asked` for exclusively or shared; two shared locks go together. The `calls` are there where the
    answer was not the right one.
    """

    lock: str
    holder: str
    asker: str
    answer: str
    reported: str
    verdict: CheckVerdict
    calls: list[str]
    held: LockMode = "exclusive"
    asked: LockMode = "exclusive"

    @property
    def granted_falsely(self) -> bool:
        """Return True where two hosts held what only one may hold."""
        return self.verdict == "unsafe" and self.answer == "granted"


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A series of turns: how often the turn went from one host to another, and how often stale data was found.

    `place` is where the lock was, on the file with the data or on another one. The guarantee is empty where a series
    only serves the advice. `calls` are those of the first turn that found something else than `expected`, and of the
    turn before it.
    """

    guarantee: str
    way: str
    place: str
    lock: str
    handoffs: int
    stale: int
    verdict: CheckVerdict
    reason: str
    expected: str
    observed: str
    calls: list[str]


@dataclass(frozen=True, slots=True)
class CutOffCall:
    """What one kind of call, read, write or lock, came to on a host that was cut off while it held a lock.

    `error` is the errno of the first that failed, `error_s` when that was, in s from the cut; `errors` are all that
    came, each once. The longest took `longest_s`; `unanswered` says that one never ended. Calls that began after
    another host had been granted the lock and succeeded are counted in `unfenced`, those after the network was healed
    in `unfenced_healed`. `again_s` is when calls succeeded again, in s from the healing.
    """

    call: str
    error: str
    error_s: float | None
    errors: list[str]
    longest_s: float
    unanswered: bool
    unfenced: int
    unfenced_healed: int
    again_s: float | None


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What came of one lock whose holder was cut off from the file server for `cut_s`.

    The host that asked was granted it `granted_s` after the cut, null where it was not; the holder learned of it by its
    first error, `learned_s` after the cut. It reached the filesystem again `back_s` after the healing. `overwrote`
    says whether it overwrote what the new holder had written; null where there was none. `released` is what its unlock
    came to.
    """

    lock: str
    holder: str
    asker: str
    cut_s: float
    granted_s: float | None
    learned_s: float | None
    back_s: float | None
    calls: list[CutOffCall]
    overwrote: bool | None
    released: str
    verdict: CheckVerdict
    reason: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """A process that did not end on SIGKILL and was left behind, and the place in the kernel where it hangs."""

    pid: int
    where: str


@dataclass(frozen=True, slots=True)
class Hang:
    """The call without an answer when the check was given up, and the directories of the mounts that did not answer.

    `where` is the function of the kernel in which it slept. Without directories all mounts answered other calls.
    """

    call: str
    where: str
    directories: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Header):
    """One run of `check`; `safe` is True when nothing that was asked for is unsafe, refused or unknown.

    `ended_early` says why it ended before its end, where no user interrupted it; `hang` is set where that was a call
    without an answer. What is in `left_behind` could not be removed. A check of several hosts has them in `hosts`, a
    mount for each, and what each was answered in `probes` and `turns`; `partitions` has what a host did that was cut
    off from the file server.
    """

    command: Literal["check"] = "check"
    directories: list[str]
    mounts: list[Mount]
    options: CheckOptions
    safe: bool
    guarantees: list[Guarantee]
    advice: list[str]
    rules: list[RuleResult]
    random: RandomPrograms | None
    stress: list[StressResult]
    stuck: list[Stuck]
    ended_early: str = ""
    hang: Hang | None = None
    left_behind: list[str] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    probes: list[LockProbe] = field(default_factory=list)
    turns: list[TurnResult] = field(default_factory=list)
    partitions: list[PartitionResult] = field(default_factory=list)
