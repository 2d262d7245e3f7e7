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


def load_compiled(module: str, *names: str) -> ModuleType | None:
    """Return the compiled module, which must have these names.

    Returns None where it was not built, since there was no compiler, and where LAB_PURE asks for Python. Raises
    ImportError where it lacks one of the names: an editable install still has what was built of older sources.
    """
    if asks_for_python():
        return None
    try:
        found = import_module(module)
    except ImportError:
        return None
    for name in names:
        if not hasattr(found, name):
            raise ImportError(f"{module} was built of other sources, without {name}; install the lab again")
    return found
