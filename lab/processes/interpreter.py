"""A fresh interpreter beside this one, for what must not be done in a process that may have threads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .child import PR_SET_PDEATHSIG, _prctl

if TYPE_CHECKING:
    import subprocess

GRACE_S = 5.0
"""How long it has to end its own children and remove its files, once it was asked to."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: its exit code, or minus the signal; what it wrote to stdout and to stderr."""

    code: int
    stdout: bytes
    stderr: bytes


def run_interpreter(arguments: Sequence[str], stdin: bytes) -> Ended:
    """Run `python` with these arguments and wait for its end, however long that takes.

    What ends the wait (Ctrl-C, a test's time limit) ends the interpreter first: SIGTERM, then SIGKILL. It has a process
    group of its own, so that a terminal's Ctrl-C does not reach it a second time. Its streams are files: a child of its
    own that hangs keeps nobody waiting for the end of a pipe. Raises OSError where there is no process to be had.
    """
    import subprocess
    from tempfile import TemporaryFile

    with TemporaryFile() as given, TemporaryFile() as stdout, TemporaryFile() as stderr:
        given.write(stdin)
        given.seek(0)
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, stdin=given, stdout=stdout, stderr=stderr, process_group=0)
        try:
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        stdout.seek(0)
        stderr.seek(0)
        return Ended(code, stdout.read(), stderr.read())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, softly at first."""
    import subprocess

    try:
        process.terminate()
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def end_with(parent: int) -> None:
    """Get SIGKILL when that process dies (prctl(2), PR_SET_PDEATHSIG); end at once where it has died already."""
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
