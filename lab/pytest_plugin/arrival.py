"""What a test sent, made again in the process that races; the test's modules are loaded from the same files."""

from __future__ import annotations

import pickle
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence
from copy import copy
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from lab.errors import LabError, UsageError
from lab.locks import Lock, adapt, completed, find_lock, told
from lab.locks.foreign import is_manager
from lab.locks.named import load
from lab.locks.told import kind_of
from lab.processes import Terminated
from lab.scenario import Found, Scenario, find_scenarios
from lab.scenario.attributes import check_attributes, check_complete
from lab.scenario.found import described, kinds_of

from .travel import Sent


class SameFiles:
    """Leads the names of the test's own modules to the files that they have in pytest's process."""

    def __init__(self, modules: Mapping[str, Mapping[str, Any]]) -> None:
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder; None for all other modules."""
        known = self._modules.get(name)
        if known is None:
            return None
        if known["file"]:
            return spec_from_file_location(name, known["file"], submodule_search_locations=known["folders"] or None)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = known["folders"]
        return spec


def arrived(sent: Sent, what: str) -> Any:
    """The thing itself. Raises UsageError where its module does not load here, or no longer has it."""
    try:
        if "pickle" in sent:
            return pickle.loads(b64decode(sent["pickle"]))  # noqa: S301 - of our own parent
        module, _, path = sent["place"].partition(":")
        thing: Any = import_module(module)
        for part in path.split("."):
            thing = getattr(thing, part)
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # pytest.skip at the top of a module is no Exception
        raise UsageError(
            f"{what}: cannot be made in the process that races ({told(error)}); its module is loaded there anew, "
            "without fixtures and conftest: mend its imports"
        ) from error
    return thing


def lock_from(sent: Sent) -> Lock:
    """The lock that was named or sent. Raises UsageError for what is none."""
    if "name" in sent:
        return find_lock(sent["name"])
    if "place" in sent:
        arrived(sent, "lock")  # says where the mistake is
        return load(sent["place"].rpartition(":")[2], sent["place"])
    lock = arrived(sent, "lock")
    kind = type(lock).__name__
    if hasattr(lock, "actions"):
        return completed(lock, kind)
    if is_manager(lock) or hasattr(lock, "acquire"):
        raise UsageError(
            f"lock: {kind_of(lock)} object is no lock of the lab; give what makes one from a path: lock={kind}"
        )
    if not callable(lock):
        raise UsageError(
            f"lock: {kind_of(lock)} is no lock; give a name, a lock of the lab, or what makes one from a path"
        )
    return adapt(lock, name=getattr(getattr(lock, "func", lock), "__name__", kind))


def scenario_from(sent: Sent) -> Found:
    """The scenario that was named or sent; an object with state of its own as a class that makes copies of it."""
    if "name" in sent:
        return find_scenarios([sent["name"]])[0]
    thing = arrived(sent, "scenario")
    if isinstance(thing, type):
        return _checked(_described(thing))
    found = _checked(_described(type(thing)))
    return _checked(Found(found.name, _copying(thing), found.summary, found.path)) if vars(thing) else found


def _checked(found: Found) -> Found:
    check_attributes(found.kind, f"scenario {found.name}")
    check_complete(found.kind, f"scenario {found.name}")
    return found


def _described(kind: type[Scenario]) -> Found:
    """The class under the name by which the command line finds it in its file."""
    module = import_module(kind.__module__)
    path = Path(getattr(module, "__file__", None) or kind.__module__)
    every = {found.kind: found for found in described(path.stem, kinds_of(module) or [kind], module.__doc__, path)}
    return every.get(kind) or Found(kind.__name__, kind, "", path)


def _copying(scenario: Scenario) -> type[Scenario]:
    """A class as the scenario's own, but that it makes copies of this one; its settings are those of the object."""
    settings = {name: value for name, value in vars(scenario).items() if hasattr(Scenario, name)}
    kind = type(scenario)
    same = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    made = type(kind.__name__, (kind,), {**same, **settings, "__new__": lambda _: copy(scenario)})
    return cast("type[Scenario]", made)


def command_name(found: Found) -> str:
    """What the command line finds this very scenario by; empty where it does not."""
    from lab.explore.token import where

    name = where(found)
    try:
        again = find_scenarios([name])[0].kind
    except LabError:
        return ""
    same = again.__qualname__ == found.kind.__qualname__ and not _is_copying(found.kind)
    return name if same else ""


def _is_copying(kind: type[Scenario]) -> bool:
    return getattr(sys.modules.get(kind.__module__), kind.__name__, kind) is not kind
