"""Reach the hosts: an execnet gateway to each, over the user's own ssh, and an agent behind it.

Nothing is needed on a host but Python; the lab comes with the connection. Every wait has a limit, and a host that
cannot be reached, or falls silent, is named; the others go on.
"""

from __future__ import annotations

import io
import json
import queue
import re
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.errors import CannotRunError, UsageError
from lab.processes import Descendants

if TYPE_CHECKING:
    import execnet

LOCAL = "local"
"""The name of a host that is this machine, without ssh; local:1 and local:2 are two of them."""

LEAST_PYTHON = (3, 11)
GONE_S = 2.0
"""An agent that is told to end has ended within this time, or its ssh is killed."""

NO_SUCH_COMMAND, NO_CONNECTION = 127, 255
"""Exit codes of ssh(1): the shell of the host did not find the command; ssh itself failed."""


class HostName(NamedTuple):
    """A host as the user names it, [user@]host[:port], and the same without the user: what is shown and kept."""

    text: str
    address: str
    port: str

    @property
    def label(self) -> str:
        """Return the name without the user."""
        return self.text.rpartition("@")[2]

    @property
    def ssh(self) -> str:
        """Return the command that connects to it by hand."""
        return f"ssh {f'-p {self.port} ' if self.port else ''}{self.address}"

    @classmethod
    def read(cls, text: str) -> HostName:
        """Read one name. Raises UsageError for what is none."""
        found = re.fullmatch(
            r"((?:[^\s@:/]+@)?(?:[^\s@:/\[\]]+|\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]))(?::([0-9]{1,5}))?", text
        )
        if not found or text.startswith("-"):
            raise UsageError(f"{text!r} is no host; give it as host, user@host or user@host:port")
        return cls(text, found[1].replace("[", "").replace("]", ""), found[2] or "")

    def gateway(self, python: str, ssh_config: str) -> str:
        """Return execnet's specification of a gateway to it."""
        if self.address == LOCAL:
            return f"popen//python={python or sys.executable}"
        port = f"-p {self.port} " if self.port else ""
        config = f"//ssh_config={ssh_config}" if ssh_config else ""
        # No question can be answered here: a host that would ask for a password is one that cannot be reached.
        return f"ssh=-o BatchMode=yes -o ConnectTimeout=10 {port}{self.address}//python={python or 'python3'}{config}"


class HostError(CannotRunError):
    """A host cannot be reached, or does not answer; the text says which one, and why."""


class Link:
    """One host: its agent answers pings, and its keeper does what is asked for."""

    def __init__(self, name: HostName, gateway: execnet.Gateway, archive: bytes) -> None:
        self.name = name.label
        self._received: queue.SimpleQueue[tuple[int, tuple[Any, ...]]] = queue.SimpleQueue()
        self._answers: list[dict[str, Any]] = []
        self._gone = ""
        from . import agent

        self._channel = gateway.remote_exec(agent)
        self._channel.setcallback(self._hear, endmarker=("closed",))
        self._channel.send(archive)

    def _hear(self, message: tuple[Any, ...]) -> None:
        """Stamp a message as soon as it comes: execnet calls this in a thread of its own."""
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

    def end(self) -> None:
        """Tell the agent to end."""
        with suppress(HostError):
            self._send("end")

    def _send(self, *message: str) -> None:
        try:
            self._channel.send(message)
        except OSError:
            raise HostError(f"{self.name}: the connection is gone") from None

    def _next(self, kind: str, timeout_s: float) -> tuple[int, tuple[Any, ...]]:
        """Return the next message of this kind, with its stamp."""
        if self._gone:
            raise HostError(self._gone)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                stamp, (word, *rest) = self._received.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise HostError(self._silence(timeout_s, kind)) from None
            if word == kind:
                return stamp, tuple(rest)
            if word in ("closed", "gone"):
                self._gone = f"{self.name}: {_ended(*rest) if rest else 'the connection is gone'}"
                raise HostError(self._gone)

    def _silence(self, timeout_s: float, kind: str) -> str:
        """Say who is silent: the host, or only its keeper, and where that one sleeps."""
        silent = f"{self.name}: no answer in {timeout_s:g} s"
        if kind == "answer":
            try:
                self._send("look")
                _, (letter, place) = self._next("state", timeout_s)
            except HostError:
                return f"{silent}, nor does its agent answer"
            asleep = f" in {place}" if place not in ("", "0") else ""
            return f"{silent}: the filesystem does not answer its keeper (state {letter}{asleep})"
        return silent


def _ended(code: int, errors: str) -> str:
    last = errors.strip().splitlines()[-1:]
    how = f"killed by signal {-code}" if code < 0 else f"ended with {code}"
    return f"its keeper was {how}" + (f": {last[0]}" if last else "")


@contextmanager
def connected(
    names: Sequence[HostName], python: str, ssh_config: str, timeout_s: float
) -> Iterator[dict[str, Link | HostError]]:
    """Connect to the hosts at once; yield the link to each, by its name, or why there is none.

    At the end the agents and all that they started are gone.
    """
    import execnet

    archive = packed()
    found: dict[str, Link | HostError] = {}
    groups = [execnet.Group() for _ in names]
    answers: queue.SimpleQueue[tuple[HostName, Link | HostError]] = queue.SimpleQueue()

    def connect(name: HostName, group: execnet.Group) -> None:
        answers.put((name, _linked(name, group, name.gateway(python, ssh_config), archive)))

    with Descendants():
        for name, group in zip(names, groups, strict=True):
            threading.Thread(target=connect, args=(name, group), daemon=True).start()
        deadline = time.monotonic() + timeout_s
        for _ in names:
            try:
                name, link = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            found[name.label] = link
        late = [name.label for name in names if name.label not in found]
        found |= {each: HostError(f"{each}: no connection in {timeout_s:g} s") for each in late}
        try:
            yield {name.label: found[name.label] for name in names}
        finally:
            for link in found.values():
                if isinstance(link, Link):
                    link.end()
            for name, group in zip(names, groups, strict=True):
                if name.label not in late:
                    group.terminate(timeout=GONE_S)


def _linked(name: HostName, group: execnet.Group, gateway: str, archive: bytes) -> Link | HostError:
    from execnet.gateway_bootstrap import HostNotFound

    try:
        opened = group.makegateway(gateway)
        version = opened.remote_exec("import sys; channel.send(tuple(sys.version_info[:3]))").receive()
        if version[:2] < LEAST_PYTHON:
            at_least = ".".join(map(str, LEAST_PYTHON))
            has = ".".join(map(str, version))
            return HostError(f"{name.label}: Python {has} there, and the lab needs {at_least}; give --python PATH")
        return Link(name, opened, archive)
    except HostNotFound:
        return HostError(f"{name.label}: ssh cannot connect without a question; try: {name.ssh} true")
    except (EOFError, OSError):
        return HostError(f"{name.label}: no Python there under that name; give --python PATH, or try: {name.ssh}")


def packed() -> bytes:
    """Return the lab as a zip archive: what a keeper imports, without what was compiled here."""
    content = io.BytesIO()
    root = Path(__file__).parents[1]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*.py")):
            archive.write(path, Path("lab", path.relative_to(root)))
    return content.getvalue()
