"""Let the worker of a race use the files of its scenario by their names: each call is one of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from lab.errors import ScenarioError
from lab.locking import Lock
from lab.memory.named_files import NamedFiles
from lab.memory.protocol import Held
from lab.model.directory import CHANGING, Call, Result
from lab.scenario.files import File, FileUser


class RaceFiles(FileUser):
    """The calls of a race worker on named files. What it holds of them is not recorded: names come and go under it."""

    __slots__ = ("_before_change", "_files", "_lock", "open_files")

    def _begin_files(self, path: str, lock: Lock, pause: Callable[[], object] | None) -> None:
        """Open the directory beside this file, if there is one; the pause comes before each call that changes it."""
        self.open_files = {}
        self._files = NamedFiles(path) if path else None
        self._lock = lock
        self._before_change = pause

    def perform_call(self, call: Call) -> Result:
        """See `FileUser.perform_call`."""
        if self._files is None:
            raise ScenarioError(f"{call.about}: the scenario has no files; define files(self, workers, rounds)")
        if self._before_change and call.word in CHANGING:
            self._before_change()
        return self._files.perform(call)

    def close_file(self, slot: int) -> None:
        """See `FileUser.close_file`."""
        if self._files:
            self._files.close(slot)

    @contextmanager
    def _held(self, descriptor: int, *, write: bool) -> Iterator[None]:
        acquire, release = self._lock.actions(descriptor, 0, 0, write=write)
        acquire()
        try:
            yield
        finally:
            release()

    def lock_file(self, file: File, *, write: bool) -> Held:
        """See `FileUser.lock_file`."""
        if not self._lock.excludes or self._files is None:
            return nullcontext()
        return self._held(self._files.descriptor(file.slot), write=write)
