"""Measure what watching costs, beside the same program unwatched, and how fast the judge is.

    python -m tests.benchmarks.watch cost     a pair of lock and unlock, and reads of a file that nobody shares
    python -m tests.benchmarks.watch judge [CALLS]    calls judged in a second, of 200,000, and the memory that takes
    python -m tests.benchmarks.watch mapped   an access to a mapping, and SQLite's WAL, at each level (libsqlite3)
    python -m tests.benchmarks.watch power    which wrong programs with a mapping are told, of two copies with one round
    python -m tests.benchmarks.watch gallery [RUNS]    what is said of the right programs in RUNS runs each (100), and
                                              whether each wrong one is told, by its cause, in 10 of 10
    python -m tests.benchmarks.watch outside  such a pair under the tracer and the kernel's tracepoints, beside strace

Times are processor time of the program, medians of alternating runs; those of `outside` are the clock's, which the
program reads itself: a traced program waits for its tracer.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.analysis.lock_use import judge
from lab.watching.log import read_logs
from lab.watching.recorders import library
from tests.helpers import ROOT

LOOP = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    int writes = !strcmp(words[2], "writes"), locks = writes || !strcmp(words[2], "locks");
    int file = open(words[1], locks ? O_RDWR | O_CREAT : O_RDONLY, 0600);
    char byte = 0;

    for (long rounds = atol(words[3]); rounds > 0; rounds--) {
        struct flock range = {.l_type = F_WRLCK, .l_len = 8};
        if (locks) {
            fcntl(file, F_SETLKW, &range);
            if (writes && (pread(file, &byte, 1, 0) < 0 || pwrite(file, &byte, 1, 0) != 1))
                return 1;
            range.l_type = F_UNLCK;
            fcntl(file, F_SETLK, &range);
        } else if (pread(file, &byte, 1, 0) < 0)
            return 1;
    }
    return count < 4;
}
"""
ROUNDS, RUNS = 200_000, 7


def compiled(folder: Path) -> Path:
    """Return the program."""
    (folder / "loop.c").write_text(LOOP)
    subprocess.run(["/usr/bin/cc", "-O2", "-w", folder / "loop.c", "-o", folder / "loop"], check=True)
    return folder / "loop"


def used_s(command: list[str], logs: Path | None, more: dict[str, str] | None = None) -> float:
    """Return the processor seconds of a program, watched where there is a folder for its logs."""
    watched = {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs), **(more or {})} if logs else {}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, **watched}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cost(folder: Path) -> None:
    """Print what a pair of calls takes, bare and watched."""
    loop = compiled(folder)
    other = folder / "other"
    other.write_bytes(b"x")
    for what, file in (("locks", folder / "data"), ("reads", Path("/usr/lib/os-release"))):
        times: dict[bool, list[float]] = {False: [], True: []}
        for run in range(RUNS):
            for watched in (False, True):
                logs = folder / f"{what}{run}" if watched else None
                if logs:
                    logs.mkdir()
                times[watched].append(used_s([str(loop), str(file), what, str(ROUNDS)], logs) / ROUNDS * 1e6)
                for log in logs.iterdir() if logs else ():
                    log.unlink()
        bare, seen = (statistics.median(times[watched]) for watched in (False, True))
        unit = "a pair of lock and unlock" if what == "locks" else "a read of a file that is not judged"
        print(f"{unit}: bare {bare:.3f} us, watched {seen:.3f} us: + {seen - bare:.3f} us, {seen / bare:.2f} x")


