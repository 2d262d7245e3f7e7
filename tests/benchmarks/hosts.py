"""What several hosts cost: start, round trip, clocks, tickets, and what they notice against one host.

    python tests/benchmarks/hosts.py [--hosts a,b --dir /mnt/share] [links] [race] [power] [many]

Without --hosts the hosts are two agents on this machine, in its temporary directory, and `many` is always that: 64 of
them start, race and end. Figures are medians; nothing about time is asserted. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab.analysis.statistics import one_in
from lab.hosts import race as over_hosts
from lab.hosts.clocks import offset
from lab.hosts.gateways import HostName
from lab.hosts.links import Link, Reach, connected
from lab.hosts.race import HostsRace
from lab.hosts.survey import Survey
from lab.racing import race_for
from lab.racing.cases import Case
from tests.racing.racing import case_of

TIMEOUT_S = 120.0
PINGS = 1000
SECONDS = 10.0
LEAK = 1 / 1000
PARTS = ("links", "race", "power", "many")


def reach_of(names: Sequence[str]) -> Reach:
    return Reach(tuple(HostName.read(name) for name in names))


@contextmanager
def opened(reach: Reach) -> Iterator[dict[str, Link]]:
    with connected(reach, TIMEOUT_S) as links:
        yield {name: link for name, link in links.items() if isinstance(link, Link)}


def tell(what: str, *values: object) -> None:
    sys.stdout.write(f"{what:34} {'  '.join(map(str, values))}\n")
    sys.stdout.flush()


def counter(workers: int, rounds: int, **setting: Any) -> Case:
    case = case_of("counter", "fcntl", workers=workers, rounds=rounds)
    return replace(case, setting=replace(case.setting, **setting))


def over(links: dict[str, Link], folder: str, case: Case, **options: Any) -> HostsRace:
    code = [type(case.setting.scenario).__module__]
    return HostsRace(links, folder, code=code, timeout_s=TIMEOUT_S, **options)


def links(reach: Reach, folder: str) -> None:
    """How long hosts take to answer, and how well their clocks are known."""
    begun = time.monotonic()
    with opened(reach) as found:
        for link in found.values():
            link.ask("about", directory=folder)
        for link in found.values():
            link.answer(TIMEOUT_S)
        tell("agents and keepers answer, s", f"{time.monotonic() - begun:.2f}")
        for name, link in found.items():
            trips = [link.ping(TIMEOUT_S) for _ in range(PINGS)]
            lasted = sorted((came - sent) / 1e3 for sent, _, came in trips)
            shown = (f"{lasted[int(part * (PINGS - 1))]:.0f}" for part in (0.0, 0.5, 0.99))
            tell(f"{name}: round trip, us: min 50 % 99 %", *shown, "clock +-", f"{offset(trips).uncertainty / 1e3:.0f}")
        begun = time.monotonic()
    tell("agents and keepers end, s", f"{time.monotonic() - begun:.2f}")


def race(reach: Reach, folder: str) -> None:
    """How far apart the workers of two hosts start, and what tickets cost."""
    skews: list[float] = []
    merged = over_hosts._merged

    def noting(parts: Any, clocks: Any, *others: Any, **options: Any) -> Any:
        starts = [clocks[host].when(found.released_ns).middle for host, (found, _) in parts.items()]
        skews.append((max(starts) - min(starts)) / 1e3)
        return merged(parts, clocks, *others, **options)

    lasted: dict[bool, float] = {}
    vars(over_hosts)["_merged"] = noting
    with opened(reach) as found:
        for tickets in (True, False):
            case = counter(2 * len(found), 300)
            with over(found, folder, case, tickets=tickets) as hosts:
                results = [hosts.trial(case.setting, number) for number in range(5)]
            lengths = [
                length for each in results if each.between for one in each.between.shares for length in one.lengths
            ]
            lasted[tickets] = median(lengths) / 1e3
            known = [ns for each in results if each.between for one in each.between.shares for ns in one.uncertainties]
            tell(f"a hold {'with' if tickets else 'without'} tickets, us", f"{lasted[tickets]:.0f}",
                 "hand-offs", sum(each.between.hand_offs for each in results if each.between),
                 "clock +- us", f"{median(known) / 1e3:.0f}")  # fmt: skip
    vars(over_hosts)["_merged"] = merged
    tell("a ticket, us", f"{(lasted[True] - lasted[False]) / 2:.0f}")
    tell("skew of the start, us: 50 % max", f"{median(skews):.0f}", f"{max(skews):.0f}")


def power(reach: Reach, folder: str) -> None:
    """What a lock that grants falsely 1 in 1,000 shows in ten seconds, over hosts and on one."""
    case = counter(4, 100, leak=LEAK)
    honest = counter(4, 100)
    rows = {"one host": [race_for(each, [Path(folder)], SECONDS) for each in (case, honest)]}
    with opened(reach) as found:
        for name, tickets in (("hosts, tickets", True), ("hosts, clocks alone", False)):
            with over(found, folder, case, tickets=tickets) as hosts:
                rows[name] = [race_for(each, (), SECONDS, trial=hosts.trial) for each in (case, honest)]
    for name, (leaky, clean) in rows.items():
        limit = one_in(clean.detection_limit) if clean.detection_limit else "-"
        tell(name, f"{leaky.overlapping_holds} overlaps of a lock that leaks 1 in 1,000; a clean one: detects", limit)


def many(_: Reach, __: str) -> None:
    """64 agents on this machine start, race and end."""
    with TemporaryDirectory() as folder:
        begun = time.monotonic()
        with opened(reach_of([f"local:{number}" for number in range(1, 65)])) as found:
            survey = Survey(found, folder, TIMEOUT_S)
            survey.perform()
            tell("64 agents started and asked, s", f"{time.monotonic() - begun:.1f}", f"{len(survey.links)} answer")
            case = counter(64, 20)
            with over(found, folder, case) as hosts:
                result = hosts.trial(case.setting, 0)
            tell("and raced, s", f"{time.monotonic() - begun:.1f}", f"{sum(result.rounds_done)} rounds",
                 f"{len(result.failures)} failures")  # fmt: skip
        times = os.times()
        used = times.children_user + times.children_system
        tell("and ended, s", f"{time.monotonic() - begun:.1f}", f"CPU of the children {used:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--hosts", default="local:1,local:2")
    parser.add_argument("--dir", default=gettempdir())
    given = parser.parse_args()
    for part in given.parts or PARTS:
        globals()[part](reach_of(given.hosts.split(",")), given.dir)


if __name__ == "__main__":
    main()
