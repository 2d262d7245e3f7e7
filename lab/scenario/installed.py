"""Scenarios of other packages, from the entry-point group `lab.scenarios`: a name, and a module or module:Class.

Asked only where a name is no built-in's and no path's: `importlib.metadata` imports threading and random, and the
handlers that these two run in every forked child double what a fork costs.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.processes.alarm import loading

from .attributes import check_attributes
from .base import Scenario
from .found import Found, described, kinds_of, told

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "lab.scenarios"


@cache
def _offered() -> dict[str, list[EntryPoint]]:
    """What installed packages declare, by name."""
    from importlib.metadata import entry_points

    offered: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        offered.setdefault(point.name, []).append(point)
    return offered


def installed_names() -> list[str]:
    """The names that installed packages declare, in alphabetical order."""
    return list(_offered())


@cache
def load_installed(name: str) -> list[Found]:
    """The class of this entry point and its cured variants, or all classes of its module.

    Raises UsageError where two packages offer the name, and where it does not load.
    """
    point, *others = _offered()[name]
    if others:
        places = ", ".join(each.value for each in (point, *others))
        raise UsageError(f"scenario {name}: several packages offer it ({places}); uninstall all but one")
    try:
        with loading(f"scenario {name}"):
            loaded = point.load()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        remedy = "mend or reinstall the package it is in"
        raise UsageError(f"scenario {name}: {point.value} cannot be loaded ({told(error)}); {remedy}") from error
    return _found(name, point.value, loaded)


def _found(name: str, place: str, loaded: object) -> list[Found]:
    if isinstance(loaded, ModuleType):
        module, kinds, doc = loaded, kinds_of(loaded), loaded.__doc__
    elif isinstance(loaded, type) and issubclass(loaded, Scenario):
        module = sys.modules[loaded.__module__]
        variants = [kind for kind in kinds_of(module, loaded) if kind is not loaded]
        kinds, doc = [loaded, *variants], loaded.__doc__
    else:
        raise UsageError(f"scenario {name}: {place} is no subclass of lab.Scenario; name a class or a module of them")
    if not kinds:
        raise UsageError(f"scenario {name}: {place} defines no subclass of lab.Scenario; name the class, module:Class")
    for kind in kinds:
        check_attributes(kind, f"scenario {name}")
    return list(described(name, kinds, doc, Path(module.__file__ or ""), installed=True))
