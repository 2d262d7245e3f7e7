"""The edge where text is printed: tables and sentences on stdout, complaints on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from lab.report import checked, exploration, replayed
from lab.report.formats import DEFAULT_FORMAT
from lab.report.tables import what_broke, what_it_cost, what_it_used
from lab.report.verdicts import CLEAN, UNABLE, complaints, conclusions, exit_code, heading
from lab.report.words import plural
from lab.results import Check, Document, Exploration, Replay, Run

from .documents import Documents

COLOURS = {
    r"\b(clean|works here)\b": "green",
    r"\bholds\b": "green",
    r"\b(damaged|broken)\b[^\n]*": "yellow",
    r"switch >": "bold yellow",
    r"\b(DAMAGED|DIED|TIMEOUT|UNSUPPORTED|NOT CLEAN|NEGATIVE CONTROL|INTERRUPTED|BROKEN|UNKNOWN)\b[^\n]*": "bold red",
    r"\b(REFUSED|WAITS)\b": "bold red",
}

CHECK_COLOURS = {
    r"  safe( |$)": "green",
    r"  (unsupported|unknown)( |$)": "yellow",
    r"\b(UNSAFE|INTERRUPTED|LEFT BEHIND)\b": "bold red",
}
"""The words in the columns of a check; elsewhere "safe" is a word like others."""


def text_of_any(document: Document, style: str) -> str:
    """The report of whatever command wrote the document."""
    if isinstance(document, Exploration):
        return exploration.text_of(document, style)
    if isinstance(document, Check):
        return checked.text_of(document)
    return replayed.text_of(document) if isinstance(document, Replay) else text_of(document, style)


def colours_of(document: Document) -> Mapping[str, str]:
    """What is coloured in the report of a document."""
    return CHECK_COLOURS if isinstance(document, Check) else COLOURS


def conclude(run: Run, documents: Documents, *, style: str, quiet: bool) -> int:
    """Print what a run found, as far as asked, and what it wrote; the exit code."""
    if run.cases and not (documents.to_stdout or quiet):
        _show_and_name(text_of(run, style), documents)
    if style != DEFAULT_FORMAT and (run.options.window_ns or run.options.leak):
        _complain([heading(run)])
    _complain(complaints(run))
    if run.interrupted:
        _complain([f"interrupted; {plural(len(run.cases), 'finished case')} kept"])
    return exit_code(run) or _left(documents)


def conclude_exploration(run: Exploration, documents: Documents, *, style: str, quiet: bool) -> int:
    """Print what an exploration found, as far as asked, and what it wrote; the exit code."""
    if run.cases and not (documents.to_stdout or quiet):
        _show_and_name(exploration.text_of(run, style), documents)
    _complain(exploration.complaints(run))
    if run.interrupted:
        covered = "; ".join(case.covered for case in run.cases[-1:]) or "nothing"
        _complain([f"interrupted; covered of the last case: {covered}"])
    return exploration.exit_code(run) or _left(documents)


def conclude_replay(run: Replay, documents: Documents, *, quiet: bool) -> int:
    """Print how a replay came out, as far as asked; the exit code."""
    if not (documents.to_stdout or quiet):
        _show_and_name(replayed.text_of(run), documents)
    _complain(replayed.complaints(run))
    if run.interrupted:
        _complain([f"interrupted; reproduced {run.reproduced} of {run.times} by then"])
    return replayed.exit_code(run) or _left(documents)


def conclude_check(run: Check, documents: Documents, *, quiet: bool) -> int:
    """Print what a check came to, as far as asked; the exit code."""
    if not (documents.to_stdout or quiet):
        _show_and_name(checked.text_of(run), documents, CHECK_COLOURS)
    _complain(checked.complaints(run))
    if run.interrupted:
        tried = sum(promise.verdict != "unknown" for promise in run.promises)
        _complain([f"interrupted; {tried} of {plural(len(run.promises), 'promise')} judged by then"])
    return checked.exit_code(run) or _left(documents)


def _show_and_name(text: str, documents: Documents, colours: Mapping[str, str] = COLOURS) -> None:
    show(text, colours)
    for path in documents.written:
        show(f"written to {path}")


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"lab: {line}", file=sys.stderr)  # noqa: T201


def _left(documents: Documents) -> int:
    """The exit code where nothing else was wrong."""
    return UNABLE if documents.unwritten else CLEAN


def text_of(run: Run, style: str) -> str:
    """The whole report of a run. A format that is not for people gets its tables and nothing else."""
    tables = [what_broke(run, style)]
    if any(case.operations for case in run.cases):
        tables += [what_it_cost(run, style), what_it_used(run, style)]
    if style != DEFAULT_FORMAT:
        return "\n\n".join(tables)
    explanations = [exploration.explanation(case.explanation) for case in run.cases if case.explanation]
    return "\n\n".join([heading(run), *tables, "\n".join(conclusions(run)), *explanations])


def show(text: str, colours: Mapping[str, str] = COLOURS) -> None:
    """Print, in colour on a terminal that wants colour."""
    if not sys.stdout.isatty():
        print(text)  # noqa: T201
        return
    from rich.console import Console
    from rich.text import Text

    coloured = Text(text)
    for pattern, colour in colours.items():
        coloured.highlight_regex(pattern, colour)
    Console(highlight=False, soft_wrap=True).print(coloured)
