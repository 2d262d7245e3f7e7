"""Batches of random programs, drawn and shrunk by Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import devnull
from typing import Any

from .programs import Program, programs

BATCH = 100
"""Programs in a batch, those for shrinking not counted."""


class Enough(BaseException):
    """The time is over. No Exception: Hypothesis would take it for a failure of the program."""


class Met(Exception):  # noqa: N818 - what happened
    """A program showed the difference in question."""


def perform_batch(body: Callable[[Program], None], number: int) -> None:
    """Have Hypothesis call the body with a batch of programs, and with shorter ones once it raises Met."""
    from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
    from hypothesis.errors import Flaky

    quietly: dict[str, Any] = {
        "database": None,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "verbosity": Verbosity.quiet,
        "print_blob": False,
        "report_multiple_bugs": False,
    }
    performed = given(programs())(lambda program: body(program))
    try:
        settings(max_examples=BATCH, phases=(Phase.generate, Phase.shrink), **quietly)(seed(number)(performed))()
    except (Met, Flaky, Enough):
        return


@contextmanager
def no_files_of_hypothesis() -> Iterator[None]:
    """Hypothesis keeps what it finds in the source in the working directory, unless it cannot."""
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(devnull)
    try:
        yield
    finally:
        set_hypothesis_home_dir(None)
