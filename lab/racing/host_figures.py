"""Sum up what several hosts add to a case, and say what a clean race over hosts lacks to show anything about them."""

from __future__ import annotations

from collections.abc import Sequence

from lab.analysis.between_hosts import ENOUGH, Share
from lab.analysis.statistics import percentile, plural
from lab.records import BetweenHosts, HostPart, Quantiles

from .trial import Result


def between_hosts(results: Sequence[Result]) -> BetweenHosts | None:
    """Return what the trials over several hosts add up to; None for trials of one machine."""
    found = [result.between for result in results if result.between]
    if not found:
        return None
    shares = [share for each in found for share in each.shares]
    return BetweenHosts(
        hand_offs=sum(each.hand_offs for each in found),
        ordered_by="tickets" if all(each.by_tickets for each in found if each.holds) else "clocks",
        compared_holds=sum(each.holds for each in found),
        short_holds=sum(each.short for each in found),
        ticketed_holds=sum(each.ticketed for each in found),
        cut_short=sum(each.cut_short for each in found),
        clock_uncertainty_ns=_median([ns for share in shares for ns in share.uncertainties]),
        hosts=[
            _part(name, [share for share in shares if share.host == name])
            for name in dict.fromkeys(share.host for share in shares)
        ],
    )


STAYED = 0.9
"""The part of all holds with which a host is said to have kept the lock."""


def _part(name: str, shares: Sequence[Share]) -> HostPart:
    return HostPart(
        name=name,
        workers=max(len(share.workers) for share in shares),
        operations=sum(share.operations for share in shares),
        holds=sum(len(share.waits) for share in shares),
        contended_requests=sum(share.met for share in shares),
        wait_ns=Quantiles.of([ns for share in shares for ns in share.waits]),
        hold_ns=Quantiles.of([ns for share in shares for ns in share.lengths]),
        clock_uncertainty_ns=_median([ns for share in shares for ns in share.uncertainties]),
    )


def _median(values: Sequence[int]) -> int | None:
    return percentile(sorted(values), 0.5) if values else None


def lacking(between: BetweenHosts, contended: int) -> str:
    """Return why a clean race over hosts shows nothing about them; empty where it shows enough."""
    if not between.compared_holds:
        return ""
    if between.hand_offs < ENOUGH:
        most = max(between.hosts, key=lambda host: host.holds)
        shared = most.holds < STAYED * between.compared_holds
        stayed = "each host kept the lock for long" if shared else f"the lock stayed on {most.name}"
        stayed += f", {most.name} with {most.holds:,} of {between.compared_holds:,} holds"
        return (
            f"{plural(between.hand_offs, 'hand-off')} between hosts, and fewer than {ENOUGH} show nothing: {stayed}; "
            "give more --rounds or --trials, or --window"
        )
    if contended < ENOUGH:
        how = "--window makes holds longer" if between.short_holds else "give more --workers or --rounds"
        return (
            f"{plural(contended, 'request')} surely met a holder on another host, and fewer than {ENOUGH} show "
            f"nothing; {how}"
        )
    return ""
