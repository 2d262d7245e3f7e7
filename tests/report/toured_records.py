"""Tours as records, for the tests of what is printed of them."""

from __future__ import annotations

from dataclasses import replace

from lab.records import Environment, Observation, Tour, TourStep
from tests.report.records import header

HERE = Environment("0", "CPython 3", "none", "Linux 6.18", "x86_64", "cpu", 2, 2, "ext4", "rw", 0.1)


def seen(call: str, expected: str, observed: str | None = None, *, at: tuple[str, str] = ("", "")) -> Observation:
    """An observation, as expected where nothing else is given."""
    came_to = expected if observed is None else observed
    return Observation(call, expected, came_to, came_to == expected, *at)


def step(*observations: Observation, number: int = 1, name: str = "one", note: str = "") -> TourStep:
    """A step of these observations."""
    return TourStep(number, name, f"The claim of {name}.", note, list(observations))


def tour_of(*steps: TourStep) -> Tour:
    """A tour of these steps."""
    return Tour(**header(HERE), page_bytes=65_536, steps=list(steps))


GRID = step(
    *(seen("mmap()", "works", at=(row, column)) for row in ("r", "w") for column in ("read", "write")),
    seen("load()", "'a'"),
    name="grid",
    note="A note.",
)


def with_a_difference(one: TourStep, index: int) -> TourStep:
    """The step whose observation at the index came out otherwise."""
    changed = [
        replace(each, observed="EIO", ok=False) if number == index else each
        for number, each in enumerate(one.observations)
    ]
    return replace(one, observations=changed)
