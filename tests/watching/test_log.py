"""The log of a program survives its end, and never is its end; what is no log is refused."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.watched import END, EXCLUSIVE, RELEASED, Kind
from lab.errors import UsageError
from lab.records import WatchOptions
from lab.watching.log import Entry, LogWriter, read_logs
from lab.watching.recorders import library, log_folder
from lab.watching.run import judge_again

pytestmark = pytest.mark.needs("compiled")

LOCKS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for round in range(int(sys.argv[2])):
    fcntl.lockf(file, fcntl.LOCK_EX)
    os.pwrite(file, b"x", 0)
    fcntl.lockf(file, fcntl.LOCK_UN)
    if len(sys.argv) > 3:
        print(round, flush=True)
"""


def start(folder: Path, *arguments: object, before: str = "") -> subprocess.Popen[bytes]:
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    program = [sys.executable, "-c", LOCKS, folder / "data", *arguments]
    command = ["sh", "-c", f'{before} exec "$@"', "sh", *map(str, program)]
    preloaded = {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs)}
    return subprocess.Popen(command, env={**os.environ, **preloaded}, stdout=subprocess.PIPE if arguments[1:] else None)


def calls(folder: Path, kind: Kind) -> int:
    return sum(event.kind is kind for event in read_logs(folder / "logs").events)


COUNTS = r"""
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **words)
{
    int file = open(words[1], O_RDWR | O_CREAT, 0600), told = open(words[2], O_RDWR);
    volatile uint64_t *calls = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, told, 0);
    for (;;) {
        struct flock range = {.l_type = F_WRLCK, .l_len = 8};
        fcntl(file, F_SETLKW, &range), ++*calls;
        pwrite(file, "x", 1, 0), ++*calls;
        range.l_type = F_UNLCK;
        fcntl(file, F_SETLK, &range), ++*calls;
    }
    return count;
}
"""
"""It makes calls, and tells by a word of a mapped file how many have returned."""

KILLS = 100


@pytest.mark.needs("compiler")
def test_the_log_of_a_killed_program_is_there_to_its_last_call(tmp_path: Path) -> None:
    (tmp_path / "counts.c").write_text(COUNTS)
    command = ["/usr/bin/cc", "-O2", "-w", "counts.c", "-o", "counts"]
    subprocess.run(command, check=True, cwd=tmp_path)
    moments = random.Random(0)
    for kill in range(KILLS):
        logs, told = tmp_path / f"logs{kill}", tmp_path / f"told{kill}"
        logs.mkdir()
        told.write_bytes(bytes(8))
        preloaded = {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs)}
        until = moments.randrange(1, 4000)
        with told.open("rb") as file, mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as word:
            program = subprocess.Popen([tmp_path / "counts", tmp_path / "data", told], env={**os.environ, **preloaded})
            while int.from_bytes(word[:8], sys.byteorder) < until and program.poll() is None:
                time.sleep(0)
            program.kill()
            assert program.wait() == -signal.SIGKILL
            returned = int.from_bytes(word[:8], sys.byteorder)
        history = read_logs(logs)
        calls = [event for event in history.events if event.kind in (Kind.POSIX, Kind.WRITE)]
        finished = sum(bool(event.finish) for event in calls)
        assert 0 <= finished - returned <= 1  # one may have been written down, and not yet counted
        assert 0 <= len(calls) - finished <= 1  # one may be under way
        assert [process.ended for process in history.processes] == [False]


def test_a_program_goes_on_where_its_log_cannot_grow(tmp_path: Path) -> None:
    """ulimit -f counts blocks of 512 bytes: room for the log's beginning, of 1,024 events, and for nothing more."""
    program = start(tmp_path, 1000, before="ulimit -f 200;")
    assert program.wait() == 0
    history = read_logs(tmp_path / "logs")
    assert [process.full for process in history.processes] == [True]
    assert history.processes[0].lost > 1000
    assert sum(event.stack[0] == 1 for event in history.events) == 1024  # image 0 is the shell
    options = WatchOptions([], 1, [], [], [], 1.0, str(tmp_path / "logs"))
    (program_,) = (each.pid for each in history.processes)
    not_seen = judge_again(tmp_path / "logs", options).not_seen
    assert f"what came after the disk was full, in process {program_}" in not_seen
    assert f"{history.processes[0].lost:,} calls, for which there was no room in the logs" in not_seen


