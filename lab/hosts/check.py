"""Check one filesystem from several hosts: this process touches no file there, and always comes to an end.

First come the things that need no luck: does the mount answer on each host, is it one filesystem, who is refused while
another host holds a lock, and do hosts that take turns find what the last one left. A host that fails is named, and the
others go on while there are two. The fresh folder is removed at the end, through a host that still answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath

from lab.checking.actors.controller import Patience
from lab.checking.guarantees import PARTITION
from lab.checking.mounts import fresh_name
from lab.checking.request import Request, request_for
from lab.checking.run import Announcer, Ending, Found, Parts, Silent, document, early_end
from lab.checking.stress.run import modules_of
from lab.errors import UsageError
from lab.host.environment import RunStart, anonymous_text
from lab.output import complain
from lab.processes import Terminated, note
from lab.records import Check, CheckOptions, Host, Mount, Stuck

from .keeper import NO_DIRECTORY
from .links import HostError, Link, Reach, connected
from .partition import Commands, Partition
from .race import HostsRace
from .stage import HostKeeper, HostPool
from .stress import OverHosts
from .survey import Survey

TRIAL_S = 1.0
"""A trial of the stress ends after this time, or after the hand-offs that it needs."""


def check(options: CheckOptions, reach: Reach, directory: str, tell: Announcer) -> Check:
    """Check this directory from the hosts, and return what was found, however it ends.

    Raises UsageError for what cannot be asked of several hosts and for a directory that none of them has,
    and CannotRunError where the filesystem is full.
    """
    request = request_for(options.only, on_hosts=True, cut=bool(options.cut))
    return _HostsCheck(options, request, reach, directory, tell).run()


class _HostsCheck:
    """One check, and what is known of its hosts."""

    def __init__(self, options: CheckOptions, request: Request, reach: Reach, directory: str, tell: Announcer) -> None:
        self._options = options
        self._request = request
        self._reach = reach
        self._directory = directory
        self._tell = tell
        self._name = fresh_name()
        self._begun, self._found = RunStart(), Found()
        self._hosts = {host.label: Host(name=host.label) for host in reach.hosts}
        self._keepers: dict[str, HostKeeper] = {}
        self._left_out: dict[str, HostKeeper] = {}
        self._identities: dict[str, tuple[int, int]] = {}
        self._patience: Patience | None = None
        self._answer_s = options.timeout_s
        self._ending = Ending()

    def run(self) -> Check:
        """Return the document."""
        try:
            with connected(self._reach, self._answer_s) as links:
                try:
                    self._perform(links)
                except (KeyboardInterrupt, Terminated):
                    self._ending = replace(self._ending, interrupted=True)
                except Silent as silent:
                    self._ending = Ending(early=early_end(silent.hang), hang=silent.hang)
                finally:
                    self._clean()
        except (KeyboardInterrupt, Terminated):
            self._ending = replace(self._ending, interrupted=True)
        hosts = list(self._hosts.values())
        options = replace(
            self._options,
            hosts=[host.name for host in hosts],
            cut=anonymous_text(self._options.cut),
            heal=anonymous_text(self._options.heal),
        )
        mounts = [
            Mount(anonymous_text(f"{host.name}:{self._directory}"), host.filesystem, host.mount_options)
            for host in hosts
            if host.filesystem
        ]
        return document(options, self._request, self._found, mounts, self._begun, self._ending, hosts)

    def _perform(self, links: dict[str, Link | HostError]) -> None:
        """Look at the hosts, and run the parts on them."""
        self._tell("the hosts")
        survey = Survey(links, self._directory, self._answer_s)
        self._hosts = survey.hosts
        survey.perform()
        if all(map(self._has_no_directory, survey.hosts.values())):
            raise UsageError("; ".join(f"{host.name}: {host.trouble}" for host in survey.hosts.values()))
        blind = [host.name for host in survey.hosts.values() if host.sees is False]
        if blind:
            first = next(iter(survey.hosts))
            self._end_early(f"not one filesystem: {', '.join(blind)} did not see what {first} wrote")
            return
        self._keepers = {name: HostKeeper(name, link, self._answer_s) for name, link in survey.links.items()}
        self._enter()
        parts = Parts(self._request, self._options, self._found.keep, self._begin)
        steps: Sequence[Callable[[], None]] = (
            parts.probe, parts.take_turns, lambda: self._race(parts), parts.perform_safe_rules, parts.draw,
            parts.perform_rules,
        )  # fmt: skip
        for step in steps:
            self._on_hosts(parts, step)
        if PARTITION in self._request.parts and len(self._keepers) > 1:
            self._cut_off(parts.useful_locks)

    def _race(self, parts: Parts) -> None:
        """Run the stress over the hosts; one that fails meanwhile is named, and the others go on."""
        if "stress" not in self._request.parts:
            return
        links = {name: keeper.link for name, keeper in self._keepers.items()}
        code = modules_of(self._request.guarantees)
        with HostsRace(links, self._directory, code=code, longest_s=TRIAL_S, timeout_s=self._answer_s) as race:
            try:
                parts.race(OverHosts(race, list(self._keepers.values())))
            finally:
                for name, why in race.lost.items():
                    self._keepers[name].failed = HostError(f"{name}: {why}")
                self._drop()

    def _cut_off(self, locks: Sequence[str]) -> None:
        """Cut the last host off while it holds these locks; hosts that fail meanwhile are named."""
        if not locks:
            return
        options = self._options
        self._begin(f"a cut of {list(self._keepers)[-1]}, {', '.join(locks)}")
        cut = Partition(self._keepers, locks, Commands(options.cut, options.heal, options.cut_s))
        try:
            for each in cut.perform():
                self._found.keep(each)
        except HostError:
            pass
        for host, pid, where in cut.stuck:
            self._found.keep(Stuck(pid, f"{where} on {host}"))
        self._drop()

    def _begin(self, title: str) -> None:
        note(title, float("inf"))
        self._tell(title)

    def _enter(self) -> None:
        """Make the folder on the first host that can, and find it on the others."""
        for number, name in enumerate(list(self._keepers)):
            do = "check.seek" if self._identities else "check.make"
            own = f"{self._name}-{number}"
            try:
                made = self._keepers[name].ask(do, self._answer_s, directory=self._directory, name=self._name, own=own)
            except HostError:
                self._drop()
            else:
                self._identities[name] = made["device"], made["inode"]
        for name in list(self._identities)[:1]:
            try:
                self._keepers[name].ask("check.hide")
            except HostError:
                self._drop()

    def _on_hosts(self, parts: Parts, step: Callable[[], None]) -> None:
        """Run a part on the hosts that answer; where one fails, run the rest of it on the others."""
        while len(self._keepers) > 1:
            pool = HostPool(self._keepers, str(PurePosixPath(self._directory, self._name)), self._patience)
            try:
                with pool:
                    parts.on(pool, list(self._keepers))
                    step()
                self._patience = pool.known_patience
                return
            except HostError:
                self._drop()
        if not self._ending.early:
            lack = any(map(self._has_no_directory, self._hosts.values()))
            self._end_early(f"fewer than two hosts {'have the directory' if lack else 'answer'}")

    def _has_no_directory(self, host: Host) -> bool:
        """Return True where this host answered that it does not have the directory."""
        return host.trouble in {f"{anonymous_text(self._directory)} {why}" for why in NO_DIRECTORY}

    def _drop(self) -> None:
        """Leave out the hosts that failed, and end what actors on the others may hold."""
        for name, keeper in list(self._keepers.items()):
            if keeper.failed:
                trouble = anonymous_text(str(keeper.failed).removeprefix(f"{name}: "))
                self._hosts[name] = replace(self._hosts[name], trouble=trouble)
                self._left_out[name] = self._keepers.pop(name)
        for keeper in self._keepers.values():
            try:
                self._keep_stuck(keeper, keeper.ask("check.end", self._answer_s)["stuck"])
            except HostError:
                self._drop()
                return

    def _keep_stuck(self, keeper: HostKeeper, stuck: Sequence[tuple[int, str]]) -> None:
        for pid, where in stuck:
            self._found.keep(Stuck(pid, f"{where} on {keeper.name}"))

    def _end_early(self, why: str) -> None:
        self._ending = replace(self._ending, early=why)

    def _clean(self) -> None:
        """End the actors everywhere, and remove the folder through the first host that still answers.

        A host may be at work on what was asked before an interruption: it does this after it.
        """
        path = str(PurePosixPath(self._directory, self._name))
        where = next(iter(self._identities), "")
        why = "no host answers that could remove it" if where else ""
        keepers = self._keepers or self._left_out  # one that failed in its work may still answer
        try:
            for keeper in keepers.values():
                with self._noting(keeper):
                    self._keep_stuck(keeper, keeper.ask_last("check.end", "stuck")["stuck"])
            for name, keeper in keepers.items():
                device, inode = self._identities.get(name, (0, 0))
                with self._noting(keeper):
                    why = keeper.ask_last("check.remove", "why", path=path, device=device, inode=inode)["why"]
                    where = name
                    break
        except (KeyboardInterrupt, Terminated):
            why = "interrupted"
        if why:
            left = anonymous_text(f"{where}:{path} ({why})")
            self._ending = replace(self._ending, left_behind=[left])
            complain(f"{where}:{path}: left behind, for it could not be removed ({why}); remove it by hand")

    @contextmanager
    def _noting(self, keeper: HostKeeper) -> Iterator[None]:
        """Do something with a host; where it fails, it is asked nothing more."""
        try:
            yield
        except HostError as error:
            keeper.failed = error
