"""Measure what watching costs, beside the same program unwatched, and how fast the judge is.

    python tests/benchmarks/watch.py cost     a pair of lock and unlock, and reads of a file that nobody shares
    python tests/benchmarks/watch.py judge    calls judged in a second

Times are processor time of the program, medians of alternating runs.
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

LOOP = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    int locks = !strcmp(words[2], "locks"), file = open(words[1], locks ? O_RDWR | O_CREAT : O_RDONLY, 0600);
    char byte = 0;

    for (long rounds = atol(words[3]); rounds > 0; rounds--) {
        struct flock range = {.l_type = F_WRLCK, .l_len = 8};
        if (locks) {
            fcntl(file, F_SETLKW, &range);
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


def used_s(command: list[str], logs: Path | None) -> float:
    """Return the processor seconds of a program, watched where there is a folder for its logs."""
    watched = {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs)} if logs else {}
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


def speed(folder: Path) -> None:
    """Print how many calls are read and judged in a second."""
    loop = compiled(folder)
    logs = folder / "logs"
    logs.mkdir()
    for _ in range(4):
        used_s([str(loop), str(folder / "data"), "locks", "25000"], logs)
    began = time.perf_counter()
    history = read_logs(logs)
    read = time.perf_counter()
    judge(history, lambda event: event.kind)
    judged = time.perf_counter()
    count = len(history.events)
    print(
        f"{count:,} calls: read {count / (read - began):,.0f} a second, judged {count / (judged - read):,.0f} a second"
    )


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        {"cost": cost, "judge": speed}[sys.argv[1]](Path(temporary))
