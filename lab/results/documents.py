"""Floor 1: the record types of a run, their JSON Schema, save and load.

A run is one JSON document; every table is made from it and can be made again. Times are in the unit that the
name ends in. `SCHEMA` is raised whenever a reader of the old documents would misread a new one. The records are
dataclasses, and msgspec is imported where it is used: a process that forks pays for every library that it has mapped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lab.errors import UsageError

SCHEMA = 1
DRAFT = "https://json-schema.org/draft/2020-12/schema"

Verdict = Literal["clean", "damaged", "died", "timeout", "unsupported"]


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the run took place. No environment variables, no user names."""

    lab: str
    python: str
    recorder: str
    kernel: str
    machine: str
    cpu: str
    cpus: int
    cpus_allowed: int
    filesystem: str
    mount_options: str
    load_at_start: float


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; None is the scenario's own choice."""

    scenarios: list[str]
    locks: list[str]
    workers: list[int]
    rounds: int | None
    trials: int
    directory: str
    seed: int
    pin: str | None
    window_ns: int
    leak: float
    time_limit_s: float


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of all recorded holds of a case, by nearest rank, in ns."""

    p50: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage of one kind over all trials: `count` of `of` operations, and the first few pieces of evidence."""

    kind: str
    count: int
    of: int
    evidence: list[str]


@dataclass(frozen=True, slots=True)
class Failure:
    """How one worker failed: in which trial and round, why, and the traceback where it raised."""

    trial: int
    worker: int
    round: int
    how: Literal["raised", "killed", "late"]
    reason: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as it was measured: the raw sample behind the case's figures."""

    wall_ns: int
    operations: int
    damaged: int
    holds: int
    contended: int
    overlapping_holds: int
    completed: bool


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of all workers, from their fork to their end (getrusage(2))."""

    user: float
    system: float


@dataclass(frozen=True, slots=True)
class Switches:
    """Context switches of all workers (getrusage(2))."""

    voluntary: int
    involuntary: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Scenario x lock x region x workers: one row of the table.

    `detection_power` is the smallest rate of falsely granted requests that the case would have noticed with 95 %
    probability, from `contended_requests`; null where no request met a conflicting hold. `interval_95` is the
    exact interval of the rate of damaged trials. `private_bytes` is the largest private memory (USS) of a worker
    after its last round, of those that were asked. The samples are every n-th hold, at most a thousand.
    """

    scenario: str
    lock: str
    region: str
    workers: int
    rounds: int
    pin: str
    trials: int = 0
    operations: int = 0
    damaged: int = 0
    damage: list[Damage] = field(default_factory=list)
    overlapping_holds: int = 0
    overlaps: list[str] = field(default_factory=list)
    corruption_rate: float = 0.0
    damaged_trials: int = 0
    interval_95: tuple[float, float] = (0.0, 1.0)
    holds: int = 0
    unrecorded_holds: int = 0
    contended_requests: int = 0
    detection_power: float | None = None
    wall_s: float = 0.0
    operations_per_s: float = 0.0
    wait_ns: Quantiles | None = None
    hold_ns: Quantiles | None = None
    fairness: float | None = None
    cpu_s: Cpu = Cpu(user=0.0, system=0.0)
    context_switches: Switches = Switches(voluntary=0, involuntary=0)
    minor_faults: int = 0
    private_bytes: int | None = None
    peak_rss_bytes: int | None = None
    verdict: Verdict
    expected: str
    reason: str = ""
    why: str = ""
    lesson: bool = False
    lets_two_in: bool = False
    failures: list[Failure] = field(default_factory=list)
    trial_samples: list[Trial] = field(default_factory=list)
    wait_samples_ns: list[int] = field(default_factory=list)
    hold_samples_ns: list[int] = field(default_factory=list)

    @property
    def as_expected(self) -> bool:
        """True when nothing happened that the scenario does not announce; damage that stayed away is no failure.

        A lock that let two in is announced only where the scenario says so, whatever happened to the data.
        """
        return self.verdict in ("clean", self.expected) and (self.lets_two_in or not self.overlapping_holds)


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation of the program."""

    schema: int
    command: str
    started: str
    wall_s: float
    interrupted: bool
    environment: Environment
    options: Options
    cases: list[Case]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a run, made from the types above; the same under every Python."""
    from inspect import cleandoc

    import msgspec

    schema = {"$schema": DRAFT, **msgspec.json.schema(Run)}
    for record in schema["$defs"].values():
        record["description"] = cleandoc(record["description"])  # Python 3.13 strips docstrings, earlier ones do not
    return schema


def encode(run: Run) -> bytes:
    """The document as JSON: indented, lists of numbers on one line, with a newline at its end.

    Bytes of names that are no text become `?`.
    """
    import re

    import msgspec

    try:
        plain = msgspec.json.encode(run)
    except UnicodeEncodeError:
        import json

        plain = json.dumps(asdict(run), ensure_ascii=False).encode("utf-8", "replace")
    indented = msgspec.json.format(plain, indent=1)
    lists_of_numbers = rb"\[\n[\s\d.,e+-]+\]"  # no text looks so: a newline in it is escaped
    return re.sub(lists_of_numbers, lambda found: b"".join(found[0].split()), indented) + b"\n"


def load(path: Path) -> Run:
    """Read a document back.

    Raises UsageError where the file is missing, no JSON, cut short, of a newer schema, or no run of the lab.
    """
    import msgspec

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a results file") from error
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cut = "truncated" in str(error) or (content.startswith(b"{") and not content.rstrip().endswith(b"}"))
        what = "is cut short" if cut else f"is not JSON ({error})"
        raise UsageError(f"{path}: {what}; make it again with `python -m lab race`") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if type(schema) is not int:
        raise UsageError(f"{path}: has no `schema`, so it is no results file of the lab; give another")
    if schema > SCHEMA:
        raise UsageError(f"{path}: is of schema {schema}, newer than this lab reads ({SCHEMA}); update the lab")
    try:
        return msgspec.convert(document, Run)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: does not fit schema {schema} ({error}); make it again") from error
