"""Find scenarios by name, by `name:variant`, or by the path of a file that holds one.

A built-in name wins (`lab.gallery`), then a path, then what an installed package offers in the entry-point group
`lab.scenarios`: a module or module:Class. That group is read last (`lab.host.packages`). The class attributes of a
scenario are checked against one table, and mistakes are reported to its author.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from ctypes import Structure, sizeof
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from math import isfinite
from pathlib import Path
from reprlib import repr as shortened
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.errors import UsageError, error_line, printable, unknown
from lab.gallery import COUNTEREXAMPLE, DEFAULT, OF_CRASHES, builtin_names, first_line, gallery, variant_name
from lab.host.packages import SCENARIOS, declared_in
from lab.processes.deadlines import loading

from .base import VERDICTS, Scenario
from .operations import Operations, calls_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

WORLDS = ("race", "explore", "replay", "check")
PINS = ("none", "spread", "one")
MOST_ROUNDS = 10_000_000


class Attribute(NamedTuple):
    """The name of an attribute, its allowed values in words, and a function that tells whether a value is allowed."""

    name: str
    allowed: str
    fits: Callable[[Any], bool]


def _one_of(names: Sequence[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in names


def _several(value: Any) -> bool:
    """Return whether it is a collection of texts, and not a text itself."""
    return isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(each, str) for each in value)


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _seconds(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and isfinite(value) and 0 < value < 1e6)


def _by_lock(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(lock, str) and verdict in VERDICTS for lock, verdict in value.items()
    )


def _by_crash(value: Any) -> bool:
    verdicts = ("clean", "damaged")
    return (
        isinstance(value, Mapping) and set(value) <= {"kill", "power"} and all(map(_one_of(verdicts), value.values()))
    )


def _struct(value: Any) -> bool:
    """Return whether the struct has bytes."""
    return isinstance(value, type) and issubclass(value, Structure) and sizeof(value) > 0


def _names(value: Any) -> bool:
    return _several(value) and len(value) > 0


def _worlds(value: Any) -> bool:
    return _names(value) and set(value) <= set(WORLDS)


def _most(value: Any) -> bool:
    return value is None or _whole(1, 1 << 31)(value)


ATTRIBUTES = (
    Attribute("Memory", "a ctypes.Structure with at least one field", _struct),
    Attribute("work", "a function work(self, w)", callable),
    Attribute("check", "a function check(self, memory, outcome)", callable),
    Attribute("invariant", "a function invariant(self, memory)", callable),
    Attribute("layout", "a function layout(self, workers, rounds)", callable),
    Attribute("files", "a function files(self, workers, rounds)", callable),
    Attribute("prepare", "a function prepare(self, memory)", callable),
    Attribute("start", "a function start(self, w)", callable),
    Attribute("expected", "a function expected(self, lock, backing)", callable),
    Attribute("expects", 'verdicts by lock, such as {"none": "damaged"}', _by_lock),
    Attribute("allows_overlaps", "names of locks", _several),
    Attribute("locks", 'one or more names of locks, such as ("none", "fcntl")', _names),
    Attribute("recover", "a function recover(self, w)", callable),
    Attribute("after_crash", 'verdicts by crash, such as {"power": "damaged"}', _by_crash),
    Attribute("why", "a text", lambda value: isinstance(value, str)),
    Attribute("order", "a whole number from 0", _whole(0, MOST_ROUNDS)),
    Attribute("backing", "the name of a backing; see `lab list`", lambda value: isinstance(value, str)),
    Attribute("by_name", "True or False", lambda value: isinstance(value, bool)),
    Attribute("unshared", '"damaged" or "clean"', _one_of(("damaged", "clean"))),
    Attribute("worlds", f"one or more of {', '.join(WORLDS)}", _worlds),
    Attribute("rounds", f"a whole number from 1 to {MOST_ROUNDS:,}", _whole(1, MOST_ROUNDS)),
    Attribute("holds_per_round", f"a whole number from 0 to {MOST_ROUNDS:,}", _whole(0, MOST_ROUNDS)),
    Attribute("time_limit", "None, or a number of seconds above 0", _seconds),
    Attribute("pin", f"one of {', '.join(PINS)}", _one_of(PINS)),
    Attribute("workers_at_most", "None, or a whole number from 1", _most),
    Attribute("sparse", "True or False", lambda value: isinstance(value, bool)),
)  # fmt: skip


def check_attributes(kind: type[Scenario], where: str) -> None:
    """Raise UsageError for the first attribute that is wrong, with the class, the attribute and its allowed values."""
    for attribute in ATTRIBUTES:
        try:
            value = getattr(kind, attribute.name)
            fits = attribute.fits(value)
        except AttributeError:  # it is asked for only where it is needed
            continue
        except Exception as error:
            value, fits = error, False
        if not fits:
            raise _wrong(kind, where, attribute, value)


def check_complete(kind: type[Scenario], where: str) -> None:
    """Raise UsageError for a class that cannot run: it may be a base class of others in its file."""
    missing = [name for name in ("work", "check") if getattr(kind, name) is getattr(Scenario, name)]
    if kind.layout is Scenario.layout and not hasattr(kind, "Memory"):
        missing.append("Memory")
    for attribute in ATTRIBUTES:
        if attribute.name in missing:
            raise UsageError(f"{where}: {kind.__qualname__} has no {attribute.name}; give {attribute.allowed}")


def _wrong(kind: type[Scenario], where: str, attribute: Attribute, value: object) -> UsageError:
    name = f"{kind.__qualname__}.{attribute.name}"
    try:
        shown = printable(shortened(value))
    except Exception:
        shown = f"a {type(value).__name__}"
    return UsageError(f"{where}: {name} is {shown}; give {attribute.allowed}")


@dataclass(frozen=True, slots=True)
class Found:
    """A scenario class under the name that tables show; `summary` is one line, `path` the file that it is in.

    `installed` is true where the name is an entry point of a package.
    """

    name: str
    kind: type[Scenario]
    summary: str
    path: Path = Path()
    installed: bool = False

    def check_world(self, world: str, *, hint: str = "") -> None:
        """Raise UsageError where the scenario does not run in this world, or lacks something and runs in none."""
        check_complete(self.kind, f"scenario {self.name}")
        if issubclass(self.kind, Operations):
            calls_of(self.kind)
        if world not in self.kind.worlds:
            raise UsageError(
                f"scenario {self.name}: runs only in {', '.join(sorted(self.kind.worlds))}, not in {world}{hint}"
            )

    def check_workers(self, workers: int) -> None:
        """Raise UsageError for more workers than the layout has room for."""
        most = self.kind.workers_at_most
        if most and workers > most:
            raise UsageError(f"scenario {self.name}: {workers:,} workers are more than its {most:,}; lower --workers")

    @property
    def counterexample(self) -> bool:
        """Return True for a scenario that breaks although it is locked, and for its fixed variants."""
        return bool(self.kind.why)


def kinds_of(module: ModuleType, base: type[Scenario] = Scenario) -> list[type[Scenario]]:
    """Return the scenario classes that this module itself defines, in their order."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == module.__name__
    ]


