"""Records made by hand: what a run came to, without running one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.records import SCHEMA, Case, Damage, Environment, Failure, Options, Run, Trial

TRIAL = Trial(
    wall_ns=1_000_000, operations=500, damaged=0, holds=500, contended=50, overlapping_holds=0, completed=True
)
CLEAN = Case(
    scenario="counter",
    lock="fcntl",
    backing="mapped",
    workers=2,
    rounds=250,
    pin="none",
    trials=2,
    operations=1000,
    interval_95=(0.0, 0.842),
    holds=1000,
    contended_requests=100,
    detection_limit=0.0295,
    wall_s=0.002,
    operations_per_s=500_000.0,
    fairness=0.987,
    overtaken=1234,
    verdict="clean",
    expected="clean",
    trial_samples=[TRIAL, TRIAL],
)
LOST = Damage(kind="lost update", count=3, of=1000, evidence=["value is 997 after 1,000 additions"])
DAMAGED = replace(
    CLEAN,
    damaged=3,
    damage=[LOST],
    corruption_rate=0.003,
    damaged_trials=1,
    interval_95=(0.013, 0.987),
    verdict="damaged",
    reason="the lock held and the data broke anyway",
)
UNLOCKED = replace(
    DAMAGED, lock="none", expected="damaged", holds=0, contended_requests=0, detection_limit=None, reason="apart"
)
TWO_IN = replace(
    CLEAN,
    overlapping_holds=1,
    overlaps=["worker 1 was granted write 0-7 while worker 0 held write 0-7: 5 ns together"],
    damaged_trials=1,
    verdict="damaged",
    reason="conflicting holds overlapped, 1 time, though no data broke this time",
)
DIED = replace(
    CLEAN,
    verdict="died",
    reason="worker 1 was killed by SIGKILL, in round 3 of trial 0",
    failures=[Failure(trial=0, worker=1, round=3, how="killed", reason="was killed by SIGKILL")],
)
HUNG = replace(CLEAN, verdict="timeout", reason="worker 0 still at work after 30 s, in round 0 of trial 0")
REFUSED = Case(
    scenario="counter",
    lock="fcntl",
    backing="mapped",
    workers=2,
    rounds=250,
    pin="none",
    verdict="unsupported",
    expected="clean",
    reason="lock fcntl: refused on /mnt (No locks available); try another --lock or another --dir",
)
TOO_WEAK = replace(
    CLEAN,
    verdict="inconclusive",
    reason="100 requests met a holder, which detects 1 in 33; --detects 0.001 takes 2,995",
)
COUNTEREXAMPLE = replace(
    DAMAGED,
    scenario="short_range",
    expected="damaged",
    counterexample=True,
    why="The lock covers too few bytes.",
    reason="anyway",
)
MINE = replace(CLEAN, lock="mine:lock")
DEADLY = replace(MINE, fault="holder killed", faults_made=40, data_checked=False)
STOPPED = replace(MINE, fault="holder stopped 5 s", faults_made=1)
BROKEN_BY_FAULT = replace(DEADLY, verdict="damaged", overlapping_holds=2, reason="overlapped after a holder was killed")
SHUT_OUT = replace(
    DEADLY,
    verdict="timeout",
    operations=0,
    reason="nobody was let in for 2 s after a holder was killed",
    failures=[Failure(trial=0, worker=1, round=3, how="late", reason="still at work, waiting for the lock")],
)
NOT_TRIED = replace(STOPPED, verdict="unsupported", trials=0, reason="not tried: no pid namespace; run as root")
OPTIONS = Options(
    scenarios=["counter"],
    locks=["fcntl"],
    workers=[2],
    rounds=250,
    trials=2,
    directory="/mnt",
    seed=7,
    pin=None,
    window_ns=0,
    leak=0.0,
    time_limit_s=30.0,
)
ENVIRONMENT = Environment(
    lab="0.1.0",
    python="CPython 3.11.7",
    recorder="compiled",
    kernel="Linux 6.18",
    machine="x86_64",
    cpu="some",
    cpus=8,
    cpus_allowed=1,
    filesystem="ext4",
    mount_options="rw",
    load_at_start=0.5,
)


def header(where: Environment = ENVIRONMENT, *, interrupted: bool = False) -> dict[str, Any]:
    """The header of a document that was made by hand."""
    started, wall_s = "2026-01-01T00:00:00Z", 1.5
    return {
        "schema": SCHEMA, "started": started, "wall_s": wall_s, "environment": where, "interrupted": interrupted
    }  # fmt: skip


def run_of(*cases: Case, interrupted: bool = False, **options: Any) -> Run:
    """A run that had these cases; the options are those of `OPTIONS` but for the changes given."""
    return Run(
        **header(ENVIRONMENT, interrupted=interrupted),
        options=replace(OPTIONS, **options),
        cases=list(cases),
    )
