"""Find out who is there: each host's kernel, mount and clock, and whether all see one filesystem in the directory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from lab.host.environment import RunStart, anonymous_text, environment
from lab.processes import Terminated
from lab.records import Host, Hosts, HostsOptions
from lab.records.hosts import SEEN_S

from .clocks import offset
from .links import HostError, Link, Reach, connected

PINGS = 60
Answered = Callable[[Host, dict[str, Any]], Host]


def survey(options: HostsOptions, reach: Reach) -> Hosts:
    """Ask the hosts and return what they say; a host that fails has its `trouble`, and the others go on."""
    start = RunStart()
    with connected(reach, options.timeout_s) as links:
        asked = Survey(links, options.directory, options.timeout_s)
        try:
            asked.perform()
            interrupted = False
        except (KeyboardInterrupt, Terminated):
            interrupted = True
    return Hosts(
        **start.header(environment(None, start.load), interrupted=interrupted),
        options=replace(
            options,
            hosts=list(asked.hosts),
            directory=anonymous_text(options.directory),
            python=anonymous_text(options.python),
            ssh_config=anonymous_text(options.ssh_config),
            rsh=anonymous_text(options.rsh),
        ),
        hosts=list(asked.hosts.values()),
    )


class Survey:
    """The hosts as far as they are known, by name, and the links to those that still answer."""

    def __init__(self, links: Mapping[str, Link | HostError], directory: str, timeout_s: float) -> None:
        self._directory, self._timeout_s = directory, timeout_s
        self.links = {name: link for name, link in links.items() if isinstance(link, Link)}
        self.hosts = {
            name: Host(name=name, trouble=_without_name(name, link) if isinstance(link, HostError) else "")
            for name, link in links.items()
        }

    def perform(self) -> None:
        """Ask for all of it, in the order in which one answer is of use without the next."""
        boots: dict[str, str] = {}

        def about(host: Host, answer: dict[str, Any]) -> Host:
            first = boots.setdefault(answer.pop("boot"), host.name)
            return replace(host, **answer, same_kernel_as="" if first == host.name else first)

        self._ask_all("about", about, directory=self._directory)
        self._clocks()
        self._one_filesystem()

    def _ask_all(self, do: str, answered: Answered, more_s: float = 0.0, **arguments: object) -> None:
        """Ask all hosts at once, and take their answers one after the other."""
        links = list(self.links.items())
        for name, link in links:
            with self._trying(name):
                link.ask(do, **arguments)
        for name, link in links:
            with self._trying(name):
                answer = link.answer(self._timeout_s + more_s)
                self.hosts[name] = answered(self.hosts[name], answer)

    @contextmanager
    def _trying(self, name: str) -> Iterator[None]:
        """Do something with a host; where it fails, note why, and leave the host out from then on."""
        try:
            yield
        except HostError as error:
            if not self.hosts[name].trouble:
                self.hosts[name] = replace(self.hosts[name], trouble=_without_name(name, error))
            self.links.pop(name, None)

    def _clocks(self) -> None:
        for name, link in list(self.links.items()):
            with self._trying(name):
                found = offset([link.ping(self._timeout_s) for _ in range(PINGS)])
                self.hosts[name] = replace(
                    self.hosts[name],
                    round_trip_ns=found.round_trip,
                    clock_offset_ns=found.middle,
                    clock_uncertainty_ns=found.uncertainty,
                )

    def _one_filesystem(self) -> None:
        """Let the first host write a file, and look for it on all."""
        if len(self.links) < 2:
            return
        content = secrets.token_hex(16)
        path = str(PurePosixPath(self._directory, f"lab-hosts-{content[:12]}"))
        name, first = next(iter(self.links.items()))
        with self._trying(name):
            first.ask("show", path=path, content=content)
            first.answer(self._timeout_s)
            try:
                self._ask_all(
                    "find", lambda host, answer: replace(host, sees=answer["found"]), SEEN_S,
                    path=path, content=content, seconds=SEEN_S,
                )  # fmt: skip
            finally:
                first.ask("remove", path=path)
                first.answer(self._timeout_s)


def _without_name(name: str, error: HostError) -> str:
    return anonymous_text(str(error).removeprefix(f"{name}: "))
