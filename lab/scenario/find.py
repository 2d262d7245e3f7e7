"""Scenarios by name, by `name:variant`, or by the path of a file that holds one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from inspect import cleandoc
from pathlib import Path

from lab.errors import CannotRunError, UsageError, unknown

from .base import Scenario

LESSONS = (
    "short_range", "closed_descriptor", "threads", "forked_holder", "replaced_file", "check_then_lock",
    "private_mapping", "opposite_order", "killed_holder",
)  # fmt: skip
"""Not even loaded for the default set: one imports threading, whose handlers every fork would pay for."""

TEACHING_ORDER = (
    "counter", "torn_record", "bank", "append_log", "ring_queue", "readers_writers", "overlap", "linked_list",
    "sparse_pages", *LESSONS,
)  # fmt: skip
"""The order in which the gallery is shown; a file that is not named here follows by its name."""


@dataclass(frozen=True, slots=True)
class Found:
    """A scenario class under the name that tables show; `summary` is one line, `path` the file that it is in."""

    name: str
    kind: type[Scenario]
    summary: str
    path: Path = Path()

    def check_world(self, world: str, *, hint: str = "") -> None:
        """Raises UsageError where the scenario does not run in this world."""
        if world not in self.kind.worlds:
            raise UsageError(
                f"scenario {self.name}: runs only in {', '.join(sorted(self.kind.worlds))}, not in {world}{hint}"
            )

    def check_workers(self, workers: int) -> None:
        """Raises UsageError for more workers than the layout has room for."""
        most = self.kind.workers_at_most
        if most and workers > most:
            raise UsageError(f"scenario {self.name}: {workers:,} workers are more than its {most:,}; lower --workers")

    @property
    def lesson(self) -> bool:
        """True for what breaks although it is locked, and for its cured variants."""
        return bool(self.kind.why)


def find_scenarios(names: Sequence[str], *, lessons: bool = False) -> list[Found]:
    """The scenarios of these names and paths, each with its cured variants; none named: the default set.

    `lessons` adds all that are "locked, and broken all the same". Raises UsageError for an unknown name, a
    missing file, or one that does not load.
    """
    if names and not lessons:
        return [found for name in names for found in _named(name)]
    wanted = [name for name in builtin_names() if lessons or name not in LESSONS]
    everything = [found for name in wanted for found in _load(_gallery() / f"{name}.py")]
    default = [found for found in everything if not found.lesson]
    chosen = [found for name in names for found in _named(name)] or default
    return chosen + [found for found in everything if lessons and found.lesson and found not in chosen]


@cache
def builtin_names() -> list[str]:
    """The names of the built-in scenarios, in the order of teaching."""
    present = sorted(path.stem for path in _gallery().glob("*.py") if not path.stem.startswith("_"))
    return sorted(present, key=lambda name: TEACHING_ORDER.index(name) if name in TEACHING_ORDER else len(present))


@cache
def _gallery() -> Path:
    """The folder of the built-in scenarios: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "scenarios", package.parent / "scenarios"):
        if (folder / "counter.py").exists():
            return folder
    raise CannotRunError("the built-in scenarios are missing from this installation; reinstall the lab")


def _named(name: str) -> list[Found]:
    """A name ending in .py or holding a slash is a path; a variant is chosen with a colon."""
    stem, _, variant = name.partition(":")
    if stem.endswith(".py") or "/" in stem:
        found = _load(Path(stem))
    elif stem in builtin_names():
        found = _load(_gallery() / f"{stem}.py")
    else:
        raise unknown("scenario", name, builtin_names())
    if not variant:
        return found
    chosen = [each for each in found if each.name.partition(":")[2] == variant]
    if not chosen:
        raise unknown("scenario", name, [each.name for each in found])
    return chosen


@cache
def _load(path: Path) -> list[Found]:
    """Run a scenario file and collect its classes, the first under the file's name."""
    spec = spec_from_file_location(f"lab.scenarios.{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"{path}: no such scenario file; give a built-in name or the path of a .py file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickles of the file's classes look for it
    try:
        with _no_bytecode(beside=path):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno or 1}: {error.msg}; mend the file") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}: cannot be loaded: {type(error).__name__}: {error}; mend the file") from error
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Scenario) and kind.__module__ == module.__name__
    ]
    if not kinds:
        raise UsageError(f"{path}: holds no subclass of lab.Scenario; see `python -m lab list` for examples")
    return list(_described(path, kinds, module.__doc__))


@contextmanager
def _no_bytecode(*, beside: Path) -> Iterator[None]:
    """Within the block no __pycache__ appears beside a user's file; the gallery's own may be cached."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = before or not beside.resolve().is_relative_to(Path(__file__).resolve().parents[2])
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _described(path: Path, kinds: list[type[Scenario]], doc: str | None) -> Iterator[Found]:
    stem = path.stem
    main = kinds[0]
    for kind in kinds:
        variant = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
        texts = [cleandoc(text or "") for text in (doc if kind is main else "", kind.__doc__, "(no docstring)")]
        summary = next(filter(None, texts)).splitlines()[0]
        yield Found(stem if kind is main else f"{stem}:{variant}", kind, summary, path)
