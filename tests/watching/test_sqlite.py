"""SQLite at work locks rightly; where its exclusive locks are dropped on the way, that is reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run_lab

WORK = """
import sqlite3, sys
connection = sqlite3.connect("data.db", timeout=30, isolation_level=None)
while True:  # a change of the journal does not wait for others
    try:
        connection.execute(f"pragma journal_mode={sys.argv[1]}")
        break
    except sqlite3.OperationalError:
        pass
connection.execute("create table if not exists t (x)")
for number in range(16):
    connection.execute("begin immediate")
    connection.execute("insert into t values (1)")
    connection.execute("select count(*) from t").fetchall()
    connection.execute("commit")
    if number % 4 == 1:
        connection.execute(sys.argv[2] if sys.argv[2:] else "select 1")
connection.close()
"""

DROPS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>

/* Says of each exclusive lock that it was granted, and asks for none. */
static int passed_on(const char *name, int file, int command, void *value)
{
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    if (command == F_SETLK && ((struct flock *)value)->l_type == F_WRLCK)
        return 0;
    return real(file, command, value);
}

#define PASSES(name) \
    int name(int file, int command, ...) \
    { \
        va_list more; \
        va_start(more, command); \
        void *value = va_arg(more, void *); \
        va_end(more); \
        return passed_on(#name, file, command, value); \
    }
PASSES(fcntl) PASSES(fcntl64)
"""


def watched(folder: Path, journal: str, level: str = "calls", *more: str) -> tuple[int, dict[str, Any]]:
    """Watch four processes that write to one database."""
    (folder / "work.py").write_text(WORK)
    command = ("--level", level, "--suppress", "sqlite", "--", sys.executable, "work.py", journal, *more)
    ended = run_lab("watch", "-n", "4", "--json", "-", *command, cwd=folder)
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.needs("compiled")
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite_is_reported_for_nothing(tmp_path: Path, journal: str) -> None:
    code, document = watched(tmp_path, journal, "calls", "pragma wal_checkpoint")
    assert [each["cause"] for each in document["findings"] if not each["note"]] == []
    assert (code, document["processes"]) == (0, 4)
    assert sum(row["granted"] for row in document["locked"]) > 48
    assert document["suppressed"] > 0


@pytest.mark.needs("compiled")
@pytest.mark.needs("accesses")
def test_the_mapped_index_of_sqlite_is_reported_for_nothing(tmp_path: Path) -> None:
    code, document = watched(tmp_path, "wal", "accesses", "pragma wal_checkpoint")
    assert [each for each in document["findings"] if not each["note"]] == []
    assert code == 0
    assert document["accesses"] > 500
    assert document["suppressed"] > 100


@pytest.mark.needs("compiled")
@pytest.mark.needs("compiler")
def test_sqlite_without_its_exclusive_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drops.c").write_text(DROPS)
    command = ["cc", "-w", "-shared", "-fPIC", "drops.c", "-o", "drops.so"]
    subprocess.run(command, check=True, cwd=tmp_path)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "drops.so"))
    code, document = watched(tmp_path, "delete")
    assert {"no lock", "written under a shared lock"} & {each["cause"] for each in document["findings"]}
    assert code == 1
