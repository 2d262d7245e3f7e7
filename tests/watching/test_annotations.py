"""A right program whose order is not seen is reported, and silent once it says what orders it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.watching.annotations import HEADER, acquire, ordered_by, release
from tests.helpers import run_lab

pytestmark = pytest.mark.needs("compiled")

SPINS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lab_watch.h"

/* Two copies write to the file by turns; whose turn it is stands in a mapped file, on which the other spins. */
int main(int count, char **words)
{
    int me = atoi(words[1]), data = open("data", O_RDWR | O_CREAT, 0600), turns = open("turn", O_RDWR | O_CREAT, 0600);
    if (ftruncate(turns, 4096))
        return 1;
    volatile int *turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, turns, 0);
    for (int round = 0; round < 3; round++) {
        while (*turn % 2 != me)
            sched_yield();
        ACQUIRE;
        pwrite(data, words[1], 1, 0);
        RELEASE;
        *turn += 1;
    }
    return 0;
}
"""

TALKS = """
import os, socket, sys
from lab.watching.annotations import acquire, release

def {says}(name): pass

ours, theirs = socket.socketpair()
child = os.fork()
data = os.open("data", os.O_RDWR | os.O_CREAT)
for _ in range(3):
    if child:
        os.pwrite(data, b"a", 0)
        release("there")
        ours.send(b"!")
        ours.recv(1)
        acquire("back")
    else:
        theirs.recv(1)
        acquire("there")
        os.pwrite(data, b"b", 0)
        release("back")
        theirs.send(b"!")
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.needs("compiler")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (('-DACQUIRE=lab_acquire("turn")', '-DRELEASE=lab_release("turn")'), 0),
        (('-DACQUIRE=lab_ordered_by("turn")', '-DRELEASE=lab_ordered_by("turn")', "-no-pie", "-fno-pie"), 0),
        (("-DACQUIRE=", "-DRELEASE="), 1),
        (('-DACQUIRE=lab_acquire("turn")', '-DRELEASE=lab_release("another")'), 1),
        (('-DACQUIRE=lab_acquire("turn")', '-DRELEASE=lab_release("turn")', "-DLAB_NO_WATCH"), 1),
    ],
    ids=["told", "ordered_by", "not told", "another name", "left out"],
)
def test_a_flag_that_one_spins_on(tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    (tmp_path / "spins.c").write_text(SPINS)
    header = run_lab("watch", "--header", cwd=tmp_path).stdout.strip()
    assert header == str(HEADER)
    command = ["cc", "-g", "-w", "-I", str(Path(header).parent), *options, "spins.c", "-o", "spins"]
    subprocess.run(command, check=True, cwd=tmp_path)
    done = run_lab("watch", "-n", "2", "--file", "data", "--", "./spins", "{worker}", cwd=tmp_path)
    assert done.returncode == code, done.stdout
    assert ("accesses that no lock orders" in done.stdout) == bool(code)


@pytest.mark.parametrize(("says", "code"), [("nothing", 0), ("release", 1), ("acquire", 1)])
def test_a_socket(tmp_path: Path, says: str, code: int) -> None:
    """Redefined, one of the two functions says nothing."""
    (tmp_path / "talks.py").write_text(TALKS.replace("{says}", says))
    done = run_lab("watch", "--file", "data", "--", sys.executable, "talks.py", cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr


def test_unwatched_they_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_WATCH_DIR", raising=False)
    release("a")
    acquire("a")
    with pytest.raises(ZeroDivisionError), ordered_by("a"):
        raise ZeroDivisionError
