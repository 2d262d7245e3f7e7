"""Reach the hosts: a link to the agent on each, whatever carries the messages.

Every wait has a limit, and a host that cannot be reached, or falls silent, is named; the others go on.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from lab.errors import CannotRunError, UsageError
from lab.host.procfs import STOPPED

from .gateways import LOCAL, HostName, Way, gateways

if TYPE_CHECKING:
    from .mpi import Ranks

SILENCE = "no answer in"
RUNS, BUSY_TIMES = "R", 10
"""The state of a keeper that runs or waits for a processor (proc_pid_stat(5)): it gets so many times the limit."""

TICKETS = count(1)
"""The one counter from which the workers of all hosts draw."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which hosts, and how they are reached: by ssh or a command in its place (`lab.hosts.gateways.Way`), or by MPI."""

    hosts: tuple[HostName, ...]
    python: str = ""
    ssh_config: str = ""
    rsh: str = ""
    mpi: Ranks | None = None
    """The ranks that a launcher started; `hosts` is empty then."""


def reach_to(texts: Sequence[str], python: str = "", ssh_config: str = "", rsh: str = "") -> Reach:
    """Return the hosts of these names and how to reach them.

    Raises UsageError for what is no host, for one that is named twice, and for ways that exclude each other.
    """
    if rsh and ssh_config:
        raise UsageError("--rsh: a command in place of ssh reads no --ssh-config; leave one of them out")
    if "//" in rsh:  # execnet separates the parts of a specification so
        raise UsageError(f"--rsh {rsh}: cannot have two slashes in a row; put the command into a script")
    hosts = tuple(HostName.read(text) for text in texts)
    labels = [host.label for host in hosts]
    for place, host in enumerate(hosts):
        if host.label in labels[:place]:
            twice = f"; {LOCAL}:1,{LOCAL}:2 are two agents on this machine" if host.address == LOCAL else ""
            raise UsageError(f"{host.text}: is named twice; name each host once{twice}")
    return Reach(hosts, python, ssh_config, rsh)


