"""Let a worker use files by their names: create, open, rename, unlink and sync them, in the scenario's own directory.

Each call is one step where steps are explored and one call of the kernel in a race. `FileUser` makes the calls of
`lab.Worker` out of them; how one is done each kind of worker says itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from lab.errors import ScenarioError
from lab.model.directory import MOST, OPEN_AT_ONCE, Call, Result

if TYPE_CHECKING:
    from .base import Scenario

CREATED_PER_ROUND = 2
"""The number of files that a worker makes in a round, for which there is room on the average."""


class File:
    """A file of the scenario's own directory that a worker has open, by the `name` that it had; `with` closes it."""

    __slots__ = ("_user", "name", "number", "slot")

    def __init__(self, user: FileUser, name: str, slot: int, number: int) -> None:
        self._user = user
        self.name = name
        self.slot = slot
        self.number = number

    def read(self) -> bytes:
        """Return all that the file holds."""
        found = self._user.call_file(Call("read", self.name, slot=self.slot))
        return found if isinstance(found, bytes) else b""

    def write(self, data: bytes) -> None:
        """Write this behind what the file holds, in one call (write(2), O_APPEND)."""
        self._user.call_file(Call("write", self.name, data=bytes(data), slot=self.slot))

    def sync(self) -> None:
        """Wait until the file's bytes and its length are on the disk (fsync(2)); its name need not be."""
        self._user.sync_file(Call("sync", self.name, slot=self.slot))

    def write_lock(self) -> AbstractContextManager[object]:
        """Return the exclusive lock on the whole of this file, whatever it is called by then."""
        return self._user.lock_file(self, write=True)

    def read_lock(self) -> AbstractContextManager[object]:
        """Return a lock on the whole of this file that is shared with other readers."""
        return self._user.lock_file(self, write=False)

    def close(self) -> None:
        """Close the file; a second time it does nothing."""
        if self._user.open_files.get(self.slot) is self:
            del self._user.open_files[self.slot]
            self._user.close_file(self.slot)

    def __enter__(self) -> File:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileUser:
    """The calls of `lab.Worker` on files; a worker of each world has them from here."""

    __slots__ = ()
    open_files: dict[int, File]

    def create(self, name: str, *, exclusive: bool = False) -> File:
        """See `lab.Worker.create`."""
        return self._opened(Call("create", name, exclusive=exclusive))

    def open(self, name: str) -> File:
        """See `lab.Worker.open`."""
        return self._opened(Call("open", name))

    def rename(self, old: str, new: str) -> None:
        """See `lab.Worker.rename`."""
        self.call_file(Call("rename", old, other=new))

    def unlink(self, name: str) -> None:
        """See `lab.Worker.unlink`."""
        self.call_file(Call("unlink", name))

    def sync_directory(self) -> None:
        """See `lab.Worker.sync_directory`."""
        self.sync_file(Call("sync"))

    def _opened(self, call: Call) -> File:
        slot = next((each for each in range(OPEN_AT_ONCE) if each not in self.open_files), None)
        if slot is None:
            raise ScenarioError(f"{call.name}: {OPEN_AT_ONCE} files are open already; close one (use `with`)")
        number = self.call_file(call._replace(slot=slot))
        self.open_files[slot] = file = File(self, call.name, slot, int(number))
        return file

    def call_file(self, call: Call) -> Result:
        """Make the call, with the files that are open; return its result. Raises OSError where it is refused."""
        result = self.perform_call(call._replace(open=tuple(sorted({*self.open_files, call.slot}))))
        if isinstance(result, int) and result < 0:
            raise OSError(-result, os.strerror(-result), call.name)
        return result

    def sync_file(self, call: Call) -> None:
        """Make a call that syncs; where nothing crashes it may be left out."""
        self.call_file(call)

    def close_file(self, slot: int) -> None:
        """Close a file, where there is something to close."""

    def perform_call(self, call: Call) -> Result:
        """Return the result of the call, below 0 an error; each kind of worker does it its own way."""
        raise NotImplementedError

    def lock_file(self, file: File, *, write: bool) -> AbstractContextManager[object]:
        """Return the lock on a file; each kind of worker does it its own way."""
        raise NotImplementedError


def files_of(scenario: Scenario, workers: int, rounds: int) -> dict[str, bytes | None]:
    """Return the files that the scenario has at first. Raises ScenarioError for what is none."""
    found = scenario.files(workers, rounds)
    wrong = ""
    if not isinstance(found, Mapping):
        wrong = f"{found!r:.60}, which is to be a mapping of names to bytes or None"
    else:
        for name, content in found.items():
            if not isinstance(name, str) or not name or "/" in name or "\0" in name or name in (".", ".."):
                wrong = f"the name {name!r:.60}, which is to be the name of a file"
            elif content is not None and not isinstance(content, bytes):
                wrong = f"{content!r:.60} for {name}, which is to be bytes, or None where there is no file yet"
        if len(found) > MOST // 2:
            wrong = f"{len(found):,} names, and there may be {MOST // 2}"
    if wrong:
        raise ScenarioError(f"files returned {wrong}; fix the file")
    return dict(found)
