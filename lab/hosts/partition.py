"""Cut a host that holds locks off from the file server, by a command of the user's, and see what it and others do.

The lab cuts no network: the commands run here, one that takes a host's way to the file server away and one that brings
it back. The second always runs once the first has begun. The lab's own link to that host may go meanwhile: its
processes go on alone, and are asked when it is back.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, monotonic_ns, sleep
from typing import Any

from lab.checking.mounts import PROBE_S
from lab.checking.partition import REPEATED, CutCall, CutTimes, Moment, conclude, not_held
from lab.errors import UsageError
from lab.output import complain
from lab.processes.child import stops_noted
from lab.records import PartitionResult

from .clocks import Clock, Offset, offset
from .links import HostError
from .lock_holders import END_S, START_S
from .stage import HostKeeper

COMMAND_S = 60.0
"""A command that cuts or heals ends within this time."""

BEFORE_S, LOOK_S = 0.5, 0.2
"""The holder makes calls for so long before the cut; the hosts are looked at so often."""

BACK_S = 90.0
"""A host that is healed reaches the filesystem again within this time, or that is the result."""

AFTER_S = 3.0
"""Once it does, its calls go on for so long: a client may fail for some seconds more, and then go on."""

PINGS = 30
HERE = "{}"


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands of the user's, in which {} is the host, and the longest time between them."""

    cut: str
    heal: str
    longest_s: float


