"""Say how a document is reported: its text, its colours, its lines on stderr, its exit code.

The module of the command's name in `lab.report.text` has the `REPORT` of its document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import tabulate  # noqa: F401 - imported before a document is read: if it is missing, the document is not at fault

from lab.errors import ExitCode
from lab.records import Document
from lab.report.format import PLAIN, Style

COLOURS = {
    r"\b(clean|works here)\b": "green",
    r"\bholds\b": "green",
    r"\b(damaged|broken)\b[^\n]*": "yellow",
    r"switch >": "bold yellow",
    r"\b(DAMAGED|DIED|TIMEOUT|UNSUPPORTED|NOT CLEAN|NEGATIVE CONTROL|INTERRUPTED|BROKEN|UNKNOWN)\b[^\n]*": "bold red",
    r"\b(REFUSED|WAITS)\b": "bold red",
}
"""The keys are regular expressions; the values say how rich(1) styles what they match."""


class Report(NamedTuple):
    """The way to report one kind of document; `text_of` takes the document and how its tables are shown.

    `complaints` are its lines on stderr, the last of a run that was interrupted says so. `formats` is false where the
    text is no table and comes in one format only. `full_text_of` makes the text of --verbose, where `text_of` leaves
    something out, `brief_complaints` the lines on stderr beside the text, where they are shorter than those alone.
    """

    text_of: Callable[[Any, Style], str]
    complaints: Callable[[Any], Iterable[str]]
    exit_code: Callable[[Any], ExitCode]
    colours: Mapping[str, str] = COLOURS
    formats: bool = True
    full_text_of: Callable[[Any, Style], str] | None = None
    brief_complaints: Callable[[Any], Iterable[str]] | None = None
    has_costs: bool = False

    def text(self, document: Document, style: Style = PLAIN, *, full: bool = False) -> str:
        """Return the text of a document, in `full` with what it otherwise leaves out, if it leaves out anything."""
        return ((self.full_text_of if full else None) or self.text_of)(document, style)

    def beside(self, document: Document) -> Iterable[str]:
        """Return the lines on stderr beside the text."""
        return (self.brief_complaints or self.complaints)(document)


def report_of(document: Document) -> Report:
    """Return the way to report this document."""
    report: Report = import_module(f"lab.report.text.{document.command}").REPORT
    return report
