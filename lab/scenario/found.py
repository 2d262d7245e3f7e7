"""A scenario that was found, under the name that tables show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from types import ModuleType

from lab.errors import UsageError

from .attributes import check_complete
from .base import Scenario


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
        """Raises UsageError where the scenario does not run in this world, or in none for what it lacks."""
        check_complete(self.kind, f"scenario {self.name}")
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


def kinds_of(module: ModuleType, base: type[Scenario] = Scenario) -> list[type[Scenario]]:
    """The scenario classes that this module itself defines, in their order."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == module.__name__
    ]


def described(
    name: str, kinds: Sequence[type[Scenario]], doc: str | None, path: Path, *, installed: bool = False
) -> Iterator[Found]:
    """The first class goes by this name and is summed up by `doc`, the others are its variants."""
    main = kinds[0]
    for kind in kinds:
        variant = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
        texts = [cleandoc(text or "") for text in (doc if kind is main else "", kind.__doc__, "(no docstring)")]
        summary = next(filter(None, texts)).splitlines()[0]
        yield Found(name if kind is main else f"{name}:{variant}", kind, summary, path, installed)


def told(error: BaseException) -> str:
    """The type and the text of an error, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
