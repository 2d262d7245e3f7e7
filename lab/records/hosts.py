"""Define the records of hosts: of `hosts`, and what a race over several adds to a case.

`hosts` says who is there, what each host has mounted, and how far its clock is from this one's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Header, Quantiles

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


@dataclass(frozen=True, slots=True)
class HostPart:
    """What the workers of one host did in a case, and how long they waited and held.

    `contended_requests` are those that surely met a holder on another host. The moments of its grants are known to
    within `clock_uncertainty_ns` either way, in the median.
    """

    name: str
    workers: int
    operations: int = 0
    holds: int = 0
    contended_requests: int = 0
    wait_ns: Quantiles | None = None
    hold_ns: Quantiles | None = None
    clock_uncertainty_ns: int | None = None


@dataclass(frozen=True, slots=True)
class BetweenHosts:
    """What a race over several hosts says of them: `hand_offs` are grants on another host than the grant before.

    Their order is that of the tickets, or what the clocks show for certain: then there were at least so many. Of the
    `compared_holds` those in `short_holds` are shorter than the clocks are uncertain, so that nothing is certain of
    them between hosts but by the tickets, which `ticketed_holds` have. `cut_short` trials ended before all of their
    rounds were done.
    """

    hand_offs: int
    ordered_by: Literal["tickets", "clocks"]
    compared_holds: int = 0
    short_holds: int = 0
    ticketed_holds: int = 0
    cut_short: int = 0
    clock_uncertainty_ns: int | None = None
    hosts: list[HostPart] = field(default_factory=list)
