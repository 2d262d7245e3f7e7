"""Write a first scenario of your own: a commented file in this folder that runs at once."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from lab.errors import CannotRunError, UsageError
from lab.gallery import builtin_names
from lab.output import lab_command, print_text

NEXT = """\
written to {path}; every part is explained in it. Next:

  {lab} race {path}
      without a lock it breaks, under one it does not
  {lab} explore {path}
      every order of the steps: the shortest that breaks it, or none
  {lab} race --locked --workers 8 {path}
      once it is yours: exit code 1 where something broke"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `new`."""
    parser.add_argument("scenario", metavar="NAME", help="of the scenario: NAME.py is written into the current folder")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and say what to type next."""
    print_text(NEXT.format(lab=lab_command(), path=write_skeleton(arguments.scenario)))
    return 0


TEMPLATE = Path(__file__).parents[1] / "scenario" / "template" / "scenario.py.txt"


def write_skeleton(name: str) -> Path:
    """Write NAME.py into the current folder and return its path; `name` may carry the .py already.

    Raise UsageError for a name that cannot be a scenario's or is taken, and CannotRunError where nothing can be
    written; then no part of it is left.
    """
    stem = name.removesuffix(".py")
    trouble = _trouble(stem)
    if trouble:
        raise UsageError(f"{name!r} {trouble}")
    path = Path(f"{stem}.py")
    try:
        _write(path, TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path} is there already, and stays as it is; choose another name") from None
    except OSError as error:
        raise CannotRunError(f"{path}: cannot be written ({error.strerror}); choose another name or folder") from error
    return path


def _trouble(stem: str) -> str:
    """Say why no scenario can have this name; empty where one can."""
    if "/" in stem:
        return "names a folder; go there with cd, and give the name alone"
    if not stem.isidentifier() or stem.startswith("__"):
        return "is no name for a module; use letters, digits and _, as in my_format"
    if iskeyword(stem):
        return "is a keyword of Python; choose another name"
    if stem in builtin_names():
        return "is the name of a built-in scenario; choose another name"
    if _shadows(stem):
        return f"would hide the module {stem} from every Python started in this folder; choose another name"
    return ""


def _shadows(stem: str) -> bool:
    """Return True where `import stem` finds a module that is not the file itself."""
    if stem in sys.stdlib_module_names:
        return True
    spec = find_spec(stem)
    return bool(spec and spec.origin) and not Path(f"{stem}.py").exists()


def _write(path: Path, text: str) -> None:
    """Make the file and write all of it, or leave nothing. Raise OSError, FileExistsError where it is there."""
    made = path.open("x", encoding="utf-8")
    try:
        with made as file:
            file.write(text)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
