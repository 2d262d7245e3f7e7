"""What the explorer costs, as ratios against a baseline of the same run.

    python tests/benchmarks/explore.py [speed] [states] [memory] [learning] [replay] [jobs]

Figures are medians of interleaved repetitions; nothing about time is asserted. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from ctypes import Structure, c_uint64
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from greenlet import getcurrent, greenlet

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab.exploring.dpor import Dpor
from lab.exploring.replay import Result, replay
from lab.exploring.replay_worker import Plan, plan_of
from lab.exploring.run import cases_of, explore
from lab.exploring.search import Bounded, every_schedule, every_state
from lab.exploring.tally import Tally
from lab.exploring.token import read
from lab.exploring.worker import shape_of
from lab.exploring.world import World
from lab.memory import workspace
from lab.records import ExploreOptions
from lab.scenario import find_scenarios

LONGEST = 2_000
SCHEDULES = 70
"""Of two workers with two rounds each of the counter: 8 steps a schedule."""

SEARCHES = 60
"""Whole searches in one sample, so that it takes some hundredths of a second."""

REPETITIONS = 15


def main(chosen: list[str]) -> None:
    print(
        f"{platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for name, benchmark in BENCHMARKS.items():
        if not chosen or name in chosen:
            print(f"\n{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
            benchmark()


def speed() -> None:
    """schedules/s of a depth-first search of 8 steps, of a bare loop of pooled greenlets without scheduling."""
    loop = bare_loop()
    kept = world("counter")
    rows = [(bare(loop), searched(lambda: world("counter")), searched(lambda: kept)) for _ in range(REPETITIONS)]
    print("search                   schedules/s    /bare   (at least 0.50)")
    print(f"bare greenlets           {median(row[0] for row in rows):11,.0f}")
    for column, name in ((1, "with the text learned"), (2, "with the world kept")):
        ratio = median(row[column] / row[0] for row in rows)
        print(f"{name:24} {median(row[column] for row in rows):11,.0f} {ratio:8.2f}")


def world(name: str, lock: str = "none", workers: int = 2, rounds: int = 2) -> World:
    return World(shape_of(find_scenarios([name])[0], lock, workers, rounds, 64), LONGEST)


def searched(made: Callable[[], World]) -> float:
    """Schedules/s of whole searches, the making of their worlds included."""
    begin = time.perf_counter()
    for _ in range(SEARCHES):
        tally = Tally(inf)
        every_schedule(made(), tally)
        assert tally.schedules == SCHEDULES
    return SEARCHES * SCHEDULES / (time.perf_counter() - begin)


def bare(loop: Callable[[int], object]) -> float:
    """Schedules/s of the bare loop."""
    begin = time.perf_counter()
    loop(SEARCHES * SCHEDULES)
    return SEARCHES * SCHEDULES / (time.perf_counter() - begin)


def bare_loop() -> Callable[[int], object]:
    """Two greenlets that add 1 twice each, a switch to the hub before each access, in one fixed order."""

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    memory = Memory.from_buffer(bytearray(8))
    hub = getcurrent().switch

    def live() -> None:
        while True:
            hub()
            for _ in range(2):
                hub()
                value = memory.value
                hub()
                memory.value = value + 1

    workers = [greenlet(live) for _ in range(2)]
    for worker in workers:
        worker.switch()
    jobs = [worker.switch for worker in workers]
    steps = 4 * jobs

    def loop(schedules: int) -> None:
        for _ in range(schedules):
            memory.value = 0
            for job in jobs:
                job()
            for step in steps:
                step()

    return loop


LARGE = [("counter", "none", 5, 3), ("torn_record", "fcntl", 3, 2), ("ring_queue", "fcntl", 3, 3)]
"""Shapes that are to be exhausted within 10 s."""


def states() -> None:
    """states/s of CPU of the compiled search, of the same in Python, on 4 workers x 3 rounds of the counter."""
    rows = [(states_per_s(native=False), states_per_s(native=True)) for _ in range(3)]
    ratio = median(compiled / python for python, compiled in rows)
    print(f"in Python {median(row[0] for row in rows):12,.0f}")
    print(f"compiled  {median(row[1] for row in rows):12,.0f} {ratio:8.1f} x   (at least 1,000,000)")
    (apart, apart_s), (alike, alike_s) = (searched_states(symmetric=each) for each in (False, True))
    print(f"{alike:,} of {apart:,} states where workers are interchangeable, in {alike_s / apart_s:.3f} of the CPU")


def states_per_s(*, native: bool) -> float:
    """States/s of CPU time."""
    count, seconds = searched_states(native=native, symmetric=False)
    return count / seconds


def searched_states(**options: bool) -> tuple[int, float]:
    """States and seconds of CPU time, of a world that has been walked through before."""
    made = world("counter", workers=4, rounds=3)
    every_state(made, Tally(inf), **options)
    begin = time.process_time()
    count, _ = every_state(made, Tally(inf), **options)
    return count, time.process_time() - begin


def memory() -> None:
    """what it takes to exhaust large shapes by states, each in a process of its own."""
    print("scenario     lock   shape     states          schedules  seconds  (10)   MiB  bytes a state: in Python")
    for name, lock, workers, rounds in LARGE:
        found, python = (exhausted(name, lock, workers, rounds, native) for native in (True, False))
        print(
            f"{name:12} {lock:6} {workers} x {rounds} {found['states']:10,} {found['ways']:18,} {found['seconds']:8.2f}"
            f"{found['mib']:12,.0f} {2**20 * found['mib'] / found['states']:14.0f} "
            f"{2**20 * python['mib'] / python['states']:10.0f}"
        )


def exhausted(*shape: object) -> dict[str, Any]:
    """The figures of `exhaust`, from its own process."""
    code = f"import explore; explore.exhaust(*{shape})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def exhaust(name: str, lock: str, workers: int, rounds: int, native: bool) -> None:
    """The process of `memory`: prints its figures as JSON."""
    before = peak_mib()
    tally = Tally(inf)
    begin = time.process_time()
    count, ways = every_state(world(name, lock, workers, rounds), tally, native=native)
    seconds = time.process_time() - begin
    assert tally.complete
    assert ways
    print(json.dumps({"states": count, "ways": ways.all, "seconds": seconds, "mib": peak_mib() - before}))


def peak_mib() -> float:
    """The most that this program ever had in memory; what getrusage(2) says includes the process that forked it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def learning() -> None:
    """how often the scenario's text ran, against how many schedules were run or left out."""
    print("scenario      lock    shape   search          schedules  text ran    ratio")
    for name, lock, workers, rounds in (
        ("counter", "none", 2, 2),
        ("counter", "none", 3, 2),
        ("counter", "none", 3, 3),
        ("bank", "fcntl", 2, 2),
        ("torn_record", "none", 2, 1),
    ):
        for search, run in SEARCHED.items():
            if (workers, rounds) == (3, 3) and search != "states":
                continue
            made, tally = world(name, lock, workers, rounds), Tally(time.monotonic() + 20)
            run(made, tally)
            ran = sum(behaviour.runs for behaviour in made.behaviours)
            ratio = f"{tally.schedules / ran:10,.1f}" if tally.complete else "   cut off"
            print(f"{name:13} {lock:7} {workers} x {rounds}   {search:12} {tally.schedules:12,} {ran:9,}{ratio}")


