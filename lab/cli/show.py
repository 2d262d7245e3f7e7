"""The edge where text is printed: tables and sentences on stdout, complaints on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from lab.errors import printable
from lab.processes.streams import LAYOUT, complain, print_text
from lab.report.formats import DEFAULT_FORMAT
from lab.report.reports import Report, report_of
from lab.report.verdicts import CLEAN, UNABLE
from lab.results import Document, Exploration, Run

from .documents import Documents


def conclude(
    document: Document,
    documents: Documents,
    *,
    style: str = DEFAULT_FORMAT,
    quiet: bool = False,
    report: Report | None = None,
) -> int:
    """Print what a command found, as far as asked, and what it wrote; the exit code.

    It is told as its kind of document is, or as `report` has it.
    """
    report = report or report_of(document)
    if not (documents.to_stdout or quiet or _is_empty(document)):
        show(report.text_of(document, style), report.colours)
        name_written(documents)
    complain_of(document, report)
    return report.exit_code(document) or left(documents)


def complain_of(document: Document, report: Report) -> None:
    """What went wrong, on stderr."""
    complain(*report.complaints(document), *filter(None, [report.interruption(document)]))


def _is_empty(document: Document) -> bool:
    """True where nothing had been finished when somebody interrupted."""
    return isinstance(document, Run | Exploration) and not document.cases


def name_written(documents: Documents) -> None:
    """Say where the document was written to."""
    for path in documents.written:
        show(f"written to {path}")


def left(documents: Documents) -> int:
    """The exit code where nothing else was wrong."""
    return UNABLE if documents.unwritten else CLEAN


def show(text: str, colours: Mapping[str, str] | None = None) -> None:
    """Print, in colour on a terminal that wants colour."""
    if not sys.stdout.isatty():
        print_text(text)
        return
    from rich.console import Console
    from rich.text import Text

    coloured = Text(printable(text, LAYOUT))
    for pattern, colour in (colours or {}).items():
        coloured.highlight_regex(pattern, colour)
    Console(highlight=False, soft_wrap=True).print(coloured)
