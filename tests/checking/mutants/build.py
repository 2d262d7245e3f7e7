"""Every mutant, and the stage on which it performs."""

from __future__ import annotations

import re

from lab.checking.oracle import ModelStage
from lab.model.kernel import Kernel, LockQueue
from lab.model.record_locks import RecordLocks, WholeFileLock
from tests.checking.mutants import files, owners, queues, ranges, requests, stages

Mutant = type[RecordLocks | WholeFileLock | LockQueue | Kernel | ModelStage]

MUTANTS: list[Mutant] = [
    each
    for module in (ranges, requests, owners, queues, stages, files)
    for name, each in vars(module).items()
    if not name.startswith("_") and isinstance(each, type) and each.__module__ == module.__name__
]
"""Every class of these modules, but for those whose names begin with an underscore: what several mutants share."""


class Assembled(Kernel):
    """A kernel in which one part is not the model's own."""

    def __init__(self, part: Mutant) -> None:
        super().__init__()
        self._part = part
        if issubclass(part, LockQueue):
            self._queue = part()

    def open(self, process: int, name: str, mode: str = "rw", how: str = "", *, close_on_exec: bool = False) -> int:
        number = super().open(process, name, mode, how, close_on_exec=close_on_exec)
        inode = self.description(process, number).inode
        if issubclass(self._part, RecordLocks) and not isinstance(inode.ranges, self._part):
            inode.ranges = self._part()
        if issubclass(self._part, WholeFileLock) and not isinstance(inode.whole, self._part):
            inode.whole = self._part()
        return number


def stage_of(mutant: Mutant) -> ModelStage:
    """A new stage that is broken in this one way."""
    if issubclass(mutant, ModelStage):
        return mutant()
    return ModelStage(mutant() if issubclass(mutant, Kernel) else Assembled(mutant))


def name_of(mutant: Mutant) -> str:
    """What is broken, in words."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|\d+", mutant.__name__)
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
