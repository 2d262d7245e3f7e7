"""Write the document of a run, and print its text: tables and sentences on stdout, complaints on stderr.

A document's file is opened before the run, so that a bad path fails at once, and written after it.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from lab.errors import CannotRunError, ExitCode, printable
from lab.output import (
    LAYOUT,
    complain,
    drop_unwritten,
    lab_command,
    print_error,
    print_text,
    refused_output,
    screen_width,
    wants_color,
)
from lab.records import Document, Exploration, Run, encode
from lab.report.format import DEFAULT_FORMAT, MARKDOWN, Style, wrapped

from .options import SAVE_ELSEWHERE

if TYPE_CHECKING:
    from lab.report.documents import Report

READER_S = 30.0
"""The reader of a pipe may read nothing for so long."""

AT_ONCE = 1 << 16

RESULTS = Path("results")
"""Documents are kept in this folder, where the command is run, if it exists; `--save` names another."""


class Target(NamedTuple):
    """A file to be written: its part that is renamed, the real place, the path as given, and the open part."""

    part: Path
    place: Path
    path: Path
    descriptor: int

    @classmethod
    def open(cls, path: Path, remedy: str) -> Target:
        """Make the part, so that an error in writing is known at once; raise CannotRunError, naming the remedy.

        The rename cannot leave half a file. A target that exists and is no regular file, such as a pipe or /dev/null,
        is written to directly; a pipe needs its reader by now (fifo(7), ENXIO).
        """
        try:
            place = path.resolve()
            if place.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            part = place.with_name(f".{place.name}.{os.getpid()}")
            if place.exists() and not place.is_file():
                part = place
                descriptor = os.open(part, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            else:
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise CannotRunError(f"{path}: is a pipe that nobody reads; start its reader first") from error
            raise CannotRunError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
        return cls(part, place, path, descriptor)

    def put(self, content: bytes) -> None:
        """Write all of it and give it its name; raise OSError, ETIMEDOUT where a reader reads nothing for a while."""
        left = memoryview(content)
        while left:
            if not select.select([], [self.descriptor], [], READER_S)[1]:
                raise TimeoutError(errno.ETIMEDOUT, f"its reader took nothing for {READER_S:g} s")
            left = left[os.write(self.descriptor, left[:AT_ONCE]) :]
        if self.part != self.place:
            self.part.replace(self.place)

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        """Remove the part that was not written; raise nothing, because the result of the command matters more."""
        with suppress(OSError):
            os.close(self.descriptor)
        with suppress(OSError):
            if self.part != self.place:
                self.part.unlink(missing_ok=True)


def print_bytes(content: bytes) -> None:
    """Write to standard output; where no process reads it, drop what is still buffered, and keep the exit code."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_unwritten()
    except OSError as error:
        raise refused_output(error) from error


