"""A step of the tour: one claim of the tutorial, and the calls that make it happen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.errors import CannotRunError, out_of_descriptors
from lab.memory import Folder, open_file
from lab.records import Observation

from .process import Process


class Stage:
    """The place of a step: it makes files in a folder, and processes that end with the step."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self._folder = folder
        self._ends = ends

    def file(self, content: bytes) -> Path:
        """Make a new file. Raises CannotRunError where there is no room."""
        path = self._folder / "foo"
        try:
            Folder.at(self._folder).unlink(path.name)
            descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
        except OSError as error:
            raise out_of_descriptors(error) or CannotRunError(
                f"--dir {self._folder.parent}: no file ({error.strerror}); give another"
            ) from error
        return path

    def process(self, path: Path, name: str = "") -> Process:
        """Start a process that works on the file; its name stands before what it does."""
        return self._ends.enter_context(Process(path, name))


@dataclass(frozen=True, slots=True)
class Step:
    """A claim in one sentence, what makes it happen, and what that cannot show."""

    name: str
    claim: str
    perform: Callable[[Stage], Iterator[Observation]]
    note: str = ""
