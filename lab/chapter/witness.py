"""Processes that share a page of bytes, each doing what it is told, and saying what came of it."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from pathlib import Path

from lab.locks.calls import call_range
from lab.processes.partner import Gone, Partner
from lab.regions.named import Specimen

from .limits import out_of_descriptors

OK = "ok"
NO_DESCRIPTOR = "no descriptor"
NOT_MAPPED = "not mapped"


class Deeds:
    """What a process does with its copy of the specimen; what it has loaded it remembers."""

    def __init__(self, specimen: Specimen) -> None:
        self._specimen = specimen
        self._seen = 0
        self._mapped: Counter[str] = Counter()

    def make(self) -> None:
        """Set the bytes up."""
        before = _mapped_names()
        self._specimen.make()
        self._mapped = _mapped_names() - before

    def backing(self) -> str:
        """What /proc/self/maps calls the memory that `make` mapped: a file's name, or the kernel's name for it."""
        return next(iter(self._mapped), NOT_MAPPED)

    def opened(self) -> str:
        """The name of what its descriptor is open on, by /proc/self/fd (proc(5))."""
        descriptor = self._specimen.descriptor
        return NO_DESCRIPTOR if descriptor is None else str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def find(self) -> None:
        """Attach by the key."""
        self._specimen.find()

    def load(self) -> int:
        """Load the first byte."""
        self._seen = self._specimen.load()
        return self._seen

    def read(self) -> int | str:
        """The first byte by pread(2), through the descriptor of the file or object behind the bytes."""
        if self._specimen.descriptor is None:
            return NO_DESCRIPTOR
        return os.pread(self._specimen.descriptor, 1, 0)[0]

    def store(self, value: int) -> None:
        """Store the first byte."""
        self._specimen.store(value)

    def add(self) -> None:
        """Store 1 more than was loaded last."""
        self._specimen.store(self._seen + 1)

    def remove(self) -> None:
        """Remove the key."""
        self._specimen.remove()

    def lock(self) -> str:
        """F_SETLK of the whole file or object behind the bytes."""
        if self._specimen.descriptor is None:
            return NO_DESCRIPTOR
        call_range(self._specimen.descriptor, "F_SETLK", 1, 0, 0, os.SEEK_SET, 0)
        return "granted"

    def shows_child(self, value: int) -> str:
        """Fork a child, store the byte, and let the child load it."""
        with Witness(self._specimen) as child:
            self.store(value)
            return child.does("load")

    def race_child(self) -> str:
        """`raced` by the process and a child that it forks."""
        with Witness(self._specimen) as child:
            return raced(self, child)

    def does(self, deed: str) -> str:
        """One of these by its name, as a `Witness` does it."""
        return str(getattr(self, deed)())


class Witness:
    """A process, forked now and killed with the block. Raises OSError where fork(2) is refused."""

    def __init__(self, specimen: Specimen) -> None:
        deeds = Deeds(specimen)
        self._partner = Partner(lambda question: _told(deeds, question).encode())

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *error: object) -> None:
        self._partner.end()

    def does(self, deed: str, *values: int) -> str:
        """What one of the `Deeds` comes to: what it returns, "ok" for nothing, or the name of an errno."""
        try:
            return self._partner.ask(json.dumps([deed, *values]).encode()).decode()
        except Gone as gone:
            return f"ended with {gone.code}"


def raced(one: Deeds | Witness, other: Witness) -> str:
    """Both load, then each adds 1, and both load again: the four bytes that were loaded."""
    before = one.does("load"), other.does("load")
    for each in (one, other):
        each.does("add")
    return " ".join([*before, one.does("load"), other.does("load")])


def _told(deeds: Deeds, question: bytes) -> str:
    deed, *values = json.loads(question)
    try:
        returned = getattr(deeds, deed)(*values)
    except OSError as error:
        if refusal := out_of_descriptors(error):
            raise refusal from error
        return errno.errorcode.get(error.errno or 0, str(error))
    return OK if returned is None else str(returned)


def _mapped_names() -> Counter[str]:
    """The names of what is mapped, by /proc/self/maps (proc_pid_maps(5))."""
    fields = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines())
    return Counter(names[0] for *_, names in ((*each[:5], each[5:]) for each in fields) if names)
