"""Say how the document of each command is reported: its text, its colours, its lines on stderr, its exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import tabulate  # noqa: F401 - imported before a document is read: if it is missing, the document is not at fault

from lab.errors import ExitCode
from lab.records import (
    BackingsCompared,
    Bench,
    Check,
    Comparison,
    Document,
    Exploration,
    LocksCompared,
    Replay,
    Run,
    Tour,
)

from .text import backings, bench, check, compare, copying, explore, locks, race, race_verdict, tour

COLOURS = {
    r"\b(clean|works here)\b": "green",
    r"\bholds\b": "green",
    r"\b(damaged|broken)\b[^\n]*": "yellow",
    r"switch >": "bold yellow",
    r"\b(DAMAGED|DIED|TIMEOUT|UNSUPPORTED|NOT CLEAN|NEGATIVE CONTROL|INTERRUPTED|BROKEN|UNKNOWN)\b[^\n]*": "bold red",
    r"\b(REFUSED|WAITS)\b": "bold red",
}
"""The keys are regular expressions; the values say how rich(1) styles what they match."""

CHECK_COLOURS = {
    r"  safe( |$)": "green",
    r"  (unsupported|unknown)( |$)": "yellow",
    r"\b(UNSAFE|INTERRUPTED|LEFT BEHIND)\b": "bold red",
}
"""These colour the words in the columns of a check; elsewhere "safe" is a word like others."""

TOUR_COLOURS = {r"\bDIFFERS\b[^\n]*": "bold red", r"(?m)^ ?\d+  \S+:": "bold", r"(?m)^ok\b": "green"}

LOCKS_COLOURS = {
    r"(?<=  )yes(?=  |$)": "green",
    r"(?<=  )no(?=  |$)": "yellow",
    r"(?<=  )(!\w+|[?])(?=  |$)": "bold red",
}
"""These colour the words in the columns of the lock survey."""


BENCH_COLOURS = {r"(?m)^(Unsteady|Not alone):": "yellow", r"\bNOT EXCLUSIVE\b": "bold red"}


COMPARE_COLOURS = {
    r"(?m)\b(better|same) *$": "green",
    r"(?m)\bworse *$": "bold red",
    r"(?m)\bcannot tell *$": "yellow",
}
"""These colour the verdicts, which end the rows."""


class Report(NamedTuple):
    """The way to report one kind of document; `text_of` takes the document and the format of its tables.

    `interruption` is one more complaint, empty for a run that was not interrupted. `formats` is false where the text is
    no table and comes in one format only.
    """

    text_of: Callable[[Any, str], str]
    complaints: Callable[[Any], Iterable[str]]
    exit_code: Callable[[Any], ExitCode]
    colours: Mapping[str, str] = COLOURS
    interruption: Callable[[Any], str] = lambda _: ""
    formats: bool = True


def _nothing(document: Document) -> tuple[str, ...]:
    """Return no complaints: the text says what differs."""
    return ()


REPORTS: dict[type[Document], Report] = {
    Run: Report(race.text_of, race_verdict.complaints, race_verdict.exit_code, interruption=race.interruption),
    Exploration: Report(
        explore.explore_text,
        explore.explore_complaints,
        explore.explore_exit_code,
        interruption=explore.explore_interruption,
    ),
    Replay: Report(
        explore.replay_text,
        explore.replay_complaints,
        explore.replay_exit_code,
        interruption=explore.replay_interruption,
        formats=False,
    ),
    Check: Report(check.text_of, check.complaints, check.exit_code, CHECK_COLOURS, check.interruption, formats=False),
    Bench: Report(copying.text_of, copying.complaints, copying.exit_code, BENCH_COLOURS, bench.interruption),
    Comparison: Report(compare.text_of, compare.complaints, compare.exit_code, COMPARE_COLOURS),
    Tour: Report(tour.text_of, _nothing, lambda _: ExitCode.AS_EXPECTED, TOUR_COLOURS, formats=False),
    LocksCompared: Report(locks.text_of, locks.complaints, locks.exit_code, LOCKS_COLOURS),
    BackingsCompared: Report(
        backings.text_of, backings.complaints, backings.exit_code, {r"! \S+(?: \S+)*": "bold red"}
    ),
}


TOUR_CHECK = Report(lambda run, _: tour.summary(run), tour.complaints, tour.exit_code, TOUR_COLOURS, formats=False)
"""`tour --check` reports a tour in this way."""


def report_of(document: Document) -> Report:
    """Return the way to report this document."""
    return REPORTS[type(document)]