@pytest.mark.needs("mounts")
def test_a_program_goes_on_where_the_disk_of_its_log_is_full(tmp_path: Path) -> None:
    small = tmp_path / "logs"
    small.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=256k", "lab-test", small], check=True)
    try:
        program = start(tmp_path, 1000)
        assert program.wait() == 0
        history = read_logs(small)
        assert [process.full for process in history.processes] == [True]
        assert calls(tmp_path, Kind.POSIX) > 500
    finally:
        subprocess.run(["/bin/umount", small], check=True)


def test_a_log_grows(tmp_path: Path) -> None:
    program = start(tmp_path, 20_000)
    assert program.wait() == 0
    assert calls(tmp_path, Kind.POSIX) == 40_000


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no logs"), (b"text", "is no log"), (b"LABWATCH" + bytes(5000), "written by another version")],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "1-1.log").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_logs(tmp_path)


def test_a_program_that_is_not_asked_for_costs_no_log(tmp_path: Path) -> None:
    environ = {**os.environ, "LD_PRELOAD": str(library())}
    environ.pop("LAB_WATCH_DIR", None)
    subprocess.run(["/bin/true"], env=environ, check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


CALLS = st.lists(
    st.tuples(
        st.sampled_from([Kind.POSIX, Kind.READ, Kind.CLOSE, Kind.FORK, Kind.EXIT]), st.integers(1, 40),
        st.integers(0, 9), st.sampled_from([0, EXCLUSIVE, RELEASED]),
    ),
    max_size=25,
)  # fmt: skip


@given(st.lists(CALLS, min_size=1, max_size=4), st.sampled_from([1, 3, 1000]))
def test_the_events_of_all_logs_come_by_time_in_pieces_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[tuple[Kind, int, int, int]]], piece: int
) -> None:
    """Of events at one time, those of one process stay in their order; one that waits for its lock comes last."""
    folder, wanted = tmp_path_factory.mktemp("logs"), []
    for number, log in enumerate(logs):
        writer = LogWriter(folder, 100 + number, 1, started=number, forked=7)
        for place, (kind, begin, takes, flags) in enumerate(log):
            entry = Entry(kind, begin, thread=100 + number, fd=place)
            entry.flags, entry.finish = flags, begin + takes if takes else 0
            writer.write(entry)
            late = takes and flags != RELEASED and kind in (Kind.POSIX, Kind.READ)
            waits = kind is Kind.POSIX and not takes and flags != RELEASED
            time = END if waits else 7 if kind is Kind.FORK else entry.finish if late else begin
            wanted.append((time, number, place))
        writer.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.watching.merged.IN_MEMORY", piece)
        patch.setattr("lab.watching.merged.AT_A_TIME", piece)
        events = read_logs(folder).events
        found = [(event.time, event.process, event.fd) for event in events]
        opened = [(event.process, event.fd) for event in events.of_kinds([Kind.READ, Kind.EXIT])]
    assert found == sorted(wanted)
    assert opened == [
        (number, place) for number, log in enumerate(logs) for place, call in enumerate(log)
        if call[0] in (Kind.READ, Kind.EXIT)
    ]  # fmt: skip
    assert len(events) == len(found)


def test_an_error_of_what_is_done_in_a_folder_for_logs_comes_out_as_it_is_and_the_folder_goes() -> None:
    with pytest.raises(OSError, match="no process"), log_folder() as folder:
        raise OSError("no process")
    assert not folder.exists()
