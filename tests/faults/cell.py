"""A place in which a command runs under a fault and is judged by what it leaves: files, segments, mounts, processes.

The cell is the first process of namespaces of its own (pid_namespaces(7), ipc_namespaces(7), mount_namespaces(7)): all
that is there belongs to the trial, and what is left is found and removed. It answers trials one after the other.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.helpers import PATIENCE_S, ROOT

HERE = Path(__file__).parent
GRACE_S = 2.0
"""How long children of a command that ended may take to end as well."""

UNSHARED = ("unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")

OLD = b"old and precious\n"
"""What the document's file holds before."""

DOCUMENTS = ("out.json", "out.html", "out.trace")
TABLES = ("shm", "sem", "msg")


@dataclass(frozen=True)
class Trial:
    """One command line under one fault; `codes` are the exit codes that are right."""

    name: str
    args: Sequence[str]
    fault: str = ""
    codes: Sequence[int] = (0, 2, 3, 4)
    limit_s: float = 40.0
    limits: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    may_leave: bool = False
    counts: bool = False


@dataclass
class Outcome:
    """How it ended, and what is wrong with that: nothing, where `flags` is empty."""

    code: int
    seconds: float
    stdout: str
    stderr: str
    flags: list[str]
    counted: dict[str, list[int]] = field(default_factory=dict)


def compiled(folder: Path) -> Path:
    """The library that fails calls, made of `preload.c` with what the compiler has to say being an error."""
    library = folder / "preload.so"
    command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(HERE / "preload.c"), "-ldl"], check=True, timeout=PATIENCE_S)
    return library


class Cell:
    """The cell, seen from outside; ended with the block."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        command = [*UNSHARED, sys.executable, "-m", "tests.faults.cell", str(folder), str(library or "")]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Cell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()

    def run(self, trial: Trial) -> Outcome:
        """Run it over there and wait for what it came to."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(trial)).encode() + b"\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))


def perform(trial: Trial, folder: Path, library: str) -> Outcome:
    """Run one command in a folder of its own, and judge it."""
    work, temporary, log = folder / "work", folder / "tmp", folder / "log"
    for made in (work, temporary, work / "d"):
        made.mkdir()
    (work / "out.json").write_bytes(OLD)
    before = _left(folder)
    env = {**os.environ, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1", **trial.env}
    if trial.fault or trial.counts:
        env.update(LD_PRELOAD=library, LAB_FAULT=trial.fault or "any:0:main:0")
    if trial.counts:
        env["LAB_FAULT_LOG"] = str(log)

    def limit() -> None:
        for name, most in trial.limits.items():
            resource.setrlimit(getattr(resource, name), (most, most))

    began = time.monotonic()
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        lab = subprocess.Popen(
            [sys.executable, "-m", "lab", *trial.args], cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=stderr, start_new_session=True, preexec_fn=limit if trial.limits else None,
        )  # fmt: skip
        flags = []
        try:
            lab.wait(trial.limit_s)
        except subprocess.TimeoutExpired:
            flags.append(f"hang: not over after {trial.limit_s:g} s")
            lab.kill()
            lab.wait()
    seconds = time.monotonic() - began
    flags += _orphans()
    printed, told = ((folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    flags += _of_exit(trial, lab.returncode, printed, told)
    if not trial.may_leave:
        flags += [f"left: {each}" for each in sorted(_left(folder) - before) if not _is_told(each, told)]
    flags += _of_documents(work)
    counted = {}
    if trial.counts:
        for line in log.read_text().splitlines():
            name, *numbers = line.split()
            counted[name] = [int(number) for number in numbers]
    return Outcome(lab.returncode, seconds, printed, told, flags, counted)


def _of_exit(trial: Trial, code: int, printed: str, told: str) -> list[str]:
    """What is wrong with the exit code and with what was complained of."""
    flags = []
    if code not in trial.codes:
        flags.append(f"exit code: {code}")
    if "Traceback" in told:
        flags.append("traceback")
    lines = [line for line in told.splitlines() if line.strip()]
    if any(not line.startswith(("lab: ", "  ")) for line in lines):
        flags.append("stray line")
    if code in (2, 3, 4, 130) and not lines:
        flags.append("silent")
    if not printed and code in (2, 3) and sum(line.startswith("lab: ") for line in lines) > 1:
        flags.append("more than one line")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told + printed):
        flags.append("control byte")
    return flags


def _of_documents(work: Path) -> list[str]:
    """A document's file holds what it held, or all of a new document."""
    flags = []
    for name in DOCUMENTS:
        content = (work / name).read_bytes() if (work / name).exists() else OLD
        if content != OLD and not content.rstrip().endswith((b"}", b"</html>", b"]")):
            flags.append(f"broken: {name}")
    return flags


def _left(folder: Path) -> set[str]:
    """All that a command may leave: files, segments, semaphores, queues, mounts; documents are what it is to leave."""
    found = {str(path.relative_to(folder)) for name in ("work", "tmp") for path in (folder / name).rglob("*")}
    found -= {f"work/{name}" for name in DOCUMENTS}
    found |= {f"shm {path.name}" for path in Path("/dev/shm").iterdir()}  # noqa: S108
    for table in TABLES:
        lines = Path(f"/proc/sysvipc/{table}").read_text().splitlines()[1:]
        found |= {f"{table} {line.split()[1]}" for line in lines}
    return found | {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def _is_told(left: str, told: str) -> bool:
    """True for a file that the command named as left behind: its removal was what failed."""
    return any(
        "left behind" in line and any(part in line for part in left.split("/")[1:]) for line in told.splitlines()
    )


def _orphans() -> list[str]:
    """Who lives on after the command, given a moment to end; killed then."""
    deadline = time.monotonic() + GRACE_S
    while (living := _living()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    while _living():
        time.sleep(0.01)
    return [f"orphans: {len(living)}"] if living else []


def _living() -> list[int]:
    """All other processes of the cell, those that have ended being reaped."""
    while True:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                break
        except ChildProcessError:
            break
    names = (path.name for path in Path("/proc").iterdir())
    return [int(name) for name in names if name.isdigit() and int(name) != os.getpid()]


def _clear(folder: Path) -> None:
    """Remove what a trial left."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in Path("/dev/shm").iterdir():  # noqa: S108
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    subprocess.run(["ipcrm", "--all"], capture_output=True, check=False)  # noqa: S607


def main(folder: str, library: str) -> None:
    """Answer trials, one a line, until there are no more."""
    for place in (folder, "/dev/shm"):  # noqa: S108
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)  # noqa: S607
    for line in sys.stdin:
        given: dict[str, Any] = json.loads(line)
        outcome = perform(Trial(**given), Path(folder), library)
        _clear(Path(folder))
        print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
