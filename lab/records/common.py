"""Define the records that the documents of all commands share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import NamedTuple

from lab.analysis.holds import Span
from lab.analysis.statistics import percentile

SCHEMA = 2
"""This number rises whenever a reader of the old documents would misread a new one."""


NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs",
    "fuse.moosefs", "fuse.sshfs", "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "virtiofs",
})  # fmt: skip
"""Types of filesystems that several hosts, each with a kernel of its own, have mounted at once."""


@dataclass(frozen=True, slots=True)
class Mount:
    """The filesystem behind one of the directories."""

    directory: str
    filesystem: str
    mount_options: str


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a run. It has no environment variables and no user names.

    `filesystem` and `mount_options` are those of the first directory; `mounts` lists those of each where there were
    several.
    """

    lab: str
    python: str
    recorder: str
    kernel: str
    machine: str
    cpu: str
    cpus: int
    cpus_allowed: int
    filesystem: str
    mount_options: str
    load_at_start: float
    mounts: list[Mount] = field(default_factory=list)

    @property
    def hosts_left_out(self) -> str:
        """Return the type of a filesystem that other hosts share, where one mount of it was used; else nothing."""
        return self.filesystem if self.filesystem in NETWORK and len(self.mounts) < 2 else ""

    @property
    def filesystems(self) -> str:
        """Return the type of the filesystem; where there were several mounts, their types and their number."""
        kinds = " and ".join(dict.fromkeys(mount.filesystem for mount in self.mounts))
        return f"{kinds} through {len(self.mounts)} mounts" if kinds else self.filesystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The fields that say how to read the rest of a document; each command's document is a subclass."""

    schema: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Document):
    """The header of every run: which command it was, when and where it ran, and whether it was interrupted."""

    started: str
    wall_s: float
    environment: Environment
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """Corruption of one kind over all trials: `count` of `of` operations, and the first few pieces of evidence."""

    kind: str
    count: int
    of: int
    evidence: list[str]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of times, by nearest rank, in ns."""

    p50: int
    p99: int
    max: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Quantiles | None:
        """Return those of some times, None where there are none."""
        ordered = sorted(values)
        return cls(percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1]) if ordered else None


NEVER = -1
"""The time of an event that did not occur."""


class Request(NamedTuple):
    """One row of `Holds`: a request for a lock."""

    worker: int
    requested_ns: int
    granted_ns: int
    released_ns: int
    start: int
    length: int
    write: int

    @property
    def span(self) -> Span:
        """Return the bytes that were requested, and whether the lock excludes readers too."""
        return Span(self.start, self.length, bool(self.write))

    @property
    def was_granted(self) -> bool:
        """Return True where it was granted."""
        return self.granted_ns != NEVER

    @property
    def was_released(self) -> bool:
        """Return True where the lock was granted and released."""
        return NEVER not in (self.granted_ns, self.released_ns)


@dataclass(frozen=True, slots=True)
class Holds:
    """Requests for locks in the order in which they were made, one column for each fact.

    Times are in ns from the release of the start barrier; NEVER, -1, where the event did not occur. A `length` of 0
    runs to the end of the file and beyond; `write` is 1 for a lock that excludes readers too.
    """

    worker: list[int] = field(default_factory=list)
    requested_ns: list[int] = field(default_factory=list)
    granted_ns: list[int] = field(default_factory=list)
    released_ns: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    write: list[int] = field(default_factory=list)

    def requests(self) -> Iterator[Request]:
        """Yield the rows. Raise ValueError for columns of different lengths."""
        columns = (getattr(self, name) for name in Request._fields)
        return starmap(Request, zip(*columns, strict=True))

    def add(self, request: Request) -> None:
        """Add a row."""
        for name, value in request._asdict().items():
            getattr(self, name).append(value)
