"""Race over several hosts: their workers on one shared file, released together, and one result of all they recorded.

This process touches no file under test. It deals the workers out, tells each host when to start by that host's clock,
measures the clocks before, meanwhile and after, and judges what comes back (`lab.analysis.between_hosts`). A host that
ends or falls silent is a failure with its name, and the others go on.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, monotonic_ns
from types import TracebackType
from typing import Any

from lab.analysis.between_hosts import ENOUGH, Share, Stamped, judge
from lab.errors import CannotRunError
from lab.output import complain
from lab.processes.child import stops_noted
from lab.racing.trial import Gathered, Result, result_of
from lab.racing.worker import Setting
from lab.records import Failure
from lab.records.hosts import SEEN_S
from lab.records.race import HOST
from lab.scenario import Damage

from .clocks import Clock, Offset, offset
from .links import SILENCE, HostError, Link
from .parcel import parcel
from .trial import error_of, setting_for, unpacked

PINGS, PINGS_MEANWHILE = 30, 5
PING_AGAIN_S = 1.0
"""Clocks are measured again so often in the course of a trial: what is between two of them is less certain."""

LEAD_NS = 30_000_000
"""The start is so long after the last host was told of it."""

TRIAL_S = 3.0
"""A trial ends after so many seconds, whatever rounds are left, where the user has not chosen the rounds."""

PROBED_ROUNDS, PROBED_S, USUAL_S = 3, 40.0, 30.0
"""The rounds of the trial by which it is measured how long a contended request waits, and the longest wait allowed.