def words_of(command: str, host: str) -> list[str]:
    """Return the words of a command for this host; without a {} the host is the last word. Raises UsageError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{command}: is no command ({error})") from None
    if not words:
        raise UsageError("an empty command; give one, as in --cut 'COMMAND {}'")
    return [word.replace(HERE, host) for word in words] if HERE in command else [*words, host]


class _Refused(Exception):  # noqa: N818 - what happened
    """Something did not come about, which is the reason why nothing is known."""


class _Peeked:
    """A host that may be silent for a while: what it was asked is answered when its link is back."""

    def __init__(self, keeper: HostKeeper) -> None:
        self._keeper = keeper
        self._asked = ""

    def ask(self, do: str, wait_s: float) -> dict[str, Any] | None:
        """Return the answer; None where there is none yet: then ask again. Raises HostError where there will be none.

        An answer to something else that was asked before is dropped.
        """
        link = self._keeper.link
        deadline = monotonic() + wait_s
        try:
            while True:
                if not self._asked:
                    link.ask(do)
                    self._asked = do
                if not link.answered(max(0.0, deadline - monotonic())):
                    return None
                asked, self._asked = self._asked, ""
                answer = link.answer(wait_s)
                if asked == do:
                    return answer
        except HostError as error:
            self._keeper.failed = error
            raise


class Partition:
    """One cut: the last of the hosts holds the locks, the first asks for them."""

    def __init__(self, keepers: Mapping[str, HostKeeper], locks: Sequence[str], commands: Commands) -> None:
        self._keepers = dict(keepers)
        self._locks = list(locks)
        self._commands = commands
        self._names = list(keepers)[-1], next(iter(keepers))
        self._holder, self._asker = (keepers[name] for name in self._names)
        self._peeked = _Peeked(self._holder)
        self._clocks: dict[str, list[Offset]] = {name: [] for name in self._names}
        self.stuck: list[tuple[str, int, str]] = []
        """The host, the process and where it hangs, of those that did not end."""

    def perform(self) -> Iterator[PartitionResult]:
        """Yield what came of each lock. Raises HostError where the host that asks fails."""
        try:
            self._begin()
            times = self._cut_off()
            yield from self._concluded(times)
        except _Refused as refused:
            yield from (not_held(lock, self._names, str(refused)) for lock in self._locks)
        except HostError as error:
            yield from (not_held(lock, self._names, str(error)) for lock in self._locks)
            raise

    def _begin(self) -> None:
        """Let the one host hold the locks, and the other be refused them."""
        holder, asker = self._names
        held = self._holder.ask("check.hold", START_S, locks=self._locks)["said"]
        if held := {lock: said for lock, said in held.items() if said != "granted"}:
            raise _Refused(f"{holder} could not hold {_listed(held)}")
        asked = self._asker.ask("check.contend", START_S, locks=self._locks)["said"]
        if granted := {lock: said for lock, said in asked.items() if said not in ("EAGAIN", "EACCES")}:
            raise _Refused(f"before the cut {asker} was answered {_listed(granted)}")
        self._measure()
        sleep(BEFORE_S)
        failed = [
            f"{lock}: {what} = {result}"
            for lock, calls in self._holder.ask("check.last_calls")["last"].items()
            for what, (_, _, result) in calls.items()
            if what in REPEATED and result not in ("ok", "granted")
        ]
        if failed:
            raise _Refused(f"before the cut a call of {holder} failed ({failed[0]})")

    def _measure(self) -> None:
        for keeper in (self._holder, self._asker):
            pings = [keeper.link.ping(START_S) for _ in range(PINGS)]
            self._clocks[keeper.name].append(offset(pings))

    def _cut_off(self) -> CutTimes:
        """Cut the holder off, until the other has the locks and each call of the holder has come to something; heal."""
        holder = self._names[0]
        heal = words_of(self._commands.heal, holder)
        by_hand = shlex.join(heal)
        complain(f"cutting {holder} off from the file server; should this be killed, bring it back by: {by_hand}")
        try:
            _run(words_of(self._commands.cut, holder), "--cut")
            cut = monotonic_ns()
            self._while_cut(cut)
        finally:
            with stops_noted():
                healing = monotonic_ns()
                trouble = _tried(heal)
                healed = monotonic_ns()
        if trouble:
            complain(f"{holder} may still be cut off ({trouble}); bring it back by: {by_hand}")
            raise _Refused(trouble)
        return CutTimes(cut, healing, healed, self._back())

    def _while_cut(self, cut: int) -> None:
        """Wait until all is seen that the cut can show, or for as long as it may last."""
        asks = Clock(self._clocks[self._names[1]])
        holds = Clock(self._clocks[self._names[0]])
        end = cut / 1e9 + self._commands.longest_s
        while (left := end - monotonic()) > 0:
            asked = self._asker.ask("check.last_calls")["last"]
            held = self._peeked.ask("check.last_calls", min(left, LOOK_S))
            granted = [asks.when(calls["ask"][1]).latest for calls in asked.values() if calls["ask"][2] == "granted"]
            if held and len(granted) == len(self._locks):
                last = [
                    holds.when(begun).earliest
                    for calls in held["last"].values()
                    for what, (begun, _, _) in calls.items()
                    if what in REPEATED
                ]
                if min(last) > max(granted):
                    return
            sleep(min(LOOK_S, left))

    def _back(self) -> int | None:
        """Wait until the holder reaches the filesystem again and its calls have gone on for a while; return when."""
        end = monotonic() + BACK_S
        while (left := end - monotonic()) > 0:
            answer = self._peeked.ask("check.reaches", min(left, PROBE_S + LOOK_S))
            if answer and answer["reaches"]:
                back = monotonic_ns()
                sleep(AFTER_S)
                return back
            sleep(LOOK_S)
        return None

    def _concluded(self, times: CutTimes) -> Iterator[PartitionResult]:
        """End all calls and yield what they show."""
        holder, asker = self._names
        self._asker.ask("check.stop")
        held: dict[str, list[Any]] = {}
        lost = ""
        try:
            ended = self._peeked.ask("check.let_go", BACK_S)
            if ended:
                held = ended["calls"]
                self.stuck += [(holder, pid, where) for pid, where in ended["stuck"]]
                self._measure()
            else:
                lost = f"{holder}: no answer for {BACK_S:g} s after it was healed"
                self._holder.failed = HostError(lost)
        except HostError as error:
            lost = str(error)
        views = self._views()
        ended = self._asker.ask("check.let_go", 2 * END_S)
        self.stuck += [(asker, pid, where) for pid, where in ended["stuck"]]
        for lock in self._locks:
            calls = [self._stamped(holder, held.get(lock, [])), self._stamped(asker, ended["calls"][lock])]
            seen = {name: view[lock] for name, view in views.items()}
            yield conclude(lock, self._names, times, calls[0], calls[1], seen, lost)

    def _views(self) -> dict[str, dict[str, str]]:
        """Return what each host but the holder finds in the files."""
        views = {}
        for name, keeper in self._keepers.items():
            if name != self._names[0]:
                with suppress(HostError):
                    views[name] = keeper.ask("check.read", PROBE_S, locks=self._locks)["found"]
        return views

    def _stamped(self, host: str, calls: Sequence[Sequence[Any]]) -> list[CutCall]:
        when = Clock(self._clocks[host]).when
        return [
            CutCall(what, Moment(*when(begun)), Moment(*when(ended)) if ended else None, result)
            for what, begun, ended, result in calls
        ]


def _listed(said: Mapping[str, str]) -> str:
    return ", ".join(f"{lock} ({answer})" for lock, answer in said.items())


def _run(words: Sequence[str], option: str) -> None:
    """Run a command of the user's, out of reach of a Ctrl-C. Raises _Refused where it fails."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=COMMAND_S,
            check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _Refused(f"{option}: the command has not ended in {COMMAND_S:g} s") from None
    except OSError as error:
        raise _Refused(f"{option}: {words[0]}: {error.strerror or error}") from None
    if done.returncode:
        last = [*done.stdout.splitlines(), *done.stderr.splitlines()][-1:]
        raise _Refused(f"{option}: the command ended with {done.returncode}" + (f": {last[0]}" if last else ""))


def _tried(heal: Sequence[str]) -> str:
    """Run the command that heals; return why it failed, empty where it did not."""
    try:
        _run(heal, "--heal")
    except _Refused as refused:
        return str(refused)
    return ""
