"""The scenarios of the stress over several hosts that are about names: hosts share no memory that would show the marks.

What they leave stands in files of the scenario's own directory, which the first host reads at the end.
"""

from __future__ import annotations

import errno
from collections import Counter
from ctypes import Structure, c_uint64
from typing import Any, ClassVar

from lab.scenario import Damage, Found, Outcome, Scenario, Worker

from .scenarios import WORD, WORDS, Counted

LOG, SAVED = "log", "saved"
RECORD_WORDS = 8
READS = 4


class AppendedFiles(Scenario):
    """Append records to one file with O_APPEND and no lock; every record must be there, once and whole."""

    rounds = 400
    expects: ClassVar[dict[str, str]] = {}

    class Memory(Structure):
        """Nothing is kept here."""

        _fields_ = [("unused", c_uint64)]

    def files(self, workers: int, rounds: int) -> dict[str, bytes | None]:
        """Return the empty log."""
        return {LOG: b""}

    def work(self, w: Worker) -> None:
        """Append a record; the log is open as long as the worker lives."""
        if not w.round:
            w.local.log = w.open(LOG)
        w.local.log.write(_record(w.index, w.round))
        w.pause()

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        """Report the records that are not there once and whole."""
        content, size = outcome.files.get(LOG, b""), RECORD_WORDS * WORD.size
        found = Counter(content[start : start + size] for start in range(0, len(content), size))
        wrong = [
            (worker, number)
            for worker, done in enumerate(outcome.by_worker)
            for number in range(done)
            if found[_record(worker, number)] != 1
        ]
        evidence = [f"record {number} of worker {worker} is not there once and whole" for worker, number in wrong[:3]]
        return Damage("lost record", len(wrong), outcome.rounds, evidence)


def _record(worker: int, number: int) -> bytes:
    return WORD.pack((worker + 1) << 32 | number) * RECORD_WORDS


class ReplacedFiles(Counted):
    """Write a version of a file beside it and rename it over the file, while all others read the name; no lock."""

    rounds = 100

    def files(self, workers: int, rounds: int) -> dict[str, bytes | None]:
        """Return a first version, and no others yet."""
        return {SAVED: _version(0, 0), **{f"{SAVED}.{index}": None for index in range(workers)}}

    def work(self, w: Worker) -> None:
        """Save a version, and read whichever there is, some times."""
        beside = f"{SAVED}.{w.index}"
        try:
            with w.create(beside) as file:
                file.write(_version(w.index, w.round))
            w.rename(beside, SAVED)
            w.pause()
            for _ in range(READS):
                with w.open(SAVED) as file:
                    content = file.read()
                if content != content[: WORD.size] * WORDS:
                    w.damaged("torn version", f"the name leads to {len(content):,} bytes that no process wrote so")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            w.damaged("missing name", f"a name is not found ({error.strerror}), though files were only renamed")


def _version(worker: int, number: int) -> bytes:
    return WORD.pack(worker << 32 | number) * WORDS


FOUND = {
    "appended_files": Found("appended_files", AppendedFiles, "Appended records that overwrite each other"),
    "replaced_files": Found("replaced_files", ReplacedFiles, "A name that is missing during a rename"),
}
"""These scenarios by their names in the plan."""
