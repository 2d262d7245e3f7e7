"""Ask a fresh interpreter: it races, in a process with one thread, whatever this process is."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Generic, TypeVar

from lab.errors import CannotRunError, ExitCode, LabError, ScenarioError, UsageError
from lab.processes.external import Ended, run_interpreter
from lab.records import Document

from .protocol import Request, as_arguments, is_about_the_test, local_modules

__tracebackhide__ = is_about_the_test

ERRORS: dict[int, type[LabError]] = {error.exit_code: error for error in (UsageError, CannotRunError, ScenarioError)}
START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lab.api.server import main
sys.exit(main())
"""
"""The program of the other interpreter, which finds modules where this one does, also the lab itself."""

Record = TypeVar("Record", bound=Document)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Record]):
    """A document, and the name of each case's scenario on the command line; empty where it does not find that one."""

    names: list[str]
    document: Record


class HelperError(LabError):
    """The process that should have raced ended without an answer."""

    exit_code = ExitCode.FAILED


def ask(request: Request, record: type[Record]) -> Answer[Record]:
    """Return the answer of the fresh interpreter; what its workers printed goes to stderr.

    Raises the LabError that was raised there, and HelperError where there is no answer.
    """
    import msgspec

    message = {
        "parent": os.getpid(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "modules": local_modules(),
        "request": request.data(),
    }
    paths = [path for path in sys.path if isinstance(path, str)]
    try:
        ended = run_interpreter(["-c", START, json.dumps(paths)], json.dumps(message).encode())
    except OSError as error:
        raise CannotRunError(f"no process to race in ({error.strerror}); raise the limits (ulimit -u, -n)") from error
    if ended.code == 0 or (ended.code in ERRORS and ended.stdout):
        sys.stderr.write(ended.stderr.decode(errors="replace"))
    if ended.code == 0:
        return msgspec.json.decode(ended.stdout, type=Answer[record])  # type: ignore[valid-type]
    raise _error(ended)


def _error(ended: Ended) -> LabError:
    if ended.code in ERRORS and ended.stdout:
        return ERRORS[ended.code](as_arguments(ended.stdout.decode(errors="replace")))
    how = f"exit code {ended.code}" if ended.code >= 0 else f"signal {-ended.code}"
    stderr = ended.stderr.decode(errors="replace").rstrip()
    wrote = f"what it wrote to stderr:\n{stderr}" if stderr else "it wrote nothing to stderr"
    return HelperError(f"the process that races ended with {how} and no answer; {wrote}")
