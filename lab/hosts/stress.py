"""Run the stress of a check over several hosts: the same races, each trial by `lab.hosts.race`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.checking.guarantees import EXCLUSION
from lab.checking.stress.run import PATIENCE_S, Answering
from lab.racing.trial import Result
from lab.racing.worker import Setting
from lab.records import Failure

from .race import HostsRace
from .stage import HostKeeper


class OverHosts:
    """What the stress asks of several hosts (`lab.checking.stress.run.Over`)."""

    def __init__(self, race: HostsRace, keepers: Sequence[HostKeeper]) -> None:
        self._race = race
        self._keepers = keepers
        self._refusals: dict[str, str] = {}

    def trial(self, setting: Setting, number: int, folders: Sequence[Path]) -> Result:
        """Race once over the hosts."""
        return self._race.trial(setting, number, folders)

    def answering(self, handoffs: Mapping[str, float]) -> dict[str, Answering]:
        """Return what each lock does on the slowest host: each tries it alone. Raises HostError."""
        found: dict[str, Answering] = {}
        measured = {EXCLUSION[name]: seconds for name, seconds in handoffs.items()}
        for keeper in self._keepers:
            for name, told in keeper.ask("check.locks", 2 * PATIENCE_S)["locks"].items():
                hung = Failure(0, 0, 0, "late", f"{keeper.name}: {told['hung']}") if told["hung"] else None
                here = Answering(told["pair_ns"], told["errno"], hung, measured.get(name, 0.0))
                before = found.get(name, here)
                failing = next((each for each in (before, here) if each.hung or each.errno), None)
                found[name] = failing or max(before, here, key=lambda each: each.pair_ns)
        return found

    def tried(self, name: str) -> Answering:
        """Return what a lock file does on the slowest host; a refusal anywhere is one. Raises HostError."""
        slowest = Answering()
        for keeper in self._keepers:
            told = keeper.ask("check.lock_file", PATIENCE_S, name=name)
            if told["errno"]:
                return Answering(errno=told["errno"])
            slowest = max(slowest, Answering(told["pair_ns"]), key=lambda each: each.pair_ns)
        return slowest

    def refusal_of(self, backing: str) -> str:
        """Return the reason why a host cannot back data so; empty where all can. Raises HostError."""
        if backing not in self._refusals:
            said = [keeper.ask("check.refusal", backing=backing)["reason"] for keeper in self._keepers]
            self._refusals[backing] = next(filter(None, said), "")
        return self._refusals[backing]