class Documents:
    """The document of a command in `--save`, in `--json` and where `also` names, and its report.

    Where `keep` is set, the results folder gets it too, if it exists. Leaving the block removes what was not written.
    Raise CannotRunError where a target cannot be written.
    """

    def __init__(self, command: str, arguments: Namespace, *, keep: bool = False) -> None:
        json, save = arguments.json, getattr(arguments, "save", None)
        self.to_stdout = json == "-"
        self.written: list[Path] = []
        self.unwritten: list[Path] = []
        self._arguments = arguments
        self._targets: list[tuple[Target, Callable[[Document], bytes]]] = []
        if save or (keep and RESULTS.is_dir()):
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            remedy = SAVE_ELSEWHERE if hasattr(arguments, "no_save") else "give another --save DIR"
            self.also((save or RESULTS) / f"{command}-{moment}-{os.getpid()}.json", remedy, encode)
        if json and not self.to_stdout:
            self.also(Path(json), "give another --json PATH", encode)
        if markdown := getattr(arguments, "export_markdown", None):
            self.also(markdown, "give another --export-markdown PATH", partial(markdown_of, style=style_of(arguments)))

    def __enter__(self) -> Documents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        targets, self._targets = self._targets, []
        for target, _ in targets:
            target.discard()

    def also(self, path: Path, remedy: str, render: Callable[[Document], bytes]) -> None:
        """Write the output of `render` there too; raise as the class does, naming the remedy."""
        try:
            self._targets.append((Target.open(path, remedy), render))
        except CannotRunError:
            self.__exit__(None, None, None)
            raise

    def trace(self, path: Path) -> None:
        """Write there too which worker waited and held when, for viewers of traces; raise as the class does."""
        self.also(path, "give another --trace PATH", _trace)

    def write(self, run: Document) -> None:
        """Write the document everywhere; a target that fails now is named on stderr, the others are written."""
        contents = {render: render(run) for render in {encode, *(render for _, render in self._targets)}}
        for target, render in self._targets:
            try:
                target.put(contents[render])
                self.written.append(target.path)
            except OSError as error:
                self.unwritten.append(target.path)
                complain(f"{target.path}: not written ({error.strerror}); make room, or name another place")
        if self.to_stdout:
            print_bytes(contents[encode])

    def report(self, document: Document, report: Report | None = None) -> ExitCode:
        """Print what a command found, as far as asked, and what it wrote; return the exit code.

        The kind of the document decides how it is reported, unless `report` is given.
        """
        from lab.report.documents import report_of  # its imports, tabulate too, do not belong in a process that forks

        report = report or report_of(document)
        shown = not (self.to_stdout or getattr(self._arguments, "quiet", False) or _is_empty(document))
        if shown:
            style = style_of(self._arguments)
            show(report.text(document, style, full=getattr(self._arguments, "verbose", False)), report.colours)
            for path in self.written:
                (print_text if style.is_for_people else print_error)(f"written to {path}")
        complain(*map(_folded, report.beside(document) if shown else report.complaints(document)))
        return ExitCode.first(report.exit_code(document), *[ExitCode.UNABLE] * bool(self.unwritten))

    def finish(self, document: Document, report: Report | None = None) -> ExitCode:
        """Write the document, and report it."""
        self.write(document)
        return self.report(document, report)


def style_of(arguments: Namespace) -> Style:
    """Return how the user wants the tables of a command, from the options of `add_tables` where it has them."""
    style = getattr(arguments, "format", DEFAULT_FORMAT)
    return Style(style, getattr(arguments, "wide", False), getattr(arguments, "cost", False))


def markdown_of(document: Document, style: Style) -> bytes:
    """Return the report as Markdown, as `--format github` prints it."""
    from lab.report.documents import report_of

    return f"{report_of(document).text(document, style._replace(format=MARKDOWN))}\n".encode()


def _folded(line: str) -> str:
    """Return a line for stderr, folded on a terminal, where it is read and not searched; a command stays whole."""
    if not sys.stderr.isatty() or "\n" in line or lab_command() in line:
        return line
    text = line.lstrip()
    indent = len(line) - len(text)
    return wrapped(text, " " * indent, indent=indent + 2, width=screen_width() - len("lab: "))


def _trace(run: Document) -> bytes:
    """Return the trace; the module that makes it is imported after the last fork."""
    from lab.report.trace import render

    return render(run)


def _is_empty(document: Document) -> bool:
    """Return True where nothing had been finished when a user interrupted."""
    return isinstance(document, Run | Exploration) and not document.cases


def show(text: str, colours: Mapping[str, str] | None = None) -> None:
    """Print, with these patterns in colour where colour is wanted."""
    if not wants_color():
        print_text(text)
        return
    from rich.console import Console
    from rich.text import Text

    coloured = Text(printable(text, LAYOUT))
    for pattern, colour in (colours or {}).items():
        coloured.highlight_regex(pattern, colour)
    Console(highlight=False, soft_wrap=True, force_terminal=True, color_system="standard", no_color=False).print(
        coloured
    )


def put_text(text: str, path: str) -> None:
    """Write what is no document where `--json` says: - is standard output. Raises CannotRunError."""
    if path == "-":
        print_text(text)
        return
    Target.open(Path(path), "give another --json PATH").put(f"{text}\n".encode())
