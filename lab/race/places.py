"""The file of one trial and its names: one in each directory that it is seen through.

Several directories stand for several hosts: two mounts of one filesystem, each with a page cache of its own. The file
is made through the first of them, removed through it, and read back through it once all workers have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import time_ns

from lab.errors import CannotRunError
from lab.processes import TOUCH_S, doing
from lab.regions import Region, Shared
from lab.regions.folder import status

ADVICE = "give directories that are one and the same, seen through two mounts"


@contextmanager
def trial_file(
    region: Region, number: int, folders: Sequence[Path], content: bytes | bytearray, *, sparse: bool
) -> Iterator[tuple[tuple[str, ...], Shared]]:
    """Share bytes with this content, give the file's name in each folder, and remove all of it after the block.

    The name is new even where another trial of this number was: through a second mount an old name may lead to the
    inode that it once had. Raises CannotRunError where the file cannot be made, where a folder does not show it as it
    was made, or where the region is refused there.
    """
    name = f"{time_ns():x}-trial-{number}"
    first = folders[0] / name
    with ExitStack() as removed:
        with doing(f"making {first}", TOUCH_S):
            shared = removed.enter_context(region.share(first, content, sparse=sparse))
            for folder in folders:
                _check_shown(folder / name, len(content) if region.of_file else 0, first)
                shared.open(folder / name).close()
        try:
            yield tuple(str(folder / name) for folder in folders), shared
        finally:
            with doing(f"removing {first}", TOUCH_S):
                removed.close()


def _check_shown(path: Path, size: int, made: Path) -> None:
    """Raises CannotRunError where this name does not lead to a file of that size: a mapping of it could kill."""
    try:
        shown = status(path).st_size
    except OSError as error:
        raise CannotRunError(
            f"{path.parent}: does not show a file made in {made.parent} ({error.strerror}); {ADVICE}"
        ) from error
    if shown != size:
        raise CannotRunError(
            f"{path.parent}: shows {shown:,} of the {size:,} bytes of a file made in {made.parent}; {ADVICE}"
        )
