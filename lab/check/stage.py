"""The stage on which real processes perform, on files of the directories in question."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGUSR1

from lab.errors import CannotRunError
from lab.processes import stops_held
from lab.processes.watched import STOPPED
from lab.results import Stuck

from .language import DIRECTED, GET, SET, Call
from .player import ANSWER_S, WAKE_S, Player

SPOILING = frozenset({"limit", "exec", "last", "exit"})
"""Calls after which an actor is not what it was: it is of no use for the next program."""

WAITERS = ("waits", "returns", "interrupted")

NO_PROCESS = ("EAGAIN", "ENOMEM")
"""What fork(2) answers where there may be no more processes."""

SETTLE_S = (0.01, 0.3)
"""Where the kernel does not tell what a process sleeps for, as with a server, a call that is to wait counts as waiting
when it has slept so long without an answer: the time of USUAL_ANSWERS to calls that do not wait, within these."""

USUAL_ANSWERS = 10
REMEMBERED = 8
"""How many of the last answers make the usual one."""

DOUBT = 10
"""A call that may be waiting or not is given so many times longer than one that is to wait."""

KILLED_S = 2.0
"""A process that lives on for so long after SIGKILL is stuck in the kernel."""


class Company:
    """The actors, kept from one program to the next; a `with` block at whose end none is left but the stuck.

    `folders` is one directory seen through each of the mounts. Raises OSError where fork(2) is refused.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.stuck: list[Stuck] = []
        self._idle: list[Player] = []
        self._programs = 0
        self._usual_s = 0.0

    def __enter__(self) -> Company:
        return self

    def __exit__(self, *_: object) -> None:
        with stops_held():
            self.rest()

    @contextmanager
    def stage(self) -> Iterator[RealStage]:
        """A stage for one program, with fresh files and all its actors gone or back to nothing afterwards."""
        self._programs += 1
        stage = RealStage(self, f"{self._programs:x}-")
        try:
            yield stage
        finally:
            with stops_held():
                stuck = len(self.stuck)
                self._dismiss(stage.players)
                if len(self.stuck) == stuck:
                    self._remove(stage.names)

    def take(self, folder: int) -> Player:
        """An actor that has nothing yet, on that mount."""
        for player in self._idle:
            if player.folder == folder:
                self._idle.remove(player)
                return player
        try:
            with stops_held():
                return Player.forked(folder)
        except OSError as error:
            raise CannotRunError(f"fork refused ({error.strerror}); raise the limit (ulimit -u)") from error

    def _dismiss(self, players: list[Player]) -> None:
        idle = [player for player in players if player.fresh and not player.pending]
        for player in idle:
            player.tell("forget")
        self.end([player for player in players if player not in idle])
        for player in idle:
            if player.answer(ANSWER_S) == "ok":
                self._idle.append(player)
            else:
                self.end([player])

    def patience(self, expected: Sequence[str]) -> float:
        """How long a call has to sleep, in seconds, to be said to wait where the kernel itself does not tell."""
        shortest, longest = SETTLE_S
        settle_s = max(shortest, min(longest, USUAL_ANSWERS * self._usual_s))
        if "waits" in expected:
            return settle_s
        return DOUBT * settle_s if "(waits)" in expected else ANSWER_S

    def answered_in(self, seconds: float) -> None:
        """So long a lock call took that does not wait, which tells how patient to be with those that may."""
        self._usual_s += (seconds - self._usual_s) / REMEMBERED

    def rest(self) -> None:
        """End the actors that are kept for the next program: what comes now needs the machine for itself."""
        self.end(self._idle)
        self._idle = []

    def _remove(self, names: Iterable[str]) -> None:
        """Have the files removed by an actor: whoever hangs in that keeps everybody out of the whole directory.

        So no file is removed on which somebody is stuck.
        """
        player = self.take(0)
        player.tell("remove", *[str(self.folders[0] / name) for name in names])
        if player.answer(ANSWER_S) == "ok":
            self._idle.append(player)
        else:
            self.end([player])

    def end(self, players: list[Player]) -> None:
        """Kill and reap them; those that live on are noted with the place where they hang, and left behind."""
        for player in players:
            player.process.send(SIGKILL)
        for player in players:
            if player.process.wait(KILLED_S) is None:
                self.stuck.append(Stuck(player.process.pid, player.process.sleeps_in() or "unknown"))
            player.close()


