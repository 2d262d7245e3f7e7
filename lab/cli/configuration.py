"""Read defaults of options from `[tool.lab.COMMAND]` of the nearest pyproject.toml, as ruff and pytest do.

    [tool.lab.race]
    workers = [2, 4]
    lock = ["fcntl", "flock"]
    time-limit = 60
    quiet = true

A key is the long name of an option without its dashes. What the command line gives takes precedence.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab.commands import COMMANDS
from lab.errors import UsageError, unknown

from .options import Listed

FILE = "pyproject.toml"

Parse = Callable[[Sequence[str]], argparse.Namespace]


def configured(name: str, command: argparse.ArgumentParser, given: Sequence[str], parse: Parse) -> argparse.Namespace:
    """Parse the words given, with those that the nearest pyproject.toml adds for this command before them.

    Raises UsageError for a file that is not TOML, for an unknown command, option or value in it, and for wrong words.
    """
    path = _nearest()
    words = list(_words(path, name, command, given)) if path else []
    at = list(given).index(name) + 1
    try:
        return parse([*given[:at], *words, *given[at:]])
    except UsageError as error:
        if not words:
            raise
        parse(given)  # raises where the command line itself is wrong
        raise UsageError(f"{path}: [tool.lab.{name}]: {error}") from error


def _nearest() -> Path | None:
    """Return the nearest pyproject.toml, from the current folder upwards, if it speaks of the lab."""
    try:
        here = Path.cwd()
    except OSError:  # the folder is gone
        return None
    for folder in (here, *here.parents):
        try:
            return folder / FILE if b"[tool.lab" in (folder / FILE).read_bytes() else None
        except OSError:
            continue
    return None


def _words(path: Path, name: str, command: argparse.ArgumentParser, given: Sequence[str]) -> Iterator[str]:
    import tomllib

    try:
        tables = tomllib.loads(path.read_text()).get("tool", {}).get("lab", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}; fix the file") from error
    for key, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: [tool.lab]: {key}: give it in a table of a command, such as [tool.lab.race]")
        if key not in COMMANDS:
            raise UsageError(f"{path}: [tool.lab.{key}]: {unknown('command', key, list(COMMANDS))}")
    actions = {option: action for action in command._actions for option in action.option_strings}
    for key, value in tables.get(name, {}).items():
        action = actions.get(f"--{key}")
        if action is None:
            known = [option.removeprefix("--") for option in actions if option.startswith("--")]
            raise UsageError(f"{path}: [tool.lab.{name}]: {unknown('option', key, known)}")
        if not _is_given(key, action, actions, given):
            yield from _as_words(f"--{key}", action, value, f"{path}: [tool.lab.{name}]")


def _is_given(key: str, action: argparse.Action, actions: dict[str, argparse.Action], given: Sequence[str]) -> bool:
    """Return True where the command line gives the option, another of the same meaning, or its opposite."""
    opposite = f"--{key.removeprefix('no-')}" if key.startswith("no-") else f"--no-{key}"
    same = [option for option, each in actions.items() if each.dest == action.dest] + [opposite]
    words = [word.partition("=")[0] for word in given]
    return any(word in same or (word[:1] == "-" and word[1:2] != "-" and word[:2] in same) for word in words)


def _as_words(option: str, action: argparse.Action, value: object, where: str) -> Iterator[str]:
    """Yield the words of a value: a list is joined by commas where the option takes that, true is the option alone."""
    if action.nargs == 0:
        if value is True:
            yield option
        elif value is not False:
            raise UsageError(f"{where}: {option.removeprefix('--')}: {value!r} is neither true nor false")
        return
    values = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    yield from (f"{option}={each}" for each in ([",".join(values)] if isinstance(action, Listed) else values))
