"""What programs leave beside the file that they are given, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.regions import Folder


@contextmanager
def without_extras(file: Path) -> Iterator[None]:
    """After the block what has appeared beside the file under a longer name, such as NAME-journal, is removed.

    Whatever resists, stays. Raises OSError where the folder cannot be read.
    """
    folder = Folder.at(file.parent)
    present = set(folder.names())
    try:
        yield
    finally:
        with suppress(OSError):
            folder.clear(lambda name: name.startswith(file.name) and name not in present)
