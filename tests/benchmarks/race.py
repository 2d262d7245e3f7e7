"""What the race costs and what it notices, as ratios against a baseline of the same run.

    python tests/benchmarks/race.py [speed] [crowd] [start] [memory] [default] [leak] [calls]

Figures are medians of interleaved repetitions; nothing is asserted. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PAIRS = 400_000


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
    """pairs/s of `race counter --locked`, every hold recorded, of the same loop bare in CPython and in C."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(bytes(4096))
        compiled = compile_loop(Path(folder))
        print("workers      race  /CPython      /C   (at least 0.90, 0.80)")
        for workers in (1, 2, 8):
            arguments = [str(workers), str(PAIRS // workers), str(file)]
            rows = [
                (
                    raced(workers),
                    number([sys.executable, HERE / "bare_loop.py", *arguments]),
                    bare_c(compiled, arguments),
                )
                for _ in range(7)
            ]
            in_python = median(row[0] / row[1] for row in rows)
            in_c = f"{median(row[0] / row[2] for row in rows):8.2f}" if compiled else "  no cc"
            print(f"{workers:7} {median(row[0] for row in rows):9,.0f} {in_python:9.2f} {in_c}")


def compile_loop(folder: Path) -> Path | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "bare_loop"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "bare_loop.c"], check=True)
    return program


def bare_c(program: Path | None, arguments: list[str]) -> float:
    return number([program, *arguments]) if program else 1.0


