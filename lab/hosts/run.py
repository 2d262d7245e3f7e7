"""Race the cases of a run over several hosts, and return the record: who is there is asked first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lab.errors import CannotRunError, UsageError
from lab.host.environment import RunStart, anonymous_text, environment
from lab.memory import find_backing
from lab.processes import Terminated, stop_on_sigterm
from lab.racing.cases import Case, anonymous_options, run_case
from lab.racing.summary import held_to
from lab.records import Case as Row
from lab.records import Environment, Host, Options, Run

from .links import Reach, connected
from .race import TRIAL_S, HostsRace
from .survey import Survey

RECORDER = "python"
"""A host has no compiler of its own: the holds are recorded by Python there."""


def run_over(reach: Reach, cases: Sequence[Case], options: Options, tell: Callable[[str], None]) -> Run:
    """Race every case over the hosts; `tell` gets the next case's title.

    The cases that are finished at an interrupt (Ctrl-C, SIGTERM) are kept, and the record says `interrupted`. Raises
    CannotRunError where fewer than two hosts can be reached, or where they do not see one filesystem.
    """
    check_possible(reach, cases, options)
    rows: list[Row] = []
    timeout_s = options.timeout_s
    begun, interrupted, hosts = RunStart(), False, list[Host]()
    try:
        with stop_on_sigterm(), connected(reach, timeout_s) as links:
            asked = Survey(links, options.directory, timeout_s)
            asked.perform()
            hosts = list(asked.hosts.values())
            _check_one_filesystem(hosts, options.directory)
            over = HostsRace(
                asked.links,
                options.directory,
                code=list(_code(cases)),
                tickets=options.tickets,
                leak_on=options.leak_on,
                longest_s=None if options.rounds else TRIAL_S,
                timeout_s=timeout_s,
            )
            with over:
                for case in cases:
                    tell(case.title)
                    rows.append(_raced(case, options, over))
    except (KeyboardInterrupt, Terminated):
        interrupted = True
    return Run(
        **begun.header(_environment(hosts, begun.load), interrupted=interrupted),
        options=replace(
            anonymous_options(options),
            hosts=[host.name for host in hosts],
            python=anonymous_text(reach.python),
            ssh_config=anonymous_text(reach.ssh_config),
            rsh=anonymous_text(reach.rsh),
            mpi=reach.mpi is not None,
        ),
        cases=rows,
        hosts=hosts,
    )


def _raced(case: Case, options: Options, over: HostsRace) -> Row:
    row = run_case(case, options.trials, (), raise_rounds=options.raise_rounds, trial=over.trial)
    return held_to(options.detects, row)


def check_possible(reach: Reach, cases: Sequence[Case], options: Options) -> None:
    """Raise UsageError for cases that make no sense over so many hosts."""
    hosts = len(reach.hosts)
    if hosts == 1:
        raise UsageError("--hosts: one host is no race over hosts; name two or more, or leave it out")
    for case in cases:
        setting, backing = case.setting, find_backing(case.setting.backing)
        if setting.workers < max(2, hosts):
            raise UsageError(f"--workers {setting.workers}: each of the {hosts or 2} hosts needs one; give more")
        if not backing.of_file:
            raise UsageError(f"backing {backing.name}: is memory of one host; give mapped, stream or remapped")
    unknown = [name for name in options.leak_on if name not in {host.label for host in reach.hosts}]
    if unknown and hosts:
        raise UsageError(f"--leak-on {unknown[0]}: is none of the hosts")


def _check_one_filesystem(hosts: Sequence[Host], directory: str) -> None:
    there = [host for host in hosts if not host.trouble]
    if len(there) < 2:
        failed = "; ".join(f"{host.name}: {host.trouble}" for host in hosts if host.trouble)
        raise CannotRunError(f"fewer than two hosts can be raced on: {failed}")
    blind = [host.name for host in there if host.sees is False]
    if blind:
        raise CannotRunError(
            f"{directory}: not one filesystem, for {', '.join(blind)} did not see what {there[0].name} wrote; give the "
            "directory that all hosts share, by one name"
        )


def _code(cases: Sequence[Case]) -> Iterator[str]:
    """Yield the names of the modules that the hosts have to know."""
    for case in cases:
        yield type(case.setting.scenario).__module__
        module, colon, _ = case.setting.lock.name.partition(":")
        if colon:
            yield module


def _environment(hosts: Sequence[Host], load: float) -> Environment:
    """Return this machine's environment, with the filesystem as the first host that answered has it."""
    there = next((host for host in hosts if host.filesystem), None)
    found = environment(None, load, RECORDER)
    if not there:
        return found
    return replace(found, filesystem=there.filesystem, mount_options=there.mount_options)
