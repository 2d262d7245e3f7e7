"""A lock by `module:attribute`: a lock of the lab's protocol, or a factory of some other."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lab.errors import UsageError
from lab.processes.alarm import loading

from .adapted import Adapted, adapt
from .completed import completed
from .foreign import is_manager
from .protocol import Lock
from .told import kind_of, told


def load(name: str, place: str) -> Lock:
    """The lock at this place: an object with `actions`, what a class with `actions` makes, or an adapted factory.

    It goes by this name, unless it was given one of its own; of the protocol it needs `actions` alone (`completed`).
    Raises UsageError where the place leads to none of them.
    """
    with loading(f"lock {name}"):
        found = _found(name, place)
    if hasattr(found, "actions"):
        return _of_protocol(name, found)
    if not isinstance(found, type) and (is_manager(found) or hasattr(found, "acquire")):
        raise UsageError(
            f"lock {name}: is {kind_of(found)} that was made before the fork, and all workers would share it; "
            "give a function that makes one from the path of a lock file: def make_lock(path): return ..."
        )
    if not callable(found):
        raise UsageError(
            f"lock {name}: is {kind_of(found)}, which cannot be called; give a function of a path that returns a lock"
        )
    return adapt(found, name=name)


def _of_protocol(name: str, found: Any) -> Lock:
    if isinstance(found, type):
        try:
            return completed(found(), name)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"lock {name}: cannot be made ({told(error)}); mend it") from error
    return found.named(name) if isinstance(found, Adapted) and found.nameless else completed(found, name)


def _found(name: str, place: str) -> Any:
    """What the place leads to. Raises UsageError."""
    module, _, attribute = place.partition(":")
    if not (_is_dotted(module) and _is_dotted(attribute)):
        raise UsageError(f"lock {name}: {place!r} names no attribute of a module; give it as my_module:make_lock")
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise _missing(name, module, error) from error
    except AttributeError as error:
        raise UsageError(f"lock {name}: cannot be loaded ({error}); name what the module has") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"lock {name}: cannot be loaded, {module} raised {told(error)}; mend it") from error
    return found


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _missing(name: str, module: str, error: ModuleNotFoundError) -> UsageError:
    if error.name and f"{module}.".startswith(f"{error.name}."):
        return UsageError(f"lock {name}: no module {error.name} is found; start where it lies, or set PYTHONPATH")
    return UsageError(f"lock {name}: {module} needs a module that is missing ({error}); install it")
