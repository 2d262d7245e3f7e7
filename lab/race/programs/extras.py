"""What programs leave beside the file that they are given, and its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def without_extras(file: Path) -> Iterator[None]:
    """After the block what has appeared beside the file under a longer name, such as NAME-journal, is removed."""
    present = {entry.name for entry in file.parent.iterdir()}
    try:
        yield
    finally:
        for entry in file.parent.iterdir():
            if entry.name.startswith(file.name) and entry.name not in present:
                remove(entry)


def remove(place: Path) -> None:
    """Remove a file, or a folder with all that is in it; whatever resists, stays."""
    with suppress(OSError):
        if place.is_symlink() or not place.is_dir():
            place.unlink(missing_ok=True)
            return
        for entry in os.scandir(place):
            remove(Path(entry.path))
        place.rmdir()
