"""Find the compiled lock calls and recorder, where they are built and LAB_PURE does not ask for Python's.

They are one module, made of `_native.c` and `lab/race/_recorder.c`. LAB_PURE=1 in the environment makes Python do every
lock call and record every hold: to compare the two, or to find out which of them has a fault.
"""

from __future__ import annotations

import os
from types import ModuleType

PURE = "LAB_PURE"


def _asked_for_python() -> bool:
    """Return True where LAB_PURE is set, and neither empty nor 0."""
    return os.environ.get(PURE, "") not in ("", "0")


def _native() -> ModuleType | None:
    if _asked_for_python():
        return None
    try:
        from . import _native
    except ImportError:
        return None
    return _native if hasattr(_native, "LAYOUT") else None  # built of sources that are older than this file


NATIVE = _native()
RECORDER = "compiled" if NATIVE else "python"
"""The recorder in use, which every results file names."""


def recorder_told() -> str:
    """Return in one line which recorder is in use, and why."""
    if NATIVE:
        return f"lock calls and recorder in C; {PURE}=1 in the environment has Python do both"
    if _asked_for_python():
        return f"lock calls and recorder in Python, as {PURE} asks"
    return "lock calls and recorder in Python: install again, with a C compiler and Python.h, for those in C"
