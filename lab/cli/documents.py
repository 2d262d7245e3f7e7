"""Where a run's document goes: opened before the run, so that a bad path fails at once; written after it."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from lab.errors import CannotRunError
from lab.results import Document, encode

RESULTS = Path("results")
"""Kept there, in the folder where the command is run, if it exists; `--save` names another."""


class Target(NamedTuple):
    """A file that is to be written: its part that is renamed, the real place, the path as given, and what goes in."""

    part: Path
    place: Path
    path: Path
    render: Callable[[Document], bytes]


class Documents:
    """The results folder, `--json`, and what `also` names; what was not written is taken back on leaving the block.

    Raises CannotRunError where a target cannot be written.
    """

    def __init__(
        self, command: str, json: str | None, save: Path | None, *, keep: bool, remedy: str = "give another --save DIR"
    ) -> None:
        self.to_stdout = json == "-"
        self.written: list[Path] = []
        self.unwritten: list[Path] = []
        self._targets: list[Target] = []
        folder = save or RESULTS
        if keep and (save or folder.is_dir()):
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            self.also(folder / f"{command}-{moment}-{os.getpid()}.json", remedy, encode)
        if json and not self.to_stdout:
            self.also(Path(json), "give another --json PATH", encode)

    def __enter__(self) -> Documents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for target in self._targets:
            if target.part != target.place:
                target.part.unlink(missing_ok=True)

    def also(self, path: Path, remedy: str, render: Callable[[Document], bytes]) -> None:
        """Write there too what `render` makes of the document; raises as the class does, naming the remedy.

        It makes the file that will be renamed: the rename cannot leave half a document. What is there and is no regular
        file, such as a pipe or /dev/null, is written to as it is.
        """
        try:
            place = path.resolve()
            if place.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            part = place.with_name(f".{place.name}.{os.getpid()}")
            if place.exists() and not place.is_file():
                part = place
            else:
                os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            self.__exit__(None, None, None)
            raise CannotRunError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
        self._targets.append(Target(part, place, path, render))

    def write(self, run: Document) -> None:
        """Write the document everywhere; a target that fails now is named on stderr, the others are written."""
        contents = {render: render(run) for render in {encode, *(target.render for target in self._targets)}}
        for part, place, path, render in self._targets:
            try:
                part.write_bytes(contents[render])
                if part != place:
                    part.replace(place)
                self.written.append(path)
            except OSError as error:
                self.unwritten.append(path)
                print(f"lab: {path}: not written ({error.strerror}); make room, or name another place", file=sys.stderr)  # noqa: T201
        if self.to_stdout:
            try:
                sys.stdout.buffer.write(contents[encode])
                sys.stdout.flush()
            except BrokenPipeError:  # nobody reads it: what is still buffered goes nowhere, the exit code stays
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
