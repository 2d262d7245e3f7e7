"""Print to standard output and standard error: all of the lab prints through this module, in one order.

It imports little: `lab --help` needs nothing else.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable
from contextlib import suppress

from .errors import CannotRunError, printable

STDERR = 2

LAYOUT = "\n\t\xa0"
"""These characters lay out tables and texts, and do nothing else to a terminal."""


def print_to_stderr() -> None:
    """Send what this process prints on standard output to standard error; standard output stays the caller's.

    Every worker calls this: `suppress` would make each of them copy 25 pages more.
    """
    try:  # noqa: SIM105 - see above
        os.dup2(STDERR, 1)
    except OSError:  # the caller has closed one of the two
        pass
    sys.stdout = sys.stderr


def flush_output() -> None:
    """Write out what was printed, before anything goes to standard error: both may be one pipe, read in this order.

    Text that cannot be written stays in the buffer: `print_text` will meet the error.
    """
    with suppress(OSError, ValueError, AttributeError):  # refused, closed by the scenario, closed by the caller
        sys.stdout.flush()


def print_error(text: str) -> None:
    """Print lines on standard error, after all that was printed before. All of the lab writes there through this.

    A standard error that is full, or that no process reads, ends nothing: the exit code still gives the result.
    """
    flush_output()
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{printable(text, LAYOUT)}\n")
        sys.stderr.flush()


def complain(*lines: str) -> None:
    """Print each line on standard error, behind the program's name."""
    for line in lines:
        print_error(f"lab: {line}")


def print_text(text: str, end: str = "\n") -> None:
    """Print on standard output, and write it out: all of the lab prints there through this function.

    Raise CannotRunError where that cannot be written, but BrokenPipeError where no process reads it.
    """
    try:
        print(printable(text, LAYOUT), end=end, flush=True)  # noqa: T201
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refused_output(error) from error


def refused_output(error: OSError) -> CannotRunError:
    """Return the error of a standard output that cannot be written."""
    return CannotRunError(f"standard output cannot be written ({error.strerror}); make room there")


def drop_unwritten() -> None:
    """Drop what the streams still hold and cannot write: the interpreter would try again, and end with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except ValueError:  # closed
            pass
        except OSError:
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
                stream.flush()


def nobody_reads() -> bool:
    """Return True where standard output is a pipe whose reader has gone (poll(2), POLLERR)."""
    poll = select.poll()
    try:
        poll.register(sys.stdout, 0)
    except (OSError, ValueError):  # it is no descriptor, or a closed one
        return False
    return any(events & select.POLLERR for _, events in poll.poll(0))


USUAL_WIDTH = 80
"""Where no terminal says how wide it is, and COLUMNS is not set, texts have so many columns."""


def screen_width() -> int:
    """Return the columns of the terminal, which COLUMNS overrides; 80 where standard output is no terminal.

    It is what shutil.get_terminal_size returns. `shutil` maps three libraries that pack files, which each fork copies.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    with suppress(AttributeError, ValueError, OSError):  # there is no such stream, it is closed, it is no terminal
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or USUAL_WIDTH  # type: ignore[union-attr]
    return USUAL_WIDTH


COLOR_CHOICES = ("auto", "always", "never")
_chosen = "auto"


def choose_color(when: str) -> None:
    """Mark verdicts by colour: `auto` on a terminal, `always`, or `never`; for the rest of this process."""
    global _chosen
    _chosen = when


def wants_color() -> bool:
    """Return True where standard output gets colour: as chosen; else NO_COLOR, FORCE_COLOR and the terminal decide.

    https://no-color.org and https://force-color.org: a variable that is set and not empty counts.
    """
    if _chosen != "auto":
        return _chosen == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def lab_command() -> str:
    """Return what a user types to call this lab from any folder.

    It is `lab`, the path of that script where `lab` on the PATH is not this one, or `PYTHON -m lab` without a script.
    """
    import shutil

    here = os.path.dirname(sys.executable)  # noqa: PTH120
    found, script = shutil.which("lab"), f"{here}/lab"
    if found and os.path.dirname(os.path.realpath(found)) in (here, os.path.realpath(here)):  # noqa: PTH120
        return "lab"
    return shell_line([script]) if os.access(script, os.X_OK) else shell_line([sys.executable, "-m", "lab"])


def shell_line(words: Iterable[str]) -> str:
    """Return a command line to paste into a shell; ~/ at the beginning of a word stays a home directory there."""
    import shlex

    return " ".join(f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word) for word in words)