SEARCHED: dict[str, Callable[[World, Tally], object]] = {
    "all": every_schedule,
    "states": every_state,
    "classes": lambda made, tally: Dpor(made, tally).run(),
    "preemptions 2": lambda made, tally: Bounded(made, tally).run(2),
}


def replayed() -> None:
    """schedules/s of the counter's shortest failure on real processes: pooled workers, and a fork of them for each."""
    token = read(str(explored_token()))
    made = shape_of(find_scenarios(["counter"])[0], "none", token.workers, token.rounds, token.line)
    plan = plan_of(World(made, LONGEST), token.schedule)
    pooled, forked = [], []
    for _ in range(REPETITIONS // 3):
        pooled.append(rate(plan, 2_000, each=2_000))
        forked.append(rate(plan, 60, each=1))
    ratio = median(one / other for one, other in zip(pooled, forked, strict=True))
    print(f"pooled workers {median(pooled):10,.0f}   (at least 10,000)")
    print(f"a fork each    {median(forked):10,.0f}   {ratio:.1f} x (at least 3)")


def rate(plan: Plan, times: int, *, each: int) -> float:
    """Schedules/s, with new processes for each so many."""
    with workspace(Path("/tmp")) as folder:  # noqa: S108 - a benchmark's own folder in it
        begin = time.perf_counter()
        for _ in range(times // each):
            result = Result()
            replay(plan, folder, each, 5.0, result)
            assert result.reproduced == each
        return times / (time.perf_counter() - begin)


def explored_token() -> str:
    """The token of the counter's shortest failure."""
    options = ExploreOptions(["counter"], ["none"], [2], [2], "auto", 3, 64, 0, 1, 10.0, 0)
    token = explore(cases_of(find_scenarios(["counter"]), options)[0], options).token
    assert token
    return token


def jobs() -> None:
    """schedules/s of `all` on 3 workers x 3 rounds, cut off after some seconds, in one and in two processes."""
    ratios = []
    for _ in range(3):
        single, double = (every_second(each) for each in (1, 2))
        ratios.append(double / single)
        print(f"1 job {single:10,.0f}   2 jobs {double:10,.0f}   {ratios[-1]:.2f} x")
    print(f"median {median(ratios):.2f} x (at least 1.7); two bare loops reach {two_loops():.2f} x of one here")


def every_second(count: int) -> float:
    """Schedules/s in so many processes."""
    seconds = 5.0
    options = ExploreOptions(["counter"], ["none"], [3], [3], "all", 3, 64, 0, count, seconds, 0)
    return explore(cases_of(find_scenarios(["counter"]), options)[0], options).schedules_per_s


SHARED = [
    ("counter", "none", 4, 3, False, 9),
    ("counter", "none", 5, 3, True, 9),
    ("torn_record", "none", 3, 2, True, 5),
    ("ring_queue", "fcntl", 3, 3, True, 3),
    ("counter", "none", 5, 3, False, 1),
]
"""Shapes, whether with symmetry, and how often they are searched; the last has 20 million states."""


def threads() -> None:
    """seconds of `states` with two threads against one, in turns; of a world that is new, and once it was walked."""
    print("scenario     lock   shape      states    new: 1 job  2 jobs  ratio    walked: 1 job  2 jobs  ratio")
    for name, lock, workers, rounds, symmetric, times in SHARED:
        rows = [[searched_in(name, lock, workers, rounds, symmetric, each) for each in (1, 2)] for _ in range(times)]
        new, walked = ([[each[kind] for each in row] for row in rows] for kind in (1, 2))
        told = "".join(
            f"{median(row[0] for row in kind):14.3f}{median(row[1] for row in kind):8.3f}"
            f"{median(row[0] / row[1] for row in kind):7.2f}"
            for kind in (new, walked)
        )
        print(f"{name:12} {lock:6} {workers} x {rounds} {rows[0][0][0]:11,}{told}")
    print(f"(at least 1.8); two bare loops reach {two_loops():.2f} x of one here")


def searched_in(
    name: str, lock: str, workers: int, rounds: int, symmetric: bool, count: int
) -> tuple[int, float, float]:
    """States, and the seconds of a search with so many threads: of a new world, and of the same world again."""
    made = world(name, lock, workers=workers, rounds=rounds)
    made.interchangeable()
    taken = []
    for _ in range(2):
        begin = time.perf_counter()
        found, _ = every_state(made, Tally(inf), symmetric=symmetric, jobs=count)
        taken.append(time.perf_counter() - begin)
    return found, taken[0], taken[1]


def two_loops() -> float:
    """How much more two processes that only count get done than one: what the processors can give at most."""
    code = "import time\nend = time.monotonic() + 2\nn = 0\nwhile time.monotonic() < end:\n    n += 1\nprint(n)"

    def counted(processes: int) -> int:
        started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(processes)]
        return sum(int(each.communicate()[0]) for each in started)

    return median(counted(2) / counted(1) for _ in range(3))


BENCHMARKS: dict[str, Callable[[], None]] = {
    "speed": speed,
    "states": states,
    "memory": memory,
    "learning": learning,
    "replay": replayed,
    "jobs": jobs,
    "threads": threads,
}

if __name__ == "__main__":
    main(sys.argv[1:])
