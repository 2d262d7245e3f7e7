"""Import the compiled parts of the lab, where they were built; Python's own twin of each does the same elsewhere.

LAB_PURE=1 in the environment makes Python do all of it: to compare the two, or to find out which of them has a fault.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

PURE = "LAB_PURE"


def asks_for_python() -> bool:
    """Return True where LAB_PURE is set, and neither empty nor 0."""
    return os.environ.get(PURE, "") not in ("", "0")


def load_compiled(module: str) -> ModuleType | None:
    """Return the compiled module of this name.

    Returns None where it was not built, since there was no compiler, and where LAB_PURE asks for Python.
    """
    if asks_for_python():
        return None
    try:
        return import_module(module)
    except ImportError:
        return None
