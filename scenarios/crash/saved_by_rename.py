"""A saved file that is empty after a crash: write the new one beside it, sync it, rename it, sync the directory."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ctypes import Structure, c_uint64
from typing import Any

from lab import Damage, Outcome, Scenario, Worker

SAVED, BESIDE = "settings", "settings.new"


def added(worker: int, round: int) -> bytes:
    """Return what this worker adds in this round."""
    return f"{worker}.{round} ".encode()


def all_added(rounds: Sequence[int]) -> set[bytes]:
    """Return what all workers add in so many rounds."""
    return {added(worker, round).strip() for worker, count in enumerate(rounds) for round in range(count)}


def what_is_in(content: bytes | None) -> str:
    """Return in words what a file holds."""
    if not content:
        return "is gone" if content is None else "is empty"
    return f"holds {content.decode('ascii', 'replace')!r}" if any(content) else f"holds {len(content)} zeros"


class SavedByRename(Scenario):
    """Add to a file: write all of it beside, sync, rename it over the old one, and sync the directory."""

    order = 5
    rounds = 4
    holds_per_round = 1
    by_name = True

    class Memory(Structure):
        _fields_ = [("guard", c_uint64)]

    def files(self, workers: int, rounds: int) -> Mapping[str, bytes | None]:
        return {SAVED: b"start ", BESIDE: None}

    def work(self, w: Worker) -> None:
        try:
            self.add(w, added(w.index, w.round))
        except (FileExistsError, FileNotFoundError) as error:
            w.damaged("overtaken", f"{error.filename}: {error.strerror}")

    def add(self, w: Worker, more: bytes) -> None:
        with w.write_lock():
            self.clear(w)
            self.save(w, self.saved(w) + more)

    def saved(self, w: Worker) -> bytes:
        with w.open(SAVED) as file:
            return file.read()

    def save(self, w: Worker, content: bytes) -> None:
        with w.create(BESIDE, exclusive=True) as file:
            file.write(content)
            file.sync()
        w.rename(BESIDE, SAVED)
        w.sync_directory()

    def clear(self, w: Worker) -> None:
        """Remove what a dead holder left beside: as a name of the saved file it may be on the disk, too."""
        with suppress(FileNotFoundError):
            w.unlink(BESIDE)

    def recover(self, w: Worker) -> None:
        with w.write_lock():
            self.clear(w)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        found = outcome.files.get(SAVED)
        first, *parts = (found or b"").split() or [b""]
        begun = {added(worker, round).strip() for worker, done in enumerate(outcome.begun) for round in range(done)}
        wanted = {
            added(worker, round).strip() for worker, done in enumerate(outcome.by_worker) for round in range(done)
        }
        whole = first == b"start" and begun >= {*parts}
        evidence = [f"{SAVED} {what_is_in(found)}"]
        return [
            Damage("file not whole", int(not whole), 1, evidence),
            Damage("update lost", len(wanted - {*parts}) if whole else 0, max(1, outcome.rounds), evidence),
        ]


class RenamedUnsynced(SavedByRename):
    """The new name may reach the disk before what the file holds: it is found empty, short, or full of zeros."""

    why = "Nothing says that the file is on the disk before its name. Sync the file, then rename it."
    after_crash = {"power": "damaged"}

    def save(self, w: Worker, content: bytes) -> None:
        with w.create(BESIDE, exclusive=True) as file:
            file.write(content)
        w.rename(BESIDE, SAVED)
        w.sync_directory()


class NameNotSynced(SavedByRename):
    """A version that was saved may be gone after a crash: the name leads to the one before."""

    why = "The new name may not be on the disk when the round ends. Sync the directory before it counts as saved."
    after_crash = {"power": "damaged"}

    def save(self, w: Worker, content: bytes) -> None:
        with w.create(BESIDE, exclusive=True) as file:
            file.write(content)
            file.sync()
        w.rename(BESIDE, SAVED)


class InPlace(SavedByRename):
    """The file is emptied before it is written: a crash in between leaves nothing of it."""

    why = "The old version goes before the new one is whole. Write the new one beside it, and rename."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def save(self, w: Worker, content: bytes) -> None:
        with w.create(SAVED) as file:
            file.write(content)
            file.sync()


class LeftoverReused(SavedByRename):
    """What a crash left beside may be the saved file itself, by its other name: emptying it empties both."""

    why = "A rename may reach the disk in part: both names lead to one file. Remove what is left, and make a new one."
    after_crash = {"power": "damaged"}

    def clear(self, w: Worker) -> None:
        pass

    def save(self, w: Worker, content: bytes) -> None:
        with w.create(BESIDE) as file:
            file.write(content)
            file.sync()
        w.rename(BESIDE, SAVED)
        w.sync_directory()


class OneNameBeside(SavedByRename):
    """Two that save at once write to one file beside: one of them renames what the other has not finished."""

    why = "Without a lock two writers share the file beside. Hold one lock from reading to the rename."
    expects = {"*": "damaged"}

    def add(self, w: Worker, more: bytes) -> None:
        content = self.saved(w) + more
        with w.create(BESIDE) as file:
            file.write(content)
            file.sync()
        w.rename(BESIDE, SAVED)
        w.sync_directory()


class LocksTheSaved(SavedByRename):
    """The lock is on the file that is replaced: it is lost with the name, and the next one locks another file."""

    why = (
        "A lock belongs to the file, not to its name: who opened it before the rename holds what nobody else asks for. "
        "Lock a file that is never replaced."
    )
    expects = {"*": "damaged"}

    def add(self, w: Worker, more: bytes) -> None:
        with w.open(SAVED) as file, file.write_lock():
            self.clear(w)
            self.save(w, file.read() + more)
