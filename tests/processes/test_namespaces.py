"""Workers in pid namespaces of their own: their numbers, their ends, what is left of them, and where there are none."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.processes import GroupReaper, WorkerPool, cpus_for, namespaces
from tests.helpers import ROOT, OtherProcess, in_fresh_process, is_running, wait_until
from tests.needs import need, other_user

LONG_S = 60.0
SHORT_S = 0.1


@pytest.fixture(scope="module", autouse=True)
def available() -> None:
    need("pid_namespaces")


def numbers() -> list[str]:
    return [path.name for path in Path("/proc").iterdir() if path.name.isdecimal()]


def isolated(*ends: Any) -> tuple[list[Any], list[list[Any]], bool]:
    """What each worker sees of itself, how each ended, and whether what it left behind in a new session is gone."""
    (seen, told), (open_while_left, left) = os.pipe(), os.pipe()

    def prepare(index: int) -> Any:
        def run() -> None:
            os.write(told, f"{os.getpid()} {Path('/proc/self').readlink()} {sorted(map(int, numbers()))}\n".encode())
            if not os.fork():
                os.setsid()
                os.write(left, b".")
                time.sleep(LONG_S)
                os._exit(0)
            os.close(left)
            ends[index]()

        return run

    with GroupReaper(), WorkerPool(len(ends), prepare, cpus_for("none"), isolate=True) as pool:
        os.close(left)
        pool.gather(LONG_S)
        pool.release()
        waiting = sum(len(os.read(open_while_left, 1)) for _ in ends)
        exits = [[each.index, each.code, each.late] for each in pool.wait(SHORT_S)]
        assert (waiting, list(pool.orphans)) == (len(ends), [])
    gone = bool(select.select([open_while_left], [], [], LONG_S)[0]) and not os.read(open_while_left, 1)
    return os.read(seen, 4096).decode().splitlines(), exits, gone


def exits_with_seven() -> None:
    raise SystemExit(7)


def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hangs() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(LONG_S)


def of_four() -> tuple[list[Any], list[list[Any]], bool]:
    return isolated(lambda: None, exits_with_seven, kills_itself, hangs)


def test_workers_have_one_number_their_own_ends_and_leave_nothing() -> None:
    seen, exits, gone = in_fresh_process(of_four)
    assert seen == ["2 2 [1, 2]"] * 4
    assert exits == [[0, 0, False], [1, 7, False], [2, -9, False], [3, -9, True]]
    assert gone


def hold(note: str) -> None:
    """Workers that wait, each with a helper in a session of its own; all numbers are this namespace's."""

    def prepare(index: int) -> Any:
        if not os.fork():
            os.setsid()
            time.sleep(LONG_S)
        return lambda: None

    with WorkerPool(2, prepare, cpus_for("none"), isolate=True) as pool:
        pool.gather(LONG_S)
        me = str(os.getpid())
        found = {name for name in numbers() if below(name, me)}
        Path(note + ".part").write_text(" ".join(found))
        Path(note + ".part").rename(note)
        time.sleep(LONG_S)


def below(pid: str, ancestor: str) -> bool:
    try:
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return False
    return parent == ancestor or (parent != "0" and below(parent, ancestor))


def test_all_in_the_namespaces_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "note"
    with OtherProcess() as other:
        other.start(hold, str(note))
        wait_until(note.exists, "the workers wait")
        pids = list(map(int, note.read_text().split()))
        assert len(pids) == 6  # two first processes, two workers, two helpers
        other.kill()
        wait_until(lambda: not any(map(is_running, pids)), "all are gone")


def refused(what: str) -> list[Any]:
    """The reason, the children that are left, and whether a worker of a pool says the same."""

    def refuse(name: str, function: Any, *arguments: object) -> None:
        if name.startswith(what):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), name)

    namespaces._call = refuse
    reason = namespaces.refused_namespaces()
    try:
        with WorkerPool(1, lambda index: lambda: None, cpus_for("none"), isolate=True):
            said = ""
    except CannotRunError as error:
        said = str(error)
    try:
        left = os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        left = -1
    return [reason, said == reason, left]


@pytest.mark.parametrize("what", ["unshare(2)", "mount(2)", "mount(2) of /proc"])
def test_where_the_system_refuses_it_the_reason_names_the_call(what: str) -> None:
    reason, same, left = in_fresh_process(refused, what)
    assert reason.startswith(f"no pid namespace for a worker: {what}: Operation not permitted; run as root, or")
    assert (same, left) == (True, -1)


def test_an_ordinary_user_has_them_through_a_user_namespace() -> None:
    need("other_users")
    code = "from lab.processes.namespaces import refused_namespaces as tried; print(repr(tried()))"
    command = [*other_user(200_000 + os.getpid()), sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    if "Operation not permitted" in done.stdout:
        pytest.skip("no user namespaces here")
    assert done.stdout == "''\n"
