"""Write who is there on several hosts as text: is it one filesystem, then a row for each host, then what it means."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from lab.errors import ExitCode
from lab.output import lab_command
from lab.records import Host, Hosts
from lab.records.hosts import SEEN_S
from lab.report.documents import Report
from lab.report.format import PLAIN, Column, Style, Table, duration, plural, wrapped


def exit_code(run: Hosts) -> ExitCode:
    """Return UNABLE where a host failed, or where they do not see one filesystem."""
    if run.interrupted:
        return ExitCode.INTERRUPTED
    failed = any(host.trouble for host in run.hosts) or run.is_one_filesystem is False
    return ExitCode.UNABLE if failed else ExitCode.AS_EXPECTED


def text_of(run: Hosts, style: Style = PLAIN) -> str:
    """Return the whole report."""
    shown = hosts_table(run)
    table = shown.render(style) if shown.rows or not style.is_for_people else ""
    if not style.is_for_people:
        return table
    told = [wrapped(line) for line in conclusions(run)]
    return "\n\n".join(part for part in (wrapped(_headline(run)), table, "\n".join(told)) if part)


def _headline(run: Hosts) -> str:
    there = sum(not host.trouble for host in run.hosts)
    who = f"{there} of {plural(len(run.hosts), 'host')}, {run.options.directory}"
    who = who if there < len(run.hosts) else who.removeprefix(f"{there} of ")
    blind = [host.name for host in run.hosts if host.sees is False]
    if blind:
        missed = f"{', '.join(blind)} did not see within {SEEN_S:g} s what {run.hosts[0].name} wrote"
        return f"{who}: NOT ONE FILESYSTEM: {missed}"
    seen = [host.name for host in run.hosts if host.sees]
    if len(seen) > 1:
        return f"{who}: one filesystem, written on {seen[0]} and seen on {', '.join(seen[1:])}"
    return who


def hosts_table(run: Hosts) -> Table[Host]:
    """Return the table: a row for each host."""
    columns: list[Column[Host]] = [
        Column("host", lambda row: row.name, {"host": lambda row: row.name}, left=True, key=True),
        Column("kernel", lambda row: row.kernel.split()[-1], {"kernel": lambda row: row.kernel}, left=True, fold=12),
        Column("Python", lambda row: row.python, {"python": lambda row: row.python}, left=True),
        Column("filesystem", lambda row: row.filesystem, {"filesystem": lambda row: row.filesystem}, left=True),
        Column("round trip", lambda row: _time(row.round_trip_ns), {"round_trip_ns": lambda row: row.round_trip_ns}),
        Column("clock ahead", _clock, {"clock_offset_ns": lambda row: row.clock_offset_ns}),
        Column(
            "give or take",
            lambda row: _time(row.clock_uncertainty_ns),
            {"clock_uncertainty_ns": lambda row: row.clock_uncertainty_ns},
            wide=True,
        ),
        Column("CPUs", lambda row: str(row.cpus), {"cpus": lambda row: row.cpus}, wide=True),
        Column("machine", lambda row: row.machine, {"machine": lambda row: row.machine}, wide=True, left=True),
        Column("", data={"mount_options": lambda row: row.mount_options, "sees": lambda row: row.sees}),
    ]
    return Table(columns, [host for host in run.hosts if host.kernel])


def _time(nanoseconds: int | None) -> str:
    return "-" if nanoseconds is None else duration(nanoseconds)


def _clock(host: Host) -> str:
    """Return how far the clock is ahead, no finer than it is known."""
    if host.clock_offset_ns is None or host.clock_uncertainty_ns is None:
        return "-"
    if abs(host.clock_offset_ns) <= host.clock_uncertainty_ns:
        return "0 s"
    return f"{host.clock_offset_ns / 1e9:+,.6f} s"


def conclusions(run: Hosts) -> Iterator[str]:
    """Yield the mounts, which hosts are one kernel, and what the clocks are."""
    for options in dict.fromkeys((host.filesystem, host.mount_options) for host in run.hosts if host.filesystem):
        names = [host.name for host in run.hosts if (host.filesystem, host.mount_options) == options]
        yield f"{', '.join(names)}: {options[0]} mounted with {options[1] or 'no options'}"
    for host in run.hosts:
        if host.same_kernel_as:
            yield (
                f"{host.name} runs on the same kernel as {host.same_kernel_as}: both share one page cache and one "
                "table of locks, so what holds between them says nothing about two machines."
            )
    if any(host.clock_offset_ns is not None for host in run.hosts):
        yield (
            "The clock is CLOCK_MONOTONIC, which counts from the start of each machine, against this machine's; it is "
            "known to within half of the quickest round trip."
        )


def left_out(kind: str, directory: str) -> str:
    """Return the sentence about a run on one host where others share the filesystem, with the line to type."""
    return (
        f"Other hosts were not tried, and each has its own page cache and locks on {kind}: "
        f"{lab_command()} check --hosts HOST,HOST {shlex.quote(directory)}"
    )


def complaints(run: Hosts) -> Iterator[str]:
    """Yield the lines for stderr: the hosts that failed."""
    for host in run.hosts:
        if host.trouble:
            yield f"{host.name}: {host.trouble}"
    if run.is_one_filesystem is False:
        yield "not one filesystem: give the directory that all hosts share, by one name"
    if run.interrupted:
        yield "interrupted; what the hosts had said by then is shown"


REPORT = Report(text_of, complaints, exit_code)