TIMED = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int count, char **words)
{
    int file = open(words[1], O_RDWR | O_CREAT, 0600);
    long rounds = atol(words[2]);
    struct flock range = {.l_type = F_WRLCK, .l_len = 8};
    fcntl(file, F_SETLKW, &range); /* the first one reads the tables of the program */
    double begun = now();
    for (long k = 0; k < rounds; k++) {
        range.l_type = F_WRLCK;
        fcntl(file, F_SETLKW, &range);
        range.l_type = F_UNLCK;
        fcntl(file, F_SETLK, &range);
    }
    double locks = now();
    for (long k = 0; k < rounds * 50; k++)
        syscall(SYS_getppid);
    dprintf(1, "%f %f\n", (locks - begun) / rounds, (now() - locks) / rounds / 50);
    return count < 3;
}
"""


def outside(folder: Path) -> None:
    """Print what a pair of lock and unlock, and another call, take from outside, beside strace."""
    (folder / "timed.c").write_text(TIMED)
    loop = str(folder / "timed")
    subprocess.run(["/usr/bin/cc", "-O2", "-w", "-static", folder / "timed.c", "-o", loop], check=True)
    watching = [sys.executable, "-m", "lab", "watch", "--quiet"]
    ways = {
        "bare": [],
        "watch --kernel": [*watching, "--kernel", "--"],
        "watch --from-outside": [*watching, "--from-outside", "--"],
        "strace -f --seccomp-bpf": ["strace", "-f", "--seccomp-bpf", "-e", "trace=fcntl", "-o", "/dev/null"],
    }
    times: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(RUNS):
        for way, words in ways.items():
            command = [*words, loop, str(folder / "data"), "3000"]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            times[way].append([float(word) for word in said.split()[:2]])
    for way, runs in times.items():
        pair, other = (statistics.median(run[k] for run in runs) for k in (0, 1))
        print(f"{way}: a pair of lock and unlock {pair:.2f} us, another call {other:.3f} us")


ACCESSES = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **words)
{
    int file = open(words[1], O_RDWR | O_CREAT, 0600);
    if (ftruncate(file, 4096))
        return 1;
    volatile char *memory = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (long rounds = atol(words[2]); rounds > 0; rounds--)
        memory[rounds % 64];
    return count < 3;
}
"""

INSERTS = r"""
#include <stdlib.h>
#include <sqlite3.h>

int main(int count, char **words)
{
    sqlite3 *data;
    sqlite3_stmt *insert;
    sqlite3_open(words[1], &data);
    sqlite3_exec(data, "pragma journal_mode=wal; pragma synchronous=off; create table if not exists t (x)", 0, 0, 0);
    sqlite3_prepare_v2(data, "insert into t values (1)", -1, &insert, 0);
    for (long rounds = atol(words[2]); rounds > 0; rounds--) {
        sqlite3_step(insert);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    return sqlite3_close(data) || count < 3;
}
"""


def mapped(folder: Path) -> None:
    """Print what an access to a mapping takes, each one watched, and what inserts into SQLite's WAL take."""
    programs = {}
    for name, source, libraries in (("accesses", ACCESSES, ()), ("inserts", INSERTS, ("-lsqlite3",))):
        (folder / f"{name}.c").write_text(source)
        programs[name] = str(folder / name)
        command = ["/usr/bin/cc", "-O2", "-w", str(folder / f"{name}.c"), "-o", programs[name], *libraries]
        subprocess.run(command, check=True)
    every = {"LAB_WATCH_LEVEL": "accesses", "LAB_WATCH_BUDGET": "0"}
    times = medians(folder, [programs["accesses"], str(folder / "data"), str(ROUNDS)], {"bare": None, "every": every})
    print(f"an access: + {(times['every'] - times['bare']) / ROUNDS * 1e6:.2f} us")
    levels = {level: {"LAB_WATCH_LEVEL": level} for level in ("calls", "pages", "accesses")}
    times = medians(folder, [programs["inserts"], "{}", "2000"], {"bare": None, **levels})
    for level in levels:
        print(f"2,000 inserts into SQLite's WAL, level {level}: {times[level] / times['bare']:.1f} x bare")


def compiled_gallery(folder: Path) -> str:
    """Return the path of the programs of the gallery."""
    program, source = str(folder / "gallery"), ROOT / "tests" / "watching" / "gallery.c"
    subprocess.run(["/usr/bin/cc", "-g", "-O1", "-w", source, "-o", program, "-pthread"], check=True)
    return program


