"""The packages behind the ready locks."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from lab.errors import CannotRunError


def package(lock: str, name: str) -> ModuleType:
    """The package, imported. Raises CannotRunError, with what to install, where it is missing or broken."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise CannotRunError(
                f"lock {lock}: needs the Python package {name}; pip install 'lock-race-lab[locks]'"
            ) from error
        raise _broken(lock, name, error) from error
    except Exception as error:
        raise _broken(lock, name, error) from error


def attribute(lock: str, name: str, attribute: str) -> Any:
    """What the package offers under this name. Raises CannotRunError where this version of it does not."""
    found = getattr(package(lock, name), attribute, None)
    if found is None:
        raise CannotRunError(
            f"lock {lock}: the {name} that is installed has no {attribute}; pip install -U 'lock-race-lab[locks]'"
        )
    return found


def _broken(lock: str, name: str, error: Exception) -> CannotRunError:
    return CannotRunError(
        f"lock {lock}: the Python package {name} cannot be imported ({type(error).__name__}: {error}); "
        "reinstall it: pip install --force-reinstall 'lock-race-lab[locks]'"
    )
