"""Databases at work lock rightly and are reported for nothing; one that loses every third lock is reported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lab.analysis.watched import Event, EventList, History, Image, Kind, WatchedProcess
from lab.watching.symbols import Places
from tests.helpers import run_lab
from tests.needs import need, need_program, require

pytestmark = [pytest.mark.needs("compiler"), pytest.mark.needs("compiled")]

TDB = """
for round in 1 2 3; do
    tdbtool data.tdb store "key$1$round" value
    tdbtool data.tdb fetch "key$1$round"
done >/dev/null
"""

GDBM = r"""
#include <gdbm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    for (int round = 0; round < 12; round++) {
        char text[40];
        GDBM_FILE db;
        while (!(db = gdbm_open("data.gdbm", 512, GDBM_WRCREAT | (words[2][0] == 'r' ? GDBM_NOMMAP : 0), 0600, 0)))
            usleep(200);
        snprintf(text, sizeof text, "%s/%d", words[1], round);
        datum key = {text, (int)strlen(text)};
        gdbm_store(db, key, key, GDBM_REPLACE);
        gdbm_close(db);
    }
    return count < 3;
}
"""
"""It stores records, by read and write or through a mapping."""

LMDB = """
import lmdb, sys

environment = lmdb.open("data.mdb", subdir=False)
for number in range(15):
    with environment.begin(write=True) as changes:
        changes.put(f"{sys.argv[1]}/{number}".encode(), b"x" * 50)
    with environment.begin() as reads:
        reads.stat()
environment.close()
"""

DROPS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/file.h>

/* Says of every third lock that it was granted, and asks for none. */
int flock(int file, int operation)
{
    static int count;
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    return !(operation & LOCK_UN) && ++count % 3 == 0 ? 0 : real(file, operation);
}
"""


def compiled(folder: Path, name: str, text: str, *options: str) -> None:
    (folder / f"{name}.c").write_text(text)
    subprocess.run(["/usr/bin/cc", "-g", "-w", f"{name}.c", *options], check=True, cwd=folder)


def prepared(folder: Path, program: str) -> list[str]:
    """The command that works on a database of this kind in the folder, all but the number of the copy."""
    if program == "tdb":
        need_program("tdbtool")
        (folder / "work.sh").write_text(TDB)
        subprocess.run(
            ["/usr/bin/tdbtool", "data.tdb", "create", "data.tdb"], check=True, cwd=folder, capture_output=True
        )
        return ["sh", "work.sh", "{worker}"]
    if program == "lmdb":
        require(find_spec("lmdb"), "lmdb is not installed")
        (folder / "work.py").write_text(LMDB)
        return [sys.executable, "work.py", "{worker}"]
    need("gdbm")
    compiled(folder, "work", GDBM, "-lgdbm", "-o", "work")
    return ["./work", "{worker}", program.removeprefix("gdbm, ")]


def watched(folder: Path, program: str, level: str = "calls") -> tuple[int, dict[str, Any]]:
    """Watch three processes that work on one database."""
    command = ("--suppress", program if program in ("tdb", "lmdb") else "tdb", "--", *prepared(folder, program))
    ended = run_lab("watch", "-n", "3", "--level", level, "--json", "-", *command, cwd=folder)
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("program", "level"),
    [
        ("tdb", "calls"), ("tdb", "accesses"), ("lmdb", "calls"), ("lmdb", "accesses"), ("gdbm, read", "calls"),
        ("gdbm, mapped", "accesses"),
    ],
)  # fmt: skip
def test_a_database_at_work_is_reported_for_nothing(tmp_path: Path, program: str, level: str) -> None:
    code, document = watched(tmp_path, program, level)
    assert [each["cause"] for each in document["findings"] if not each["note"]] == []
    assert (code, document["options"]["level"]) == (0, level)
    assert document["processes"] >= 3
    assert document["accesses"] > 10
    assert sum(row["granted"] for row in document["locked"]) > 3


def test_a_database_that_loses_every_third_lock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(tmp_path, "drops", DROPS, "-shared", "-fPIC", "-o", "drops.so")
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "drops.so"))
    code, document = watched(tmp_path, "gdbm, read")
    assert code == 1
    assert {each["file"].rsplit("/", 1)[-1] for each in document["findings"] if not each["note"]} == {"data.gdbm"}


JAVA = """
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

public class Adds {
    static void look() throws Exception {
        Files.readAllLines(Path.of("data"));
    }

    public static void main(String[] words) throws Exception {
        try (FileChannel file = FileChannel.open(Path.of("data"), StandardOpenOption.WRITE)) {
            FileLock lock = file.lock();
            if (words.length > 0)
                look();
            lock.release();
        }
    }
}
"""


def test_a_java_program_is_told_its_own_lines(tmp_path: Path) -> None:
    need_program("java", "javac")
    (tmp_path / "Adds.java").write_text(JAVA)
    (tmp_path / "data").touch()
    subprocess.run([str(shutil.which("javac")), "Adds.java"], check=True, cwd=tmp_path)
    java = ("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "Adds")
    ended = run_lab("watch", "--json", "-", "--", *java, "looks", cwd=tmp_path)
    document = json.loads(ended.stdout)
    (found,) = document["findings"]
    assert (found["cause"], ended.returncode) == ("dropped by a close", 1)
    assert [call["place"] for call in found["calls"]] == [
        "Adds.java:15 Adds.main", "Adds.java:10 Adds.look", "Adds.java:18 Adds.main",
    ]  # fmt: skip
    assert run_lab("watch", "--", *java, cwd=tmp_path).returncode == 0


GO, NEW_GO = "/usr/lib/go-1.19/src", "/opt/go/src"
OWN = ("/home/me/main.go", 28, "main.lock")


@pytest.mark.parametrize(
    ("frames", "place"),
    [
        ([(f"{GO}/runtime/internal/syscall/asm_linux_amd64.s", 35, "runtime/internal/syscall.Syscall6"),
          (f"{GO}/os/file.go", 9, "os.(*File).Close"), OWN, (f"{GO}/runtime/proc.go", 250, "runtime.main")],
         "main.go:28 main.lock"),
        ([(f"{NEW_GO}/internal/runtime/syscall/asm_linux_amd64.s", 35, "internal/runtime/syscall.Syscall6"),
          (f"{NEW_GO}/os/file.go", 9, "os.(*File).Close"), OWN], "main.go:28 main.lock"),
        ([(f"{GO}/runtime/internal/syscall/asm_linux_amd64.s", 35, "runtime/internal/syscall.Syscall6")],
         "asm_linux_amd64.s:35 runtime/internal/syscall.Syscall6"),
        ([("", 0, "fcntl"), ("/usr/lib/mine.c", 7, "work")], "mine.c:7 work"),
        ([("", 0, "fcntl"), ("", 0, "main")], "fcntl"),
        ([("sun/nio/ch/FileChannelImpl.java", 8, "FileChannelImpl.lock"), ("Adds.java", 15, "Adds.main")],
         "Adds.java:15 Adds.main"),
        ([], ""),
    ],
)  # fmt: skip
def test_the_place_of_a_call_is_in_the_program_itself(frames: list[tuple[str, int, str]], place: str) -> None:
    history = History([WatchedProcess(1, 1, 0)], [], [Image(0, interpreted={1: frames})], EventList(), [])
    call = Event(1, 0, Kind.CLOSE, 0, 0, 0, 3, 0, 0, 0, 1, 1, (0, 1), 1)
    assert Places(history).place(call) == place
