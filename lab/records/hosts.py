"""Define the records of `hosts`: who is there, what each host has mounted, and how far its clock is from this one's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Header

TIMEOUT_S = 10.0
"""One answer of a host takes at most so many seconds where the user gives no number (`lab.api.values.TIMEOUT_S`)."""

SEEN_S = 5.0
"""What one host has written others see within this time: NFS and Gluster cache names for a second or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsOptions:
    """What was asked for: the hosts as they were named, or as MPI names them, and the directory."""

    hosts: list[str]
    directory: str
    python: str = ""
    ssh_config: str = ""
    rsh: str = ""
    mpi: bool = False
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, as it was named, and what it says of itself; `trouble` says why the rest is missing.

    `same_kernel_as` is the first host that runs on the same kernel, empty where there is none: two such hosts share one
    page cache and one table of locks. Its CLOCK_MONOTONIC is `clock_offset_ns` ahead of this machine's, give or take
    `clock_uncertainty_ns`: half of the quickest round trip of a ping. `sees` says whether a file that the first host
    wrote was found with its content; null where it was not looked for.
    """

    name: str
    trouble: str = ""
    kernel: str = ""
    machine: str = ""
    cpus: int = 0
    python: str = ""
    filesystem: str = ""
    mount_options: str = ""
    same_kernel_as: str = ""
    round_trip_ns: int | None = None
    clock_offset_ns: int | None = None
    clock_uncertainty_ns: int | None = None
    sees: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts(Header):
    """One invocation of `hosts`; the environment is that of this machine, without a filesystem."""

    command: Literal["hosts"] = "hosts"
    options: HostsOptions
    hosts: list[Host]

    @property
    def is_one_filesystem(self) -> bool | None:
        """Return whether all hosts see one filesystem there; None where nobody could be asked."""
        asked = [host.sees for host in self.hosts if host.sees is not None]
        return all(asked) if len(asked) > 1 else None
