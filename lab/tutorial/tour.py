"""Perform the tutorial's claims, one after the other, on a directory's filesystem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

from lab.errors import UsageError, unknown
from lab.host.environment import RunStart, environment
from lab.memory import workspace
from lab.memory.calls import PAGE
from lab.records import Tour, TourStep

from .calls import NOT_MAPPED
from .process import Lacking, Stage, Step
from .steps import STEPS

Numbered = tuple[int, Step]


def choose_steps(step: str | None) -> list[Numbered]:
    """Return the step of this number or name, or all. Raises UsageError, with the nearest name, where there is none."""
    numbered = list(enumerate(STEPS, 1))
    if step is None:
        return numbered
    found = [each for each in numbered if step in (str(each[0]), each[1].name)]
    if not found and step.lstrip("-").isdecimal():
        raise UsageError(f"step {step}: there are steps 1 to {len(STEPS)}; see lab tour --list")
    if not found:
        raise unknown("step", step, [step.name for step in STEPS])
    return found


def tour(steps: list[Numbered], directory: Path) -> Tour:
    """Perform the steps in a fresh folder of the directory; raises CannotRunError where it cannot be written to."""
    begun = RunStart()
    with workspace(directory) as folder:
        done = list(_performed(steps, folder))
        here = environment(folder, begun.load)
    return Tour(**begun.header(here), page_bytes=PAGE, steps=done)


def _performed(steps: list[Numbered], folder: Path) -> Iterator[TourStep]:
    """Perform each step; one whose mapping is refused ends there: what it would do through it says nothing more."""
    for number, step in steps:
        observations, skipped = [], ""
        with ExitStack() as ends:
            made = step.perform(Stage(folder, ends))
            try:
                observations = list(takewhile(lambda each: each.observed != NOT_MAPPED, made))
            except Lacking as lacking:
                skipped = str(lacking)
        yield TourStep(number, step.name, step.claim, step.note, observations, skipped)
