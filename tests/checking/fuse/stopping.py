"""A server that stops answering at a certain request: one of any kind, or of one kind alone.

`stop` has the whole server stopped (SIGSTOP), as one is whose machine hangs. `block` has it never answer this one
request; it goes on answering all others.
"""

from __future__ import annotations

import os
import signal
import time
from functools import wraps
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

from tests.checking.fuse.passthrough import Passthrough

KINDS = (
    "getattr", "statfs", "readdir", "mkdir", "rmdir", "unlink", "truncate", "create", "open", "read", "write",
    "fallocate", "fsync", "flush", "release", "lock", "flock",
)  # fmt: skip
"""The callbacks that a check has called, by the names of libfuse; getattr is also a lookup."""

HOWS = ("stop", "block")


MOMENT = "stopped"
"""The file beside the backing directory that says when the server stopped (time.monotonic)."""


def stop_at(operations: Passthrough, kind: str, number: int, how: str, moment: Path) -> None:
    """Have the server stop answering at the request of this number, the first being 1, of this kind or of `any`.

    The file `moment` then says when that was.
    """
    numbers = count(1)

    def counting(name: str) -> Any:
        call = getattr(operations, name)

        @wraps(call)
        def counted(*args: Any) -> Any:
            if next(numbers) == number:
                moment.write_text(repr(time.monotonic()))
                if how == "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                Event().wait()
            return call(*args)

        return counted

    for name in KINDS if kind == "any" else (kind,):
        setattr(operations, name, counting(name))
