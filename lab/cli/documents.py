"""Where a run's document goes: opened before the run, so that a bad path fails at once; written after it."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lab.errors import CannotRunError
from lab.results import Run, encode

RESULTS = Path("results")
"""Kept there, in the folder where the command is run, if it exists; `--save` names another."""


class Documents:
    """The results folder and `--json`; what was not written is taken back on leaving the `with` block.

    Raises CannotRunError where a target cannot be written.
    """

    def __init__(self, command: str, json: str | None, save: Path | None, *, keep: bool) -> None:
        self.to_stdout = json == "-"
        self.written: list[Path] = []
        self._targets: list[tuple[Path, Path]] = []
        folder = save or RESULTS
        if keep and (save or folder.is_dir()):
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            self._open(folder / f"{command}-{moment}-{os.getpid()}.json", "--no-save keeps nothing")
        if json and not self.to_stdout:
            self._open(Path(json), "give another --json PATH")

    def __enter__(self) -> Documents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part, _ in self._targets:
            part.unlink(missing_ok=True)

    def _open(self, path: Path, remedy: str) -> None:
        """Make the file that will be renamed: the rename cannot leave half a document."""
        try:
            if path.is_dir():
                raise IsADirectoryError(21, "is a directory")
            part = path.with_name(f".{path.name}.{os.getpid()}")
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            self.__exit__(None, None, None)
            raise CannotRunError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
        self._targets.append((part, path))

    def write(self, run: Run) -> None:
        """Write the document everywhere; a target that fails now is named on stderr, the others are written."""
        content = encode(run)
        for part, path in self._targets:
            try:
                part.write_bytes(content)
                part.replace(path)
                self.written.append(path)
            except OSError as error:
                print(f"lab: {path}: not written ({error.strerror}); the tables are below", file=sys.stderr)  # noqa: T201
        if self.to_stdout:
            with suppress(BrokenPipeError):
                sys.stdout.buffer.write(content)
                sys.stdout.flush()
