"""Write what several hosts add to the report of a race: who they are, hand-offs, clocks, tickets, a table by host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.records import BetweenHosts, Case, HostPart, Run
from lab.report.format import Column, Table, duration, plural

from .failures import lock_of, where


def place(run: Run) -> str:
    """Return where it ran: the filesystem and the hosts."""
    there = [host for host in run.hosts if not host.trouble]
    names, kernels = (", ".join(dict.fromkeys(each)) for each in zip(*((h.name, h.kernel) for h in there), strict=True))
    return f"{run.environment.filesystem} from {plural(len(there), 'host')} ({names}), {kernels}"


@dataclass(frozen=True, slots=True)
class Row:
    """One host in one case."""

    case: Case
    host: HostPart


def by_host(run: Run) -> Table[Row]:
    """Return the table with a row for each host in each case."""
    rows = [Row(case, host) for case in run.cases if case.between_hosts for host in case.between_hosts.hosts]
    columns: list[Column[Row]] = [
        Column("scenario", lambda row: row.case.scenario, left=True, key=True, fold=8),
        Column("lock", lambda row: lock_of(row.case), left=True, key=True, fold=8),
        Column("host", lambda row: row.host.name, left=True, key=True, fold=8),
        Column("workers", lambda row: str(row.host.workers)),
        Column("operations", lambda row: f"{row.host.operations:,}"),
        Column("holds", lambda row: f"{row.host.holds:,}"),
        Column("met foreign", lambda row: f"{row.host.contended_requests:,}"),
        Column("wait p50", lambda row: duration(row.host.wait_ns.p50) if row.host.wait_ns else "-"),
        Column("wait max", lambda row: duration(row.host.wait_ns.max) if row.host.wait_ns else "-", wide=True),
        Column("hold p50", lambda row: duration(row.host.hold_ns.p50) if row.host.hold_ns else "-"),
        Column("clock +-", lambda row: _time(row.host.clock_uncertainty_ns)),
    ]
    return Table(columns, rows)


def _time(ns: int | None) -> str:
    return "-" if ns is None else duration(ns)


def conclusions(run: Run) -> Iterator[str]:
    """Yield how each case was handed from host to host, and how well its holds could be compared."""
    for case in run.cases:
        if (between := case.between_hosts) and between.compared_holds:
            yield f"{where(case)}: {_hand_offs(case, between)}."
        if between and between.cut_short:
            yield (
                f"{where(case)}: {between.cut_short} of {plural(case.trials, 'trial')} ended before all rounds were "
                "done; what was done by then was judged (--rounds says how many)."
            )
    alike: dict[str, list[str]] = {}
    for host in run.hosts:
        if host.same_kernel_as:
            alike.setdefault(host.same_kernel_as, [host.same_kernel_as]).append(host.name)
    for names in alike.values():
        yield (
            f"{', '.join(names)} run on one kernel: they share one page cache and one table of locks, so what holds "
            "between them says nothing about two machines."
        )


def _hand_offs(case: Case, between: BetweenHosts) -> str:
    at_least = "" if between.ordered_by == "tickets" else "at least "
    met = f"{plural(case.contended_requests, 'request')} met a holder on another host"
    parts = [f"{at_least}{plural(between.hand_offs, 'hand-off')} between hosts, by {between.ordered_by}; {met}"]
    if between.clock_uncertainty_ns is not None:
        share = between.short_holds / between.compared_holds
        cost = f"{share:.0%} of the holds were too short to compare between hosts" if between.short_holds else ""
        parts.append(
            f"clocks known to +- {duration(between.clock_uncertainty_ns)}" + (f", so that {cost}" if cost else "")
        )
    if between.ticketed_holds:
        every = between.ticketed_holds == between.compared_holds
        parts.append(f"{'all' if every else f'{between.ticketed_holds:,}'} holds compared by tickets")
    return "; ".join(parts)


def complaints(run: Run) -> Iterator[str]:
    """Yield the hosts that could not take part."""
    for host in run.hosts:
        if host.trouble:
            yield f"{host.name}: {host.trouble}; the others went on without it"
