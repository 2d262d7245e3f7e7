"""Say who is there on several hosts: kernels, mounts, round trips and clocks, and whether they see one filesystem.

Each host is reached by ssh, as you would type it: keys, names and jumps come from your own configuration. A host needs
Python and nothing else; nothing is installed there, and nothing is left. `local` is this machine, without ssh. On a
cluster, mpiexec or srun can start the command on the hosts instead: mpiexec -n 2 -hosts a,b lab hosts --mpi --dir DIR.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lab.api.values import TIMEOUT_S, file_name, names, positive

from .options import DIRECTORY, ListedAsGiven, Options, add_shared, add_tables

if TYPE_CHECKING:
    from lab.hosts.links import Reach


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `hosts`."""
    add = parser.add_argument
    add(
        "hosts",
        nargs="?",
        action=ListedAsGiven,
        type=names,
        default=[],
        metavar="HOST[,HOST...]",
        help="host, user@host or user@host:port; local is this machine, local:1,local:2 is it twice",
    )
    add_hosts(parser)
    add("--dir", **{**DIRECTORY, "required": True, "help": "the shared directory, by its name on the hosts"})
    add_tables(parser)
    add_shared(parser, "json", "save")


def add_hosts(group: Options) -> None:
    """Add which hosts a command is to use, and how they are reached; `reach_of` reads these options."""
    add = group.add_argument
    add(
        "--hosts",
        action=ListedAsGiven,
        type=names,
        default=[],
        metavar="HOST[,HOST...]",
        help="the hosts: host, user@host or user@host:port; local is this machine",
    )
    add("--hosts-file", type=file_name, metavar="FILE", help="a file with a host on each line; # begins a comment")
    add("--python", default="", metavar="PATH", help="the Python of the hosts, 3.11 or later (python3)")
    add("--ssh-config", type=file_name, metavar="FILE", help="of ssh, instead of ~/.ssh/config")
    add(
        "--rsh",
        default="",
        metavar="COMMAND",
        help="what runs a command on a host, in place of ssh; {} is the host: 'kubectl exec -i {} --'",
    )
    add("--mpi", action="store_true", help="the hosts are those on which mpiexec or srun started this command")
    add(
        "--timeout",
        type=positive,
        default=TIMEOUT_S,
        metavar="S",
        help=f"the longest that one answer of a host may take ({TIMEOUT_S:g})",
    )


def reach_of(arguments: argparse.Namespace) -> Reach | None:
    """Return the hosts of `add_hosts` and how to reach them; None where none is named: this process alone.

    With --mpi only the first rank returns. Raises UsageError for what is no host, and for a file that cannot be read.
    """
    from lab.errors import UsageError

    texts = [*arguments.hosts, *_listed(arguments.hosts_file)]
    if arguments.mpi:
        if texts or arguments.python or arguments.ssh_config or arguments.rsh:
            raise UsageError("--mpi: the launcher chose the hosts and their Python; leave out what names them")
        from lab.hosts.links import Reach
        from lab.hosts.mpi import join

        return Reach((), mpi=join())
    if not texts:
        return None
    from lab.hosts.links import reach_to

    return reach_to(texts, arguments.python, str(arguments.ssh_config or ""), arguments.rsh)


def run(arguments: argparse.Namespace) -> int:
    """Ask the hosts, save, print."""
    from lab.errors import UsageError
    from lab.hosts.survey import survey
    from lab.processes import stops_interrupt
    from lab.records import HostsOptions
    from lab.report.format import check_format

    from .documents import Documents

    check_format(arguments.format)
    reach = reach_of(arguments)
    if not arguments.dir.is_absolute():
        raise UsageError(f"--dir {arguments.dir}: give the whole path, as it is on the hosts")
    if not reach:
        raise UsageError("which hosts? Give them, as in lab hosts a,b --dir /mnt/share")
    options = HostsOptions(
        hosts=[host.text for host in reach.hosts],
        directory=str(arguments.dir),
        python=reach.python,
        ssh_config=reach.ssh_config,
        rsh=reach.rsh,
        mpi=reach.mpi is not None,
        timeout_s=arguments.timeout,
    )
    with Documents("hosts", arguments) as documents:
        with stops_interrupt():
            done = survey(options, reach)
        return documents.finish(done)


def _listed(path: Path | None) -> list[str]:
    """Return the hosts that a file lists."""
    from lab.errors import UsageError

    try:
        lines = path.read_text().splitlines() if path else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--hosts-file {path}: {getattr(error, 'strerror', None) or 'no text'}; give another"
        ) from error
    return [line for line in (each.partition("#")[0].strip() for each in lines) if line]
