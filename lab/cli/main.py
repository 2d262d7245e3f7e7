"""Run `lab COMMAND`: find the command, run it, turn errors into one line and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from lab.errors import ExitCode, LabError
from lab.output import choose_color, complain, drop_unwritten, nobody_reads, print_error, print_text

from .parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code to end with."""
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a scenario's own prints come in order with the lab's too
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _exit_code(given, wants_trace="--traceback" in given)
    finally:
        drop_unwritten()


def _exit_code(given: Sequence[str], *, wants_trace: bool) -> int:
    """Run the command and turn what it raises into one line and an exit code."""
    try:
        parsed = parse(given)
        choose_color(parsed.color)
        from lab.processes import Descendants, stops_interrupt  # --help need not wait for it

        with stops_interrupt(), Descendants():
            code: int = parsed.run(parsed)
        print_text("", end="")
        return code
    except SystemExit as ended:  # --help, --version
        return int(ended.code or 0)
    except BrokenPipeError as error:
        return ExitCode.UNREAD if nobody_reads() else _refused(error, trace=wants_trace)
    except OSError as error:
        return _refused(error, trace=wants_trace)
    except LabError as error:
        return _fail(str(error), error.exit_code, trace=wants_trace)
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.INTERRUPTED, trace=wants_trace)
    except MemoryError:
        return _fail(
            "no memory is left; ask for less, or raise the limit (ulimit -v)", ExitCode.UNABLE, trace=wants_trace
        )
    except Exception as error:
        if _is_of_import(error):
            why = f"cannot import all that this needs ({error}); install it again, or raise the limits (ulimit -n, -v)"
            return _fail(why, ExitCode.UNABLE, trace=wants_trace)
        why = f"a fault of the lab itself, {type(error).__name__}: {error}; --traceback shows where, please report it"
        return _fail(why, ExitCode.FAULT, trace=wants_trace)


def _is_of_import(error: BaseException) -> bool:
    """Return True for any error of an import, of whatever kind.

    Python imports a folder that it cannot look at as empty.
    """
    below = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ImportError) or any(frame.name == "<module>" for frame in below)


def _refused(error: OSError, *, trace: bool) -> int:
    return _fail(f"{error.strerror or error}; --traceback shows where", ExitCode.UNABLE, trace=trace)


def _nowhere() -> TextIO:
    """Return a place for output whose stream the caller has closed."""
    return Path(os.devnull).open("w")


def _fail(message: str, code: int, *, trace: bool) -> int:
    if trace:
        print_error(traceback.format_exc().rstrip("\n"))
    complain(re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], message))  # names may have newlines
    return code
