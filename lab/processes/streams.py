"""Where a forked child prints to."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def print_to_stderr() -> None:
    """What this process prints on standard output goes to standard error: the caller's output is its own."""
    with suppress(OSError):  # the caller has closed one of the two
        os.dup2(2, 1)
    sys.stdout = sys.stderr
