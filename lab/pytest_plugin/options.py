"""What a user says for all tests: on the command line, or in the ini file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from .request import SECONDS

Value = TypeVar("Value", int, float)


@dataclass(frozen=True, slots=True)
class Defaults:
    """For every race that does not say itself."""

    seed: int
    directory: Path
    seconds: float


def add_options(parser: pytest.Parser) -> None:
    """The options of the lab, in a group of their own, and the same as ini keys."""
    group = parser.getgroup("lab", "races and explorations (the fixture `lab`)")
    group.addoption("--lab-seed", metavar="N", help="of the random draws of scenarios (0)")
    group.addoption("--lab-dir", metavar="DIR", help="race on files in there (the system's temporary directory)")
    group.addoption("--lab-seconds", metavar="S", help="race for about so long where the test does not say (1)")
    parser.addini("lab_seed", "as --lab-seed")
    parser.addini("lab_dir", "as --lab-dir; relative to the ini file")
    parser.addini("lab_seconds", "as --lab-seconds")


def defaults(config: pytest.Config) -> Defaults:
    """The command line's, else the ini file's, else the lab's own. Raises pytest.UsageError, naming the option."""
    seed = _number(config, "lab_seed", int, "a whole number")
    seconds = _number(config, "lab_seconds", float, "a number of seconds")
    if seconds is not None and not 0 < seconds < 1e6:
        raise pytest.UsageError(f"lab_seconds: {seconds:g} is no time: above 0 seconds, below a million")
    return Defaults(seed or 0, _directory(config), seconds or SECONDS)


def _number(config: pytest.Config, name: str, kind: Callable[[str], Value], what: str) -> Value | None:
    text = config.getoption(name) or config.getini(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise pytest.UsageError(f"{name}: {text!r} is not {what}") from None


def _directory(config: pytest.Config) -> Path:
    given, noted = config.getoption("lab_dir"), config.getini("lab_dir")
    base = config.invocation_params.dir if given else (config.inipath or config.rootpath / "_").parent
    try:
        folder = base / Path(given or noted or tempfile.gettempdir()).expanduser()
    except RuntimeError as error:  # of a user who does not exist
        raise pytest.UsageError(f"lab_dir: {given or noted!r}: {error}; give a directory") from None
    if not folder.is_dir():
        raise pytest.UsageError(f"lab_dir: {folder} is no directory; give one on the filesystem in question")
    return folder
