"""How a scenario or a lock of a test gets into another process: by the name of its place in a module, or pickled."""

from __future__ import annotations

import os
import pickle
import sys
from base64 import b64encode
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from lab.errors import UsageError
from lab.locks.told import kind_of

from .hidden import told_by_the_test

__tracebackhide__ = told_by_the_test

Sent = dict[str, str]
"""One of: "name", which the lab looks up; "place", as module:attribute; "pickle", in base64."""


def packed(thing: Any, what: str, home: ModuleType | None) -> Sent:
    """What to send in place of the thing; `home` is the test's module, where things without a name are looked for.

    A class or a function travels by its place. An object travels pickled, with its state; one that cannot be pickled
    travels by its place where it has one. Raises UsageError for what only this process can have.
    """
    if isinstance(thing, str | os.PathLike):
        return {"name": os.fspath(thing)}
    if isinstance(thing, type | FunctionType):
        place = _place_of(thing) or _found_in(home, thing)
    else:
        try:
            return {"pickle": b64encode(pickle.dumps(thing)).decode()}
        except Exception as error:  # whatever its author's __reduce__ raises
            place, why = _found_in(home, thing), f" ({' '.join(str(error).split())})"
            if not place:
                raise _stays(thing, what, why) from None
    if not place:
        raise _stays(thing, what)
    return {"place": place}


def _place_of(thing: Any) -> str:
    """Where a class or a function says that it is, if it really is there."""
    found: Any = sys.modules.get(thing.__module__)
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return f"{thing.__module__}:{thing.__qualname__}" if found is thing else ""


def _found_in(home: ModuleType | None, thing: object) -> str:
    """A global name of the test's module that stands for this very thing."""
    for name, value in vars(home).items() if home else ():
        if value is thing:
            return f"{home.__name__}:{name}"  # type: ignore[union-attr]
    return ""


def _stays(thing: Any, what: str, why: str = "") -> UsageError:
    """A class or a function needs a place that can be named; a lock that is an object, somebody to make it there."""
    name = getattr(thing, "__qualname__", f"{kind_of(thing)} object")
    step = "define it at the top level of a module"
    if what == "lock" and not isinstance(thing, type | FunctionType):
        step = "give what makes one from a path, at the top level of a module: def make_lock(path): return ..."
    return UsageError(f"{what} {name}: cannot be sent to the process that races{why}; {step}")


def local_modules(root: Path) -> dict[str, dict[str, Any]]:
    """By name, the file and the folders of every Python module below this folder that is loaded here.

    Over there the same name must lead to the same file: under `--import-mode=importlib` no search of sys.path does.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        folders = [str(folder) for folder in getattr(module, "__path__", ())]
        places = [file] if file else folders
        if places and all(_is_local(place, root) for place in places):
            found[name] = {"file": file, "folders": folders}
    return found


def _is_local(place: str, root: Path) -> bool:
    path = Path(place)
    return path.is_relative_to(root) and "site-packages" not in path.parts and path.suffix in (".py", "")