A client of NFSv4 that was refused asks again after longer and longer pauses, up to 30 s (nfs4_set_lock_task_retry). A
time limit that is shorter than the usual one is the user's choice.
"""

SLACK = 4
"""A worker is late that has waited so many times longer than the longest wait so far."""

VIEW = "other bytes on another host"

Asked = Mapping[str, Mapping[str, Any]]
"""What each host is asked for, by name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A trial begins no more rounds after `stop_s`; then its workers have `patience_s` to end the one they are in."""

    stop_s: float
    patience_s: float


class HostsRace:
    """Trials over these hosts, for as long as the block lasts: a new folder in the directory, gone at the end of it.

    `trial` can be given where a way to race one trial is asked for. With `tickets` each hold draws two. The leak of a
    setting is that of the hosts `leak_on` alone, where there are any. A trial ends after `longest_s`.
    """

    def __init__(
        self,
        links: Mapping[str, Link],
        directory: str,
        *,
        code: Iterable[str] = (),
        tickets: bool = True,
        leak_on: Sequence[str] = (),
        longest_s: float | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Prepare it; `code` are the names of loaded modules that hosts have to know, with those beside them."""
        self.links = dict(links)
        self.lost: dict[str, str] = {}
        self._directory, self._code = directory, parcel(code)
        self._tickets, self._leak_on = tickets, leak_on
        self._longest_s, self._timeout_s = longest_s, timeout_s
        self._maker = ""
        self._asked: set[str] = set()
        self._limits: dict[tuple[str, str], Limits] = {}

    def __enter__(self) -> HostsRace:
        """Make the folder. Raises CannotRunError where that is refused, or where fewer than two hosts see it."""
        self._maker = next(iter(self.links))
        begin = {"directory": self._directory, "modules": self._code}
        try:
            made = self._step("begin", {self._maker: {**begin, "folder": ""}}, self._timeout_s)
            folder = made.get(self._maker, {}).get("folder", "")
            others = {name: {**begin, "folder": folder} for name in self.links if name != self._maker}
            self._step("begin", others if folder else {}, self._timeout_s + SEEN_S)
            self._check_several()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        with stops_noted(), suppress(Exception):
            self._abandon()
            maker = self._maker if self._maker in self.links else next(iter(self.links), "")
            asked = self._each(orphaned=False)
            last = asked.pop(maker, None)
            self._step("end", asked, self._timeout_s)
            if last:
                ended = self._step("end", {maker: {"orphaned": maker != self._maker}}, self._timeout_s)
                if ended.get(maker, {}).get("left"):
                    complain(f"{self._directory}: a folder lab-* of the race was left behind there; remove it by hand")

    def _check_several(self) -> None:
        if len(self.links) < 2:
            lost = "; ".join(self.lost.values())
            raise CannotRunError(f"fewer than two hosts are left: {lost}" if lost else "one host is no race over hosts")

    def trial(self, setting: Setting, number: int, folders: Sequence[Path] = ()) -> Result:
        """Race once, on a new file. Raises what `run_trial` raises, with the name of the host."""
        self._check_several()
        key = setting.lock.name, setting.backing
        if setting.lock.excludes and key not in self._limits:
            probed = self._probe(setting, number)
            if probed.failures:
                return probed
            self._limits[key] = self._limits_after(probed, setting)
        most_s = setting.time_limit_s
        usual = Limits(min(most_s, self._longest_s or most_s), most_s)
        return self._raced(setting, number, self._limits.get(key, usual))

    def _probe(self, setting: Setting, number: int) -> Result:
        """Acquire the lock once on each host, then race a short trial in which every worker wants it."""
        most_s = setting.time_limit_s
        self._step("probe", self._each(setting=setting_for(setting, leak=0.0)), most_s + self._timeout_s)
        self._check_several()
        few = replace(setting, rounds=min(setting.rounds, PROBED_ROUNDS), leak=0.0)
        return self._raced(few, number, Limits(TRIAL_S, most_s if most_s < USUAL_S else max(most_s, PROBED_S)))

    def _limits_after(self, probed: Result, setting: Setting) -> Limits:
        """Return the limits under this lock: slow is not hung, and a trial is to see some hand-offs."""
        most_s = setting.time_limit_s
        wait_s = max((granted - requested for granted, _, requested, *_ in probed.holds), default=0) / 1e9
        hand_offs = probed.between.hand_offs if probed.between else 0
        least_s = ENOUGH * probed.wall_ns / 1e9 / max(1, hand_offs)
        stop_s = min(most_s, max(self._longest_s, least_s)) if self._longest_s else most_s
        return Limits(stop_s, max(most_s, SLACK * wait_s))

    def _raced(self, setting: Setting, number: int, limits: Limits) -> Result:
        lost_before = set(self.lost)
        workers = dealt(setting.workers, list(self.links))
        try:
            self._prepare(setting, number, limits, workers)
            if set(self.lost) == lost_before:
                return self._race(setting, number, limits, workers)
            return self._failed(number, set(self.lost) - lost_before)
        finally:
            with stops_noted():
                self._abandon()
                with suppress(Exception):
                    self._step("remove", self._each(), self._timeout_s)

    def _prepare(self, setting: Setting, number: int, limits: Limits, workers: Mapping[str, range]) -> None:
        """Have the file made by the first host and seen by the others, and all workers forked."""
        limited = replace(setting, time_limit_s=limits.stop_s + limits.patience_s, most_limits=1)
        first, name = next(iter(workers)), ""
        for hosts in ([first], [other for other in workers if other != first]):
            asked = {
                host: {
                    "setting": setting_for(limited, leak=self._leak_of(setting, host)),
                    "number": number,
                    "name": name,
                    "first": workers[host].start,
                    "count": len(workers[host]),
                    "tickets": self._tickets,
                    "looks": host == first,
                }
                for host in hosts
            }
            answers = self._step("prepare", asked, limits.patience_s + SEEN_S + self._timeout_s)
            if first not in self.links:
                return
            name = name or answers[first]["name"]

    def _leak_of(self, setting: Setting, host: str) -> float:
        return setting.leak if not self._leak_on or host in self._leak_on else 0.0

    def _race(self, setting: Setting, number: int, limits: Limits, workers: Mapping[str, range]) -> Result:
        lost_before = set(self.lost)
        offsets: dict[str, list[Offset]] = {host: [] for host in workers}
        self._measure(offsets, PINGS)
        start = monotonic_ns() + LEAD_NS
        asked = {
            host: {"at_ns": Clock(offsets[host]).shows(start), "stop_s": limits.stop_s}
            for host in workers
            if host in self.links
        }
        answers = self._step("go", asked, limits.stop_s + limits.patience_s + 2 * self._timeout_s, offsets)
        self._measure({host: offsets[host] for host in answers}, PINGS)
        lost = set(self.lost) - lost_before
        if not answers:
            return self._failed(number, lost)
        parts = {host: unpacked(answer["found"]) for host, answer in answers.items()}
        clocks = {host: Clock(offsets[host]) for host in answers}
        cut_short = any(answer["stopped"] for answer in answers.values())
        result = _merged(parts, clocks, workers, cut_short=cut_short)
        result.failures.extend(self._failed(number, lost).failures)
        if not result.failures:
            self._check(result, parts)
        return result

    def _measure(self, offsets: Mapping[str, list[Offset]], pings: int) -> None:
        """Measure how far the clocks of these hosts are ahead, as far as they answer."""
        for host, found in offsets.items():
            if host in self.links:
                with self._noting(host):
                    found.append(offset([self.links[host].ping(self._timeout_s) for _ in range(pings)]))

    def _check(self, result: Result, parts: Mapping[str, tuple[Gathered, Any]]) -> None:
        """Let the first host check the file, and compare what each other host reads from it."""
        first, *others = self.links
        reports = [
            {**{name: getattr(report, name) for name in ("worker", "error", "kind", "trace", "refused")},
             "seen": {kind: {"count": seen.count, "evidence": seen.evidence} for kind, seen in report.seen.items()}}
            for found, _ in parts.values() for report in found.reports
        ]  # fmt: skip
        asked = {first: {"rounds_done": result.rounds_done, "reports": reports}}
        limit_s = 2 * self._timeout_s
        for answer in self._step("check", asked, limit_s).values():
            result.judge(Damage(kind, count, of, evidence) for kind, count, of, evidence in answer["damage"])
        views = self._step("view", self._each(), limit_s)
        other = [name for name in others if name in views and first in views and _differ(views[name], views[first])]
        evidence = [_difference(first, views[first], name, views[name]) for name in other]
        result.judge([Damage(VIEW, len(other), max(len(others), result.operations), evidence)])

    def _failed(self, number: int, hosts: Iterable[str]) -> Result:
        """Return the result of a trial that these hosts did not end."""
        failures = [
            Failure(number, HOST, 0, "late" if SILENCE in why else "killed", why, host=host)
            for host, why in self.lost.items()
            if host in hosts
        ]
        nothing = Gathered(
            released_ns=0, workers=0, time_limit_s=0, exits=[], reports=[], failures=failures, holds=[], ended_ns=[0],
            rounds_done=[], unrecorded=0, refused=0, deadlocks=0, gave_up=0, private_bytes=0,
        )  # fmt: skip
        exclusion, between = judge([])
        return replace(result_of(nothing, exclusion), between=between)

    def _each(self, **arguments: Any) -> dict[str, dict[str, Any]]:
        """Return the same arguments for each host."""
        return dict.fromkeys(self.links, arguments)

    def _step(
        self, step: str, asked: Asked, limit_s: float, offsets: Mapping[str, list[Offset]] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Ask these hosts at once and return their answers; a host that fails is noted, and left out from then on.

        With `offsets` the clocks are measured now and then meanwhile. Raises the error that a host answered with.
        """
        for host, arguments in asked.items():
            with self._noting(host):
                self.links[host].ask("race", step=step, **arguments)
                self._asked.add(host)
        if offsets:
            self._wait(list(asked), limit_s - self._timeout_s, offsets)
            limit_s = self._timeout_s
        answers = {}
        for host in asked:
            if host in self.links:
                with self._noting(host):
                    answers[host] = self.links[host].answer(limit_s)
                self._asked.discard(host)
        for host, answer in answers.items():
            if "raised" in answer:
                raise error_of(answer, host)
        return answers

    def _wait(self, hosts: Sequence[str], limit_s: float, offsets: Mapping[str, list[Offset]]) -> None:
        """Wait until these hosts have answered, or the time is over; measure their clocks now and then."""
        begun = pinged = monotonic()
        waiting = [host for host in hosts if host in self.links]
        while waiting and monotonic() - begun < limit_s:
            waiting = [host for host in waiting if not self.links[host].answered(0.05 / len(waiting))]
            if waiting and monotonic() - pinged > PING_AGAIN_S:
                self._measure({host: offsets[host] for host in waiting}, PINGS_MEANWHILE)
                waiting = [host for host in waiting if host in self.links]
                pinged = monotonic()

    @contextmanager
    def _noting(self, host: str) -> Iterator[None]:
        """Do something with a host; where it fails, note why, and leave the host out from then on."""
        try:
            yield
        except HostError as error:
            self.lost[host] = str(error).removeprefix(f"{host}: ")
            self.links.pop(host, None)
            self._asked.discard(host)

    def _abandon(self) -> None:
        """Let the hosts give up what they were asked for and have not answered."""
        for host in list(self._asked):
            with self._noting(host):
                self.links[host].interrupt()
        for host in list(self._asked):
            link = self.links[host]
            if link.answered(self._timeout_s):
                with suppress(HostError):  # its text says that it was interrupted
                    link.answer(self._timeout_s)
            else:
                self.lost[host] = link.silence(self._timeout_s)
                self.links.pop(host)
        self._asked.clear()


def dealt(workers: int, hosts: Sequence[str]) -> dict[str, range]:
    """Return the numbers of the workers of each host: as many for each, the first have one more."""
    each, more = divmod(workers, len(hosts))
    ends = [each * (place + 1) + min(place + 1, more) for place in range(len(hosts))]
    return {host: range(start, end) for host, start, end in zip(hosts, [0, *ends], ends, strict=False)}


def _merged(
    parts: Mapping[str, tuple[Gathered, list[tuple[int, int]]]],
    clocks: Mapping[str, Clock],
    workers: Mapping[str, range],
    *,
    cut_short: bool,
) -> Result:
    """Return the result of a trial from what the workers of each host left, in ns of this machine's clock."""
    stamped: list[Stamped] = []
    shares = []
    holds = []
    for number, (host, (found, tickets)) in enumerate(parts.items()):
        when = clocks[host].when
        own = [
            Stamped(row, number, when(row[2]), when(row[0]), when(row[1]), pair if pair[1] else None)
            for row, pair in zip(found.holds, tickets, strict=True)
        ]
        stamped += own
        for hold in own:
            granted, released, requested, worker, word = hold.row
            shift = sum(hold.granted) // 2 - granted
            holds.append((granted + shift, released + shift, requested + shift, worker, word))
        shares.append(
            Share(
                host,
                workers[host],
                sum(found.rounds_done),
                waits=[hold.row[0] - hold.row[2] for hold in own],
                lengths=[hold.row[1] - hold.row[0] for hold in own if hold.row[1] > hold.row[0]],
                uncertainties=[(hold.granted[1] - hold.granted[0]) // 2 for hold in own],
            )
        )
    exclusion, between = judge(stamped)
    every = [found for found, _ in parts.values()]
    merged = Gathered(
        released_ns=min(clocks[host].when(found.released_ns).middle for host, (found, _) in parts.items()),
        workers=every[0].workers,
        time_limit_s=every[0].time_limit_s,
        exits=[each for found in every for each in found.exits],
        reports=[each for found in every for each in found.reports],
        failures=[replace(each, host=host) for host, (found, _) in parts.items() for each in found.failures],
        holds=holds,
        ended_ns=[clocks[host].when(end).middle for host, (found, _) in parts.items() for end in found.ended_ns],
        rounds_done=[done for found in every for done in found.rounds_done],
        unrecorded=sum(found.unrecorded for found in every),
        refused=sum(found.refused for found in every),
        deadlocks=sum(found.deadlocks for found in every),
        gave_up=sum(found.gave_up for found in every),
        private_bytes=max(found.private_bytes for found in every),
        orphans=[each for found in every for each in found.orphans],
        checks=every[0].checks,
    )
    shares = [replace(share, met=between.met.count(number)) for number, share in enumerate(shares)]
    between = replace(between, shares=shares, cut_short=cut_short)
    return replace(result_of(merged, exclusion), between=between)


def _differ(view: Mapping[str, str], first: Mapping[str, str]) -> bool:
    return view["digest"] != first["digest"]


def _difference(first: str, view: Mapping[str, str], other: str, its: Mapping[str, str]) -> str:
    """Return which bytes two hosts read differently, the first of them in hexadecimal digits."""
    one, two = b64decode(view["content"]), b64decode(its["content"])
    at = next((place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), 0)
    if not one or not two:
        return f"{other} reads other bytes than {first}, once all workers have ended"
    start = at - at % 8
    return (
        f"once all workers have ended, {first} reads {one[start : start + 8].hex()} at byte {start}, and {other} reads "
        f"{two[start : start + 8].hex()}"
    )
