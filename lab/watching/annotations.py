"""Tell `lab watch` from a Python program what orders its processes where it cannot be seen: a socket, a signal, a flag.

    from lab.watching.annotations import acquire, release

    store(shared)                      # one process                     connection.recv(1)      # another
    release("ready")                                                     acquire("ready")
    connection.send(b"!")                                                load(shared)

What a process did before `release(name)` comes before what another does after a later `acquire(name)`. Where the
program is not watched the functions do nothing. The header beside this module is the same for C.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

HEADER = Path(__file__).parent / "lab_watch.h"


def release(name: str) -> None:
    """Say that what this process did comes before what others do once they have acquired the name."""
    if order := _order():
        order(1, name.encode(errors="replace"))


def acquire(name: str) -> None:
    """Say that what others did before they released the name comes before what this process does now."""
    if order := _order():
        order(0, name.encode(errors="replace"))


@contextmanager
def ordered_by(name: str) -> Iterator[None]:
    """Say that the blocks of this name, in all processes, run one after the other: as under a lock that is not seen.

    In a program that is not watched this does nothing.
    """
    acquire(name)
    try:
        yield
    finally:
        release(name)


@cache
def _order() -> Callable[[int, bytes], object] | None:
    """Return the function of the preloaded library, None where it is not there; a child of fork has it too."""
    if "LAB_WATCH_DIR" not in os.environ:
        return None
    import ctypes

    order = getattr(ctypes.CDLL(None), "lab_watch_order", None)
    if order is not None:
        order.argtypes, order.restype = (ctypes.c_int, ctypes.c_char_p), None
    return order
