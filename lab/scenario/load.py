"""A scenario file: run it, and collect its classes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from lab.errors import UsageError
from lab.processes.alarm import loading

from .attributes import check_attributes
from .found import Found, described, kinds_of, told


@cache
def load(path: Path) -> list[Found]:
    """The classes of a scenario file, the first under the file's name. Raises UsageError where it cannot be loaded."""
    spec = spec_from_file_location(f"lab.scenarios.{path.stem}", path)
    if not _is_file(path) or spec is None or spec.loader is None:
        raise UsageError(f"{path}: no such scenario file; give a built-in name or the path of a .py file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickles of the file's classes look for it
    try:
        with loading(str(path)), _no_bytecode(beside=path), redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno or 1}: {error.msg}; mend the file") from error
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}: cannot be loaded: {told(error)}; mend the file") from error
    kinds = kinds_of(module)
    if not kinds:
        raise UsageError(f"{path}: holds no subclass of lab.Scenario; see `python -m lab list` for examples")
    for kind in kinds:
        check_attributes(kind, str(path))
    return list(described(path.stem, kinds, module.__doc__, path))


def _is_file(path: Path) -> bool:
    """Raises UsageError where that cannot be found out."""
    try:
        return path.is_file()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a .py file") from error


@contextmanager
def _no_bytecode(*, beside: Path) -> Iterator[None]:
    """Within the block no __pycache__ appears beside a user's file; the gallery's own may be cached."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = before or not beside.resolve().is_relative_to(Path(__file__).resolve().parents[2])
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