def gallery(folder: Path) -> None:
    """Print what is said of the programs of the gallery and is not expected of them."""
    from tests.watching import test_gallery as table

    in_c, in_python = [compiled_gallery(folder)], [sys.executable, str(ROOT / "tests" / "watching" / "gallery.py")]
    rows = [
        (in_c, "", table.COPIES, table.RIGHT, table.WRONG),
        (in_c, "mapped:", table.COPIES, table.MAPPED_RIGHT, table.MAPPED_WRONG),
        (in_python, "", 2, table.PYTHON_RIGHT, table.PYTHON_WRONG),
        (in_python, "mapped", 2, table.MAPPED_PYTHON_RIGHT, table.MAPPED_PYTHON_WRONG),
    ]
    runs = int(sys.argv[2]) if sys.argv[2:] else 100
    counts = {"right": [0, 0], "wrong": [0, 0]}
    for program, how, copies, right, wrong in rows:
        more = [how] if how == "mapped" else []
        expectations: dict[str, set[str]] = {**{name: set() for name in right}, **wrong}
        for name, expected in expectations.items():
            for _ in range(10 if expected else runs):
                with TemporaryDirectory(dir=folder) as temporary:
                    command = [*program, name if more else how + name]
                    file, limit_s = str(Path(temporary) / "data"), table.HANGS.get(name, 60.0)
                    said = table.causes(
                        table.found(command, file, copies, limit_s, "accesses" if how else "calls", more)
                    )
                count = counts["wrong" if expected else "right"]
                count[0] += 1
                if said != expected and not (said and said <= expected):
                    count[1] += 1
                    print(f"{command[-1]}: expected {sorted(expected)}, said {sorted(said)}", flush=True)
    for kind, (all_, odd) in counts.items():
        print(f"{all_:,} runs of {kind} programs: {odd} not as expected")


def power(folder: Path) -> None:
    """Print in how many of ten runs each wrong program of the gallery that uses a mapping is reported."""
    from tests.watching.test_gallery import MAPPED_WRONG, WRONG, found

    programs = compiled_gallery(folder)
    wrong = [name for name in WRONG if name in MAPPED_WRONG and name not in ("went_on", "made_exclusive")]
    always = 0
    for name in [*wrong, "copied_late", "written_without"]:
        told = 0
        for _ in range(10):
            with TemporaryDirectory(dir=folder) as temporary:
                file = str(Path(temporary) / "data")
                told += bool(found([programs, f"mapped:{name}"], file, 2, 30.0, "accesses", ["1"]))
        always += told == 10
        print(f"{name:20} {told:2} of 10")
    print(f"{always} programs in 10 of 10 runs")


def medians(folder: Path, command: list[str], ways: dict[str, dict[str, str] | None]) -> dict[str, float]:
    """Return the processor seconds of a program, unwatched or with these variables; "{}" is a new file."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for run in range(RUNS):
        for way, variables in ways.items():
            with TemporaryDirectory(dir=folder) as temporary:
                logs = Path(temporary) / "logs"
                logs.mkdir()
                words = [word.replace("{}", f"{temporary}/{run}.db") for word in command]
                times[way].append(used_s(words, logs if variables is not None else None, variables))
    return {way: statistics.median(seconds) for way, seconds in times.items()}


COPIES, CALLS = 4, 200_000


def speed(folder: Path) -> None:
    """Print how many calls of four processes are read and judged in a second of processor time, and the peak memory."""
    loop = compiled(folder)
    logs = folder / "logs"
    logs.mkdir()
    calls = int(sys.argv[2]) if sys.argv[2:] else CALLS
    command = [str(loop), str(folder / "data"), "writes", str(calls // COPIES // 4)]
    variables = {**os.environ, "LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs)}
    for copy in [subprocess.Popen(command, env=variables) for _ in range(COPIES)]:
        copy.wait()
    began = time.process_time()
    history = read_logs(logs)
    judged = judge(history, lambda event: event.kind)
    used = time.process_time() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count = len(history.events)
    print(f"{count:,} calls, {len(judged.findings)} findings: {count / used:,.0f} a second, at most {most:,.0f} MiB")


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        modes = {"cost": cost, "judge": speed, "mapped": mapped, "power": power, "gallery": gallery, "outside": outside}
        modes[sys.argv[1]](Path(temporary))