def describe(
    name: str, kinds: Sequence[type[Scenario]], doc: str | None, path: Path, *, installed: bool = False
) -> Iterator[Found]:
    """Describe the classes: the first has this name and is summed up by `doc`, the others are its variants."""
    main = kinds[0]
    for kind in kinds:
        summary = first_line(doc if kind is main else "", kind.__doc__)
        yield Found(name if kind is main else variant_name(name, kind.__name__), kind, summary, path, installed)


@cache
def _offered() -> dict[str, list[EntryPoint]]:
    """Return what installed packages declare, by name."""
    offered: dict[str, list[EntryPoint]] = {}
    for point in declared_in(SCENARIOS):
        offered.setdefault(point.name, []).append(point)
    return offered


def installed_names() -> list[str]:
    """Return the names that installed packages declare, in alphabetical order."""
    return list(_offered())


@cache
def load_installed(name: str) -> list[Found]:
    """Return the class of this entry point and its fixed variants, or all classes of its module.

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
        remedy = "fix or reinstall the package it is in"
        raise UsageError(f"scenario {name}: {point.value} cannot be loaded ({error_line(error)}); {remedy}") from error
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
    return list(describe(name, kinds, doc, Path(module.__file__ or ""), installed=True))


@cache
def load(path: Path) -> list[Found]:
    """Return the classes of a scenario file, the first under the file's name. Raises UsageError where loading fails."""
    module = load_module(path)
    kinds = kinds_of(module)
    if not kinds:
        raise UsageError(f"{path}: holds no subclass of lab.Scenario; see `lab list` for examples")
    for kind in kinds:
        check_attributes(kind, str(path))
    return list(describe(path.stem, kinds, module.__doc__, path))


