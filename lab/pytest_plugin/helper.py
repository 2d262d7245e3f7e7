"""The life of the process that races for a test: one request, one answer, and its end.

The request is JSON on stdin. The answer is on what stdout was: a results document with a little more (`answer`), and 0
as exit code; or the text of a LabError, and its exit code. What the scenario and the lock print goes to stderr. Nothing
is imported before the race that forks would pay for, but by the test's own modules.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from lab.errors import LabError
from lab.processes import Terminated, stop_on_sigterm
from lab.processes.interpreter import end_with

from .arrival import SameFiles
from .request import ExploreRequest, RaceRequest, Request, read

INTERRUPTED = 130


def main() -> int:
    """Do what is asked; the exit code."""
    said = json.load(sys.stdin)
    end_with(said["parent"])
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.dont_write_bytecode = said["dont_write_bytecode"]
    sys.meta_path.insert(0, SameFiles(said["modules"]))
    try:
        with stop_on_sigterm():
            code, text = _answer(said["request"])
    except (KeyboardInterrupt, Terminated):
        return INTERRUPTED
    with os.fdopen(answer, "wb") as stream:
        stream.write(text)
    return code


def _answer(said: dict[str, Any]) -> tuple[int, bytes]:
    from .answer import written

    try:
        return 0, written(_done(read(said)))
    except LabError as error:
        return error.exit_code, str(error).encode("utf-8", "replace")


def _done(request: Request) -> Any:
    if isinstance(request, RaceRequest):
        from .racing import race

        return race(request)
    if isinstance(request, ExploreRequest):
        from .exploring import explored

        return explored(request)
    from .exploring import explained

    return explained(request)