class Transport(Protocol):
    """What carries messages between here and the agent of one host: tuples of text, numbers and bytes.

    The agent has the other end of it, as `lab.hosts.agent` says.
    """

    def listen(self, hear: Callable[[tuple[Any, ...]], None]) -> None:
        """Call this for each message that comes, in a thread of its own; the last is ("closed",)."""

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message. Raises OSError where the connection is gone."""


class HostError(CannotRunError):
    """A host cannot be reached, or does not answer; the text says which one, and why."""


class Link:
    """One host: its agent answers pings, and its keeper does what is asked for."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self._received: queue.SimpleQueue[tuple[int, tuple[Any, ...]]] = queue.SimpleQueue()
        self._early: list[tuple[int, tuple[Any, ...]]] = []
        self._gone = ""
        self._transport = transport
        transport.listen(self._hear)

    def _hear(self, message: tuple[Any, ...]) -> None:
        """Stamp a message as soon as it comes, in a thread of the transport; a wish for a ticket is fulfilled there."""
        if message[0] == "ticket":
            with suppress(OSError):
                self._transport.send(("ticket", message[1], next(TICKETS)))
            return
        self._received.put((time.monotonic_ns(), message))

    def ask(self, do: str, **arguments: object) -> None:
        """Ask the keeper for a piece of work; `answer` returns what came of it."""
        self._send("ask", json.dumps({"do": do, **arguments}))

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """Return the keeper's next answer. Raises HostError where the work, the keeper or the host failed."""
        _, (text,) = self._next("answer", timeout_s)
        found: dict[str, Any] = json.loads(text)
        if "error" in found:
            raise HostError(f"{self.name}: {found['error']}")
        return found

    def ping(self, timeout_s: float) -> tuple[int, int, int]:
        """Return when a ping was sent, the stamp of the host, and when it came: ns of both CLOCK_MONOTONIC."""
        sent = time.monotonic_ns()
        self._send("ping")
        received, (stamp,) = self._next("pong", timeout_s)
        return sent, stamp, received

    def answered(self, timeout_s: float) -> bool:
        """Wait so long for an answer of the keeper, or for the end of the link; return whether `answer` has it now."""
        try:
            self._early.append(self._take("answer", timeout_s))
        except queue.Empty:
            return False
        except HostError:
            return True
        return True

    def interrupt(self) -> None:
        """Let the keeper give up what it does, and answer."""
        self._send("interrupt")

    def end(self) -> None:
        """Tell the agent to end."""
        with suppress(HostError):
            self._send("end")

    def _send(self, *message: str) -> None:
        try:
            self._transport.send(message)
        except OSError:
            raise HostError(f"{self.name}: the connection is gone") from None

    def _next(self, kind: str, timeout_s: float) -> tuple[int, tuple[Any, ...]]:
        """Return the next message of this kind, with its stamp. Raises HostError where none comes in time.

        A keeper that runs, or waits for a processor, waits for no filesystem: it gets some more of the same time.
        """
        busy = 0
        while True:
            try:
                stamp, (_, *rest) = self._take(kind, timeout_s)
            except queue.Empty:
                if kind != "answer":
                    raise HostError(f"{self.name}: {SILENCE} {timeout_s:g} s") from None
                state = self._state(timeout_s)
                busy += 1
                if state is None or state[0] != RUNS or busy == BUSY_TIMES:
                    raise HostError(f"{self.name}: {_silence(timeout_s, state)}") from None
            else:
                return stamp, tuple(rest)

    def _take(self, kind: str, timeout_s: float) -> tuple[int, tuple[Any, ...]]:
        """Return the next message of this kind, and keep the others for later.

        Raises queue.Empty where none comes in time, and HostError where none can come any more.
        """
        for place, (_, message) in enumerate(self._early):
            if message[0] == kind:
                return self._early.pop(place)
        if self._gone:
            raise HostError(self._gone)
        deadline = time.monotonic() + timeout_s
        while True:
            stamp, message = self._received.get(timeout=max(0.0, deadline - time.monotonic()))
            if message[0] == kind:
                return stamp, message
            if message[0] in ("closed", "gone"):
                self._gone = f"{self.name}: {_ended(*message[1:]) if message[1:] else 'the connection is gone'}"
                raise HostError(self._gone)
            self._early.append((stamp, message))

    def silence(self, timeout_s: float) -> str:
        """Say who has been silent for so long, the host or only its keeper, and where that one sleeps."""
        return _silence(timeout_s, self._state(timeout_s))

    def _state(self, timeout_s: float) -> tuple[str, str] | None:
        """Return the state of the keeper, and the place in the kernel where it sleeps; None if its agent is silent."""
        try:
            self._send("look")
            _, (letter, place) = self._next("state", timeout_s)
        except HostError:
            return None
        return letter, place


def _silence(timeout_s: float, state: tuple[str, str] | None) -> str:
    """Say who has been silent for so long, by the state of the keeper; None where its agent is silent too."""
    silent = f"{SILENCE} {timeout_s:g} s"
    if state is None:
        return f"{silent}, nor does its agent answer"
    letter, place = state
    if letter == STOPPED:
        return f"{silent}: a signal has stopped its keeper (SIGSTOP)"
    if letter == RUNS:
        return f"{silent}: its keeper runs, or waits for a processor (state {letter})"
    asleep = f" in {place}" if place not in ("", "0") else ""
    return f"{silent}: the filesystem does not answer its keeper (state {letter}{asleep})"


def _ended(code: int, errors: str) -> str:
    last = errors.strip().splitlines()[-1:]
    how = f"killed by signal {-code}" if code < 0 else f"ended with {code}"
    return f"its keeper was {how}" + (f": {last[0]}" if last else "")


@contextmanager
def connected(reach: Reach, timeout_s: float) -> Iterator[dict[str, Link | HostError]]:
    """Connect to the hosts at once; yield the link to each, by its name, or why there is none.

    At the end the agents and all that they started are gone.
    """
    opened: AbstractContextManager[Mapping[str, Transport | str]] = (
        reach.mpi.transports(timeout_s)
        if reach.mpi
        else gateways(reach.hosts, Way(reach.python, reach.ssh_config, reach.rsh), timeout_s)
    )
    with opened as transports:
        links = {
            name: HostError(f"{name}: {transport}") if isinstance(transport, str) else Link(name, transport)
            for name, transport in transports.items()
        }
        try:
            yield links
        finally:
            for link in links.values():
                if isinstance(link, Link):
                    link.end()
