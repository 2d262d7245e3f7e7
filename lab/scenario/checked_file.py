"""Check a file that programs work on: the counterpart of a scenario where the workers are not written in Python.

The check file is Python: `check(path, outcome)` returns the damage as a scenario's check does, and `prepare(path)`,
which is optional, writes the first content of the file; without it the file starts empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from lab.errors import UsageError
from lab.processes.deadlines import loading

from .base import Damage, Outcome, Scenario, exception_text


class CheckedFile(Scenario):
    """Programs on a file; nothing that they do to it is announced, so all damage is unexpected."""

    expects: ClassVar[dict[str, str]] = {}
    worlds: ClassVar[frozenset[str]] = frozenset({"race"})

    def __init__(self, path: Path) -> None:
        """Load the check file. Raises UsageError where it is missing, does not load, or has no `check`."""
        with loading(f"--check {path}"):
            module = _loaded(path)
        self.written_check = _function(path, module, "check", "(path, outcome)")
        self._prepare = _function(path, module, "prepare", "(path)") if hasattr(module, "prepare") else None

    def first_content(self, path: Path) -> None:
        """Let the check file write the first content."""
        if self._prepare:
            self._prepare(path)

    def judge(self, path: Path, outcome: Outcome) -> Damage | Iterable[Damage]:
        """Return what the check file finds broken."""
        found: Damage | Iterable[Damage] = self.written_check(path, outcome)
        return found


def _loaded(path: Path) -> ModuleType:
    """Run the check file as a module that is not cached beside it; its imports are found as usual."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--check {path}: cannot be read ({error.strerror}); give a Python file") from error
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user's own file
    except SyntaxError as error:
        raise UsageError(f"--check {path}:{error.lineno or 1}: {error.msg}; fix the file") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"--check {path}: cannot be loaded: {exception_text(error)}; fix the file") from error
    return module


def _function(path: Path, module: ModuleType, name: str, takes: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise UsageError(f"--check {path}: has no function {name}{takes}; define one")
    function: Callable[..., Any] = found
    return function
