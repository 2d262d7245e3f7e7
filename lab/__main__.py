"""`python -m lab`: what the program does about a stop while it starts, and then the command.

Nothing heavy is imported before the handlers stand: `lab/__init__.py` imports what it offers when it is asked for.
A stop before that comes while the interpreter itself starts, and ends it as it ends every Python program.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = b"lab: interrupted\n"


def end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """One line and exit code 130, without an exception: in the middle of an import that would come out as another one.

    Nothing has been made yet that would have to be removed.
    """
    try:
        os.write(2, INTERRUPTED)
    finally:
        os._exit(130)


def hidden_by() -> str:
    """Return the folder that hides this package: `python -m lab` finds one of the same name in the current folder."""
    ours = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing heavy is imported here
    found = [os.path.abspath(path) for path in getattr(sys.modules.get("lab"), "__path__", [ours])]  # noqa: PTH100
    return "" if ours in found else "".join(found[:1])


def start() -> int:
    """Import the command line under these handlers, run it, and let a stop that comes too late pass."""
    if folder := hidden_by():
        told = f"lab: {folder} hides the package lab; type lab instead of python -m lab, or work in another folder\n"
        os.write(2, told.encode(errors="replace"))
        return 3
    sys.path.append("")  # a lock of the user's, --lock module:attribute, is found from the script `lab` too
    heard = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, end_at_once)
    try:
        from .cli import main
    except Exception as error:  # of whatever kind: a folder that cannot be looked at is imported as an empty package
        told = (
            f"lab: cannot be started: {error or 'no memory is left'}; install it again, or raise its limits (ulimit)\n"
        )
        os.write(2, told.encode(errors="replace"))
        return 3
    try:
        if signal.SIGINT in heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = main()
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        return code
    except KeyboardInterrupt:  # just before the command line's own handling, or just after it
        end_at_once(signal.SIGINT, None)


if __name__ == "__main__":
    sys.exit(start())
