"""Scenarios by name, by `name:variant`, or by the path of a file that holds one; a built-in name wins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lab.errors import CannotRunError, UsageError, unknown

from .found import Found
from .installed import installed_names, load_installed
from .load import load

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


def find_scenarios(names: Sequence[str], *, lessons: bool = False) -> list[Found]:
    """The scenarios of these names and paths, each with its cured variants; none named: the default set.

    `lessons` adds all that are "locked, and broken all the same". Raises UsageError for an unknown name, a
    missing file, or one that does not load.
    """
    if names and not lessons:
        return [found for name in names for found in _named(name)]
    wanted = [name for name in builtin_names() if lessons or name not in LESSONS]
    everything = [found for name in wanted for found in load(_gallery() / f"{name}.py")]
    default = [found for found in everything if not found.lesson]
    chosen = [found for name in names for found in _named(name)] or default
    return chosen + [found for found in everything if lessons and found.lesson and found not in chosen]


def find_installed(name: str) -> list[Found]:
    """What a package offers under this name; raises UsageError where it does not load or cannot be asked for."""
    if name in builtin_names():
        raise UsageError(f"scenario {name}: a built-in one has this name and wins; rename the entry point")
    if name.endswith(".py") or set(name) & set("/:"):
        raise UsageError(f"scenario {name}: no name to ask for; rename the entry point, without / and : and .py")
    return load_installed(name)


def scenario_file(name: str) -> Path | None:
    """The file that a name or a path leads to, which may be missing; None for what a package offers."""
    stem = name.partition(":")[0]
    if stem.endswith(".py") or "/" in stem:
        return Path(stem)
    return _gallery() / f"{stem}.py" if stem in builtin_names() else None


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
