"""Other processes for the tests: the lab as a user starts it, and fresh interpreters that may fork.

pytest runs under xdist, whose workers hold a second thread, so nothing forks in the process of pytest. What
has to fork is a plain function of a test module, and runs in another process:

    def exits_of_three_workers() -> list[int]:
        ...

    def test_three_workers_end_well() -> None:
        assert in_fresh_process(exits_of_three_workers) == [0, 0, 0]

`OtherProcess` is such an interpreter kept alive between calls, to hold a lock while the test tries it.
"""

from __future__ import annotations

import inspect
import json
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, ParamSpec

from tests.warm import ROOT as ROOT
from tests.warm import Forked, warm, warm_for

PATIENCE = float(os.environ.get("LAB_PATIENCE", "1"))
"""Multiplies all that tests wait; more of it is for a machine that is busy with other work. No verdict hangs on it."""

PATIENCE_S = 60.0 * PATIENCE
"""How long a test waits for what must come; only a failing test waits so long."""

EXHAUSTIVE = os.environ.get("LAB_EXHAUSTIVE", "") not in ("", "0")
"""LAB_EXHAUSTIVE=1 in the environment: tests that by default try a sample of many inputs try all of them."""

P = ParamSpec("P")


def run_lab(
    *args: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002 - as subprocess.run names it
    timeout: float = PATIENCE_S,
) -> subprocess.CompletedProcess[str]:
    """`python -m lab` with these arguments; `env` is added to this process's own."""
    words, environment = [str(arg) for arg in args], {**os.environ, **(env or {})}
    interpreter = warm_for(words)
    if not interpreter.fits(environment):
        return subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=cwd,
            env=environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    with TemporaryFile() as stdin:
        stdin.write((input or "").encode())
        stdin.seek(0)
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        job = {"arguments": words, "cwd": str(Path(cwd or ".").resolve())}
        process = interpreter.start(job, environment, [stdin.fileno(), to_out, to_err])
    os.close(to_out)
    os.close(to_err)
    stdout, stderr = _read_both(process, out, err, timeout)
    return subprocess.CompletedProcess(["lab", *words], process.wait(), stdout, stderr)


def _read_both(process: Forked, out: int, err: int, timeout: float) -> tuple[str, str]:
    """Return what was written to both pipes until nobody holds them; kill the process where that takes too long."""
    parts: dict[int, list[bytes]] = {out: [], err: []}
    deadline = time.monotonic() + timeout
    reading = set(parts)
    try:
        while reading:
            ready = select.select(reading, [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                process.kill()
                process.wait()
                raise subprocess.TimeoutExpired("python -m lab", timeout, b"".join(parts[out]), b"".join(parts[err]))
            for pipe in ready:
                parts[pipe].append(os.read(pipe, 1 << 16))
                reading -= set() if parts[pipe][-1] else {pipe}
    finally:
        os.close(out)
        os.close(err)
    stdout, stderr = (b"".join(parts[pipe]).decode().replace("\r\n", "\n") for pipe in (out, err))
    return stdout, stderr


def race(*args: str | Path, cwd: Path | None = None, timeout: float = PATIENCE_S) -> tuple[int, dict[str, Any]]:
    """`python -m lab race` with these arguments: its exit code and its results document."""
    ended = run_lab("race", *args, "--json", "-", "--no-save", cwd=cwd, timeout=timeout)
    try:
        return ended.returncode, json.loads(ended.stdout)
    except ValueError:
        raise AssertionError(
            f"exit {ended.returncode}, no document on stdout: {ended.stdout!r}\n{ended.stderr}"
        ) from None


def in_fresh_process(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Call a top-level function of a test module in a new, single-threaded process (`tests.warm`).

    Arguments and result travel as JSON, so a tuple comes back as a list. Raises AssertionError with the
    traceback where the function raised, or with the stderr where the interpreter ended.
    """
    with OtherProcess() as other:
        return other.call(function, *args, **kwargs)


class OtherProcess:
    """A second interpreter that calls functions of test modules, one by one; ended with the block."""

    def __init__(self) -> None:
        self._stderr = TemporaryFile()  # noqa: SIM115 - closed on leaving the block
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        files = [theirs_in, theirs_out, self._stderr.fileno()]
        self._process: Forked | subprocess.Popen[bytes]
        if warm().fits(os.environ):
            self._process = warm().start({}, os.environ, files)
        else:
            command = [sys.executable, "-m", "tests.helpers"]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=files[0], stdout=files[1], stderr=files[2])
        os.close(theirs_in)
        os.close(theirs_out)
        self._input, self._output = os.fdopen(ours_in, "wb", 0), os.fdopen(ours_out, "rb")
        self.pid = self._process.pid

    def __enter__(self) -> OtherProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._stderr.close()

    def call(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function over there and wait for its result."""
        self.start(function, *args, **kwargs)
        return self.answer()

    def start(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin a call; `answer` gives its result."""
        path = Path(inspect.getfile(function)).resolve().relative_to(ROOT)
        module = ".".join(path.with_suffix("").parts)
        request = {"module": module, "name": function.__qualname__, "args": args, "kwargs": kwargs}
        self._input.write(json.dumps(request, default=str).encode() + b"\n")

    def answer(self) -> Any:
        """Wait for the result of the call that was begun."""
        if not select.select([self._output], [], [], PATIENCE_S)[0]:
            self._process.kill()
            raise AssertionError(f"no answer within {PATIENCE_S:g} s\n{self._said()}")
        line = self._output.readline()
        if not line:
            raise AssertionError(f"ended with {self._process.wait()} instead of an answer\n{self._said()}")
        answer = json.loads(line)
        if "trace" in answer:
            raise AssertionError(f"raised in the other process\n{answer['trace']}{self._said()}")
        return answer["value"]

    def kill(self) -> None:
        """SIGKILL it, and reap it."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Let it end by itself, killing it only where it does not."""
        self._input.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._output.close()

    def _said(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")


def wait_until(state: Callable[[], object], what: str) -> None:
    """Poll a state that the kernel will reach by itself; fails where it has not after a generous time."""
    deadline = time.monotonic() + PATIENCE_S
    while not state():
        assert time.monotonic() < deadline, f"still not true after {PATIENCE_S:g} s: {what}"
        time.sleep(0.002)


def has_made(place: Path, pattern: str) -> bool:
    """True once something below the place matches; folders that go while they are searched do not count."""
    try:
        return any(place.glob(pattern))
    except FileNotFoundError:
        return False


def is_running(pid: int) -> bool:
    """True while the process exists and is no zombie (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def is_asleep(pid: int) -> bool:
    """True while the process waits in the kernel, as for a lock or a pipe (proc(5), state S)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def serve() -> None:
    """The other side: answers calls until its input ends; what the functions print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            function = getattr(import_module(request["module"]), request["name"])
            answer = {"value": function(*request["args"], **request["kwargs"])}
        except BaseException:  # KeyboardInterrupt too is an answer
            answer = {"trace": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