def load_module(
    path: Path, missing: str = "no such scenario file; give a built-in name or the path of a .py file"
) -> ModuleType:
    """Import a file of the user's. Raises UsageError where that fails; `missing` says that there is none."""
    spec = spec_from_file_location(f"lab.scenarios.{path.stem}", path)
    if not _is_file(path) or spec is None or spec.loader is None:
        raise UsageError(f"{path}: {missing}")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickles of the file's classes look for it
    try:
        with loading(str(path)), _no_bytecode(beside=path), redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno or 1}: {error.msg}; fix the file") from error
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}: cannot be loaded: {error_line(error)}; fix the file") from error
    return module


def _is_file(path: Path) -> bool:
    """Return whether the path is a file. Raises UsageError where that cannot be found out."""
    try:
        return path.is_file()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a .py file") from error


@contextmanager
def _no_bytecode(*, beside: Path) -> Iterator[None]:
    """Prevent a __pycache__ beside a user's file within the block; the gallery's own may be cached."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = before or not beside.resolve().is_relative_to(Path(__file__).resolve().parents[2])
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def find_scenarios(names: Sequence[str], *, counterexamples: bool = False, crashes: bool = False) -> list[Found]:
    """Return the scenarios of these names and paths, each with its variants; without names, the default set.

    `counterexamples` adds those that break although they are locked, `crashes` those that are written to stand a crash.
    Raises UsageError for an unknown name, a missing file, or one that does not load.
    """
    if names and not counterexamples:
        return [found for name in names for found in _named(name)]
    wanted = [DEFAULT, *[COUNTEREXAMPLE] * counterexamples, *[OF_CRASHES] * crashes]
    everything = [found for each in gallery().values() if each.set in wanted for found in load(each.path)]
    default = [found for found in everything if not found.counterexample]
    chosen = [found for name in names for found in _named(name)] or default
    return chosen + [found for found in everything if counterexamples and found.counterexample and found not in chosen]


def find_installed(name: str) -> list[Found]:
    """Return what a package offers under this name; raises UsageError where it does not load or is no entry point's
    name.
    """
    if name in builtin_names():
        raise UsageError(f"scenario {name}: a built-in one has this name and wins; rename the entry point")
    if name.endswith(".py") or set(name) & set("/:"):
        raise UsageError(f"scenario {name}: no name to ask for; rename the entry point, without / and : and .py")
    return load_installed(name)


def scenario_file(name: str) -> Path | None:
    """Return the file of a name or a path, which may be missing; None for what a package offers."""
    stem = name.partition(":")[0]
    if stem.endswith(".py") or "/" in stem:
        return Path(stem)
    return gallery()[stem].path if stem in gallery() else None


def _named(name: str) -> list[Found]:
    """Return the classes of a name: one ending in .py or holding a slash is a path; a colon chooses a variant."""
    stem, _, variant = name.partition(":")
    if file := scenario_file(name):
        found = load(file)
    elif stem in installed_names():
        found = load_installed(stem)
    else:
        here = [path.name for path in Path().glob("*.py") if path.stem == stem]
        raise unknown("scenario", name, [*builtin_names(), *installed_names(), *here])
    if not variant:
        return found
    chosen = [each for each in found if each.name.partition(":")[2] == variant]
    if not chosen:
        raise unknown("scenario", name, [each.name for each in found])
    return chosen
