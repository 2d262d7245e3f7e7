"""Conclude what a holder does that was cut off from the file server, from its calls and those of another host.

A lock that a server takes from a host which it cannot reach has two holders, for the old one cannot be told. That is
harmless where the old holder's calls fail from then on (it is fenced off): what it writes late never arrives. It is not
where its writes go through again once the network is back, for they overwrite what the new holder wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from lab.records import CheckVerdict, CutOffCall, PartitionResult

TAKE, RELEASE, ASK, HELD = "take", "release", "ask", "held"
WRITE, READ, LOCK = "write", "read", "lock"
REPEATED = (READ, WRITE, LOCK)
"""The calls that a holder makes again and again."""

LENGTH = 16
"""Bytes of a mark: which host wrote it, and the number of the write."""

REACHED_S = 0.5
"""A write that begins so long after the cut, and succeeds before the healing, was not cut off."""

SECOND = 1e9
DONE = ("ok", "granted")


def mark(who: str, number: int) -> bytes:
    """Return what a host writes: the holder, or the one that asked."""
    return f"{who[0]}{number:0{LENGTH - 1}}".encode()


class Moment(NamedTuple):
    """A moment in ns of this machine's clock: between the two, for sure."""

    earliest: int
    latest: int

    @property
    def middle(self) -> int:
        """Return the middle of the two."""
        return (self.earliest + self.latest) // 2


class CutCall(NamedTuple):
    """One call of a host; it has no end where it was never answered."""

    what: str
    begun: Moment
    ended: Moment | None
    result: str


class CutTimes(NamedTuple):
    """The cut, in ns of this machine's clock: from the end of the command that cuts to the start of the one that heals.

    `back` is when the host reached the filesystem again, None where it did not.
    """

    cut: int
    healing: int
    healed: int
    back: int | None


def conclude(
    lock: str,
    hosts: tuple[str, str],
    times: CutTimes,
    held: Sequence[CutCall],
    asked: Sequence[CutCall],
    views: Mapping[str, str],
    lost: str = "",
) -> PartitionResult:
    """Return what came of the cut for one lock: `hosts` are the holder, and the one that asked.

    `held` and `asked` are their calls, and `views` what other hosts than the holder found in the file at the end.
    `lost` says why the calls of the holder are not known; empty where they are.
    """
    holder, asker = hosts
    grant = next((each.ended for each in asked if each.what == ASK and each.result == "granted"), None)
    wrote = any(each.what == WRITE and each.result == "ok" for each in asked)
    calls = [_calls(what, held, times, grant) for what in REPEATED]
    late = any(view[:1] == HELD[0] for view in views.values()) if grant and wrote and views else None
    released = next((each.result for each in held if each.what == RELEASE and each.ended), "")
    errors = [each.error_s for each in calls if each.error_s is not None]
    found = PartitionResult(
        lock=lock,
        holder=holder,
        asker=asker,
        cut_s=_seconds(times.healing - times.cut),
        granted_s=None if grant is None else max(0.0, _seconds(grant.middle - times.cut)),
        learned_s=min(errors, default=None),
        back_s=None if times.back is None else _seconds(times.back - times.healed),
        calls=calls,
        overwrote=late,
        released=released,
        verdict="unknown",
        reason="",
    )
    verdict, reason = _judged(found, held, times, lost, wrote=wrote)
    return replace(found, verdict=verdict, reason=reason)


def _calls(what: str, held: Sequence[CutCall], times: CutTimes, grant: Moment | None) -> CutOffCall:
    """Return what the calls of one kind came to, from the cut on."""
    own = [each for each in held if each.what == what and (not each.ended or each.ended.earliest > times.cut)]
    failed = [(each.ended, each.result) for each in own if each.ended and each.result not in DONE]
    after = [each for each in own if grant and each.begun.earliest > grant.latest and each.result in DONE]
    again = [
        each.ended.middle for each in own if each.ended and each.result in DONE and each.begun.earliest > times.healed
    ]
    return CutOffCall(
        call=what,
        error=failed[0][1] if failed else "",
        error_s=_seconds(failed[0][0].middle - times.cut) if failed else None,
        errors=list(dict.fromkeys(result for _, result in failed)),
        longest_s=max((_seconds(each.ended.middle - each.begun.middle) for each in own if each.ended), default=0.0),
        unanswered=any(not each.ended for each in own),
        unfenced=sum(each.begun.latest < times.healing for each in after),
        unfenced_healed=sum(each.begun.latest >= times.healing for each in after),
        again_s=_seconds(again[0] - times.healed) if again else None,
    )


def _judged(
    found: PartitionResult, held: Sequence[CutCall], times: CutTimes, lost: str, *, wrote: bool
) -> tuple[CheckVerdict, str]:
    """Return the verdict and, where it is not safe, the reason."""
    calls = {each.call: each for each in found.calls}
    if found.overwrote or any(calls[what].unfenced + calls[what].unfenced_healed for what in (WRITE, LOCK)):
        return "unsafe", ""
    if lost:
        return "unknown", lost
    ends = times.cut + REACHED_S * SECOND
    through = [
        each
        for each in held
        if each.what == WRITE and each.result == "ok" and each.begun.earliest > ends
        and each.ended and each.ended.latest < times.healing
    ]  # fmt: skip
    if found.granted_s is None and through:
        return "unknown", f"the cut did not reach the calls of {found.holder}: its writes went on"
    if found.back_s is None:
        return "unknown", f"{found.holder} did not reach the filesystem again after it was healed"
    if found.granted_s is not None and not wrote:
        return "unknown", f"{found.asker} was granted the lock and could not write"
    if not _answered_since(held, times):
        return "unknown", f"the calls of {found.holder} were not answered after it was healed"
    return "safe", ""


def _answered_since(held: Sequence[CutCall], times: CutTimes) -> bool:
    """Tell whether a write was answered that began after the healing, or that was under way then."""
    return any(each.what == WRITE and each.ended and each.ended.earliest > times.healed for each in held)


def _seconds(ns: float) -> float:
    return round(ns / SECOND, 3)


def not_held(lock: str, hosts: tuple[str, str], reason: str) -> PartitionResult:
    """Return the result for a lock of which nothing was found out."""
    return PartitionResult(
        lock=lock, holder=hosts[0], asker=hosts[1], cut_s=0.0, granted_s=None, learned_s=None, back_s=None, calls=[],
        overwrote=None, released="", verdict="unknown", reason=reason,
    )  # fmt: skip
