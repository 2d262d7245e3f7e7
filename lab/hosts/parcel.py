"""Send the user's own code along to the hosts: the file of a scenario, the module of a lock, and what they import.

A host has none of the user's files. What is sent are the modules that were loaded here from the folder of such a file,
as text; there they are imported from memory, under the same names and with the same lines in tracebacks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from sysconfig import get_path
from types import ModuleType
from typing import Any

OWN = Path(__file__).parents[1]
"""The lab itself, which every keeper has."""


def parcel(modules: Iterable[str]) -> dict[str, list[str]]:
    """Return the text of these modules and of those beside them that are loaded here: name -> path and text.

    The lab's own are not among them. Raises OSError where a file cannot be read.
    """
    found: dict[str, list[str]] = {}
    for name in modules:
        if not (path := _file(name)):
            continue
        top = name.partition(".")[0]
        folder = path.parent
        loaded = list(sys.modules)
        beside = [each for each in loaded if (file := _file(each)) and file.is_relative_to(folder) and not _kept(file)]
        inside = [each for each in loaded if top != "lab" and each.partition(".")[0] == top]
        for each in dict.fromkeys([name, *beside, *inside]):
            if file := _file(each):
                found[each] = [str(file), file.read_text()]
    return found


def _file(name: str) -> Path | None:
    """Return the file of a loaded module that a host lacks; None for the lab's own and for what has no text."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not file or not file.endswith(".py"):
        return None
    path = Path(file)
    gallery = name.startswith("lab.scenarios.")
    return path if gallery or not path.is_relative_to(OWN) else None


def _kept(file: Path) -> bool:
    """Return True for what is installed, and for the standard library: a host has its own."""
    folders = {get_path(each) for each in ("stdlib", "platstdlib", "purelib", "platlib")}
    return "site-packages" in file.parts or any(file.is_relative_to(each) for each in folders)


class Unpacked(MetaPathFinder, InspectLoader):
    """Imports the modules of a parcel; a package that is missing above one of them is empty."""

    def __init__(self, modules: Mapping[str, Sequence[str]]) -> None:
        self._modules = dict(modules)
        for name in modules:
            while name := name.rpartition(".")[0]:
                self._modules.setdefault(name, ["", ""])

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module of the parcel."""
        return spec_from_loader(name, self) if self._has(name) else None

    def _has(self, name: str) -> bool:
        return name in self._modules and (bool(self._modules[name][1]) or name not in sys.modules)

    def is_package(self, name: str) -> bool:
        """Return True where others of the parcel are in it."""
        return any(other.startswith(f"{name}.") for other in self._modules)

    def get_source(self, name: str) -> str:
        """Return its text, also for tracebacks."""
        return self._modules[name][1]

    def exec_module(self, module: ModuleType) -> None:
        """Run it, with its lines known by the file that it came from."""
        name = module.__name__
        module.__file__ = self._modules[name][0]
        exec(compile(self.get_source(name), module.__file__ or name, "exec"), vars(module))  # noqa: S102 - it is asked for


def unpack(modules: Mapping[str, Any]) -> None:
    """Let these modules be imported in this process, before any others of their names."""
    sys.meta_path.insert(0, Unpacked(modules))
    for name in modules:
        sys.modules.pop(name, None)
