"""Locks that one fault breaks, a scenario in which it shows, and the row of a race with a fault made shorter."""

from __future__ import annotations

import ctypes
import fcntl
import os
import time
from ctypes import Structure, c_uint64
from dataclasses import asdict, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from lab import Damage, Outcome, Scenario, Worker
from lab.processes import GroupReaper
from lab.racing import cases_of
from lab.racing.cases import run_case, run_faulty
from lab.racing.faults import FAULTS
from lab.records import Options
from lab.scenario import Found

LOOK_S = 0.0002


class Slow(Scenario):
    """Every worker adds 1, and takes its time inside the lock: two that are inside together are seen."""

    rounds = 5
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = (("value", c_uint64),)

    def work(self, w: Worker) -> None:
        with w.write_lock():
            value = w.memory.value
            time.sleep(0.001)
            w.memory.value = value + 1

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        return Damage("lost update", outcome.rounds - memory.value, outcome.rounds)


class Holder:
    """A file with the process id of the holder, made whole under its name."""

    def __init__(self, path: str) -> None:
        self.path = path

    def made(self) -> bool:
        mine = f"{self.path}.{token_hex(8)}"  # process ids and times may be equal
        Path(mine).write_text(str(os.getpid()))
        try:
            os.link(mine, self.path)
        except FileExistsError:
            return False
        finally:
            Path(mine).unlink()
        return True

    def is_dead(self) -> bool:
        try:
            os.kill(int(Path(self.path).read_text()), 0)
        except FileNotFoundError:
            return False
        except ProcessLookupError:
            return True
        return False

    def acquire(self) -> bool | None:
        while not self.made():
            if self.is_dead() and self.enter():
                return None
            time.sleep(LOOK_S)
        return None

    def release(self) -> None:
        Path(self.path).unlink(missing_ok=True)

    def enter(self) -> bool:
        """Whether to go in beside the file of a dead holder."""
        return False


class Enters(Holder):
    """All that find the holder dead go in."""

    def enter(self) -> bool:
        return True


class Survives(Holder):
    """The file of a dead holder is removed under a lock of the kernel's."""

    def enter(self) -> bool:
        with Path(f"{self.path}.guard").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if self.is_dead():
                self.release()
        return False


class GivesUp(Holder):
    """Waits for 20 ms, and takes nothing from the dead."""

    def acquire(self) -> bool | None:
        until = time.monotonic() + 0.02
        while not self.made():
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_S)
        return None


class Impatient(Holder):
    """Removes the file of a holder that was waited for longer than 0.1 s."""

    def acquire(self) -> bool | None:
        until = time.monotonic() + 0.1
        while not self.made():
            if time.monotonic() > until:
                self.release()
            time.sleep(LOOK_S)
        return None


class Queue:
    """Tickets in a folder: the lowest is served, also if who drew it is dead."""

    def __init__(self, path: str) -> None:
        self.folder = Path(f"{path}.d")

    def acquire(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with Path(f"{self.folder}.guard").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            self.mine = self.folder / f"{max(self.tickets(), default=0) + 1}"
            self.mine.touch()
        while min(self.tickets()) != int(self.mine.name):
            time.sleep(LOOK_S)

    def tickets(self) -> list[int]:
        return [int(entry.name) for entry in self.folder.iterdir()]

    def release(self) -> None:
        self.mine.unlink()


class Careless:
    """flock(2) called without a look at its answer; EINTR is taken for a grant."""

    flock = ctypes.CDLL(None).flock

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)

    def acquire(self) -> None:
        self.flock(self.file, fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_UN)


class Careful(Careless):
    """Asks again after EINTR."""

    def acquire(self) -> None:
        while self.flock(self.file, fcntl.LOCK_EX):
            pass


class Numbered(Holder):
    """Goes in where the file has its own process id: it takes that for a file that it forgot."""

    def acquire(self) -> bool | None:
        while not self.made() and self.read() != str(os.getpid()):
            time.sleep(LOOK_S)
        return None

    def read(self) -> str:
        try:
            return Path(self.path).read_text()
        except FileNotFoundError:
            return ""


OPTIONS = Options(
    scenarios=[], locks=[], workers=[3], rounds=None, trials=1, directory="", seed=1, pin=None, window_ns=0, leak=0.0,
    time_limit_s=10.0, faults="long",
)  # fmt: skip
STOP_S = {"holder stopped 1 s": 0.3}


def row_with(lock: str, fault: str, folder: str, patience_s: float = 0.3) -> dict[str, Any]:
    """The row of this fault, made for 0.4 s instead of its time, with a patience for a lock that lets nobody in."""
    name = lock if lock.islower() else f"tests.racing.fault_locks:{lock}"
    cases = cases_of([Found("slow", Slow, "")], replace(OPTIONS, locks=[name]))
    (case,) = [case for case in cases if case.setting.fault and case.setting.fault.name == fault]
    (known,) = [each for each in FAULTS if each.name == fault and each.target == "lock"]
    short = replace(known, seconds=min(known.seconds, 0.4), stop_s=STOP_S.get(fault, 0.0))
    folders = [Path(folder)]
    with GroupReaper():
        ordinary = run_case(cases[0], 1, folders)
        row = run_faulty(replace(case, setting=replace(case.setting, fault=short)), ordinary, folders, patience_s)
    return {**asdict(row), "left": [entry.name for entry in folders[0].iterdir()]}
