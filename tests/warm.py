"""A warm interpreter, which forks: what starts from it is a new process that has imported the lab already.

A Python that imports pytest and the lab takes 0.4 s of CPU before it does anything, and the tests start thousands. This
one is started once in each process of pytest, holds one thread, and forks a child for each start. A test that is about
the start itself starts Python by itself.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

COMMANDS = tuple(f"lab.cli.{path.stem}" for path in sorted((ROOT / "lab/cli").glob("[a-z]*.py")))
LAB = ("lab.checking.run", "lab.exploring.beside_race", "lab.racing", "lab.report")
IMPORTED = {
    "lab": (*LAB, *COMMANDS, "lab.report.text.race", "lab.report.text.race_again", "msgspec.json", "tabulate"),
    "tests": (*LAB, *COMMANDS, "hypothesis", "msgspec.json", "pytest", "tests.helpers"),
}
"""What nearly every process that is one of the lab's commands imports, and every process that runs a test's function.

A fork copies the tables of all that its process has mapped, so commands are forked without what only tests import.
"""

NEEDS_MORE = ("check",)
"""Commands that import what tests do: the random programs come from Hypothesis."""

FREE = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "HOME", "TMPDIR", "PYTEST_CURRENT_TEST"}
"""Variables that the lab reads when it runs; any other may decide what is imported, and takes a Python of its own."""

MESSAGE_BYTES = 1 << 17


class Forked:
    """A child of the warm interpreter, with what the tests need of `subprocess.Popen`."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._warm = warm
        self._ended = os.pidfd_open(pid)

    def wait(self, timeout: float | None = None) -> int:
        """See `subprocess.Popen.wait`."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            os.close(self._ended)
            self.returncode = self._warm.ask({"reap": self.pid})
        return self.returncode

    def kill(self) -> None:
        """See `subprocess.Popen.kill`."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._ended, signal.SIGKILL)


class Warm:
    """A warm interpreter of this process; `kind` is a key of IMPORTED."""

    def __init__(self, kind: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = dict(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", kind, str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return True where a child can have this environment as if Python had been started in it."""
        return all(key in FREE for key, _ in self._environment.items() ^ environment.items())

    def start(self, job: Mapping[str, Any], environment: Mapping[str, str], files: Sequence[int]) -> Forked:
        """Fork a child for the job, with these files as its stdin, stdout and stderr."""
        changed = {key: environment.get(key) for key in FREE}
        sys.audit("subprocess.Popen", sys.executable, [], None, None)  # conftest holds quick tests to it
        return Forked(self, self.ask({"cwd": str(Path.cwd()), "environment": changed, **job}, files))

    def ask(self, message: Mapping[str, Any], files: Sequence[int] = ()) -> int:
        """Send a message and return the answer: the pid of a child, or its exit code as `subprocess` counts it."""
        socket.send_fds(self._control, [json.dumps(message).encode()], list(files))
        return int(self._control.recv(MESSAGE_BYTES))


@cache
def warm(kind: str = "tests") -> Warm:
    """Return the warm interpreter of this kind; it ends with this process."""
    return Warm(kind)


def warm_for(words: Sequence[str]) -> Warm:
    """Return the warm interpreter for the lab's command with these arguments."""
    return warm("tests" if words and words[0] in NEEDS_MORE else "lab")


def _jobs(control: socket.socket) -> dict[str, Any] | None:
    """Answer messages until the process of pytest ends: then None. In each child, return the child's job."""
    while True:
        data, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 3)
        if not data:
            return None
        message: dict[str, Any] = json.loads(data)
        if "reap" in message:
            control.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(message["reap"], 0)[1]))
            continue
        pid = os.fork()
        if not pid:
            control.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            return message
        for file in files:
            os.close(file)
        control.send(b"%d" % pid)


def _perform(job: Mapping[str, Any], parent: int) -> None:
    """Do the child's job as a Python does it that was started for it."""
    from lab.processes.external import end_with

    end_with(parent)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(job["cwd"])
    for key, value in job["environment"].items():
        os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    if "arguments" in job:
        sys.path[0] = job["cwd"]
        sys.argv[1:] = job["arguments"]
        runpy.run_module("lab", run_name="__main__", alter_sys=True)
    else:
        from tests.helpers import serve

        serve()


def main() -> None:
    """Import, then fork; a stop from the keyboard is for the children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in IMPORTED[sys.argv[1]]:
        import_module(name)
    gc.freeze()
    me = os.getpid()
    job = _jobs(socket.socket(fileno=int(sys.argv[2])))
    if job:
        _perform(job, me)


if __name__ == "__main__":
    main()
