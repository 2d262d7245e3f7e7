"""One request to a fresh interpreter, and its answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TypeVar

from lab.errors import CannotRunError, LabError, ScenarioError, UsageError
from lab.processes.interpreter import Ended, run_interpreter

from .hidden import told_by_the_test
from .request import Request, written
from .travel import local_modules

__tracebackhide__ = told_by_the_test

ERRORS: dict[int, type[LabError]] = {error.exit_code: error for error in (UsageError, CannotRunError, ScenarioError)}
START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lab.pytest_plugin.helper import main
sys.exit(main())
"""
"""The other interpreter finds modules where this one does, also the lab itself."""

Document = TypeVar("Document")


class HelperError(LabError):
    """The process that was to race ended without an answer."""

    exit_code = 4


def ask(request: Request, answer: type[Document], root: Path) -> Document:
    """What the request comes to over there; what its workers printed goes to stderr.

    Raises the LabError that was raised there, and HelperError where there is no answer.
    """
    import msgspec

    said = {
        "parent": os.getpid(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "modules": local_modules(root),
        "request": written(request),
    }
    paths = [path for path in sys.path if isinstance(path, str)]
    try:
        ended = run_interpreter(["-c", START, json.dumps(paths)], json.dumps(said).encode())
    except OSError as error:
        raise CannotRunError(f"no process to race in ({error.strerror}); raise the limits (ulimit -u, -n)") from error
    if ended.code == 0 or (ended.code in ERRORS and ended.stdout):
        sys.stderr.write(ended.stderr.decode(errors="replace"))
    if ended.code == 0:
        return msgspec.json.decode(ended.stdout, type=answer)
    raise _error(ended)


def _error(ended: Ended) -> LabError:
    if ended.code in ERRORS and ended.stdout:
        return ERRORS[ended.code](ended.stdout.decode(errors="replace"))
    how = f"exit code {ended.code}" if ended.code >= 0 else f"signal {-ended.code}"
    said = ended.stderr.decode(errors="replace").rstrip()
    wrote = f"what it wrote to stderr:\n{said}" if said else "it wrote nothing to stderr"
    return HelperError(f"the process that races ended with {how} and no answer; {wrote}")
