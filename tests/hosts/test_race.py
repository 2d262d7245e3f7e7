"""Races over several hosts: what is found and how strong it is, what fails by name, and that nothing is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.hosts.gateways import HostName
from lab.hosts.links import Link, Reach, connected
from lab.hosts.race import HostsRace, dealt
from lab.racing import race_for
from tests.helpers import in_fresh_process
from tests.racing.racing import case_of


def test_workers_are_dealt_out_evenly() -> None:
    assert dealt(7, ["a", "b", "c"]) == {"a": range(3), "b": range(3, 5), "c": range(5, 7)}


def raced_for(folder: str) -> dict[str, object]:
    """A row that was raced for a time over two hosts, as the stress of a check is."""
    case = case_of("counter", "fcntl", workers=4, rounds=50)
    with connected(Reach((HostName.read("local:1"), HostName.read("local:2"))), 60) as links:
        open_links = {name: link for name, link in links.items() if isinstance(link, Link)}
        code = [type(case.setting.scenario).__module__]
        with HostsRace(open_links, folder, code=code, timeout_s=60) as over:
            row = race_for(case, (), 0.5, trial=over.trial)
            leaky = replace(case, setting=replace(case.setting, leak=1.0, rounds=300))
            broken = over.trial(leaky.setting, 9)
    return {
        "verdict": row.verdict,
        "holds": row.holds == row.operations,
        "workers": row.workers,
        "overlaps": broken.exclusion.overlapping > 0,
        "left": [path.name for path in Path(folder).iterdir()],
    }


def test_a_trial_over_hosts_stands_where_one_on_this_machine_does(tmp_path: Path) -> None:
    found = in_fresh_process(raced_for, str(tmp_path))
    assert found == {"verdict": "clean", "holds": True, "workers": 4, "overlaps": True, "left": []}
