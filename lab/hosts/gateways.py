"""Reach hosts by execnet: a gateway to each, over the user's own ssh, and an agent behind it.

Nothing is needed on a host but Python; the lab comes with the connection. A host that cannot be reached is told from
the others, which go on.
"""

from __future__ import annotations

import io
import queue
import re
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.errors import UsageError
from lab.processes import Descendants

from . import agent

if TYPE_CHECKING:
    import execnet

LOCAL = "local"
"""The name of a host that is this machine, without ssh; local:1 and local:2 are two of them."""

LAB = Path(__file__).parents[1]
LEAST_PYTHON = (3, 11)
HERE = "{}"
GONE_S = 2.0
"""An agent that is told to end has ended within this time, or its ssh is killed."""


class Way(NamedTuple):
    """How hosts are reached: the Python there, and the configuration of ssh, or the command to use in place of ssh.

    In that command {} stands for the host; without it the host is added as the last word.
    """

    python: str = ""
    ssh_config: str = ""
    rsh: str = ""


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

    def by_hand(self, rsh: str) -> str:
        """Return the command that gets there by hand, as far as the word that is run there."""
        if self.address == LOCAL:
            return "env"
        return (rsh.replace(HERE, self.address) if HERE in rsh else f"{rsh} {self.address}") if rsh else self.ssh

    def gateway(self, way: Way) -> str:
        """Return execnet's specification of a gateway to it."""
        if self.address == LOCAL:
            return f"popen//python={way.python or sys.executable}"
        if way.rsh:
            return f"popen//python={self.by_hand(way.rsh)} {way.python or 'python3'}"
        port = f"-p {self.port} " if self.port else ""
        config = f"//ssh_config={way.ssh_config}" if way.ssh_config else ""
        # No question can be answered here: a host that would ask for a password is one that cannot be reached.
        ssh = "-o BatchMode=yes -o ConnectTimeout=10"
        return f"ssh={ssh} {port}{self.address}//python={way.python or 'python3'}{config}"


class Channel:
    """An execnet channel to an agent, as a `Transport`."""

    def __init__(self, gateway: execnet.Gateway, code: bytes | str) -> None:
        self._channel = gateway.remote_exec(agent)
        self._channel.send(code)

    def listen(self, hear: Callable[[tuple[Any, ...]], None]) -> None:
        """Call this for each message that comes, in a thread of execnet's own; the last is ("closed",)."""
        self._channel.setcallback(hear, endmarker=("closed",))

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message. Raises OSError where the connection is gone."""
        self._channel.send(message)


@contextmanager
def gateways(names: Sequence[HostName], way: Way, timeout_s: float) -> Iterator[dict[str, Channel | str]]:
    """Connect to the hosts at once; yield the channel to the agent of each, by its label, or why there is none.

    At the end the agents and all that they started are gone.
    """
    import execnet

    is_here = [name.address == LOCAL and not way.python for name in names]
    archive = b"" if all(is_here) else packed()
    found: dict[str, Channel | str] = {}
    groups = [execnet.Group() for _ in names]
    answers: queue.SimpleQueue[tuple[HostName, Channel | str]] = queue.SimpleQueue()

    def connect(name: HostName, group: execnet.Group, code: bytes | str) -> None:
        # What this thread starts, ssh above all, hears no Ctrl-C: this process ends it when all is in order.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
        answers.put((name, _opened(name, group, way, code)))

    with Descendants():
        for name, group, here in zip(names, groups, is_here, strict=True):
            # This very Python has compiled this very lab already: 64 hosts on one machine would do it once more each.
            code = str(LAB.parent) if here else archive
            threading.Thread(target=connect, args=(name, group, code), daemon=True).start()
        deadline = time.monotonic() + timeout_s
        for _ in names:
            try:
                name, channel = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            found[name.label] = channel
        late = {name.label: f"no connection in {timeout_s:g} s" for name in names if name.label not in found}
        try:
            yield {name.label: (found | late)[name.label] for name in names}
        finally:
            for name, group in zip(names, groups, strict=True):
                if name.label not in late:
                    group.terminate(timeout=GONE_S)


def _opened(name: HostName, group: execnet.Group, way: Way, code: bytes | str) -> Channel | str:
    """Return the channel to the agent of a host, or why there is none; `code` is the lab, or the folder that has it."""
    from execnet.gateway_bootstrap import HostNotFound

    try:
        opened = group.makegateway(name.gateway(way))
        version = opened.remote_exec("import sys; channel.send(tuple(sys.version_info[:3]))").receive()
        if version[:2] < LEAST_PYTHON:
            at_least, has = (".".join(map(str, each)) for each in (LEAST_PYTHON, version))
            return f"Python {has} there, and the lab needs {at_least}; give --python PATH"
        return Channel(opened, code)
    except HostNotFound:
        return f"ssh cannot connect, or would have to ask; try: {name.ssh} true"
    except (EOFError, OSError):
        return f"no Python there under that name; give --python PATH, or try: {name.by_hand(way.rsh)}"
    except Exception:  # execnet asserts that the first byte is its own
        by_hand = name.by_hand(way.rsh)
        return f"something was printed before Python answered; silence the login files there, or try: {by_hand} true"


def packed() -> bytes:
    """Return the lab as a zip archive: what a keeper imports, without what was compiled here."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(LAB.rglob("*.py")):
            archive.write(path, Path("lab", path.relative_to(LAB)))
    return content.getvalue()