def raced(workers: int) -> float:
    case = race("counter", "--locked", "--workers", workers, "--rounds", PAIRS // workers, "--trials", 1)[0]
    assert case["verdict"] == "clean"
    assert case["holds"] == case["operations"]
    return float(case["operations_per_s"])


def crowd() -> None:
    """a trial of N workers with one locked round each, and N times a bare fork and reap: time, CPU, page faults.

    Page faults are those of a worker, with its share of the parent's; page_faults.py says where they go.
    """
    print("workers   race s   bare s   ratio   CPU ratio   (at most 1.3)   page faults   bare")
    for workers, repetitions in ((1000, 5), (4000, 2)):
        rows = []
        for _ in range(repetitions):
            bare = number([sys.executable, HERE / "bare_fork.py", workers])
            begun = bare_used(1)
            bare_cpu, bare_faults = (many - one for many, one in zip(bare_used(workers), begun, strict=True))
            rows.append((*one_trial(workers), bare, bare_cpu, bare_faults))
        race_s, _, faults, bare_s, _, bare_faults = (median(row[column] for row in rows) for column in range(6))
        ratio, cpu = median(row[0] / row[3] for row in rows), median(row[1] / row[4] for row in rows)
        print(f"{workers:7} {race_s:8.2f} {bare_s:8.2f} {ratio:7.2f} {cpu:11.2f}", end="")
        print(f"{faults / workers:30.0f} {bare_faults / workers:6.0f}")


def one_trial(workers: int) -> tuple[float, float, int]:
    """The trial alone, in s, ms of CPU and page faults: two trials less one, without the start of Python."""
    taken = []
    for trials in (1, 2):
        before, faults = used_ms(), page_faults()
        seconds = whole("counter", "--locked", "--workers", workers, "--rounds", 1, "--trials", trials)
        taken.append((seconds, used_ms() - before, page_faults() - faults))
    (one_s, one_ms, one_faults), (two_s, two_ms, two_faults) = taken
    return two_s - one_s, two_ms - one_ms, two_faults - one_faults


def bare_used(count: int) -> tuple[float, int]:
    """CPU in ms, and page faults, of so many bare forks and of the interpreter that makes them."""
    faults = page_faults()
    return cpu_ms("", HERE / "bare_fork.py", count), page_faults() - faults


def whole(*arguments: object) -> float:
    start = time.monotonic()
    race(*arguments)
    return time.monotonic() - start


def start() -> None:
    """milliseconds of CPU of `lab --help` and of `lab list` above a bare `python -c pass`, with compiled modules."""
    commands = (("-c", "pass"), ("-m", "lab", "--help"), ("-m", "lab", "list"))
    with tempfile.TemporaryDirectory() as compiled:
        rows = [[cpu_ms(compiled, *command) for command in commands] for _ in range(16)][1:]
    bare, help_ms, list_ms = (median(row[column] for row in rows) for column in range(3))
    print(f"pass {bare:.0f} ms; above it: --help {help_ms - bare:.0f} ms (at most 40), list", end=" ")
    print(f"{list_ms - bare:.0f} ms (at most 60)")


def page_faults() -> int:
    """Page faults without a read from the disk, of all processes that this one has waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def used_ms() -> float:
    """CPU of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (used.ru_utime + used.ru_stime)


def cpu_ms(compiled: str, *arguments: object) -> float:
    """CPU of a command whose modules were compiled into that folder, as an installation has them beside itself."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = used_ms()
    subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**environment, "PYTHONPYCACHEPREFIX": compiled},
    )
    return used_ms() - before


def memory() -> None:
    """private memory of a worker, and its growth by recorded round."""
    few, many = (
        race("counter", "--locked", "--workers", 2, "--rounds", rounds, "--trials", 1)[0]["private_bytes"]
        for rounds in (10_000, 110_000)
    )
    print(
        f"{few / 2**20:.2f} MiB at 10,000 rounds (at most 3), {(many - few) / 100_000:.1f} bytes a round (at most 32)"
    )


def default() -> None:
    """seconds of a whole default `race`, and of `race --locked`, with what they would notice."""
    for options in ([], ["--locked"]):
        rows = []
        for _ in range(5):
            begin = time.monotonic()
            cases = race(*options)
            rows.append((time.monotonic() - begin, sum(case["contended_requests"] for case in cases)))
        seconds, contended = (median(row[i] for row in rows) for i in (0, 1))
        notices = int(1 / (1 - 0.05 ** (1 / contended)))
        name = " ".join(["race", *options])
        print(f"{name:14} {seconds:.1f} s, {contended:,.0f} contended requests, notices 1 in {notices:,}")


def leak() -> None:
    """how often the default `race --locked` notices a lock that grants falsely, of 20 runs."""
    print("P          noticed   longest   (at least 19 of 20, within 10 s)")
    for probability, options in ((0.01, []), (0.001, []), (0.0001, []), (0.00001, ["--trials", 13])):
        seeds = range(20)
        rows = [leaking(probability, seed, options) for seed in seeds]
        noticed = sum(code == 1 for code, _ in rows)
        extra = f"   with {' '.join(map(str, options))}" if options else ""
        print(f"{probability:<9g} {noticed:2} of {len(rows)} {max(row[1] for row in rows):7.1f} s{extra}")


def calls() -> None:
    """microseconds that recording one call of an operation takes, above the call itself, in C and in Python."""
    from lab.racing.call_log import PythonStamps, Stamps

    print("result          C    Python  C/Python   (in C at most 0.40)")
    for result in (None, 5, (1, 2)):
        ways = {stamps.__name__: stamps for stamps in (Stamps, PythonStamps)}
        rows = [[recorded_us(stamps, result) for stamps in ways.values()] for _ in range(7)]
        medians = [median(row[i] for row in rows) for i in range(len(ways))]
        print(f"{result!s:9} {medians[0]:7.2f} {medians[-1]:9.2f} {medians[0] / medians[-1]:9.2f}")


def recorded_us(stamps: Any, result: object, count: int = 50_000) -> float:
    from lab.racing.call_log import CallLog
    from lab.scenario import find_scenarios

    record = CallLog(find_scenarios(["ring"])[0].kind, 1, count).recorder(0, stamps)

    def make() -> object:
        return result

    began = time.process_time_ns()
    for number in range(count):
        record(number, 0, make)
    recorded = time.process_time_ns()
    for _ in range(count):
        make()
    return (2 * recorded - began - time.process_time_ns()) / count / 1000


def leaking(probability: float, seed: int, options: list[Any]) -> tuple[int, float]:
    begin = time.monotonic()
    ended = lab("race", "--locked", "--leak", f"{probability:f}", "--seed", seed, "--quiet", "--no-save", *options)
    return ended.returncode, time.monotonic() - begin


def race(*arguments: object) -> list[dict[str, Any]]:
    ended = lab("race", *arguments, "--json", "-", "--no-save")
    assert ended.returncode == 0, ended.stderr
    cases: list[dict[str, Any]] = json.loads(ended.stdout)["cases"]
    return cases


def lab(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def number(command: list[Any]) -> float:
    return float(subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout)


BENCHMARKS: dict[str, Callable[[], None]] = {
    "speed": speed,
    "crowd": crowd,
    "start": start,
    "memory": memory,
    "default": default,
    "leak": leak,
    "calls": calls,
}

if __name__ == "__main__":
    main(sys.argv[1:])