class RealStage:
    """The actors of one program."""

    def __init__(self, company: Company, prefix: str) -> None:
        self.names: set[str] = set()
        self._company = company
        self._prefix = prefix
        self._players: dict[str, Player] = {}
        self._gone: list[Player] = []
        self._cast = 0

    @property
    def players(self) -> list[Player]:
        """Everybody who takes, or took, part."""
        return [*self._players.values(), *self._gone]

    @property
    def spread(self) -> bool:
        """True where the actors are on several mounts, as on several hosts."""
        return len(self._company.folders) > 1

    def folder_of(self, actor: str) -> int:
        """The number of the mount that an actor is on."""
        return self._players[actor].folder

    def pid_of(self, actor: str) -> int:
        """The process that it is."""
        return self._players[actor].process.pid

    def perform(self, call: Call, expected: Sequence[str] = ("waits",)) -> str:
        """What the call comes to.

        What should not wait is given ANSWER_S to end, who should be woken WAKE_S; only a call that is `expected` to
        wait is soon believed to.
        """
        player = self._player(call.actor)
        if call.verb in WAITERS and not player.pending:
            return "does not wait"
        if call.verb == "waits":
            return self._named(player.outcome(self._company.patience(expected)))
        if call.verb in DIRECTED:
            directed: Callable[[Player], str] = getattr(self, f"_{call.verb}")
            return directed(player)
        if call.verb in ("fork", "clone"):
            return self._fork(player, call)
        return self._named(self._call(player, call, expected))

    def _call(self, player: Player, call: Call, expected: Sequence[str]) -> str:
        self._rest_again()
        player.tell(call.verb, *self._words(player, call))
        if call.verb in SPOILING:
            player.fresh = False
        if call.may_wait:
            return player.outcome(self._company.patience(expected))
        begun = time.monotonic()
        answer = player.answer(ANSWER_S) or player.silence()
        if call.verb in GET or call.verb in SET:
            self._company.answered_in(time.monotonic() - begun)
        return answer

    def first_back(self, names: Iterable[str], timeout_s: float) -> list[str]:
        """Those of the actors that wait whose calls have ended, as soon as there is one; empty after that time."""
        waiting = {number: name for name in names for number in self._players[name].descriptors}
        poll = select.poll()
        for number in waiting:
            poll.register(number, select.POLLIN)
        return list(dict.fromkeys(waiting[number] for number, _ in poll.poll(timeout_s * 1000)))

    def disturbed(self, names: Iterable[str]) -> list[str]:
        """Those whose calls have ended, once all that sleep in the lock code of the kernel are asleep again."""
        return [name for name in names if not self._players[name].sleeps_on()]

    def _player(self, actor: str) -> Player:
        if actor not in self._players:
            self._players[actor] = self._company.take(self._cast % len(self._company.folders))
            self._cast += 1
        return self._players[actor]

    def _fork(self, player: Player, call: Call) -> str:
        with stops_held():
            made = player.fork(call.verb)
        if isinstance(made, str):
            if made in NO_PROCESS:
                raise CannotRunError(f"fork refused ({made}); raise the limit (ulimit -u)")
            return made
        name = call.args[0]
        self._gone += [self._players[name]] if name in self._players else []
        self._players[name] = made
        return "ok"

    def _words(self, player: Player, call: Call) -> tuple[str, ...]:
        """The arguments as the actor wants them: a file's name with its folder, all that was left out put in."""
        if call.verb not in ("open", "unlink"):
            return call.args
        name, *rest = call.args
        file = f"{self._prefix}{name}"
        self.names.add(file)
        path = str(self._company.folders[player.folder] / file)
        if call.verb == "unlink":
            return (path,)
        known, modes = (rest[1], rest[2:]) if rest[:1] == ["as"] else (name, rest)
        mode = next((word for word in modes if word in ("r", "w")), "rw")
        return path, known, mode, "cloexec" if "cloexec" in modes else ""

    def _named(self, outcome: str) -> str:
        """The outcome with the names of actors for their process ids."""
        what, by, who = outcome.partition(" by pid ")
        if not by:
            return outcome
        if int(who) < 0:
            return f"{what} by description"
        names = {player.process.pid: actor for actor, player in self._players.items()}
        unknown = "somebody" if self.spread else f"pid {who}"
        return f"{what} by {names.get(int(who), unknown)}"

    def _rest_again(self) -> None:
        for player in self._players.values():
            player.rest_again()

    def _killed(self, player: Player) -> str:
        player.process.send(SIGKILL)
        self._rest_again()
        return "ok" if player.ended(KILLED_S) == "SIGKILL" else player.ended(0)

    def _stopped(self, player: Player) -> str:
        player.process.send(SIGSTOP)
        return _reached(player, stopped=True)

    def _continued(self, player: Player) -> str:
        player.process.send(SIGCONT)
        return _reached(player, stopped=False)

    def _interrupted(self, player: Player) -> str:
        player.process.send(SIGUSR1)
        return self._named(player.answer(ANSWER_S) or "waits")

    def _returns(self, player: Player) -> str:
        return self._named(player.answer(WAKE_S) or "waits")


def _reached(player: Player, *, stopped: bool) -> str:
    return "ok" if player.process.reaches(STOPPED, ANSWER_S, wanted=stopped) else player.silence()
