"""What a check costs and what it would notice, as ratios against a baseline of the same run.

    python tests/benchmarks/check.py [programs] [rules] [default] [stress] [lies]

The baseline is two bare processes that are told as many F_SETLK calls, one at a time over a socketpair, all on one
processor: no model, no files made and removed, nothing kept in mind. Figures are medians of interleaved repetitions;
nothing about time is asserted. Run it on a quiet machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from statistics import median
from struct import pack
from tempfile import TemporaryFile, gettempdir
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab.analysis.statistics import detection_limit, one_in
from lab.checking.actors.pool import ActorPool
from lab.checking.fuzz.generate import FAMILIES
from lab.checking.fuzz.run import Search
from lab.checking.guarantees import EXCLUSION
from lab.checking.request import request_for
from lab.checking.run import performed
from lab.checking.runner import Rule, judge_all
from lab.checking.stress import run
from lab.host.environment import mounts_of
from lab.locking import Action, Leaky, find_lock
from lab.locking.registry import polled
from lab.memory import workspace
from lab.records import StressResult

PLACES = (Path("/dev/shm"), Path(gettempdir()))  # noqa: S108 - a tmpfs
REPETITIONS = 3
RUNS, LIE = 10, 1 / 20_000
SECONDS = 2.5
LOCK = pack("hh0qqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
UNLOCK = pack("hh0qqqi0q", fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0)


class Measured(NamedTuple):
    """So many programs and calls, in so many seconds, and the seconds that the bare processes took for the calls."""

    programs: int
    calls: int
    seconds: float
    bare_s: float

    @property
    def ratio(self) -> float:
        return self.bare_s / self.seconds


def main(chosen: list[str]) -> None:
    print(
        f"{platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for name, benchmark in BENCHMARKS.items():
        if not chosen or name in chosen:
            print(f"\n{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
            benchmark()


# The baseline


def bare(folder: Path, calls: int) -> float:
    """Seconds in which two bare processes make so many calls by turns, lock and unlock, one at a time."""
    with TemporaryFile(dir=folder) as file, one_cpu(), told(file.fileno()) as one, told(file.fileno()) as other:
        begin = time.perf_counter()
        for number in range(calls):
            channel = other if number & 2 else one
            channel.send(UNLOCK if number & 1 else LOCK)
            channel.recv(1)
        return time.perf_counter() - begin


@contextmanager
def one_cpu() -> Iterator[None]:
    """A message to another processor takes three times as long, or not, as the scheduler likes."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def told(file: int) -> Iterator[socket.socket]:
    """The channel of a process that makes each call it is sent."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        mine.close()
        serve(theirs, file)
    theirs.close()
    try:
        yield mine
    finally:
        mine.close()
        os.waitpid(pid, 0)


def serve(channel: socket.socket, file: int) -> None:
    try:
        while asked := channel.recv(len(LOCK)):
            fcntl.fcntl(file, fcntl.F_SETLK, asked)
            channel.send(b".")
    finally:
        os._exit(0)


# What is measured


def programs() -> None:
    """random programs a minute, and their calls/s as a share of those of the bare processes."""
    print("filesystem   programs/min   calls each    calls/s   /bare   (at least 2,000 programs on tmpfs)")
    for place in PLACES:
        rows = [at_random(place, seed) for seed in range(REPETITIONS)]
        print(
            f"{kind_of(place):10} {median(60 * row.programs / row.seconds for row in rows):14,.0f}"
            f"{median(row.calls / row.programs for row in rows):13.1f}"
            f"{median(row.calls / row.seconds for row in rows):11,.0f}{median(row.ratio for row in rows):8.3f}"
        )


def at_random(place: Path, seed: int) -> Measured:
    with workspace(place) as folder:
        with ActorPool([folder]) as actor_pool:
            found = Search(actor_pool, FAMILIES, SECONDS, seed, lambda _: None).perform()
        assert found.differences == []
        return Measured(found.programs, found.calls, found.seconds, bare(folder, found.calls))


def rules() -> None:
    """seconds for all rules, and their calls/s as a share of those of the bare processes."""
    chosen = performed(request_for([]))
    print("filesystem   seconds   rules   programs/s    calls/s   /bare")
    for place in PLACES:
        rows = [of_rules(place, chosen) for _ in range(REPETITIONS)]
        print(
            f"{kind_of(place):10} {median(row.seconds for row in rows):9.2f}{len(chosen):8}"
            f"{median(row.programs / row.seconds for row in rows):13,.0f}"
            f"{median(row.calls / row.seconds for row in rows):11,.0f}{median(row.ratio for row in rows):8.3f}"
        )


def of_rules(place: Path, chosen: list[Rule]) -> Measured:
    steps = [program for rule in chosen for program in rule.steps()]
    calls = sum(map(len, steps))
    with workspace(place) as folder:
        begin = time.perf_counter()
        with ActorPool([folder]) as actor_pool:
            found = list(judge_all(chosen, actor_pool, lambda _: None))
        seconds = time.perf_counter() - begin
        assert {each.verdict for each in found if each.guaranteed} == {"safe"}
        return Measured(len(steps), calls, seconds, bare(folder, calls))


def default() -> None:
    """seconds of a whole default `check`, of which 4 go to random programs and stress."""
    print("filesystem   seconds   /4 s   programs   (at most 8 s)")
    for place in PLACES:
        seconds, document = checked(place)
        drawn = document["random"]["programs"]
        print(f"{kind_of(place):10} {seconds:9.1f}{seconds / 4:7.2f}{drawn:11,}")


def stress() -> None:
    """requests that met a holder in that check, a second of the race, and the rate of lies that would have shown."""
    print("filesystem  lock    asked for   backing       met      /s    of all holds   detects")
    for place in PLACES:
        raced: dict[tuple[str, str, str], list[Any]] = {}
        for row in checked(place)[1]["stress"]:
            key = (row["case"]["lock"], "by polling" if row["polled"] else "by waiting", row["backing"])
            raced.setdefault(key, []).append(row["case"])
        for (lock, how, backing), cases in raced.items():
            print(f"{kind_of(place):11} {lock:7} {how:11} {backing:9}{noticed(cases, polled='poll' in how)}")


def lies() -> None:
    """how often races of 5 s for the three locks find one that grants 1 request in 20,000 falsely."""
    print("filesystem  lock    found   met at least   at most")
    for place in PLACES:
        for guarantee, name in EXCLUSION.items():
            rows = [row for seed in range(RUNS) for row in [under_a_liar(place, guarantee, seed)]]
            met = sorted(max(each.case.refused_requests for each in row) for row in rows)
            found = sum(any(each.verdict == "unsafe" for each in row) for row in rows)
            print(f"{kind_of(place):11} {name:7} {found:2} of {RUNS}{met[0]:12,}{met[-1]:10,}")


def under_a_liar(place: Path, guarantee: str, seed: int) -> list[StressResult]:
    """The races for a lock, in a third of 5 s, of which every worker grants by draws of its own."""

    class Liar(Leaky):
        def actions(self, *range_: Any, write: bool) -> tuple[Action, Action]:
            self._draw = Random(f"{seed}/{os.getpid()}").random
            return super().actions(*range_, write=write)

    vars(run).update(
        find_lock=lambda name: Liar(find_lock(name), LIE, Random()),
        polled=lambda name: Liar(polled(name), LIE, Random()),
    )
    try:
        with workspace(place) as folder:
            return list(run.stress([folder], [guarantee], 5 / len(EXCLUSION), seed, 4, lambda _: None))
    finally:
        vars(run).update(find_lock=find_lock, polled=polled)


def noticed(cases: list[Any], *, polled: bool) -> str:
    """Requests that met a holder, how many a second, by hold, and what a lie to one of them in N comes to."""
    met = sum(case["refused_requests" if polled else "contended_requests"] for case in cases)
    seconds, holds = sum(case["wall_s"] for case in cases), sum(case["holds"] for case in cases)
    return f"{met:8,}{met / seconds:8,.0f}{met / holds:16.2f}   {one_in(detection_limit(met))}"


@cache
def checked(place: Path) -> tuple[float, Any]:
    """Seconds and document of a whole default check, as a user has them."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "lab", "check", str(place), "--json", "-", "--no-save"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    assert ended.returncode == 0, ended.stderr
    return seconds, json.loads(ended.stdout)


def kind_of(place: Path) -> str:
    return mounts_of([place])[0].filesystem


BENCHMARKS: dict[str, Callable[[], None]] = {
    "programs": programs,
    "rules": rules,
    "default": default,
    "stress": stress,
    "lies": lies,
}

if __name__ == "__main__":
    main(sys.argv[1:])
